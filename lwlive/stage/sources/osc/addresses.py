"""The OSC addresses: one row each, and what a message to one asks for.

Rows are derived from the declared parameters. Programs send a value in many ways: a switch as a
number or a word, a number as text, a text word by word. `heard` reads all of them.
This file knows nothing of bytes, sockets, threads or clocks.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lwlive.changes import seconds
from lwlive.commands import (
    Alter,
    Amount,
    Command,
    Fire,
    Go,
    Learn,
    Move,
    Recall,
    Set,
    Switch,
    Unpatch,
)
from lwlive.config import DEFAULT_PORT, OUTPUTS, Config
from lwlive.params import SPECS, TRIGGERS, ControlError, Spec, Value
from lwlive.routes import BANDS, LONGEST, ROUTES, SHAPES, SHORTEST, checked
from lwlive.stage.sources.osc.packet import Argument, Foreign

ROOT = "/lwlive/"
STATUS = ROOT + "status/"
FADER = ROOT + "fader/"
OUTPUT = ROOT + "output/"
HEARING = "bands"  # what a subscription to the sound is called; "" is one to everything else
ROUTE = ROOT + "route/"
NUMBER = "<n>"  # of a route, where an address is listed
LEASE_S = 60.0  # how long a subscription lasts unless it is renewed
AHEAD_S = 10.0  # so far ahead a time tag is a time
STATUS_PERIOD_S = 1 / 30  # least time between two bursts of status to one subscriber

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
_QUOTES = {'"': '"', "'": "'", "\N{LEFT DOUBLE QUOTATION MARK}": "\N{RIGHT DOUBLE QUOTATION MARK}"}


@dataclass(frozen=True)
class Row:
    """One address: what it is for and what it takes."""

    address: str
    tags: str  # OSC type tags it accepts
    accepts: str
    help: str
    # set, fader, trigger, output, preset, learn, cue, route, subscribe or unsubscribe
    verb: str
    name: str = ""  # of the parameter, trigger, output, key of a route, or what is subscribed to
    number: int = 0  # of a route


_NUMBERS = "i h f d s"
_TAGS = {str: "s", bool: "T F " + _NUMBERS, int: _NUMBERS, float: _NUMBERS}


def addresses() -> list[Row]:
    """Every address that is listened to, from the declarations of the parameters."""
    rows = [
        Row(ROOT + name, _TAGS[spec.kind], spec.expected(), spec.help, "set", name)
        for name, spec in SPECS.items()
    ]
    for name, spec in SPECS.items():
        if spec.kind is str:
            continue
        low, high = spec.travel
        reach = f"{low:g} to {high:g} {spec.unit}".strip()
        reach = "on from 0.5" if spec.kind is bool else reach
        rows.append(
            Row(FADER + name, _NUMBERS, "0 to 1, clamped", f"{name}, {reach}", "fader", name)
        )
    for name, text in TRIGGERS.items():
        tags = f"none I N {_TAGS[bool]}"
        rows.append(Row(ROOT + name, tags, "1 to fire, 0 to be ignored", text, "trigger", name))
    for name in OUTPUTS:
        does = (Config.model_fields[name].description or "").split(";")[0]
        on = SPECS["hold"].expected()
        rows.append(Row(OUTPUT + name, _TAGS[bool], on, does, "output", name))
    named = "the name of a preset, and seconds if you like"
    bends = "bends to that preset, over those seconds"
    rows.append(Row(ROOT + "preset", "s sf", named, bends, "preset"))
    target = "a parameter or trigger, `preset NAME`, `cue NAME`, `route NUMBER`; nothing: ends it"
    bound = "the next control that moves on a MIDI box is bound to it"
    rows.append(Row(ROOT + "learn", "none s", target, bound, "learn"))
    cue = "the name of a cue, or its number"
    rows.append(Row(ROOT + "cue", "s i h f d", cue, "goes to that cue", "cue"))
    rows += _of_routes()
    port = "a port from 1 to 65535, or nothing for the sender's own"
    told = f"sends {STATUS}<name> and {FADER}<name> there for {LEASE_S:g} s; again renews it"
    rows.append(Row(ROOT + "subscribe", f"none {_NUMBERS}", port, told, "subscribe"))
    bands = (
        f"sends the bands of the sound there, {1 / STATUS_PERIOD_S:.0f} times a second: {STATUS}"
    )
    bands += ", ".join(BANDS)
    rows.append(Row(ROOT + "hear", f"none {_NUMBERS}", port, bands, "subscribe", HEARING))
    rows.append(Row(ROOT + "unsubscribe", f"none {_NUMBERS}", port, "ends both", "unsubscribe"))
    return rows


def listened() -> dict[str, Row]:
    """Every address as it comes, with its row: that of each route for itself."""
    found = {row.address: row for row in addresses() if row.verb != "route"}
    for row in _of_routes():
        for number in range(1, ROUTES + 1):
            address = row.address.replace(NUMBER, str(number))
            found[address] = replace(row, address=address, number=number)
    return found


def _of_routes() -> list[Row]:
    """The addresses of a route, a row for each key that presets have."""
    period = f"a number from {SHORTEST:g} to {LONGEST:g}"
    told = {
        "parameter": ("s", "the name of a number", "begins the route, or moves another parameter"),
        "amount": (_NUMBERS, "-1 to 1", "how far it moves it, in travel of its fader"),
        "lfo": ("s", ", ".join(SHAPES), "moved by an oscillator of this shape"),
        "beats": (_NUMBERS, period, "the oscillator's period in beats"),
        "seconds": (_NUMBERS, period, "the oscillator's period in seconds"),
        "offset": (_NUMBERS, "-1 to 1", "the oscillator's offset, in periods"),
        "band": ("s", ", ".join(BANDS), "moved by the sound coming in"),
        "off": (f"none I N {_TAGS[bool]}", "1 to fire, 0 to be ignored", "takes the route away"),
    }
    return [Row(f"{ROUTE}{NUMBER}/{key}", *rest, "route", key) for key, rest in told.items()]


def describe() -> str:
    """The addresses as aligned plain text, for `lwlive osc`."""
    table = [("address", "type tags", "accepts", "meaning")]
    table += [(row.address, row.tags, row.accepts, row.help) for row in addresses()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in table
    ]
    return "\n".join(
        [
            *lines,
            "",
            f"UDP port {DEFAULT_PORT} unless --osc-port says otherwise. Of several values to a",
            "message the first counts; a text may come word by word. Numbers and switches may be",
            f"text. A bundle with a time tag up to {AHEAD_S:.0f} seconds ahead takes effect then.",
            f"Routes have the numbers 1 to {ROUTES}; a route begins with its parameter.",
            f"Subscribers get {STATUS}<name> in native units and {FADER}<name> as a position,",
            f"when it changes, at most {1 / STATUS_PERIOD_S:.0f} times a second, but no echo of",
            "what they set themselves.",
        ]
    )


def addresses_table() -> str:
    """The addresses as a Markdown table, for lwlive/stage/README.md."""
    lines = ["| address | type tags | accepts | meaning |", "|---|---|---|---|"]
    for row in addresses():
        meaning = row.help.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| `{row.address}` | {row.tags} | {row.accepts} | {meaning} |")
    return "\n".join(lines)


def heard(row: Row, values: Sequence[Argument]) -> tuple[Command | None, bool]:
    """What a message asks for, and whether it had values that do not count. Raises ControlError.

    None: a button was let go.
    """
    first = values[0] if values else None
    if row.verb == "route":
        return _route(row, values)
    if row.verb == "preset":
        return _preset(row, values)
    if row.verb == "learn":
        text, used = _words(values)
        if text is None and values and values[0] is not None:
            raise _refusal(row, values[0])
        return Learn(text or None), used < len(values)
    if row.verb == "cue":
        return _cue(row, values)
    if row.verb == "set" and SPECS[row.name].kind is str:
        text, used = _words(values)
        value = SPECS[row.name].checked(first if text is None else text)
        return Set(row.name, value), used < len(values)
    more = len(values) > 1
    if row.verb == "set":
        return Set(row.name, _native(SPECS[row.name], first)), more
    if row.verb == "output":
        on = _number(first)
        if on is None:
            raise _refusal(row, first)
        return Switch(row.name, on >= 0.5), more
    if row.verb == "fader":
        number = _number(first)
        if isinstance(number, bool) or number is None:
            raise _refusal(row, first)
        return Move(row.name, number), more
    down = True if first is None else _number(first)
    if down is None:
        raise _refusal(row, first)
    return Fire(row.name) if down >= 0.5 else None, more


def port(row: Row, values: Sequence[Argument]) -> int | None:
    """The port that a subscription names; None for the sender's own. Raises ControlError."""
    if not values or values[0] is None:
        return None
    number = _number(values[0])
    if number is None or isinstance(number, bool) or not 0.5 <= number < 65535.5:
        raise _refusal(row, values[0])
    return _rounded(number)


