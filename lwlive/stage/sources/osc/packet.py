"""What may come in over OSC: packets in, messages out.

A hostile packet can hold a decoder in an endless loop, make it sleep or make it invent values, so
`check` looks at every size, tag and payload itself (OSC 1.0 and 1.1). Bundles are flattened; each
message keeps the time tag of its bundle. Numbers may still be NaN or infinite.
This file knows nothing of sockets, threads, clocks or parameters.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

MAX_BYTES = 65_507  # the largest payload of a UDP packet over IPv4
MAX_NESTING = 4  # bundles within bundles
MAX_MESSAGES = 256  # in one packet; several times the number of addresses there are
MAX_ARGUMENTS = 256  # of one message; a prompt may come word by word
MAX_ADDRESS = 255  # bytes
MAX_TEXT = 4096  # bytes of one text; the longest parameter is 500 characters, 2000 bytes

_BUNDLE = b"#bundle\0"
_BUNDLE_HEAD = 16  # bytes: the word above and a time tag
_IMMEDIATELY = 1  # the time tag that means now
_LITERAL = re.compile(rb"/[^\x00-\x20\x7f-\xff#*,?\[\]{}]*")
_PATTERN = re.compile(rb"[*?\[\]{}]")
_NUMBERS = {"i": struct.Struct(">i"), "h": struct.Struct(">q")}
_NUMBERS |= {"f": struct.Struct(">f"), "d": struct.Struct(">d")}
_PLAIN = {"T": True, "F": False, "I": None, "N": None}
_FOREIGN = {"t": 8, "r": 4, "m": 4, "c": 4}  # bytes: a time, a colour, MIDI, a letter
_KNOWN = "i h f d s S T F I N"


class Foreign(NamedTuple):
    """A value of a type that no address takes: a blob, a time, a colour ..."""

    tag: str


Argument = str | int | float | bool | None | Foreign  # None: an impulse or nil, without a value


class Message(NamedTuple):
    """One message whose structure holds: a literal address, known tags, a payload for each."""

    address: str
    values: tuple[Argument, ...]  # those of arrays too, one after the other
    tag: int | None = None  # when it is meant: NTP's seconds, in 2**-32; None: now


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
        for part, tag in _flatten(packet):
            parts.append((part, tag))
            if len(parts) > MAX_MESSAGES:
                raise _RefusalError(f"a packet holds more than {MAX_MESSAGES} messages")
        if not parts:
            raise _RefusalError("a packet holds no message")
    except _RefusalError as refusal:
        found.refusals.append(str(refusal))
        return found
    for part, tag in parts:
        try:
            found.messages.append(_message(part)._replace(tag=tag))
        except _RefusalError as refusal:
            found.refusals.append(str(refusal))
    return found


def _flatten(
    packet: bytes, nesting: int = 0, outer: int | None = None
) -> Iterator[tuple[bytes, int | None]]:
    """The messages of a packet in order, not yet looked into, each with its time tag.

    No bundle is meant for an earlier time than the one around it.
    """
    if not packet or len(packet) % 4:
        raise _RefusalError(
            f"a packet or bundle element of {len(packet)} bytes is not a multiple of 4"
        )
    if not packet.startswith(_BUNDLE):
        yield packet, outer
        return
    if nesting == MAX_NESTING:
        raise _RefusalError(f"bundles are nested more than {MAX_NESTING} deep")
    if len(packet) < _BUNDLE_HEAD:
        raise _RefusalError("a bundle ends before its time tag does")
    (tag,) = struct.unpack_from(">Q", packet, len(_BUNDLE))
    tags = [each for each in (outer, None if tag == _IMMEDIATELY else tag) if each is not None]
    at = _BUNDLE_HEAD
    while at < len(packet):
        (size,) = struct.unpack_from(">i", packet, at)
        at += 4
        if size <= 0 or size > len(packet) - at:
            raise _RefusalError(f"a bundle element claims {size} bytes of {len(packet) - at}")
        yield from _flatten(packet[at : at + size], nesting + 1, max(tags, default=None))
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
    values: list[Argument] = []
    for tag in tags[1:].decode("latin-1"):
        if tag in "[]":  # an array: what is in it counts
            continue
        value, at = _argument(data, at, tag, address)
        values.append(value)
    if at != len(data):
        raise _RefusalError(f"{address[:60]!r} has more payload than type tags")
    return Message(address, tuple(values))


def _argument(data: bytes, at: int, tag: str, address: str) -> tuple[Argument, int]:
    """The argument that starts at `at`, and where it ends."""
    if tag in _PLAIN:
        return _PLAIN[tag], at
    if tag in "sS":
        raw, at = _text(data, at, MAX_TEXT, f"the text of {address[:60]!r}")
        try:
            return raw.decode("utf-8"), at
        except UnicodeDecodeError:
            raise _RefusalError(f"the text of {address[:60]!r} is not UTF-8") from None
    if tag in _NUMBERS:
        form = _NUMBERS[tag]
        end = at + form.size
        if end <= len(data):
            value: int | float = form.unpack_from(data, at)[0]
            return value, end
    elif tag == "b":
        if at + 4 <= len(data):
            (size,) = struct.unpack_from(">i", data, at)
            end = at + 4 + -(-size // 4) * 4
            if size >= 0 and end <= len(data):
                return Foreign(tag), end
    elif tag in _FOREIGN:
        end = at + _FOREIGN[tag]
        if end <= len(data):
            return Foreign(tag), end
    else:
        raise _RefusalError(f"{address[:60]!r} has type tag {tag!r}; known are {_KNOWN}")
    raise _RefusalError(f"{address[:60]!r} has type tag {tag!r} without its payload")


def _text(data: bytes, at: int, longest: int, what: str) -> tuple[bytes, int]:
    """The bytes up to the zero that ends them, and where the padding after it ends."""
    end = data.find(b"\0", at, at + longest + 1)
    if end < 0:
        raise _RefusalError(f"{what} is longer than {longest} bytes or has no end")
    return data[at:end], end + 4 - (end - at) % 4  # `at` is a multiple of 4, as is the length
