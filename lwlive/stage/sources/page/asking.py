"""What a message from the page asks for, as a Command: the browser's words, checked.

Whatever has an OSC address is read as OSC reads it. The few things that have none are read here.
Pure: this file knows nothing of sockets, and what a name means is found out by the desk.
"""

import json
from collections.abc import Mapping
from typing import Any

from lwlive import routes
from lwlive.controls import Amount, Command, Fire, Go, Learn, Patch, Switch, Unpatch
from lwlive.params import ControlError
from lwlive.stage.sources.osc.addresses import Row, addresses, heard

STEERING = ("set", "fader", "trigger", "preset")  # rows of OSC that a page may use
VERBS = ("osc", "go", "patch", "unpatch", "amount", "learn", "switch", "save")
LONGEST = 100  # letters of a name

ROWS: Mapping[str, Row] = {row.address: row for row in addresses() if row.verb in STEERING}


def message(text: str) -> dict[str, Any]:
    """A message as it came. Raises ControlError."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ControlError("a message is JSON, and this is not") from None
    if not isinstance(found, dict):
        raise ControlError("a message is an object with a name for what it is")
    return found


def asked(words: object) -> tuple[str, Command | None]:
    """A key, of which the newest counts, and the command; None: a button was let go.

    words: a verb of VERBS and what belongs to it. Raises ControlError.
    """
    if not isinstance(words, list) or not words or words[0] not in VERBS:
        raise ControlError(f"a command is a list that begins with one of {', '.join(VERBS)}")
    verb, *values = words
    if verb == "osc":
        return of_osc(values)
    if verb == "save":
        return verb, Fire("save")
    first = values[0] if values else None
    if verb == "go":
        if isinstance(first, bool) or not isinstance(first, int):
            first = _name(first, "go takes a cue's name or number")
        return verb, Go(first)
    if verb == "learn":
        return verb, Learn(None if first is None else _name(first, "learn takes a name"))
    if verb == "switch":
        second = values[1] if len(values) > 1 else None
        if not isinstance(second, bool):
            raise ControlError("switch takes the name of an output, and on or off")
        name = _name(first, "switch takes the name of an output")
        return f"{verb} {name}", Switch(name, second)
    if isinstance(first, bool) or not isinstance(first, int):
        raise ControlError(f"{verb} takes the number of a route, not {first!r:.40}")
    return f"{verb} {first}", _routed(verb, first, values[1] if len(values) > 1 else None)


def of_osc(words: list[Any]) -> tuple[str, Command | None]:
    """An OSC address and its values, as a browser or a WebSocket sends them."""
    address, *values = words or [None]
    row = ROWS.get(address) if isinstance(address, str) else None
    if row is None:
        raise ControlError(f"there is no address {address!r:.60}; `lwlive osc` lists them")
    if not all(isinstance(value, str | int | float | None) for value in values):
        raise ControlError(f"{row.address} takes {row.accepts}")
    return row.address, heard(row, values)[0]


def _routed(verb: str, number: int, value: object) -> Command:
    if verb == "unpatch":
        return Unpatch(number)
    if verb == "patch":
        if not isinstance(value, dict):
            raise ControlError("patch takes a route's number and what the route is")
        return Patch(routes.checked(value, number))
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise ControlError(f"amount takes a number from -1 to 1, not {value!r:.40}")
    return Amount(number, float(value))


def _name(value: object, expected: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable():
        raise ControlError(f"{expected}, not {value!r:.40}")
    return value
