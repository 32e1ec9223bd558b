"""What the window shows, drawn by the GPU: the picture, the splash before it, words over both.

Runs in the stage's main thread; `present` waits for the monitor where vsync is on. This file knows
nothing of keys, monitors or the show.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pygame
from pygame._sdl2 import video

from lwlive.stage.outputs.window.geometry import Fit, placements
from lwlive.stage.outputs.window.glow import glow
from lwlive.stage.outputs.window.hud import shortened
from lwlive.stage.outputs.window.lettering import BRIGHT, DIM
from lwlive.stage.outputs.window.panels import Panels
from lwlive.stage.qrcode import Code

REPAINT_S = 0.2  # between two paintings of the HUD
ARRIVAL_S = 0.6  # in which the first picture fades in over the splash
NO_PAGE = "there is no page; lwlive --page serves one"
CODE_SHARE = 0.62  # of the window's shorter side, that the page's code takes

Pictures = npt.NDArray[np.uint8]  # bytes [H, W, 3]


class Painter:
    """Draws on a window with a renderer of its own. Raises pygame.error where it cannot."""

    def __init__(
        self, window: pygame.Window, vsync: bool, fit: Fit, clock: Callable[[], float]
    ) -> None:
        self._fit, self._clock = fit, clock
        self._renderer = video.Renderer(window, vsync=vsync)
        self._splash_s: float | None = None  # when the last splash was drawn
        self.forget()

    def forget(self) -> None:
        """Drop what lives in the GPU's memory; all of it is made again when next needed."""
        self._textures: dict[str, video.Texture] = {}
        self._panels = Panels(self._renderer, self._clock)

    def close(self) -> None:
        """Let go of the window, before it goes."""
        self.forget()
        del self._panels, self._renderer

    def picture(self, pixels: Pictures, master: float, hud: Sequence[str] | None) -> None:
        """A picture that is dimmed already, with the HUD over it. See `Display.show`."""
        height, width = pixels.shape[:2]
        texture = self._upload("picture", pixels)
        self._renderer.clear()
        texture.alpha = self._arrival(_level(master))
        for place in placements(self._size, (width, height), self._fit):
            texture.draw(None, place[:4], flip_x=place.flip_x, flip_y=place.flip_y)
        self._panels.panel("hud", hud, self._size, 54, (0.0, 0.0), every_s=REPAINT_S)

    def splash(self, lines: Sequence[str], elapsed: float, master: float) -> None:
        """The name, and below it the lines, over a light that moves. `elapsed` in seconds."""
        self._splash_s = self._clock()
        width, height = self._size
        self._renderer.clear()
        light = self._upload("glow", glow(elapsed, width / height))
        light.color = (_level(master),) * 3
        light.draw(None, (0, 0, width, height))
        self._panels.title(lines, (width, height), _level(master))

    def words(self, notice: str | None, keys: Sequence[str] | None) -> None:
        """What goes over everything: a notice, and the list of keys where it is wanted."""
        said = [shortened(notice, 120)] if notice else None
        self._panels.panel("notice", said, self._size, 50, (0.5, 1.0), inks=(BRIGHT,))
        self._panels.panel("keys", keys, self._size, 42, (0.5, 0.5), (BRIGHT, DIM))

    def address(self, code: Code | None, shown: bool) -> None:
        """The page's address, where it is to be shown: in words, and as a code for phones."""
        said = None
        if shown:
            said = [code.text if code else NO_PAGE]
        self._panels.panel("address", said, self._size, 42, (0.5, 0.0), inks=(BRIGHT,))
        if said is None or code is None:
            return
        pixels = code.pixels(int(CODE_SHARE * min(self._size)))
        side, (width, height) = len(pixels), self._size
        texture = self._upload("code", pixels)
        texture.draw(None, ((width - side) // 2, (height - side) // 2, side, side))

    def present(self) -> None:
        """Onto the screen with what was drawn."""
        self._renderer.present()

    def _arrival(self, level: int) -> int:
        """How opaque the picture is, 0..255: it fades in over the splash, drawn beneath it."""
        if self._splash_s is None or "glow" not in self._textures:
            return 255
        part = (self._clock() - self._splash_s) / ARRIVAL_S
        if part >= 1:
            self._splash_s = None
            return 255
        light = self._textures["glow"]
        light.color = (round(level * (1 - part)),) * 3  # gone by then, also beside the picture
        light.draw(None, (0, 0, *self._size))
        return round(255 * part)

    def _upload(self, name: str, pixels: Pictures) -> video.Texture:
        """The pixels in a texture that is made once per size and written again each time."""
        height, width = pixels.shape[:2]
        texture = self._textures.get(name)
        if texture is None or (texture.width, texture.height) != (width, height):
            texture = self._textures[name] = video.Texture(
                self._renderer,
                (width, height),
                streaming=True,
                scale_quality=video.SCALEQUALITY_LINEAR,
            )
            texture.blend_mode = pygame.BLENDMODE_BLEND
        rgb = pygame.image.frombuffer(np.ascontiguousarray(pixels).data, (width, height), "RGB")
        texture.update(rgb)
        return texture

    @property
    def _size(self) -> tuple[int, int]:
        """The window in true pixels, which on some screens is more than its size in points."""
        return self._renderer.get_viewport().size


def _level(master: float) -> int:
    return round(255 * min(1.0, max(0.0, master)))
