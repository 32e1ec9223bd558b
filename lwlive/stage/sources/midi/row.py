"""Rows of a mapping file: what each key of a binding takes, checked, and as a table."""

from collections.abc import Callable, Mapping
from dataclasses import fields

from lwlive.stage.sources.midi.binding import Binding, need


def read(row: Mapping[str, object]) -> Binding:
    """A binding from a row of a file. Raises ControlError with a sentence."""
    kinds = {each.name: _KINDS[each.type] for each in fields(Binding)}
    for name, value in row.items():
        need(name in kinds, f"there is no {name!r:.60}; a binding takes {', '.join(kinds)}")
        fits, wanted = kinds[name]
        need(fits(value), f"{name} takes {wanted}, not {value!r:.60}")
    need("control" in row, "control is missing")
    return Binding(**row)  # type: ignore[arg-type] # checked just above


def table() -> str:
    """What a binding may say, as a Markdown table, for lwlive/stage/README.md."""
    lines = ["| key | takes | meaning |", "|---|---|---|"]
    for each in fields(Binding):
        lines.append(f"| `{each.name}` | {_KINDS[each.type][1]} | {each.metadata['help']} |")
    return "\n".join(lines)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return (isinstance(value, float) and abs(value) < float("inf")) or _whole(value)


def _text(value: object) -> bool:
    return isinstance(value, str)


_KINDS: dict[object, tuple[Callable[[object], bool], str]] = {  # what fits, in words
    str: (_text, "text"),
    str | None: (_text, "text"),
    int: (_whole, "a whole number"),
    int | None: (_whole, "a whole number"),
    float: (_number, "a number"),
    float | None: (_number, "a number"),
    bool: (lambda value: isinstance(value, bool), "true or false"),
    str | int | None: (lambda value: _text(value) or _whole(value), "a name or a number"),
    str | float | bool | None: (
        lambda value: isinstance(value, str | bool) or _number(value),
        "text, a number, or true or false",
    ),
}
