"""Flags: rows of declarations in, what was given on the command line out.

Used by the show and by `lwlive render`. This file knows no parameter by name.
"""

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from lwlive.params import ControlError, Params, expected, kind

NEVER = "\0"  # pydantic-settings has one word that means None; nobody can type this one

Rows = dict[str, tuple[Any, FieldInfo]]  # name -> type, and what was declared of it
Model = TypeVar("Model", bound=BaseModel)


class _Help(argparse.HelpFormatter):
    """Help without defaults that are no values; the texts say what happens then."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return re.sub(rf" \(default( factory: list|: {NEVER})\)", "", action.help or "")


def of_params(names: Iterable[str], offline: bool = False) -> Rows:
    """Rows of live parameters, with what they accept in their help."""
    return {
        name: (
            kind(name) | None,
            Field(Params.model_fields[name].default, description=_help(name, offline)),
        )
        for name in names
    }


def of_model(model: type[BaseModel]) -> Rows:
    """Rows of everything that a model declares."""
    return {name: (field.annotation, field) for name, field in model.model_fields.items()}


def read(program: str, about: str, rows: Rows, args: Sequence[str]) -> dict[str, Any]:
    """What was given, by name. Raises ControlError; ends the process for --help."""
    from pydantic_settings import BaseSettings, CliSettingsSource, SettingsError

    fields: dict[str, Any] = dict(rows)
    declared = create_model(program, __base__=BaseSettings, __doc__=about, **fields)
    try:
        source = CliSettingsSource[Any](
            declared,
            cli_prog_name=program,
            cli_parse_args=list(args),
            cli_parse_none_str=NEVER,
            cli_exit_on_error=False,
            cli_implicit_flags=True,
            cli_kebab_case=True,
            cli_hide_none_type=True,
            cli_avoid_json=True,
            formatter_class=_Help,
        )
    except SettingsError as error:
        raise ControlError(_misread(str(error), rows, program)) from None
    return source()


def filled(model: type[Model], given: dict[str, Any], rows: Rows | None = None) -> Model:
    """The model with what was given of it, as told in the rows. Raises ControlError."""
    try:
        return model(**{n: v for n, v in given.items() if n in model.model_fields})
    except ValidationError as error:
        raise ControlError(_sentences(error, rows or of_model(model))) from None


def value(name: str, text: object) -> object:
    """A flag's text as a value of the parameter's type, or as it is where that cannot be."""
    if not isinstance(text, str) or kind(name) is str:
        return text
    if kind(name) is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return int(text) if kind(name) is int else float(text)
    except ValueError:
        return text


def _help(name: str, offline: bool) -> str:
    field = Params.model_fields[name]
    takes = "" if kind(name) is bool else f": {expected(name, offline)}"
    default = "; default: the model's own" if field.default is None else ""
    return f"{field.description}{takes}{default}"


def _misread(error: str, names: Iterable[str], program: str) -> str:
    """What is wrong with flags that cannot be read, in argparse's words and some of ours."""
    text = error.removeprefix("error parsing CLI: ")
    flags = ["--" + name.replace("_", "-") for name in names]
    unknown = re.match(r"unrecognized arguments: (--[\w-]+)", text)
    close = difflib.get_close_matches(unknown[1], flags, n=1) if unknown else []
    return f"{text}{f', did you mean {close[0]}?' if close else ''}; see {program} --help"


def _sentences(error: ValidationError, rows: Rows) -> str:
    lines = []
    for one in error.errors():
        name = str(one["loc"][0])
        what = f"{one['msg'][0].lower()}{one['msg'][1:]}"
        if one["type"] == "string_pattern_mismatch":
            what = f"this takes {(rows[name][1].description or '').split(';')[0]}"
        lines.append(f"--{name.replace('_', '-')}: {what}, not {one['input']!r:.60}")
    return "; ".join(lines)
