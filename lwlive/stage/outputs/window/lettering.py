"""Text as pixels: letters in one height, and lines of them in columns on a dark panel.

What a line is, hud.py says. This file knows nothing of windows, keys or the show.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lwlive.stage.outputs.window import rail
from lwlive.stage.outputs.window.hud import shortened

if TYPE_CHECKING:
    import pygame

Ink = tuple[int, int, int]

BRIGHT: Ink = (240, 242, 246)
DIM: Ink = (166, 172, 184)
PANEL = (9, 11, 16, 208)  # dark enough for DIM on a white picture
RULE = (58, 62, 72, 232)
LINE = 1.5  # line pitch, in letter heights


class Lettering:
    """Text in one height, in pygame's bundled font, which is always there and opens in 1 ms.

    Letters are drawn three times too big and scaled down: at their own size the font's hinting
    tears words apart. What was drawn is kept, so a panel repaints only the numbers that changed.
    """

    def __init__(self, height_px: int) -> None:
        import pygame

        pygame.font.init()
        self.height_px = height_px
        self._font = pygame.font.Font(None, round(3 * height_px / 0.6875))
        self._drawn: dict[tuple[str, Ink], pygame.Surface] = {}

    def draw(self, text: str, ink: Ink) -> "pygame.Surface":
        """The text on nothing; letters the font lacks come out as boxes."""
        import pygame

        if (text, ink) not in self._drawn:
            if len(self._drawn) > 500:
                self._drawn.clear()
            big = self._font.render(shortened(text, 200), True, ink)
            size = (-(-big.get_width() // 3), -(-big.get_height() // 3))
            self._drawn[text, ink] = pygame.transform.smoothscale(big, size)
        return self._drawn[text, ink]


def panel(
    lettering: Lettering,
    lines: Sequence[str],
    inks: Sequence[Ink] = (DIM, BRIGHT, DIM),
    widths: list[int] | None = None,
) -> "pygame.Surface":
    """The lines in columns on a dark, half-transparent panel with round corners.

    `widths` keeps the widest column seen so far in pixels (labels, numbers, units, texts), so that
    a panel which is painted again and again does not wobble.
    """
    import pygame

    em, pitch = lettering.height_px, round(LINE * lettering.height_px)
    parted = [rail.parted(line) for line in lines]
    lines = [line for line, _ in parted]
    rows = [
        [lettering.draw(cell, ink) for cell, ink in zip(line.split("\t"), inks, strict=False)]
        for line in lines
    ]
    wide = widths if widths is not None else [0] * 4
    for line, row in zip(lines, rows, strict=True):
        if not line:
            continue
        columns = (0, 1, 2) if len(row) == 3 else (0, 3)
        for column, cell in zip(columns, row, strict=False):
            wide[column] = max(wide[column], cell.get_width())
    gap, pad = em, round(0.95 * em)
    value_x = pad + wide[0] + (gap if any("\t" in line for line in lines) else 0)
    number_right = value_x + wide[1]
    width = max(number_right + (gap // 2 + wide[2] if wide[2] else 0), value_x + wide[3]) + pad
    rails = any(marks is not None for _, marks in parted)
    rail_x, width = width - pad + gap, width + (gap + rail.WIDE * em if rails else 0)
    height = sum(pitch if line else pitch // 2 for line in lines) - (pitch - em) + 2 * pad
    surface = _plate(width, height, 0.6 * em).copy()
    y = pad - (pitch - em) // 2
    for (line, marks), row in zip(parted, rows, strict=True):
        if not line:
            rule = pygame.Rect(pad, y + pitch // 4, width - 2 * pad, max(1, em // 16))
            surface.fill(RULE, rule)
            y += pitch // 2
            continue
        label_y = y + (pitch - row[0].get_height()) // 2
        surface.blit(row[0], (pad, label_y))
        if len(row) == 2:
            surface.blit(row[1], (value_x, label_y))
        elif len(row) == 3:
            surface.blit(row[1], (number_right - row[1].get_width(), label_y))
            surface.blit(row[2], (number_right + gap // 2, label_y))
        if marks is not None:
            rail.draw(surface, marks, (rail_x, y + pitch // 2), em, (DIM, BRIGHT))
        y += pitch
    return surface


@lru_cache(maxsize=4)
def _plate(width: int, height: int, radius: float) -> "pygame.Surface":
    """An empty panel; its round corners are smooth because each pixel's coverage is computed."""
    import pygame

    x = np.abs(np.arange(width) + 0.5 - width / 2) - (width / 2 - radius)
    y = np.abs(np.arange(height) + 0.5 - height / 2) - (height / 2 - radius)
    away = np.hypot(np.maximum(x, 0)[None, :], np.maximum(y, 0)[:, None]) - radius  # [H, W]
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[:] = PANEL
    pixels[..., 3] = PANEL[3] * np.clip(0.5 - away, 0, 1)
    return pygame.image.frombytes(pixels.tobytes(), (width, height), "RGBA")
