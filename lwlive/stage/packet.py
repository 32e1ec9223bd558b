"""What may come in over OSC: from whom, in which bytes, to which addresses, and what these do.

A hostile packet can hold a decoder in an endless loop, make it sleep or make it invent values, so
`check` looks at every size, tag and payload before anything is decoded (OSC 1.0). Bundles are
flattened and their time tags left unread: everything is meant for now. `addresses` derives the
known addresses from the declared parameters, `perform` does what one of them says.
This file knows nothing of sockets, threads or clocks, and decodes nothing.
"""

import ipaddress
import math
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from lwlive.config import DEFAULT_PORT
from lwlive.params import (
    TRIGGERS,
    ControlError,
    Controls,
    Params,
    bounds,
    checked,
    expected,
    kind,
    live,
)

ROOT = "/lwlive/"
STATUS = ROOT + "status/"
LEASE_S = 60.0  # how long a subscription lasts unless it is renewed
STATUS_PERIOD_S = 1 / 30  # least time between two bursts of status to one subscriber

MAX_BYTES = 65_507  # the largest payload of a UDP packet over IPv4
MAX_NESTING = 4  # bundles within bundles
MAX_MESSAGES = 256  # in one packet; several times the number of addresses there are
MAX_ARGUMENTS = 16  # of one message; no address takes more than one
MAX_ADDRESS = 255  # bytes
MAX_TEXT = 4096  # bytes of one text; the longest parameter is 500 characters, 2000 bytes

_BUNDLE = b"#bundle\0"
_BUNDLE_HEAD = 16  # bytes: the word above and a time tag
_LITERAL = re.compile(rb"/[^\x00-\x20\x7f-\xff#*,?\[\]{}]*")
_PATTERN = re.compile(rb"[*?\[\]{}]")
_NUMBERS = {"i": ">i", "h": ">q", "f": ">f", "d": ">d"}

Value = str | int | float | bool | None  # None: a message without a value
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class OscError(Exception):
    """OSC cannot be opened or go on; the message is a sentence for the person at the desk."""


def networks(entries: Sequence[str]) -> list[Network]:
    """The allow-list: addresses and networks. Raises OscError."""
    try:
        return [ipaddress.ip_network(entry, strict=False) for entry in entries]
    except ValueError as error:
        raise OscError(
            f"--osc-allow takes addresses such as 192.168.1.7 and networks such as 192.168.1.0/24, "
            f"but {error}"
        ) from None


def allowed(host: str, allow: Sequence[Network]) -> bool:
    """Whether a sender's address may send. An empty list lets everyone in."""
    if not allow:
        return True
    address = ipaddress.ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address  # IPv4 at an IPv6 socket
    return any(address in network for network in allow)


class Message(NamedTuple):
    """One message whose structure holds: a literal address, known tags, a payload for each."""

    address: str
    data: bytes  # the whole message, address and tags included


class Checked(NamedTuple):
    """What a packet holds. At least one of the two lists has an entry."""

    messages: list[Message]
    refusals: list[str]  # a sentence for each message that is refused, one for a broken packet


class _RefusalError(Exception):
    """What is wrong with the packet, in words."""


def check(packet: bytes) -> Checked:
    """Split a packet into its messages and judge each. A packet broken as a whole yields none."""
    found = Checked([], [])
    try:
        if len(packet) > MAX_BYTES:
            raise _RefusalError(f"a packet of {len(packet)} bytes is larger than UDP carries")
        parts = []
        for part in _flatten(packet, 0):
            parts.append(part)
            if len(parts) > MAX_MESSAGES:
                raise _RefusalError(f"a packet holds more than {MAX_MESSAGES} messages")
        if not parts:
            raise _RefusalError("a packet holds no message")
    except _RefusalError as refusal:
        found.refusals.append(str(refusal))
        return found
    for part in parts:
        try:
            found.messages.append(_message(part))
        except _RefusalError as refusal:
            found.refusals.append(str(refusal))
    return found


def _flatten(packet: bytes, nesting: int) -> Iterator[bytes]:
    """The messages of a packet in order, not yet looked into."""
    if not packet or len(packet) % 4:
        raise _RefusalError(
            f"a packet or bundle element of {len(packet)} bytes is no multiple of 4"
        )
    if not packet.startswith(_BUNDLE):
        yield packet
        return
    if nesting == MAX_NESTING:
        raise _RefusalError(f"bundles are nested more than {MAX_NESTING} deep")
    if len(packet) < _BUNDLE_HEAD:
        raise _RefusalError("a bundle ends before its time tag does")
    at = _BUNDLE_HEAD
    while at < len(packet):
        (size,) = struct.unpack_from(">i", packet, at)
        at += 4
        if size <= 0 or size > len(packet) - at:
            raise _RefusalError(f"a bundle element claims {size} bytes of {len(packet) - at}")
        yield from _flatten(packet[at : at + size], nesting + 1)
        at += size


def _message(data: bytes) -> Message:
    raw, at = _text(data, 0, MAX_ADDRESS, "an address")
    if not _LITERAL.fullmatch(raw):
        what = "is a pattern" if _PATTERN.search(raw) else "is not an OSC address"
        shown = raw[:60].decode("ascii", "backslashreplace")
        raise _RefusalError(f"{shown!r} {what}; write the address out, as in /lwlive/speed")
    address = raw.decode("ascii")
    tags = b","  # a message without type tags, as old programs send, has no arguments
    if at < len(data):
        tags, at = _text(data, at, MAX_ARGUMENTS + 1, f"the list of type tags of {address[:60]!r}")
    if not tags.startswith(b","):
        raise _RefusalError(f"{address[:60]!r} has no type tags before its payload")
    for tag in tags[1:].decode("latin-1"):
        at = _argument(data, at, tag, address)
    if at != len(data):
        raise _RefusalError(f"{address[:60]!r} has more payload than type tags")
    return Message(address, data)


