"""Panels and titles on the window, as textures that are made again only when their words change.

This file knows nothing of keys or the show.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lwlive.stage.outputs.window.hud import shortened
from lwlive.stage.outputs.window.lettering import BRIGHT, DIM, LINE, Ink, Lettering, panel

if TYPE_CHECKING:
    import pygame
    from pygame._sdl2 import video


@dataclass
class _Painted:
    """A panel as it is on the GPU, and what it says."""

    texture: "video.Texture"
    said: tuple[str, ...]
    em: int
    at_s: float


class Panels:
    """Draws panels and titles with a renderer, painting one again only when its words change."""

    def __init__(self, renderer: "video.Renderer", clock: Callable[[], float]) -> None:
        self._renderer, self._clock = renderer, clock
        self._painted: dict[str, _Painted] = {}
        self._letterings: dict[int, Lettering] = {}
        self._widths: dict[tuple[str, int], list[int]] = {}

    def panel(
        self,
        name: str,
        lines: Sequence[str] | None,
        window: tuple[int, int],
        share: int,
        place: tuple[float, float],
        inks: Sequence[Ink] = (DIM, BRIGHT, DIM),
        every_s: float = 0.0,
    ) -> None:
        """A panel at `place`, (0, 0) top left to (1, 1) bottom right; None takes it away.

        Letters are the window's height over `share`. New words wait until the panel is `every_s`
        old, but for those of its first line. A panel that is larger than the window is shown
        smaller.
        """
        if not lines:
            self._painted.pop(name, None)
            return
        em, now_s = _em(window, share), self._clock()
        old = self._painted.get(name)
        if old is None or old.em != em or self._stale(old, lines, now_s - old.at_s >= every_s):
            widths = self._widths.setdefault((name, em), [0] * 4)
            surface = panel(self._lettering(em), lines, inks, widths if every_s else None)
            old = _Painted(self._texture(surface), tuple(lines), em, now_s)
            self._painted[name] = old
        margin = 0.8 * em
        room = [max(1.0, side - 2 * margin) for side in window]
        size = old.texture.width, old.texture.height
        scale = min(1.0, room[0] / size[0], room[1] / size[1])
        w, h = (max(1, round(scale * side)) for side in size)
        x, y = round(margin + place[0] * (room[0] - w)), round(margin + place[1] * (room[1] - h))
        old.texture.draw(None, (x, y, w, h))

    @staticmethod
    def _stale(old: _Painted, lines: Sequence[str], rested: bool) -> bool:
        return old.said[0] != lines[0] or (rested and old.said != tuple(lines))

    def title(self, lines: Sequence[str], window: tuple[int, int], level: int = 255) -> None:
        """The instrument's name, wide, in the middle of the window, with small lines below.

        level: 0 unseen to 255.
        """
        import pygame

        em = _em(window, 46)
        old = self._painted.get("title")
        if old is None or old.said != tuple(lines) or old.em != em:
            rows = [self._lettering(round(2.6 * em)).draw(" ".join("lwlive"), BRIGHT)]
            for i, line in enumerate(lines):
                rows.append(self._lettering(em).draw(shortened(line, 90), DIM if i else BRIGHT))
            tops = [0, *(round(4.8 * em + LINE * em * i) for i in range(len(lines)))]
            size = max(row.get_width() for row in rows), tops[-1] + rows[-1].get_height()
            surface = pygame.Surface(size, pygame.SRCALPHA)
            for row, top in zip(rows, tops, strict=True):
                surface.blit(row, ((size[0] - row.get_width()) // 2, top))
            old = self._painted["title"] = _Painted(self._texture(surface), tuple(lines), em, 0.0)
        w, h = old.texture.width, old.texture.height
        scale = min(1.0, 0.96 * window[0] / w)
        x, y = round((window[0] - scale * w) / 2), round(0.46 * window[1] - 2 * em)
        old.texture.alpha = level
        old.texture.draw(None, (x, y, round(scale * w), round(scale * h)))

    def _lettering(self, em: int) -> Lettering:
        if em not in self._letterings and len(self._letterings) >= 8:  # a window being resized
            self._letterings.clear()
            self._widths.clear()
        if em not in self._letterings:
            self._letterings[em] = Lettering(em)
        return self._letterings[em]

    def _texture(self, surface: "pygame.Surface") -> "video.Texture":
        from pygame._sdl2 import video

        return video.Texture.from_surface(self._renderer, surface)


def _em(window: tuple[int, int], share: int) -> int:
    """Height of letters in pixels, for a window of this size."""
    return max(11, round(min(window[1], 1.2 * window[0]) / share))
