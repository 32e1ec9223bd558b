"""The master: brightness and blackout, eased, as one number that every picture is dimmed by.

What routes make of it comes on top, not eased. It knows nothing of windows or clocks; `step` is
called once a tick.
"""

from collections.abc import Sequence

import numpy as np

from lwlive.modulation import begun
from lwlive.params import SPECS
from lwlive.ring import Pixels
from lwlive.routes import SILENCE
from lwlive.snapshot import Snapshot


class Master:
    """The master's level from 0 to 1, on its way to what the controls ask for."""

    def __init__(self, snapshot: Snapshot, now: float = 0.0) -> None:
        self._brightness = self._target = snapshot.params.brightness
        self._over: float | None = None  # seconds that its newest change takes, where that was said
        self._rate = 0.0  # of brightness, per second
        self._open = 0.0 if snapshot.params.blackout else 1.0  # 0 black, 1 open
        self._moved = begun(snapshot, snapshot.outer, now)

    def step(
        self,
        snapshot: Snapshot,
        seconds: float,
        now: float = 0.0,
        bands: Sequence[float] = SILENCE,
    ) -> float:
        """The level one tick of so many seconds later, which is seen at a moment.

        bands: of the sound coming in.
        """
        params, said = snapshot.params, snapshot.over.get("brightness")
        if self._moved.routes != (outer := snapshot.outer):
            self._moved = self._moved.steered(snapshot, outer)
        self._moved = self._moved.after(seconds, snapshot, now, bands)
        if (params.brightness, said) != (self._target, self._over):
            self._target, self._over = params.brightness, said
            gap = 1.0 if said is None else abs(params.brightness - self._brightness)
            self._rate = gap / max(SPECS["brightness"].glide, said or 0.0)
        self._brightness = _towards(self._brightness, params.brightness, self._rate * seconds)
        fade = snapshot.over.get("blackout", self._moved.value("fade", params.fade))
        share = seconds / fade if fade > seconds else 1.0
        self._open = _towards(self._open, 0.0 if params.blackout else 1.0, share)
        brightness: float = self._moved.value("brightness", self._brightness)
        return brightness * self._open


def _towards(value: float, target: float, step: float) -> float:
    return min(target, value + step) if target > value else max(target, value - step)


def dimmed(pixels: Pixels, level: float) -> Pixels:
    """The picture at a level of the master, itself where that is 1."""
    if level >= 1:
        return pixels
    wide = np.multiply(pixels, np.uint16(round(256 * level)), dtype=np.uint16)
    np.right_shift(wide, 8, out=wide)
    return wide.astype(np.uint8)