def _argument(data: bytes, at: int, tag: str, address: str) -> int:
    """Where the argument ends that starts at `at`."""
    if tag in "TF":
        return at
    if tag == "s":
        raw, at = _text(data, at, MAX_TEXT, f"the text of {address[:60]!r}")
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            raise _RefusalError(f"the text of {address[:60]!r} is not UTF-8") from None
        return at
    if tag not in _NUMBERS:
        raise _RefusalError(f"{address[:60]!r} has type tag {tag!r}; known are i f h d s T F")
    form = _NUMBERS[tag]
    end = at + struct.calcsize(form)
    if end > len(data):
        raise _RefusalError(f"{address[:60]!r} has type tag {tag!r} without its payload")
    if not math.isfinite(struct.unpack_from(form, data, at)[0]):
        raise _RefusalError(f"{address[:60]!r} has a value that is infinite or NaN")
    return end


def _text(data: bytes, at: int, longest: int, what: str) -> tuple[bytes, int]:
    """The bytes up to the zero that ends them, and where the padding after it ends."""
    end = data.find(b"\0", at, at + longest + 1)
    if end < 0:
        raise _RefusalError(f"{what} is longer than {longest} bytes or has no end")
    return data[at:end], end + 4 - (end - at) % 4  # `at` is a multiple of 4, as is the length


@dataclass(frozen=True)
class Row:
    """One address: what it is for and what it takes."""

    address: str
    tags: str  # OSC type tags it accepts
    accepts: str
    help: str
    verb: str  # set, fader, trigger, preset, subscribe or unsubscribe
    name: str = ""  # of the parameter or trigger


_NUMBER = "i h f d"
_TAGS = {str: "s", bool: "T F " + _NUMBER, int: _NUMBER, float: _NUMBER}


def addresses() -> list[Row]:
    """Every address that is listened to, from the declarations of the parameters."""
    rows = [
        Row(ROOT + name, _TAGS[kind(name)], expected(name), row.description or "", "set", name)
        for name, row in Params.model_fields.items()
    ]
    for name in Params.model_fields:
        ends = live(name).fader or bounds(name)
        if kind(name) is str:
            continue
        reach = f"{ends[0]:g} to {ends[1]:g} {live(name).unit}".strip() if ends else "on from 0.5"
        address = f"{ROOT}fader/{name}"
        rows.append(Row(address, _NUMBER, "0 to 1, clamped", f"{name}, {reach}", "fader", name))
    for name, text in TRIGGERS.items():
        tags = f"none {_TAGS[bool]}"
        rows.append(Row(ROOT + name, tags, "1 to fire, 0 to be ignored", text, "trigger", name))
    preset = "bends to that preset"
    rows.append(Row(ROOT + "preset", "s", "the name of a preset", preset, "preset"))
    port = "a port from 1 to 65535, or nothing for the sender's own"
    told = f"sends {STATUS}<name> there for {LEASE_S:g} s; again renews it and sends everything"
    rows.append(Row(ROOT + "subscribe", f"none {_NUMBER}", port, told, "subscribe"))
    rows.append(Row(ROOT + "unsubscribe", f"none {_NUMBER}", port, "ends that", "unsubscribe"))
    return rows


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
            f"UDP port {DEFAULT_PORT} unless --osc-port says otherwise. One value to a message;",
            "bundles are taken apart, and their time tags mean now.",
            f"Subscribers get {STATUS}<name> in native units, when it changes, at most",
            f"{1 / STATUS_PERIOD_S:.0f} times a second, but no echo of what they set themselves.",
        ]
    )


def judged(row: Row, value: Value) -> Value:
    """The value as the address takes it. Raises ControlError.

    A parameter's value, a fader's position, whether a trigger's button is down, a preset's name,
    a port or None for the sender's own.
    """
    if row.verb == "set":
        return cast(Value, checked(row.name, value))
    if row.verb == "preset":
        return _preset_name(value)
    if value is None and row.verb != "fader":
        return True if row.verb == "trigger" else None
    if isinstance(value, int | float):
        if row.verb == "trigger":
            return value >= 0.5
        if isinstance(value, bool):
            pass
        elif row.verb == "fader":
            return value
        elif value == int(value) and 0 < value < 65536:
            return int(value)
    raise ControlError(f"{row.address} takes {row.accepts}, not {value!r:.60}")


def perform(row: Row, value: Value, controls: Controls, load_preset: Callable[[str], None]) -> None:
    """Do what a message with a judged value asks of the controls. Raises ControlError."""
    if row.verb == "set":
        controls.set(row.name, value)
    elif row.verb == "fader":
        controls.fader(row.name, cast(float, value))
    elif row.verb == "trigger" and value:
        controls.trigger(row.name)
    elif row.verb == "preset":
        load_preset(cast(str, value))


def _preset_name(value: Value) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 100:
        raise ControlError(f"preset takes the name of a preset, not {value!r:.60}")
    if value.startswith(".") or any(mark in value for mark in "/\\:"):
        raise ControlError(f"over OSC, preset takes a name and never a path: {value!r:.60}")
    return value
