"""Flags: rows of declarations in, what was given on the command line out.

Used by the show, by `lwlive models build` and by `lwlive render`. What a value may be is written
down once, in its declaration; `accepts` says it in words, for the help and for refusals. This file
knows no parameter by name.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from lwlive.config import Bare, Metavar
from lwlive.params import SPECS, ControlError
from lwlive.spelling import did_you_mean

if TYPE_CHECKING:
    import click

Rows = dict[str, tuple[Any, FieldInfo]]  # name -> type, and what was declared of it
Groups = Mapping[str, Rows]  # heading in the help -> its rows
Model = TypeVar("Model", bound=BaseModel)

WIDTH = 100  # of the help, where the terminal has room


def of_params(names: Iterable[str], render: bool = False) -> Rows:
    """Rows of live parameters, with what they accept in their help."""
    rows: Rows = {}
    for name in names:
        row: Any = Field(SPECS[name].default, description=_help(name, render))
        rows[name] = (SPECS[name].kind | None, row)
    return rows


def of_model(model: type[BaseModel]) -> Rows:
    """Rows of everything that a model declares itself."""
    inherited = {name for base in model.__bases__ for name in getattr(base, "model_fields", ())}
    return {n: (f.annotation, f) for n, f in model.model_fields.items() if n not in inherited}


def otherwise(row: tuple[Any, FieldInfo], default: Any, description: str) -> tuple[Any, FieldInfo]:
    """The row with another default and another text in the help."""
    changed = FieldInfo.merge_field_infos(row[1], default=default, description=description)
    return row[0], changed


def flag(name: str) -> str:
    """The flag of a field: `osc_port` is `--osc-port`."""
    return "--" + name.replace("_", "-")


def switch(name: str, between: str) -> str:
    """The flags of a switch: --osc and --no-osc; of one that only turns off, such as --no-midi."""
    return flag(name) if name.startswith("no_") else f"{flag(name)}{between}--no-{flag(name)[2:]}"


def read(
    program: str,
    about: str,
    groups: Groups,
    args: Sequence[str],
    words: Sequence[str] = (),
    commands: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What was given, by name. Raises ControlError; ends the process for --help.

    words: what stands there without a flag, such as NAME, or [NAME] where it may be missing.
    commands: name -> what it does, for the help.
    """
    import click

    rows = {name: row for group in groups.values() for name, row in group.items()}
    _check_followed(args, rows)
    command = _command(about, groups, words, commands or {})
    try:
        with command.make_context(program, list(args), allow_extra_args=True) as context:
            source = click.core.ParameterSource.COMMANDLINE
            given = {
                n: v for n, v in context.params.items() if context.get_parameter_source(n) is source
            }
            rest = list(context.args)
    except click.exceptions.Exit as done:
        raise SystemExit(done.exit_code) from None
    except click.NoSuchOption as error:
        word = next((w for w in args if w.startswith(error.option_name)), error.option_name)
        word = word.partition("=")[0]
        near = did_you_mean("--" + word.lstrip("-"), [flag(name) for name in rows])
        raise ControlError(f"there is no flag {short(word)}{near}; see {program} --help") from None
    except click.BadOptionUsage as error:
        name = error.option_name
        row = next((row for n, row in rows.items() if flag(n) == name), None)
        wants = "takes no value" if row is None or plain(row[0]) is bool else _wants(name, row)
        raise ControlError(f"{name} {wants}; see {program} --help") from None
    for word in words:
        if rest:
            given[word.strip("[]").lower()] = rest.pop(0)
        elif not word.startswith("["):
            raise ControlError(f"{word} is missing; see {program} --help")
    if rest:
        raise ControlError(f"unexpected {short(rest[0])}; see {program} --help")
    return {n: list(v) if isinstance(v, tuple) else v for n, v in given.items()}


def filled(model: type[Model], given: dict[str, Any], rows: Rows | None = None) -> Model:
    """The model with what was given of it, as told in the rows. Raises ControlError."""
    known = {name: (field.annotation, field) for name, field in model.model_fields.items()}
    try:
        return model(**{n: v for n, v in given.items() if n in model.model_fields})
    except ValidationError as error:
        wrong = {str(one["loc"][0]): one["input"] for one in error.errors()}
        told = [refusal(flag(name), (rows or known)[name], found) for name, found in wrong.items()]
        raise ControlError("; ".join(told)) from None


def value(name: str, text: object) -> object:
    """A flag's text as a value of the parameter's type, or as it is where that cannot be."""
    kind = SPECS[name].kind
    if not isinstance(text, str) or kind is str:
        return text
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        return text


def plain(annotation: Any) -> Any:
    """The type of a field without its None: str, Path, list[str], a Literal ..."""
    if get_origin(annotation) in (Union, UnionType):
        return next(one for one in get_args(annotation) if one is not NoneType)
    return annotation


def accepts(row: tuple[Any, FieldInfo]) -> str:
    """What a field takes, in words: 'a number from 1 to 240'."""
    annotation, field = row
    kind_of, about = plain(annotation), (field.description or "").split(";")[0]
    if get_origin(kind_of) is Literal:
        *others, last = (str(one) for one in get_args(kind_of))
        return f"{', '.join(others)} or {last}" if others else last
    if kind_of is bool:
        return "true or false"
    if kind_of in (int, float):
        return ("a whole number" if kind_of is int else "a number") + _range(field)
    if any(getattr(rule, "pattern", None) for rule in field.metadata):
        return about
    if kind_of is Path:
        return "the path of a " + ("folder" if "FOLDER" in field.metadata else "file")
    return "a list of texts" if get_origin(kind_of) is list else "text that is not empty"


