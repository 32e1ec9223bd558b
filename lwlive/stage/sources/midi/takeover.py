"""Soft take-over: a fader moves a value only after it has met it. Pure.

Where a fader stands is known from its last message. It meets a value when it comes near or passes
it, and it holds the value until somebody else changes that. Positions are those of `Spec`, so
curves count. This file knows nothing of MIDI.
"""

from lwlive.params import Spec, Value

NEAR = 1.5 / 127  # a box of 7 bits sees no smaller difference


class Fader:
    """One fader on one parameter. `low`, `high`: the positions at its two ends, in any order."""

    def __init__(self, spec: Spec, low: float = 0.0, high: float = 1.0) -> None:
        self._spec, self._low, self._high = spec, min(low, high), max(low, high)
        self._stands: float | None = None
        self._holds = False

    @property
    def holds(self) -> bool:
        """Whether the value follows it."""
        return self._holds

    def moved(self, position: float, value: Value | None) -> bool:
        """It stands at a new position; `value` is the present one. Whether the value follows."""
        before, self._stands = self._stands, position
        if not self._holds and value is not None:
            self._holds = self._meets(before, position, value)
        return self._holds

    def changed(self, value: Value | None) -> None:
        """The value is another than before: only a fader that stands at it holds it."""
        stands = self._stands
        self._holds = stands is not None and value is not None and self._spec.value(stands) == value

    def let_go(self) -> None:
        """Whoever moves it next has to meet the value again."""
        self._stands, self._holds = None, False

    def _meets(self, before: float | None, position: float, value: Value) -> bool:
        # a value beyond the fader's reach is met at the end next to it
        there = min(self._high, max(self._low, self._spec.position(value)))
        if abs(position - there) <= NEAR or self._spec.value(position) == value:
            return True
        return before is not None and (before - there) * (position - there) <= 0
