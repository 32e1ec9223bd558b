"""Fullscreen as a state of the window: which monitor it covers, also while that changes.

SDL asks a window manager or a compositor to cover the monitor and believes that it was done. On a
bare X server, as on a machine that runs nothing but the show, the window is given its place and
size here, and again when the resolution changes, when the monitor is off and comes back, and when a
window manager ends. Everything runs in the main thread of the window's process.
"""

from collections.abc import Callable

import pygame

from lwlive.stage.outputs.window.monitor import Area, XServer

LOOK_S = 0.5  # between two looks at the server, which tells of no change


class Fullscreen:
    """Whether a window is fullscreen. server: where SDL shows on X; name: the monitor asked for."""

    def __init__(
        self,
        window: pygame.Window,
        server: XServer | None,
        name: str | None,
        clock: Callable[[], float],
    ) -> None:
        self._window, self._server, self._name, self._clock = window, server, name, clock
        self.on = False
        self._area: Area | None = None  # covered without a window manager
        self._windowed: tuple[tuple[int, int], tuple[int, int]] | None = None
        self._looked_s = clock()

    def toggle(self) -> None:
        """Cover the monitor that was asked for by its name, or the one where the window is."""
        self.on = not self.on
        if not self.on:
            self._window.set_windowed()
            if self._windowed is not None:
                self._window.size, self._window.position = self._windowed
            self._area = self._windowed = None
            return
        if self._server is not None:
            (width, height), (x, y) = place = self._window.size, self._window.position
            name, area = self._server.monitor_at(x + width // 2, y + height // 2)
            self._home = self._name or name, area.x, area.y
            self._managed = self._server.managed
            if not self._managed:
                self._windowed = place
                self._cover(self._server.monitor(*self._home))
        self._window.set_fullscreen(desktop=True)

    def _cover(self, area: Area) -> None:
        self._area = area
        self._window.size = area.width, area.height
        self._window.position = area.x, area.y

    def follow(self) -> None:
        """Call it often: cover the monitor as it is now, or another while it is off."""
        server = self._server
        if server is None or not self.on or self._clock() - self._looked_s < LOOK_S:
            return
        self._looked_s = self._clock()
        managed = server.managed
        if managed != self._managed:  # it has only just come or gone: at the next look
            self._managed = managed
        elif managed and self._area is not None:  # a manager asks a new window what it wants
            self._window.hide()
            self._window.show()
            self._area = None
        elif not managed and (area := server.monitor(*self._home)) != self._area:
            self._window.set_windowed()
            self._cover(area)
            self._window.set_fullscreen(desktop=True)
