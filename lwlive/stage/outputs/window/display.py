"""The window: where it is, what it shows at each tick, and which commands its keys are.

Everything here runs in the stage's main thread; `show` and `splash` wait for the monitor where
vsync is on. The window and its renderer are made once: fullscreen is a state of the same window.
This file knows nothing of the controls' values, the engine or the walk.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

# Read when pygame is imported: no greeting, and the name that task bars know the window by.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("SDL_VIDEO_X11_WMCLASS", "lwlive")

import pygame

from lwlive import extras

if not getattr(pygame, "IS_CE", False):  # the names below are in pygame-ce only
    raise ImportError(extras.NO_PYGAME_CE)

from lwlive.commands import Command
from lwlive.stage.outputs.window import screens
from lwlive.stage.outputs.window.fullscreen import Fullscreen
from lwlive.stage.outputs.window.geometry import Fit, Place
from lwlive.stage.outputs.window.glow import glow
from lwlive.stage.outputs.window.monitor import Refresh, XServer
from lwlive.stage.outputs.window.painter import Painter
from lwlive.stage.qrcode import Code
from lwlive.stage.sources.keys import ADDRESS, BY_CODE, FULLSCREEN, KEYS, LIST, QUIT, code, fine

log = logging.getLogger(__name__)

HINTS = {  # read by SDL when its video starts; what the person at the desk has set wins
    "SDL_NO_SIGNAL_HANDLERS": "1",  # Ctrl-C and SIGTERM belong to Python
    "SDL_VIDEO_MINIMIZE_ON_FOCUS_LOSS": "0",  # a click on the other monitor leaves the show up
    "SDL_VIDEO_ALLOW_SCREENSAVER": "0",
    "SDL_QUIT_ON_LAST_WINDOW_CLOSE": "0",  # an ended compositor is QUIT, too
    "SDL_APP_NAME": "lwlive",
    "SDL_WINDOWS_DPI_AWARENESS": "permonitorv2",  # true pixels, not a blurred enlargement
}
CURSOR_S = 2.0  # a cursor this long at rest is hidden
BURST = 10  # pictures of the splash shown without a pause, until the refresh rate is known
QUEUED = 2  # of these, after the first, that a driver may take in before any has to wait
QUESTION = {  # keys whose letter with shift is a question mark on some keyboard
    *(pygame.K_SLASH, pygame.K_QUESTION, pygame.K_COMMA, pygame.K_PLUS, pygame.K_QUOTE),
    0xDF,  # the German sharp s
}


class Display:
    """The one window of a show. Raises NoScreen or NoMonitor; `close` gives the screen back."""

    def __init__(
        self,
        title: str,
        fullscreen: bool,
        monitor: str,  # its number, from 0, or its name
        fit: Fit,
        vsync: bool,
        picture: tuple[int, int],
        clock: Callable[[], float] = time.perf_counter,  # the show's
        code: Code | None = None,  # the page's address
        place: Place | None = None,  # where it was before
    ) -> None:
        for hint, value in HINTS.items():
            os.environ.setdefault(hint, value)
        self._clock = clock
        self._server: XServer | None = None
        try:
            sizes = screens.monitors()
            number, self._name = screens.found(monitor, sizes)
            self.monitor = self._name or str(number)
            at, size = screens.beginning(sizes[number], picture, number, self._name, place)
            self._window = pygame.Window(title, size, at, resizable=True, allow_high_dpi=True)
            pygame.key.stop_text_input()  # else an input method takes the keys for itself
            self._server = XServer.found()
            self._fullscreen = Fullscreen(self._window, self._server, self._name, clock)
            if fullscreen if place is None else place.fullscreen:
                self._fullscreen.toggle()
            self._painter = Painter(self._window, vsync, fit, clock)
            rates = pygame.display.get_desktop_refresh_rates()
        except pygame.error as error:
            self._let_go()
            raise screens.NoScreen(f"no window can be opened here: {error}") from error
        except BaseException:
            self._let_go()
            raise
        self._refresh = Refresh(rates[number] if vsync and number < len(rates) else 0, clock)
        self._waiting: deque[tuple[Command, float]] = deque()  # asked for, with the time
        self._window.set_icon(_icon())
        pygame.display.set_allow_screensaver(False)
        pygame.key.set_repeat(350, 50)
        self._minimised = self._keys_shown = self._address_shown = False
        self._code = code
        self._held: set[int] = set()  # keys that are down, to tell a press from its repeats
        self._cursor, self._moved_s = True, clock()
        self._failing = False
        self.lost = False  # its screen has gone; on X, the window's process goes with it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the window and let go of the screen."""
        self._painter.close()
        self._window.destroy()
        self._let_go()

    def _let_go(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        pygame.quit()

    @property
    def refresh_hz(self) -> float | None:
        """The monitor's refresh rate, measured while the splash is shown.

        None where it is not known yet, and where pictures do not wait for the monitor.
        """
        return self._refresh.hz

    @property
    def place(self) -> Place:
        """Where the window is, for the one that comes after it."""
        return Place(*self._window.position, *self._window.size, self._fullscreen.on)

    def presses(self) -> list[tuple[Command, float]]:
        """What was asked for since the last call, each with the time of the clock.

        Call it often: it keeps the window alive, and a press has the time at which it is read.
        """
        for event in pygame.event.get():
            self._take(event)
        self._set_cursor()
        self._fullscreen.follow()
        asked = list(self._waiting)
        self._waiting.clear()
        return asked

    def _take(self, event: pygame.Event) -> None:
        if event.type == pygame.QUIT and pygame.display.get_driver() == "wayland":
            self.lost = True  # all that SDL says where the compositor has ended
        elif event.type in (pygame.WINDOWCLOSE, pygame.QUIT):
            self._waiting.append((QUIT, self._clock()))
        elif event.type == pygame.KEYDOWN:
            command = self._pressed(event)
            if command is not None:
                self._waiting.append((command, self._clock()))
        elif event.type == pygame.KEYUP:
            self._held.discard(event.scancode)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._held.clear()
        elif event.type == pygame.MOUSEMOTION:
            self._moved_s = self._clock()
        elif event.type == pygame.WINDOWMINIMIZED:
            self._minimised = True
        elif event.type in (pygame.WINDOWRESTORED, pygame.WINDOWSHOWN, pygame.WINDOWEXPOSED):
            self._minimised = False
        elif event.type in (pygame.RENDER_DEVICE_RESET, pygame.RENDER_TARGETS_RESET):
            self._painter.forget()

    def _pressed(self, event: pygame.Event) -> Command | None:
        again = event.scancode in self._held
        self._held.add(event.scancode)
        if event.mod & (pygame.KMOD_CTRL | pygame.KMOD_META | pygame.KMOD_LALT):
            return None
        asks = event.key in QUESTION and event.mod & pygame.KMOD_SHIFT
        letter = "?" if asks else event.unicode
        found = BY_CODE.get(code(event.key, event.scancode, letter))
        if found is None or (again and not found[0].repeats):
            return None
        command = found[1]
        if command == FULLSCREEN:
            self._fullscreen.toggle()
        elif command == ADDRESS or (command == QUIT and self._address_shown):
            self._address_shown = not self._address_shown
        elif command == LIST or (command == QUIT and self._keys_shown):
            self._keys_shown = not self._keys_shown
        else:
            return fine(command) if event.mod & pygame.KMOD_SHIFT else command
        return None

    def _set_cursor(self) -> None:
        wanted = not self._fullscreen.on and self._clock() - self._moved_s < CURSOR_S
        if wanted != self._cursor:
            self._cursor = wanted
            pygame.mouse.set_visible(wanted)

    def show(
        self,
        pixels: npt.NDArray[np.uint8],
        master: float,
        hud: Sequence[str] | None,
        notice: str | None,
    ) -> None:
        """Show one picture, bytes [H, W, 3], with words over it.

        It is dimmed already; `master`, 0 to 1, dims what is drawn beside it.

        Over a covered monitor, which an audience sees, a notice is shown beside the HUD only.
        """
        if self._minimised:
            return
        with self._drawing():
            self._painter.picture(pixels, master, hud)
            self._finish(notice if hud is not None or not self._fullscreen.on else None)

    def splash(
        self, lines: Sequence[str], elapsed: float, master: float = 1.0, notice: str | None = None
    ) -> None:
        """Before the first picture: the name, and below it the lines. `elapsed` in seconds."""
        if self._minimised:
            return
        with self._drawing():
            for i in range(1 if self._refresh.known else BURST):
                self._painter.splash(lines, elapsed, master)
                self._finish(None if self._fullscreen.on else notice)
                self._refresh.shown(alone=i <= QUEUED)

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """What the graphics driver cannot draw just now is said once, and the show continues."""
        try:
            yield
            self._failing = False
        except pygame.error as error:
            if not self._failing:
                log.error(f"the window cannot be drawn just now: {error}")
            self._failing = True
            self._painter.forget()

    def _finish(self, notice: str | None) -> None:
        """The words that go over everything, and onto the screen with it."""
        keys = [f"{key.label}\t{key.help}".replace("`", "") for key in KEYS]
        self._painter.words(notice, keys if self._keys_shown else None)
        self._painter.address(self._code, self._address_shown)
        self._painter.present()


def _icon() -> pygame.Surface:
    """A small round light, where pygame would put its own mark."""
    light = 2.5 * glow(0, 1, 64)  # [64, 64, 3]
    axis = np.linspace(-1, 1, 64)
    cover = np.clip((1 - np.hypot(axis, axis[:, None])) * 32, 0, 1) * 255  # [64, 64]
    rgba = np.dstack([light, cover]).clip(0, 255).astype(np.uint8)
    return pygame.image.frombytes(rgba.tobytes(), (64, 64), "RGBA")
