"""The master: brightness and blackout, eased, as one number that every picture is dimmed by.

It knows nothing of windows or clocks; `step` is called once a tick.
"""

import numpy as np

from lwlive.params import SPECS, Params
from lwlive.ring import Pixels


class Master:
    """The master's level from 0 to 1, on its way to what the controls ask for."""

    def __init__(self, params: Params) -> None:
        self._brightness = params.brightness
        self._open = 0.0 if params.blackout else 1.0  # 0 black, 1 open

    def step(self, params: Params, seconds: float) -> float:
        """The level one tick of so many seconds later."""
        ease = SPECS["brightness"].glide
        self._brightness = _towards(self._brightness, params.brightness, seconds / ease)
        share = seconds / params.fade if params.fade > seconds else 1.0
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
