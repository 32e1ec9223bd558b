"""Where the picture goes in the window, and how large the window is at its start.

Arithmetic on sizes; it knows nothing of pygame.
"""

import math
from typing import Literal, NamedTuple

Fit = Literal["fill", "fit", "mirror"]

SHARE = 0.8  # of the monitor, for the window at its start


class Place(NamedTuple):
    """Where a window is, in pixels of the screen, and whether it covers a monitor."""

    x: int
    y: int
    width: int
    height: int
    fullscreen: bool = False


class Placement(NamedTuple):
    """Where one copy of the whole picture goes, in window pixels; it may reach over the edges."""

    x: int
    y: int
    width: int
    height: int
    flip_x: bool = False
    flip_y: bool = False


def placements(window: tuple[int, int], picture: tuple[int, int], fit: Fit) -> list[Placement]:
    """The copies of the picture (width, height) that make up the window. Sizes are 1 or more."""
    scales = (window[0] / picture[0], window[1] / picture[1])
    scale = max(scales) if fit == "fill" else min(scales)
    width, height = (max(1, round(side * scale)) for side in picture)
    x, y = (window[0] - width) // 2, (window[1] - height) // 2
    if fit != "mirror":
        return [Placement(x, y, width, height)]
    return [
        Placement(x + i * width, y + j * height, width, height, i % 2 == 1, j % 2 == 1)
        for j in _copies(window[1], y, height)
        for i in _copies(window[0], x, width)
    ]


def _copies(window: int, start: int, size: int) -> range:
    """Numbers of the copies that cover the window along one axis; 0 is the one at `start`."""
    return range(-math.ceil(start / size), math.ceil((window - start) / size))


def start_size(monitor: tuple[int, int], picture: tuple[int, int]) -> tuple[int, int]:
    """The window at its start: the picture times a whole number, or smaller where it must be."""
    scale = min(SHARE * monitor[0] / picture[0], SHARE * monitor[1] / picture[1])
    scale = math.floor(scale) if scale >= 1 else scale
    return max(1, round(picture[0] * scale)), max(1, round(picture[1] * scale))
