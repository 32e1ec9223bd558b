"""The master: brightness and blackout, eased, as one number that every picture is dimmed by.

It knows nothing of windows or clocks; `step` is called once a tick.
"""

from collections.abc import Mapping

import numpy as np

from lwlive.params import SPECS, Params
from lwlive.ring import Pixels

NOTHING: Mapping[str, float] = {}


class Master:
    """The master's level from 0 to 1, on its way to what the controls ask for."""

    def __init__(self, params: Params) -> None:
        self._brightness = self._target = params.brightness
        self._over: float | None = None  # seconds that its newest change takes, where that was said
        self._rate = 0.0  # of brightness, per second
        self._open = 0.0 if params.blackout else 1.0  # 0 black, 1 open

    def step(self, params: Params, seconds: float, over: Mapping[str, float] = NOTHING) -> float:
        """The level one tick of so many seconds later. over: see `Snapshot`."""
        said = over.get("brightness")
        if (params.brightness, said) != (self._target, self._over):
            self._target, self._over = params.brightness, said
            gap = 1.0 if said is None else abs(params.brightness - self._brightness)
            self._rate = gap / max(SPECS["brightness"].glide, said or 0.0)
        self._brightness = _towards(self._brightness, params.brightness, self._rate * seconds)
        fade = over.get("blackout", params.fade)
        share = seconds / fade if fade > seconds else 1.0
        self._open = _towards(self._open, 0.0 if params.blackout else 1.0, share)
        return self._brightness * self._open


def _towards(value: float, target: float, step: float) -> float:
    return min(target, value + step) if target > value else max(target, value - step)


def dimmed(pixels: Pixels, level: float) -> Pixels:
    """The picture at a level of the master, itself where that is 1."""
    if level >= 1:
        return pixels
    wide = np.multiply(pixels, np.uint16(round(256 * level)), dtype=np.uint16)
    np.right_shift(wide, 8, out=wide)
    return wide.astype(np.uint8)
