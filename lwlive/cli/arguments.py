"""What a show is started with: the file of --config, the preset and the flags, joined.

What wins over what, the last first: defaults, the file's preset, the file's own values, the
preset of the command line, its flags.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from lwlive.cli import flags
from lwlive.config import PARTS, Config
from lwlive.controls import Controls
from lwlive.params import SPECS, ControlError, Params

PROGRAM = "lwlive"
SHOWN = "What is shown"  # heading of the live parameters
FILE = "Settings from a file"


def groups() -> dict[str, flags.Rows]:
    """Every flag of a show, under its heading."""
    shown = {SHOWN: flags.of_params(name for name, spec in SPECS.items() if spec.flag)}
    text = "read settings from this TOML file; `lwlive config` prints one"
    field: Any = Field(None, description=text)
    file: flags.Rows = {"config": (Path | None, field)}
    return shown | {part.title: flags.of_model(part) for part in PARTS} | {FILE: file}


def parse(
    args: Sequence[str],
    program: str = PROGRAM,
    about: str = "",
    words: Sequence[str] = (),
    commands: Mapping[str, str] | None = None,
    preset: bool = True,
) -> tuple[Config, Params]:
    """Config and first values of a show. Raises ControlError; ends the process for --help.

    preset: take up the one that is asked for. Of `words`, as in flags.read, the one NAME is the
    model's.
    """
    from lwlive import preset as presets
    from lwlive.cli import showfile

    given = flags.read(program, about, groups(), args, words, commands)
    if "name" in given:
        given["model"] = given.pop("name")
    fixed, of_file = _file(given)
    config = flags.filled(Config, {**fixed, **given})
    values: dict[str, object] = {}
    if config.preset is not None and preset:
        values = presets.load(presets.find(config.preset, config.folder))
    values = {**of_file, **values} if "preset" in given else {**values, **of_file}
    for name in showfile.names(showfile.LIVE):
        if name in given:
            values[name] = flags.value(name, given[name])
    controls = Controls(Params())
    controls.load(values)
    return config, controls.params


def _file(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, object]]:
    """What the file of --config says. It may not be what the show writes. Raises ControlError."""
    from lwlive.cli import showfile
    from lwlive.cli.destinations import FILES

    if "config" not in given:
        return {}, {}
    path = Path(given.pop("config"))
    fixed, values = showfile.read(path)
    for name in FILES:
        other = given.get(name, fixed.get(name))
        if other is not None and Path(other).absolute() == path.absolute():
            raise ControlError(f"--config and --{name} are the same file: {flags.short(str(path))}")
    return fixed, values
