"""What a message from the page asks for, as a Command: an OSC address and its values, or `save`.

OSC's own rows read it, so that a browser can ask for what OSC can, and for nothing else.
Pure: this file knows nothing of sockets, and what a name means is found out by the desk.
"""

import json
from collections.abc import Mapping
from typing import Any

from lwlive.commands import Command, Fire
from lwlive.params import ControlError
from lwlive.stage.sources.osc.addresses import Row, heard, listened

SAVE = "save"  # the present values as a preset; OSC has no address for what writes a file
TELLING = ("subscribe", "unsubscribe")  # rows of OSC that steer nothing

ROWS: Mapping[str, Row] = {
    address: row for address, row in listened().items() if row.verb not in TELLING
}


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

    words: an address and its values, or SAVE. Raises ControlError.
    """
    if words == [SAVE]:
        return SAVE, Fire(SAVE)
    if not isinstance(words, list) or not words:
        raise ControlError("a command is a list that begins with an OSC address")
    address, *values = words
    row = ROWS.get(address) if isinstance(address, str) else None
    if row is None:
        raise ControlError(f"there is no address {address!r:.60}; `lwlive osc` lists them")
    if not all(isinstance(value, str | int | float | None) for value in values):
        raise ControlError(f"{row.address} takes {row.accepts}")
    return row.address, heard(row, values)[0]
