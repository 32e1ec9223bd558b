"""The window's process: draws what the stage has put into shared memory, and tells its keys.

One thread. It waits for the pipe, for the monitor, and for a screen where there is none. Xlib ends
the process whose X server is gone, and a graphics driver may do the same or hang: here they take
the window with them and nothing else. On Wayland the process ends by itself when the compositor has
ended, unless SDL or libdecor hangs on that. It ends with its pipe, too, which is the stage's.
"""

import contextlib
import logging
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

import numpy as np

from lwlive.checkpoint import Size
from lwlive.commands import Command
from lwlive.stage.outputs.window.geometry import Fit, Place
from lwlive.stage.qrcode import Code

if TYPE_CHECKING:
    from lwlive.stage.outputs.window.display import Display

POLL_S = 0.004  # between two looks at the keys while no picture comes
AGAIN_S = 0.25  # between two looks for a screen


@dataclass(frozen=True)
class Wanted:
    """What kind of window it is to be."""

    title: str
    fullscreen: bool
    monitor: str
    fit: Fit
    vsync: bool
    picture: Size
    memory: str  # name of the shared memory that pictures come in
    code: Code | None = None  # the page's address, for phones
    place: Place | None = None  # where the window was before


@dataclass(frozen=True)
class Draw:
    """Stage to window: show the picture that is in the memory."""

    master: float
    hud: list[str] | None
    notice: str | None


@dataclass(frozen=True)
class Splash:
    """Stage to window: show what is being loaded."""

    lines: list[str]
    elapsed: float
    master: float
    notice: str | None


@dataclass(frozen=True)
class Open:
    """Window to stage: it is open."""

    monitor: str  # its name where the system tells one, else its number


@dataclass(frozen=True)
class Missing:
    """Window to stage, at every look: there is no screen, or not that monitor."""

    why: str
    monitor: bool  # there is a screen, and not the monitor


@dataclass(frozen=True)
class Broken:
    """Window to stage: no window can ever be opened by what is installed here."""

    why: str
    module: str | None  # that is missing; None where `why` says it all


@dataclass(frozen=True)
class Told:
    """Window to stage: what keys have asked for, and how the window stands."""

    presses: list[tuple[Command, float]]
    refresh_hz: float | None
    place: Place
    drawn: bool  # the picture last asked for is on the screen
    log: list[str]


def run(wanted: Wanted, pipe: "Connection[Any, Any]") -> None:
    """Entry of the spawned child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the stage's to answer
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _run(wanted, pipe)


def _run(wanted: Wanted, pipe: "Connection[Any, Any]") -> None:
    memory = SharedMemory(wanted.memory)
    width, height = wanted.picture
    said = _Said()
    logging.getLogger().addHandler(said)
    try:
        display = _opened(wanted, pipe)
    except ImportError as error:
        pipe.send(Broken(str(error), error.name))
        return
    pixels = np.ndarray((height, width, 3), np.uint8, memory.buf)
    try:
        pipe.send(Open(display.monitor))
        for message in _messages(pipe):
            if isinstance(message, Draw):
                display.show(pixels, message.master, message.hud, message.notice)
            elif isinstance(message, Splash):
                display.splash(message.lines, message.elapsed, message.master, message.notice)
            presses = display.presses()
            if presses or said.lines or message is not None:
                hz, place, drawn = display.refresh_hz, display.place, message is not None
                pipe.send(Told(presses, hz, place, drawn, said.taken()))
            if display.lost:
                return
    finally:
        display.close()
        del pixels
        memory.close()


class _Said(logging.Handler):
    """What is logged in this process, for the stage's log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def taken(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


def _opened(wanted: Wanted, pipe: "Connection[Any, Any]") -> "Display":
    """The window, however long it takes until there is a screen for it."""
    from lwlive.stage.outputs.window.display import Display
    from lwlive.stage.outputs.window.screens import NoMonitor, NoScreen

    while True:
        try:
            return Display(
                wanted.title,
                wanted.fullscreen,
                wanted.monitor,
                wanted.fit,
                wanted.vsync,
                wanted.picture,
                code=wanted.code,
                place=wanted.place,
            )
        except (NoMonitor, NoScreen) as error:
            pipe.send(Missing(str(error), isinstance(error, NoMonitor)))
        until = time.monotonic() + AGAIN_S
        while (left := until - time.monotonic()) > 0:
            if pipe.poll(left):
                pipe.recv()  # nothing is asked of a window that is not open, but to end


def _messages(pipe: "Connection[Any, Any]") -> Iterator[Draw | Splash | None]:
    """What is to be drawn, None every POLL_S where there is nothing. Raises EOFError."""
    while True:
        yield pipe.recv() if pipe.poll(POLL_S) else None
