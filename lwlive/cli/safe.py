"""Safe mode: a show that keeps a state starts without what has failed three times in a row.

What is left out is decided in stage/starts.py; here it is taken out of flags and settings. A show
without `--state` starts as its flags say or says why not: somebody is there to read it.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lwlive.params import ControlError

if TYPE_CHECKING:
    from lwlive.config import Config
    from lwlive.params import Params
    from lwlive.stage.starts import Starts

log = logging.getLogger("lwlive")

AGAIN = 75  # the exit code of a show that is to be started again, as EX_TEMPFAIL
KEPT = ("--fullscreen", "--headless")  # flags that a start without its configuration still has
NOT_OUTPUTS = ("show", "cues", "model", "engine", "window", "tempo", "gallery")  # parts of Config
MODEL: Mapping[str, Any] = {  # without a graphics card: what failed may be its driver
    "model": "ember",
    "lora": [],
    "decoder": "tiny",
    "scheduler": None,
    "prediction": None,
    "size": None,
    "device": "cpu",
    "attention": "auto",
    "batch": None,
}


def start(args: Sequence[str], about: str, commands: Mapping[str, str]) -> int:
    """A show from its flags, to its end; the exit code. Raises ControlError and ModelError."""
    from lwlive.cli.perform import perform

    starts = _starts(args)
    if starts is None:
        config, params = _parsed(args, about, commands)
        if config.state is None:
            return perform(config, params)
        starts = _opened(config.state)
    try:
        config, params = _parsed(_wanted(args, starts.without), about, commands, starts.without)
    except ControlError as error:
        starts.failed(_part(error), str(error))
        raise
    try:
        return perform(without(config, starts.without), params, starts)
    except (ControlError, OSError) as error:  # where a run writes is checked before it begins
        starts.failed(part_of(error), str(error))
        raise


def _parsed(
    args: Sequence[str], about: str, commands: Mapping[str, str], left_out: Sequence[str] = ()
) -> "tuple[Config, Params]":
    from lwlive.cli import arguments

    preset = "preset" not in left_out
    return arguments.parse(args, arguments.PROGRAM, about, commands=commands, preset=preset)


def _starts(args: Sequence[str]) -> "Starts | None":
    """The starts of a show whose flags name its state; a file of settings may not be readable."""
    for i, word in enumerate(args):
        if word == "--state" and i + 1 < len(args):
            return _opened(Path(args[i + 1]))
        if word.startswith("--state="):
            return _opened(Path(word.partition("=")[2]))
    return None


def _opened(state: Path) -> "Starts":
    from lwlive.stage.starts import Starts

    if not state.name or state.is_dir():
        raise ControlError(f"--state: {str(state)!r:.60} is a folder; give a file's name")
    return Starts(state.with_name(f"{state.name}.starts"), note=os.environ.get("LWLIVE_AFTER"))


def _wanted(args: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """The flags, or only what a show without its configuration needs."""
    if "configuration" not in left_out:
        return list(args)
    for i, word in enumerate(args):
        if word.startswith("--state"):
            state = [word] if "=" in word else [word, *args[i + 1 : i + 2]]
            return [*state, *(one for one in KEPT if one in args)]
    return [one for one in KEPT if one in args]


def without(config: "Config", left_out: Sequence[str]) -> "Config":
    """The settings without these parts."""
    from lwlive.config import PARTS

    update: dict[str, Any] = {}
    if "compiled package" in left_out:
        update["compile"] = False
    if "preset" in left_out:
        update["preset"] = None
    if "model" in left_out:
        update |= MODEL
    if "output" in left_out:
        for part in PARTS:
            if part.table not in NOT_OUTPUTS:
                for name in part.__annotations__:
                    field = getattr(part, "model_fields", {}).get(name)
                    if field is not None:
                        update[name] = field.get_default(call_default_factory=True)
        update |= {"osc": False, "monitor": "0", "folder": config.folder, "log": config.log}
    return config.model_copy(update=update)


def _part(error: Exception) -> str:
    """What a start has failed at, by its error."""
    from lwlive.checkpoint import ModelError
    from lwlive.preset import PresetError
    from lwlive.stage.host import EngineFailure

    if isinstance(error, PresetError):
        return "preset"
    if isinstance(error, ModelError | EngineFailure | ImportError):
        return "model"
    return "configuration"


def part_of(error: Exception) -> str:
    """The part at which a show has failed after its flags were read: that of an output."""
    part = _part(error)
    return "output" if part == "configuration" else part
