"""The file of `--config`: TOML, a table for each part of Config, and [live] for the parameters.

Keys are the flags' names without the dashes in front; `_` and `-` mean the same. Paths count from
the folder that lwlive is started in, as those of flags do. This file starts nothing.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_origin

import tomli_w
from pydantic import ValidationError

from lwlive.cli.flags import Rows, accepts, metavar, of_model, plain, refusal, short
from lwlive.config import PARTS, Config
from lwlive.params import SPECS, ControlError
from lwlive.preset import toml
from lwlive.spelling import did_you_mean

LIVE = "live"  # the table of live parameters
TABLES: dict[str, Rows] = {part.table: of_model(part) for part in PARTS}
MOST_BYTES = 2**20  # of a file; what is larger is none of ours
HEAD = """# A show, for `lwlive --config FILE`. A flag on the command line wins over this file.
# What stands behind a # is a choice that is not made; keys are the flags' names."""


def read(path: Path) -> tuple[dict[str, Any], dict[str, object]]:
    """What the file says of Config, and of the live parameters. Raises ControlError.

    The sentence names the file, the key, what was expected and what was found.
    """
    fixed: dict[str, Any] = {}
    values: dict[str, object] = {}
    for table, content in _tables(path).items():
        if not isinstance(content, dict):
            raise ControlError(f"{path}: {_stray(table)}")
        if table != LIVE and table not in TABLES:
            near = did_you_mean(table, [*TABLES, LIVE])
            known = ", ".join([*TABLES, LIVE])
            raise ControlError(
                f"{path}: there is no table [{_cut(table)}]{near}; there are {known}"
            )
        for key, found in content.items():
            name = key.replace("-", "_")
            if name not in names(table):
                raise ControlError(f"{path}: {_unknown(table, key)}")
            try:
                if table == LIVE:
                    values[name] = SPECS[name].checked(found)
                else:
                    fixed[name] = _checked(TABLES[table][name], found, f"[{table}] {key}")
            except ControlError as error:
                raise ControlError(f"{path}: {error}") from None
    return fixed, values


def readable(path: Path, table: str) -> dict[str, Any]:
    """What a table of the file says, without what is wrong in it or around it.

    Raises ControlError where nothing of the file can be read.
    """
    content, found = _tables(path).get(table), dict[str, Any]()
    for key, value in content.items() if isinstance(content, dict) else ():
        name = key.replace("-", "_")
        if name in TABLES[table]:
            with suppress(ControlError):
                found[name] = _checked(TABLES[table][name], value, key)
    return found


def written() -> str:
    """The whole file, with every default and its help as comments."""
    parts = [HEAD, _table(LIVE, "What is shown; controls, keys and presets change it", _live())]
    for part in PARTS:
        rows = {name: _line(name, row) for name, row in TABLES[part.table].items()}
        parts.append(_table(part.table, (part.__doc__ or "").rstrip("."), rows))
    return "\n\n".join(parts)


def _tables(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "is not there"
            raise ControlError(f"--config: {short(str(path))} {what}; `lwlive config` prints one")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ControlError(
                f"--config: {path} is larger than a megabyte: not a file of settings"
            )
        return toml(content.decode("utf-8-sig"))
    except OSError as error:
        name = short(str(path))
        raise ControlError(f"--config: {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ControlError(f"{path} is not text in UTF-8: {error.reason}") from None
    except (RecursionError, ValueError) as error:
        raise ControlError(f"{path} is not valid TOML: {error}") from None


def _checked(row: tuple[Any, Any], found: object, where: str) -> object:
    """The value, as Config takes it. Unlike a flag's, it has to be of the right type already."""
    kind = plain(row[0])
    if "NAME_OR_NUMBER" in row[1].metadata and isinstance(found, int) and found is not True:
        found = str(found)
    if get_origin(kind) is list:
        fits = isinstance(found, list) and all(isinstance(one, str) for one in found)
    elif kind in (int, float):
        fits = isinstance(found, int if kind is int else int | float)
        fits = fits and not isinstance(found, bool)
    else:
        fits = isinstance(found, bool if kind is bool else str)
    if isinstance(found, str | list):  # no name of a file or a device has such a letter
        fits = fits and not any(
            "\0" in one for one in ([found] if isinstance(found, str) else found)
        )
    name = where.split()[-1].replace("-", "_")
    try:
        if not fits:
            raise ControlError(refusal(where, row, found))
        Config.__pydantic_validator__.validate_assignment(Config.model_construct(), name, found)
    except (ValidationError, OverflowError):
        raise ControlError(refusal(where, row, found)) from None
    return found


def names(table: str) -> Mapping[str, object]:
    if table == LIVE:
        return {name: None for name, spec in SPECS.items() if spec.flag}
    return TABLES[table]


def _unknown(table: str, key: str) -> str:
    """The sentence for a key that a table does not have."""
    name = key.replace("-", "_")
    home = next((other for other in (*TABLES, LIVE) if name in names(other)), None)
    if home is not None:
        return f"{key} belongs in the table [{home}], not in [{table}]"
    near = did_you_mean(name, names(table)).replace("_", "-")
    known = ", ".join(one.replace("_", "-") for one in names(table))
    return f"[{table}] has no {short(key)}{near or f'; it takes {known}'}"


def _stray(key: str) -> str:
    """The sentence for a key that stands in no table."""
    name = key.replace("-", "_")
    if key in TABLES or key == LIVE:
        return f"{key} is a table: write [{key}] on a line of its own, and its keys below"
    home = next((table for table in (*TABLES, LIVE) if name in names(table)), None)
    if home is not None:
        return f"{key} belongs below a line [{home}]"
    return f"{_cut(key)} stands in no table; the tables are {', '.join([*TABLES, LIVE])}"


def _cut(word: str) -> str:
    return word if len(word) <= 60 else f"{word[:57]}..."


def _table(name: str, about: str, rows: Mapping[str, str]) -> str:
    return "\n".join([f"# {about}.", f"[{name}]", *rows.values()])


def _live() -> dict[str, str]:
    lines = {}
    for name in names(LIVE):
        spec = SPECS[name]
        takes = "" if spec.kind is bool else f": {spec.expected()}"
        takes = f"# {spec.help}{takes}\n"
        key = name.replace("_", "-")
        if spec.default is None:
            lines[name] = f"{takes}# {key} = NUMBER; default: the model's own"
        else:
            lines[name] = takes + _said(key, spec.default)
    return lines


def _line(name: str, row: tuple[Any, Any]) -> str:
    field, key = row[1], name.replace("_", "-")
    told = plain(row[0]) in (int, float) or get_origin(plain(row[0])) is Literal
    about = f"# {field.description}{': ' + accepts(row) if told else ''}\n"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return f"{about}# {key} = {metavar(row).strip('[]')}"
    return about + _said(key, str(default) if isinstance(default, Path) else default)


def _said(key: str, value: object) -> str:
    return tomli_w.dumps({key: value}).strip()
