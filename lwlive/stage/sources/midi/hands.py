"""Hands: what moves on one box, in; commands, out. Used by one thread; time is not needed.

Where faders stand and which buttons are down is remembered here, and soft take-over is asked.
This file knows nothing of ports, files or lamps.
"""

from collections.abc import Iterator, Mapping

from lwlive.commands import (
    Amount,
    Command,
    Fire,
    Go,
    Move,
    Nudge,
    Recall,
    Set,
    Toggle,
)
from lwlive.params import Value
from lwlive.stage.sources.midi.binding import ABSOLUTE, MOMENTARY, RELATIVE, TOGGLE, Binding, clicks
from lwlive.stage.sources.midi.box import Box
from lwlive.stage.sources.midi.message import NOTE, PROGRAM, Moved
from lwlive.stage.sources.midi.takeover import Fader

Values = Mapping[str, Value | None]  # by target: every parameter, and each route's amount


class Hands:
    """The controls of one box, and what they do."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._faders = {
            binding: Fader(binding.spec, *binding.ends)
            for binding in box.bindings
            if binding.mode == ABSOLUTE and binding.spec is not None
        }
        self._last: dict[tuple[str, int], int] = {}  # control and channel -> its last value

    def bindings(self, moved: Moved) -> list[Binding]:
        """What a control steers."""
        return [binding for binding in self.box.bindings if binding.hears(moved)]

    def moved(self, moved: Moved, values: Values) -> list[Command]:
        """What a control asks for. `values`: those that are known at present."""
        key = (moved.name, moved.channel)
        before = self._last.get(key)
        self._last[key] = moved.value
        asked: list[Command] = []
        for binding in self.bindings(moved):
            asked.extend(self._asked(binding, moved, before, values))
        return asked

    def waits(self, binding: Binding) -> bool:
        """Whether its fader has yet to meet the value."""
        fader = self._faders.get(binding)
        return binding.takeover and not binding.motor and fader is not None and not fader.holds

    def changed(self, target: str, value: Value | None) -> None:
        """A value is another than before, whoever set it."""
        for binding, fader in self._faders.items():
            if binding.target == target:
                fader.changed(value)

    def _asked(
        self, binding: Binding, moved: Moved, before: int | None, values: Values
    ) -> Iterator[Command]:
        if binding.mode == ABSOLUTE:
            if (
                moved.kind != NOTE or moved.value
            ):  # how hard a key was struck, not that it was let go
                yield from self._positioned(binding, moved, values)
            return
        if binding.mode == RELATIVE:
            turned = clicks(moved.value, binding.encoding) * (-1 if binding.inverted else 1)
            if turned and binding.parameter is not None:
                yield Nudge(binding.parameter, turned * binding.step)
            return
        pressed, let_go = _edges(moved, before)
        if pressed and binding.mode == TOGGLE:
            yield from _toggled(binding, values)
        elif pressed:
            yield from _pressed(binding, moved)
        elif let_go and binding.mode == MOMENTARY and binding.value is None:
            yield from _switched(binding, False)

    def _positioned(self, binding: Binding, moved: Moved, values: Values) -> Iterator[Command]:
        position = binding.position(moved.value / moved.top)
        follows = self._faders[binding].moved(position, values.get(binding.target))
        if follows or not binding.takeover or binding.motor:
            yield _placed(binding, position)


def _placed(binding: Binding, position: float) -> Command:
    if binding.route is not None:
        row = binding.spec
        assert row is not None
        return Amount(binding.route, float(row.value(position)))
    assert binding.parameter is not None
    return Move(binding.parameter, position)


def _edges(moved: Moved, before: int | None) -> tuple[bool, bool]:
    """Whether a button was pressed, and whether it was let go."""
    if moved.kind in (NOTE, PROGRAM):
        return moved.value > 0, moved.value == 0
    down, was_down = 2 * moved.value > moved.top, before is not None and 2 * before > moved.top
    again = down and moved.value == before  # of a button that does not say when it is let go
    return down and (not was_down or again), was_down and not down


def _toggled(binding: Binding, values: Values) -> Iterator[Command]:
    row, value = binding.spec, values.get(binding.target)
    assert row is not None
    if row.kind is bool and binding.parameter is not None:
        yield Toggle(binding.parameter)
    elif value is not None:
        yield from _switched(binding, not is_high(binding, value))


def _pressed(binding: Binding, moved: Moved) -> Iterator[Command]:
    number = (moved.number or 0) + 1
    if binding.trigger is not None:
        yield Fire(binding.trigger)
    elif binding.preset is not None or binding.presets:
        yield Recall(number if binding.preset is None else binding.preset, binding.seconds)
    elif binding.cue is not None or binding.cues:
        yield Go(number if binding.cue is None else binding.cue)
    elif binding.value is not None and binding.parameter is not None:
        yield Set(binding.parameter, binding.value)
    else:
        yield from _switched(binding, True)


def _switched(binding: Binding, on: bool) -> Iterator[Command]:
    """A button on a switch or a number, pressed or let go."""
    row = binding.spec
    if row is None:
        return
    if row.kind is bool and binding.parameter is not None:
        yield Set(binding.parameter, on != binding.inverted)
    else:
        yield _placed(binding, binding.position(1.0 if on else 0.0))


def is_high(binding: Binding, value: Value) -> bool:
    """Whether a value is nearer to the end that a button's press goes to."""
    row = binding.spec
    assert row is not None
    low, high = binding.position(0.0), binding.position(1.0)
    there = row.position(value)
    return abs(there - high) < abs(there - low)