def refusal(what: str, row: tuple[Any, FieldInfo], found: object) -> str:
    """The sentence for a value that a field does not take."""
    options = get_args(plain(row[0])) if get_origin(plain(row[0])) is Literal else ()
    near = did_you_mean(str(found), [str(one) for one in options], 0.7)  # gpu is not cpu
    return f"{what} takes {accepts(row)}, not {short(found)}{near}"


def short(found: object) -> str:
    """A value as it may stand in a sentence."""
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:57]}..."


def metavar(row: tuple[Any, FieldInfo]) -> str:
    """What stands for the value in the help: NUMBER, FILE, fill|fit|mirror."""
    annotation, field = row
    kind_of = plain(annotation)
    if get_origin(kind_of) is Literal:
        return "|".join(str(one) for one in get_args(kind_of))
    own = next((str(one) for one in field.metadata if isinstance(one, Metavar)), None)
    return own or {int: "NUMBER", float: "NUMBER", Path: "FILE"}.get(kind_of, "TEXT")


def bare(field: FieldInfo) -> str | None:
    """What the flag of a field means without a value; None where it needs one."""
    return next((str(one) for one in field.metadata if isinstance(one, Bare)), None)


def _range(field: FieldInfo) -> str:
    ends: dict[str, float] = {}
    for rule in field.metadata:
        ends |= {
            n: e for n in ("ge", "gt", "le", "lt") if (e := getattr(rule, n, None)) is not None
        }
    low, high, above = ends.get("ge"), ends.get("le", math.inf), ends.get("gt")
    if above is not None:
        return f" above {above:g}" + (f", up to {high:,.0f}" if high < math.inf else "")
    if low is None:
        return ""
    return f" from {low:g} to {high:g}" if high < math.inf else f" of {low:g} or more"


def _wants(name: str, row: tuple[Any, FieldInfo]) -> str:
    return f"needs a value: {name} {metavar(row)}"


def _check_followed(args: Sequence[str], rows: Rows) -> None:
    """Refuse a flag in the place of another one's value: the value was forgotten."""
    taking = {
        flag(name): row
        for name, row in rows.items()
        if plain(row[0]) is not bool and bare(row[1]) is None
    }
    known = {flag(name) for name in rows} | {"--help"}
    waiting = list(args)
    while waiting and (word := waiting.pop(0)) != "--":
        if word not in taking or not waiting:
            continue
        following = waiting.pop(0)
        if following.partition("=")[0] in known:
            raise ControlError(
                f"{word} {_wants(word, taking[word])}; to give {short(following)} as its value, "
                f"write {word}={following.partition('=')[0]}"
            )


def _command(
    about: str, groups: Groups, words: Sequence[str], commands: Mapping[str, str]
) -> "click.Command":
    """The rows as a command of click, with its help in groups."""
    import click

    class Command(click.Command):
        def format_help(self, context: click.Context, formatter: click.HelpFormatter) -> None:
            usage = [*(["[FLAGS]"] if groups else []), *words]
            formatter.write_usage(context.command_path, " ".join(usage))
            formatter.write(f"\n{about}\n")
            if commands:
                with formatter.section("Commands, each with a --help of its own"):
                    formatter.write_dl(list(commands.items()))
            for title, rows in groups.items():
                with formatter.section(title):
                    formatter.write_dl([_help_row(name, row) for name, row in rows.items()])

    options: list[click.Parameter] = []
    for name, (annotation, field) in ((n, r) for rows in groups.values() for n, r in rows.items()):
        if plain(annotation) is bool:
            names = switch(name, "/")
            options.append(click.Option([names, name], default=None, is_flag=True))
        else:
            many = get_origin(plain(annotation)) is list
            alone = bare(field)  # what the flag means without a value
            more: dict[str, Any] = {}
            if alone is not None:
                more = {"is_flag": False, "flag_value": alone}
            options.append(click.Option([flag(name), name], multiple=many, **more))
    settings = {"max_content_width": WIDTH, "help_option_names": ["--help", "-h"]}
    return Command(None, params=options, context_settings=settings)


def _help_row(name: str, row: tuple[Any, FieldInfo]) -> tuple[str, str]:
    """Flag and text of one row, as the help has them."""
    annotation, field = row
    if plain(annotation) is bool:
        usual = f"; default: {'on' if field.default else 'off'}"
        return switch(name, " / "), f"{field.description}{usual}"
    default = field.get_default(call_default_factory=True)
    told = "" if default is None or default in ("", []) else f"; default: {_shown(default)}"
    return f"{flag(name)} {metavar(row)}", f"{field.description}{told}"


def _shown(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)


def _help(name: str, render: bool) -> str:
    spec = SPECS[name]
    takes = "" if spec.kind is bool else f": {spec.expected(render)}"
    default = "; default: the model's own" if spec.default is None else ""
    return f"{spec.help}{takes}{default}"
