"""Safe mode: a show that keeps a state starts without what has failed three times in a row.

What is left out is decided in stage/starts.py; here it is taken out of flags and settings. A show
without `--state` starts as its flags say or says why not: somebody is there to read it.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lwlive.params import ControlError

if TYPE_CHECKING:
    from lwlive.config import Config
    from lwlive.params import Params
    from lwlive.stage.starts import Starts

log = logging.getLogger("lwlive")

AGAIN = 75  # the exit code of a show that is to be started again, as EX_TEMPFAIL
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

    state = _state(args)
    if state is None:
        return perform(*_parsed(args, about, commands))
    starts = _opened(state)
    try:
        config, params = _parsed(_wanted(args, starts.without), about, commands, starts.without)
    except SystemExit:  # after --help
        starts.not_tried()
        raise
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


def _state(args: Sequence[str]) -> Path | None:
    """The state that a show keeps, also where the rest of its settings is wrong."""
    given = _given(args, "--state") or (_of_file(args, "gallery") or {}).get("state")
    return None if given is None else Path(given)


def _given(args: Sequence[str], flag: str) -> str | None:
    """What stands behind a flag, the last time that it is given."""
    found = None
    for word, following in pairwise([*args, ""]):
        if word == flag:
            found = following or None
        elif word.startswith(f"{flag}="):
            found = word.partition("=")[2]
    return found


def _of_file(args: Sequence[str], table: str) -> dict[str, Any] | None:
    """What is right in a table of the file of --config; None where nothing of it can be read."""
    if (file := _given(args, "--config")) is None:
        return {}
    from lwlive.cli import showfile

    try:
        return showfile.readable(Path(file), table)
    except ControlError:
        return None


def _opened(state: Path) -> "Starts":
    from lwlive.stage.starts import Starts

    if not state.name or os.path.isdir(state):
        raise ControlError(f"--state: {str(state)!r:.60} is a folder; give a file's name")
    return Starts(state.with_name(f"{state.name}.starts"), note=os.environ.get("LWLIVE_AFTER"))


def _wanted(args: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """The flags, or only what a show without its configuration needs: its state and its screen.

    Where nobody knows what that was, it covers a monitor: an audience is to see no desktop.
    """
    if "configuration" not in left_out:
        return list(args)
    window = _of_file(args, "window")
    if window is None:
        window = {"fullscreen": True}
    for name in ("fullscreen", "headless"):
        for word in args:
            if word in (f"--{name}", f"--no-{name}"):
                window[name] = word == f"--{name}"
    window["monitor"] = _given(args, "--monitor") or window.get("monitor")
    words = ["--state", str(_state(args))]
    if window.get("headless"):
        return [*words, "--headless"]
    words += ["--fullscreen"] if window.get("fullscreen") else []
    return words + (["--monitor", window["monitor"]] if window["monitor"] else [])


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
        update |= {"osc": False, "folder": config.folder, "log": config.log}
    if "network control" in left_out:
        update |= {"osc": False, "page": False}
    if "cues" in left_out:
        update["cues"] = None
    found = config.model_copy(update=update)
    return found if "output" not in left_out else _logged(found)


def _logged(config: "Config") -> "Config":
    """The settings, without a name for the log where no log can have this one."""
    from lwlive.cli import destinations

    try:
        destinations.refuse(config)
    except ControlError:
        return config.model_copy(update={"log": None})
    return config


def _part(error: Exception) -> str:
    """What a start has failed at, by its error."""
    from lwlive.checkpoint import ModelError
    from lwlive.cuelist import CueListError
    from lwlive.preset import PresetError
    from lwlive.stage.host import EngineFailure
    from lwlive.stage.sources.listening import ListenError

    if isinstance(error, CueListError):
        return "cues"
    if isinstance(error, ListenError):
        return "network control"
    if isinstance(error, PresetError):
        return "preset"
    if isinstance(error, ModelError | EngineFailure | ImportError):
        return "model"
    return "configuration"


def part_of(error: Exception) -> str:
    """The part at which a show has failed after its flags were read: that of an output."""
    part = _part(error)
    return "output" if part == "configuration" else part
