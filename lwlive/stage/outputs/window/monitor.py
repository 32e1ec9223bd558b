"""The monitors: their sizes, their refresh rate, and a bare X server asked about them.

SDL asks a window manager to cover the monitor and believes that it was done, and knows a monitor
only as it was at the start. On a bare X server, as on a machine that runs nothing but the show,
the window has to be given its size by hand, and again when the resolution changes. This file
knows no window.
"""

import ctypes
import statistics
from collections.abc import Callable
from typing import NamedTuple

import pygame

ENOUGH = 28  # periods to judge a refresh rate by
STEADY = 0.2  # of the period: how far its middle half may spread
NEAR = 0.02  # of the rate that the system names, for a measured one to be the monitor's


class Area(NamedTuple):
    """Where a monitor lies on the screen, in pixels."""

    x: int
    y: int
    width: int
    height: int


class Refresh:
    """The monitor's refresh rate, measured: how long one picture after the other takes to show.

    It is measured on pictures that are shown without a pause between them. Where they do not wait
    for the monitor, as on a virtual screen or with vsync off in the driver, there is none.
    SDL imitates vsync in whole milliseconds where a driver has none, so 60 Hz come as 62.5.
    """

    def __init__(self, named_hz: float, clock: Callable[[], float]) -> None:
        self._named_hz, self._clock = named_hz, clock
        self._last: float | None = None
        self._periods: list[float] = []
        self.hz: float | None = None

    @property
    def known(self) -> bool:
        """Whether nothing more will be found out."""
        return self._named_hz <= 0 or len(self._periods) >= ENOUGH

    def shown(self, alone: bool) -> None:
        """A picture has just been shown; `alone` where the one before tells nothing of it."""
        now = self._clock()
        if self._last is not None and not alone and not self.known:
            self._periods.append(now - self._last)
            if self.known:
                self._judge()
        self._last = now

    def _judge(self) -> None:
        low, middle, high = statistics.quantiles(self._periods, n=4)
        if middle > 0 and high - low < STEADY * middle:
            hz = 1 / middle
            self.hz = hz if abs(hz - self._named_hz) <= NEAR * self._named_hz else None


class Bare:
    """An X server on which no window manager answers. None of `found` where there is another."""

    def __init__(self, x11: ctypes.CDLL, server: int) -> None:
        self._x11, self._server = x11, ctypes.c_void_p(server)

    @classmethod
    def found(cls) -> "Bare | None":
        """The server that SDL shows on, if it is a bare one."""
        if pygame.display.get_driver() != "x11":
            return None
        try:
            x11 = ctypes.CDLL("libX11.so.6")
        except OSError:  # SDL brought its own, which cannot be asked
            return None
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XInternAtom.restype = x11.XGetSelectionOwner.restype = ctypes.c_ulong
        x11.XDefaultRootWindow.restype = ctypes.c_ulong
        server = x11.XOpenDisplay(None)
        if not server:
            return None
        bare = cls(x11, server)
        if bare.managed:
            bare.close()
            return None
        return bare

    @property
    def managed(self) -> bool:
        """Whether a window manager has come; it holds a selection of the server's (ICCCM)."""
        manager = ctypes.c_ulong(self._x11.XInternAtom(self._server, b"WM_S0", 0))
        return int(self._x11.XGetSelectionOwner(self._server, manager)) != 0

    def close(self) -> None:
        """Let go of the server."""
        self._x11.XCloseDisplay(self._server)

    def monitor_at(self, x: int, y: int) -> Area:
        """The monitor that a point lies on, as it is now; the whole screen where none is known."""
        areas = self._areas()
        on = (a for a in areas if a.x <= x < a.x + a.width and a.y <= y < a.y + a.height)
        return next(on, areas[0] if areas else self._screen())

    def _areas(self) -> list[Area]:
        return [area for _, area in _monitors(self._x11, self._server)]

    def _screen(self) -> Area:
        root = ctypes.c_ulong(self._x11.XDefaultRootWindow(self._server))
        numbers = [ctypes.c_int() for _ in range(6)]  # x, y, width, height, border, depth
        above = ctypes.c_ulong()
        places = (above, *numbers)
        self._x11.XGetGeometry(self._server, root, *(ctypes.byref(one) for one in places))
        return Area(0, 0, numbers[2].value, numbers[3].value)


def named() -> dict[str, Area]:
    """The monitors of an X server by name, such as HDMI-1; empty where it names none."""
    if pygame.display.get_driver() != "x11":
        return {}
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return {}
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XDefaultRootWindow.restype = ctypes.c_ulong
    x11.XGetAtomName.restype = ctypes.c_void_p
    server = ctypes.c_void_p(x11.XOpenDisplay(None))
    if not server:
        return {}
    found = {}
    for atom, area in _monitors(x11, server):
        name = x11.XGetAtomName(server, ctypes.c_ulong(atom))
        if name:
            found[ctypes.string_at(name).decode("utf-8", "replace")] = area
            x11.XFree(ctypes.c_void_p(name))
    x11.XCloseDisplay(server)
    return found


def _monitors(x11: ctypes.CDLL, server: ctypes.c_void_p) -> list[tuple[int, Area]]:
    """The monitors of a server, each with the atom of its name."""
    try:
        randr = ctypes.CDLL("libXrandr.so.2")
    except OSError:
        return []
    randr.XRRGetMonitors.restype = ctypes.POINTER(_Monitor)
    count = ctypes.c_int()
    root = ctypes.c_ulong(x11.XDefaultRootWindow(server))
    found = randr.XRRGetMonitors(server, root, 1, ctypes.byref(count))
    if not found:
        return []
    told = found[: max(0, count.value)]
    areas = [(int(m.name), Area(m.x, m.y, m.width, m.height)) for m in told]
    randr.XRRFreeMonitors(found)
    return areas


class _Monitor(ctypes.Structure):
    """XRRMonitorInfo of Xrandr.h."""

    _fields_ = (
        ("name", ctypes.c_ulong),
        ("primary", ctypes.c_int),
        ("automatic", ctypes.c_int),
        ("noutput", ctypes.c_int),
        ("x", ctypes.c_int),
        ("y", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("mwidth", ctypes.c_int),
        ("mheight", ctypes.c_int),
        ("outputs", ctypes.c_void_p),
    )
