"""The splash's backdrop, and the window's icon: dim lights that drift. It needs no pygame."""

import numpy as np
import numpy.typing as npt

# Where a light drifts (x, y, over how many seconds), how wide it is, and its colour.
_LIGHTS = (
    (0.75, 0.45, 23.0, 0.62, (22, 19, 58)),
    (0.80, 0.55, 31.0, 0.55, (4, 32, 40)),
    (0.65, 0.50, 41.0, 0.48, (48, 10, 36)),
)


def glow(elapsed_s: float, aspect: float, side: int = 128) -> npt.NDArray[np.uint8]:
    """The splash's backdrop: three dim lights that drift and breathe. Bytes [side, side, 3]."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    light = np.empty((side, side, 3), np.float32)
    light[:] = (9, 10, 17)
    for i, (dx, dy, period_s, wide, colour) in enumerate(_LIGHTS):
        turn = 2 * np.pi * (elapsed_s / period_s + i / len(_LIGHTS))
        breath = 0.85 + 0.15 * np.sin(2 * np.pi * elapsed_s / 6 + i)
        at_x, at_y = dx * aspect * np.cos(turn), dy * np.sin(1.7 * turn)
        spread = wide * (1 + 0.5 * (aspect - 1)) if aspect > 1 else wide
        near_x = np.exp(-((axis * aspect - at_x) ** 2) / (2 * spread**2))
        near_y = np.exp(-((axis - at_y) ** 2) / (2 * spread**2))
        light += breath * np.outer(near_y, near_x)[..., None] * np.asarray(colour, np.float32)
    grain = np.random.default_rng(0).random((side, side, 1), np.float32)  # hides the bands
    return (light + grain).clip(0, 255).astype(np.uint8)