def _native(spec: Spec, value: Argument) -> Value:
    """A value in whatever way it comes as the parameter's own. Raises ControlError."""
    number = _number(value)
    if number is None or isinstance(number, bool):
        found: object = value if number is None else number
    elif spec.kind is bool:
        found = number >= 0.5
    else:
        found = _rounded(number) if spec.kind is int else number
    checked: Value = spec.checked(found)
    return checked


def _number(value: Argument) -> int | float | bool | None:
    """A number or a switch, be it text; None for anything else, NaN and the infinities too."""
    if isinstance(value, str):
        text = _unquoted(value.strip()).strip()
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if len(text) > 40 or not _NUMBER.fullmatch(text):
            return None
        value = int(text) if text.lstrip("+-").isdigit() else float(text)
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value  # a whole number of any length: JSON has those
    return None


def _rounded(number: int | float) -> int:
    return number if isinstance(number, int) else math.floor(number + 0.5)


def _words(values: Sequence[Argument]) -> tuple[str | None, int]:
    """The text that several values make, and how many of them: None where there is no text.

    Programs that part a line at its spaces send words that look like numbers as numbers.
    """
    used = 0
    parts = []
    for value in values:
        if isinstance(value, bool | Foreign) or value is None:
            break
        if isinstance(value, float):
            if not math.isfinite(value):
                break
            value = f"{value:.6g}"
        parts.append(str(value))
        used += 1
    if not any(isinstance(value, str) for value in values[:used]):
        return None, 0
    return _unquoted(" ".join(parts)), used


