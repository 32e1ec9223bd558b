"""The monitors: their sizes, their refresh rate, and an X server asked about them.

SDL knows a monitor only as it was at the start. This file knows no window.
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


class XServer:
    """The X server that SDL shows on."""

    def __init__(self, x11: ctypes.CDLL, server: int) -> None:
        self._x11, self._server = x11, ctypes.c_void_p(server)

    @classmethod
    def found(cls) -> "XServer | None":
        """The server; None where SDL shows on something else."""
        x11 = _x11()
        server = x11.XOpenDisplay(None) if x11 is not None else None
        return cls(x11, server) if x11 is not None and server else None

    @property
    def managed(self) -> bool:
        """Whether there is a window manager; it holds a selection of the server's (ICCCM)."""
        manager = ctypes.c_ulong(self._x11.XInternAtom(self._server, b"WM_S0", 0))
        return int(self._x11.XGetSelectionOwner(self._server, manager)) != 0

    def close(self) -> None:
        """Let go of the server."""
        self._x11.XCloseDisplay(self._server)

    def monitor_at(self, x: int, y: int) -> tuple[str | None, Area]:
        """The monitor that a point lies on, as it is now, and its name.

        Another monitor where none is there; the whole screen where none is known.
        """
        areas = _monitors(self._x11, self._server)
        for name, area in areas.items():
            if area.x <= x < area.x + area.width and area.y <= y < area.y + area.height:
                return name, area
        return next(iter(areas.items()), (None, self._screen()))

    def monitor(self, name: str | None, x: int, y: int) -> Area:
        """The monitor of a name, as it is now, or the one at a point where none has the name."""
        return _monitors(self._x11, self._server).get(name or "") or self.monitor_at(x, y)[1]

    def _screen(self) -> Area:
        root = ctypes.c_ulong(self._x11.XDefaultRootWindow(self._server))
        numbers = [ctypes.c_int() for _ in range(6)]  # x, y, width, height, border, depth
        above = ctypes.c_ulong()
        places = (above, *numbers)
        self._x11.XGetGeometry(self._server, root, *(ctypes.byref(one) for one in places))
        return Area(0, 0, numbers[2].value, numbers[3].value)


def named() -> dict[str, Area]:
    """The monitors of an X server by name, such as HDMI-1; empty where it names none."""
    x11 = _x11()
    server = ctypes.c_void_p(x11.XOpenDisplay(None)) if x11 is not None else None
    if x11 is None or not server:
        return {}
    found = _monitors(x11, server)
    x11.XCloseDisplay(server)
    return found


def _x11() -> ctypes.CDLL | None:
    """Xlib; None where SDL shows on something else, or brought its own, which cannot be asked."""
    if pygame.display.get_driver() != "x11":
        return None
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return None
    x11.XOpenDisplay.restype = x11.XGetAtomName.restype = ctypes.c_void_p
    x11.XInternAtom.restype = x11.XGetSelectionOwner.restype = ctypes.c_ulong
    x11.XDefaultRootWindow.restype = ctypes.c_ulong
    return x11


def _monitors(x11: ctypes.CDLL, server: ctypes.c_void_p) -> dict[str, Area]:
    """The monitors of a server, by name."""
    try:
        randr = ctypes.CDLL("libXrandr.so.2")
    except OSError:
        return {}
    randr.XRRGetMonitors.restype = ctypes.POINTER(_Monitor)
    count = ctypes.c_int()
    root = ctypes.c_ulong(x11.XDefaultRootWindow(server))
    told = randr.XRRGetMonitors(server, root, 1, ctypes.byref(count))
    if not told:
        return {}
    found = {}
    for one in told[: max(0, count.value)]:
        name = x11.XGetAtomName(server, ctypes.c_ulong(one.name))
        if name:
            text = ctypes.string_at(name).decode("utf-8", "replace")
            found[text] = Area(one.x, one.y, one.width, one.height)
            x11.XFree(ctypes.c_void_p(name))
    randr.XRRFreeMonitors(told)
    return found


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
