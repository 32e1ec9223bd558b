"""MIDI messages: bytes in, what moved and what ticked out (MIDI 1.0).

Libraries deliver whole messages, but a box or a bridge may use running status, or put a clock tick
into the middle of a note, so the bytes are read one by one. Whatever comes, nothing here raises.
This file knows nothing of ports, threads, mappings or parameters.
"""

from collections.abc import Iterator
from typing import NamedTuple

SEVEN, FOURTEEN = 127, 16383  # the largest values of 7 and of 14 bits
PAIR_S = 0.01  # the two halves of a 14-bit value come within this

NOTE, CC, CC14, NRPN = "note", "cc", "cc14", "nrpn"
PROGRAM, BEND, PRESSURE = "program", "bend", "pressure"
MOST = {  # kinds of control, and the largest number of one; None where it has no number
    NOTE: 127,
    CC: 127,
    CC14: 31,
    NRPN: FOURTEEN,
    PROGRAM: 127,
    BEND: None,
    PRESSURE: None,
}

_LENGTHS = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_SYSTEM = {0xF1: 1, 0xF2: 2, 0xF3: 1}  # others have no data, or are of any length
_TIMING = (0xF8, 0xFA, 0xFB, 0xFC)  # clock, start, continue, stop
_SONG_POSITION = 0xF2


class Moved(NamedTuple):
    """A control was moved, pressed (value above 0) or let go (0)."""

    kind: str
    number: int | None
    channel: int  # 1 to 16
    value: int
    top: int  # the largest value that it could have
    at: float
    whole: bool = True  # False: a 14-bit value of which only one half came

    @property
    def name(self) -> str:
        """The control, as mappings write it: 'cc 7'."""
        return called(self.kind, self.number)


class Ticked(NamedTuple):
    """Clock, start, continue, stop or song position, for whoever keeps the tempo."""

    data: bytes
    at: float


def called(kind: str, number: int | None) -> str:
    """A control as mappings write it."""
    return kind if number is None else f"{kind} {number}"


class Parser:
    """The bytes of one port. 14-bit controls come beside the 7-bit ones that they are made of."""

    def __init__(self) -> None:
        self._status = 0  # of the message that is being read; 0: data bytes mean nothing
        self._data: list[int] = []
        self._pairs = Pairs()

    def read(self, data: bytes, at: float) -> Iterator[Moved | Ticked]:
        """What the next bytes say; `at` is the time they came."""
        for byte in data:
            if byte >= 0xF8:  # may stand anywhere and changes nothing
                if byte in _TIMING:
                    yield Ticked(bytes([byte]), at)
            elif byte >= 0x80:
                self._status, self._data = byte, []
                if byte in (0xF6, 0xF7):  # tune request, end of a system exclusive
                    self._status = 0
            elif self._status:
                yield from self._more(byte, at)

    def waited(self, now: float) -> Iterator[Moved]:
        """14-bit controls whose second half has not come in time."""
        yield from self._pairs.waited(now)

    def _more(self, byte: int, at: float) -> Iterator[Moved | Ticked]:
        kind = self._status & 0xF0
        length = _SYSTEM.get(self._status) if kind == 0xF0 else _LENGTHS[kind]
        if length is None:  # a system exclusive, which is passed over
            return
        self._data.append(byte)
        if len(self._data) < length:
            return
        data, self._data = self._data, []
        if kind == 0xF0:
            if self._status == _SONG_POSITION:
                yield Ticked(bytes([_SONG_POSITION, *data]), at)
            self._status = 0  # of these there is no running status
            return
        moved = _moved(kind, (self._status & 0x0F) + 1, data, at)
        if moved is not None:
            yield moved
            yield from self._pairs.heard(moved)


def _moved(kind: int, channel: int, data: list[int], at: float) -> Moved | None:
    if kind in (0x80, 0x90):
        return Moved(NOTE, data[0], channel, data[1] if kind == 0x90 else 0, SEVEN, at)
    if kind == 0xB0:
        return Moved(CC, data[0], channel, data[1], SEVEN, at)
    if kind == 0xC0:
        return Moved(PROGRAM, data[0], channel, SEVEN, SEVEN, at)
    if kind == 0xD0:
        return Moved(PRESSURE, None, channel, data[0], SEVEN, at)
    if kind == 0xE0:
        return Moved(BEND, None, channel, data[0] | data[1] << 7, FOURTEEN, at)
    return None  # the pressure of one key


class Pairs:
    """14-bit controls: cc n with n + 32, and cc 6 with 38 for the NRPN that was chosen before.

    The first half comes first, says MIDI 1.0, and alone it means that the second is 0. So it waits
    for a moment.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], Moved] = {}  # by channel and number, waiting
        self._coarse: dict[tuple[int, int], int] = {}  # the last first half
        self._chosen: dict[int, list[int]] = {}  # channel -> both halves of its NRPN

    def heard(self, moved: Moved) -> Iterator[Moved]:
        """A controller has moved: what that makes of 14 bits."""
        channel, number = moved.channel, moved.number
        if moved.kind != CC or number is None:
            return
        if number in (98, 99):
            self._chosen.setdefault(channel, [0, 0])[number - 98] = moved.value
        elif number in (100, 101):  # a registered parameter, such as the range of a bend
            self._chosen.pop(channel, None)
        elif number < 32:
            late = self._first.pop((channel, number), None)
            if late is not None:
                yield self._made(late, 0, late.at)._replace(whole=False)
            self._first[channel, number] = moved
            self._coarse[channel, number] = moved.value
        elif number < 64:
            first = self._first.pop((channel, number - 32), None)
            coarse = self._coarse.get((channel, number - 32))
            if first is not None:
                yield self._made(first, moved.value, moved.at)
            elif coarse is not None:
                first = moved._replace(number=number - 32, value=coarse)
                yield self._made(first, moved.value, moved.at)._replace(whole=False)

    def waited(self, now: float) -> Iterator[Moved]:
        """First halves that have waited long enough."""
        for key, first in list(self._first.items()):
            if now - first.at >= PAIR_S:
                del self._first[key]
                yield self._made(first, 0, first.at)._replace(whole=False)

    def _made(self, first: Moved, fine: int, at: float) -> Moved:
        value = first.value << 7 | fine
        chosen = self._chosen.get(first.channel)
        if first.number == 6 and chosen is not None:
            number = chosen[1] << 7 | chosen[0]
            return Moved(NRPN, number, first.channel, value, FOURTEEN, at)
        return Moved(CC14, first.number, first.channel, value, FOURTEEN, at)
