"""Feedback: values, switches and the running preset, back to the lamps and faders of one box.

What a control has said of itself is known and not sent back to it. While a finger moves a fader,
nothing is sent to it; once it rests, it gets the value, if that is another. A button's lamp is sent
again after each press, since some boxes switch it themselves. Used by the show's thread; it knows
nothing of ports, and is given the time.
"""

import math
from dataclasses import dataclass

from lwlive.stage.sources.midi.binding import ABSOLUTE, MOMENTARY, TOGGLE, Binding, has_position
from lwlive.stage.sources.midi.box import Box
from lwlive.stage.sources.midi.hands import Values, is_high
from lwlive.stage.sources.midi.message import BEND, CC, CC14, FOURTEEN, NOTE, SEVEN, Moved

REST_S = 0.3  # without a message for so long, no finger moves a fader
PERIOD_S = 1 / 30  # least time between two bursts to a box
BURST = 24  # messages at most: an old cable carries a thousand a second


@dataclass
class _Lamp:
    """What one control of the box shows."""

    binding: Binding
    channel: int
    shows: int | None = None  # None where that is not known
    moved_at: float = -math.inf


class Lamps:
    """The lamps and motor faders of one box."""

    def __init__(self, box: Box) -> None:
        self._lamps = [
            _Lamp(binding, binding.lamp_channel or binding.channel or 1)
            for binding in box.bindings
            if _shows_something(binding)
        ]
        self._due = -math.inf

    def heard(self, moved: Moved) -> None:
        """A control of the box was moved."""
        for lamp in self._lamps:
            if lamp.binding.hears(moved):
                lamp.channel = lamp.binding.lamp_channel or moved.channel
                is_fader = _is_fader(lamp.binding)
                lamp.shows = moved.value if is_fader else None
                lamp.moved_at = moved.at if is_fader else -math.inf

    def forget(self) -> None:
        """The box is new here: it gets everything."""
        for lamp in self._lamps:
            lamp.shows = None

    def messages(self, values: Values, running: frozenset[str], now: float) -> list[bytes]:
        """What the box has to be sent. `running`: targets that run, such as 'preset tunnel'."""
        if now < self._due:
            return []
        sent: list[bytes] = []
        for lamp in self._lamps:
            if len(sent) >= BURST:
                break
            wanted = _wanted(lamp.binding, values, running)
            if wanted is None or wanted == lamp.shows or now - lamp.moved_at < REST_S:
                continue
            lamp.shows = wanted
            sent.extend(_bytes(lamp.binding, lamp.channel, wanted))
        if sent:
            self._due = now + PERIOD_S
        return sent

    def dark(self) -> list[bytes]:
        """The buttons' lamps off, for the end of the show."""
        return [
            data
            for lamp in self._lamps
            if not _is_fader(lamp.binding)
            for data in _bytes(lamp.binding, lamp.channel, lamp.binding.off)
        ]


def _is_fader(binding: Binding) -> bool:
    return has_position(binding.kind) and (binding.mode == ABSOLUTE or binding.motor)


def _shows_something(binding: Binding) -> bool:
    if _is_fader(binding):
        return True
    lit = binding.spec is not None or binding.preset is not None or binding.cue is not None
    return lit and binding.kind in (NOTE, CC) and binding.mode != ABSOLUTE and _is_button(binding)


def _is_button(binding: Binding) -> bool:
    return binding.mode in (TOGGLE, MOMENTARY)


def _wanted(binding: Binding, values: Values, running: frozenset[str]) -> int | None:
    """What it is to show; None where that is not known."""
    row = binding.spec
    if row is None:
        return binding.on if binding.target in running else binding.off
    value = values.get(binding.target)
    if value is None:
        return None
    if _is_fader(binding):
        top = SEVEN if binding.kind == CC else FOURTEEN
        return round(binding.share(row.position(value)) * top)
    if binding.value is not None:
        lit = value == binding.value
    elif row.kind is bool:
        lit = bool(value) != binding.inverted
    else:
        lit = is_high(binding, value)
    return binding.on if lit else binding.off


def _bytes(binding: Binding, channel: int, value: int) -> list[bytes]:
    at, kind, number = channel - 1, binding.kind, binding.number or 0
    if binding.lamp is not None:
        kind, number = binding.lamp.split()[0], int(binding.lamp.split()[1])
    if kind == NOTE:
        return [bytes([0x90 | at, number, value])]
    if kind == CC:
        return [bytes([0xB0 | at, number, value])]
    if kind == CC14:
        coarse = bytes([0xB0 | at, number, value >> 7])
        return [coarse, bytes([0xB0 | at, number + 32, value & 0x7F])]
    assert kind == BEND
    return [bytes([0xE0 | at, value & 0x7F, value >> 7])]