def _unquoted(text: str) -> str:
    """The text without a pair of quotation marks around all of it."""
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[-1] not in text[1:-1]:
        return text[1:-1]
    return text


def _preset(row: Row, values: Sequence[Argument]) -> tuple[Recall, bool]:
    """A name, which may come word by word, and after it seconds."""
    count = next((i for i, value in enumerate(values) if not isinstance(value, str)), len(values))
    name, _ = _words(values[:count])
    if name is None or not name.isprintable() or not 0 < len(name) <= 100:
        raise ControlError(f"{row.address} takes {row.accepts}, not {_shown(values[:1])}")
    if name.startswith(".") or any(mark in name for mark in "/\\:"):
        raise ControlError(f"over OSC, preset takes a name and never a path: {name!r:.60}")
    if count == len(values):
        return Recall(name), False
    over = _number(values[count])
    if over is None or isinstance(over, bool):
        return Recall(name), True
    return Recall(name, seconds(over)), len(values) > count + 1


def _cue(row: Row, values: Sequence[Argument]) -> tuple[Go, bool]:
    """A name, which may come word by word, or a number."""
    number = _number(values[0]) if len(values) == 1 else None
    if number is not None and not isinstance(number, bool) and 0.5 <= number < 1e6:
        return Go(_rounded(number)), False
    name, used = _words(values)
    if name is None or not name.isprintable() or not 0 < len(name) <= 100:
        raise _refusal(row, values[0] if values else None)
    return Go(name), used < len(values)


def _route(row: Row, values: Sequence[Argument]) -> tuple[Command | None, bool]:
    """What a message asks of a route. Raises ControlError."""
    first = values[0] if values else None
    more = len(values) > 1
    if row.name == "off":
        down = True if first is None else _number(first)
        if down is None:
            raise _refusal(row, first)
        return (Unpatch(row.number) if down >= 0.5 else None), more
    value: object = _unquoted(first.strip()) if isinstance(first, str) else first
    if row.tags != "s":
        value = _number(first)
        if value is None or isinstance(value, bool):
            raise _refusal(row, first)
    elif not isinstance(value, str):
        raise _refusal(row, first)
    checked({"parameter": "speed", row.name: value}, row.number)
    if row.name == "amount":
        return Amount(row.number, float(value)), more
    return Alter(row.number, row.name, value), more


def _refusal(row: Row, value: Argument) -> ControlError:
    return ControlError(f"{row.address} takes {row.accepts}, not {_shown([value])}")


def _shown(values: Sequence[Argument]) -> str:
    if not values or values[0] is None:
        return "nothing"
    first = values[0]
    return f"a value of type {first.tag!r}" if isinstance(first, Foreign) else f"{first!r:.60}"
