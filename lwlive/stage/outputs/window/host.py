"""The window as the stage sees it: in a process of its own, opened again whenever it is gone.

All of it runs in the stage's main thread, as the one `Screen` of the show. It waits for the
monitor where pictures are shown in step with one, a tenth of a second at most, and 20 ms for the
end of a process that is lost; otherwise it waits for nothing. Where the window is lost, with its X
server, its compositor or by its graphics driver, the show continues without it, and the next
process opens a window as soon as there is a screen, where the last one was. This file knows nothing
of how anything is drawn.
"""

import contextlib
import logging
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Self

import numpy as np

from lwlive import shared
from lwlive.checkpoint import Size
from lwlive.commands import Command
from lwlive.ring import Pixels
from lwlive.stage.outputs.window.geometry import Fit
from lwlive.stage.outputs.window.process import (
    Broken,
    Draw,
    Missing,
    Open,
    Splash,
    Told,
    Wanted,
    run,
)
from lwlive.stage.qrcode import Code

log = logging.getLogger(__name__)

FIRST_S = 20.0  # a window has so long to open or to say why it cannot,
SOON_S = 5.0  # and the first one where the show can play without it
VSYNC_S = 0.1  # how long a picture may wait for the monitor
HANG_S = 5.0  # a window that has not drawn its picture for so long is ended
SLEPT_S = 2.0  # a stage that did not look for so long did not run
PAUSES_S = (0.0, 1.0, 2.0, 5.0)  # before a new process, by windows lost in a row
STEADY_S = 60.0  # a window that was open for so long ends the row
GONE = "its screen or its driver has gone"
END_S = 2.0  # how long the end waits for the window to close

Spawn = Callable[[Wanted], tuple[BaseProcess, "Connection[Any, Any]"]]


class NoWindow(RuntimeError):  # noqa: N818 - not a fault: many machines have no screen
    """No window can be opened now. `monitor`: there is a screen, and not the monitor asked for."""

    def __init__(self, why: str, monitor: bool = False) -> None:
        super().__init__(why)
        self.monitor = monitor


class Host:
    """Starts and watches the window's process. A context manager, which waits for the window.

    Entering it raises NoWindow where there is no screen for the first window, unless it `waits`
    for one, and ImportError where what draws is not installed.
    """

    def __init__(
        self,
        title: str,
        fullscreen: bool,
        monitor: str,
        fit: Fit,
        vsync: bool,
        picture: Size,
        waits: bool = False,
        code: Code | None = None,  # the page's address, for phones
        say: Callable[[str], None] = log.info,
        spawn: "Spawn | None" = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._say, self._clock, self._spawn = say, clock, spawn or _spawn
        self._waits = waits
        self._wanted = Wanted(title, fullscreen, monitor, fit, vsync, picture, "", code)
        self._memory: SharedMemory | None = None  # that the present process gets its pictures in
        self._process: BaseProcess | None = None
        self._missing: Missing | None = None
        self._presses: list[tuple[Command, float]] = []
        self._row = self.lost = self.opened = 0  # processes in a row; windows
        self._start_at, self._looked = -np.inf, self._clock()
        self.open = False  # whether there is a window at present
        self._begun = False  # the first process has said whether there is one
        self._start()

    def _begin(self) -> None:
        """Wait until the first window is open, or says why it is not."""
        until = time.monotonic() + (SOON_S if self._waits else FIRST_S)
        while not self.open and self._missing is None and self._process is not None:
            if time.monotonic() > until:
                self._missing = Missing("the window does not open", False)
            else:
                self._listen(0.05)
        missing = self._missing
        if not self.open and missing is None:
            missing = Missing("the window's process has ended", False)
        if missing is not None and not self._waits:
            raise NoWindow(missing.why, missing.monitor)
        if missing is not None:
            self._say(f"{missing.why}; the window opens as soon as there is one")

    def __enter__(self) -> Self:
        try:
            self._begin()
            self._begun = True
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the window and end its process."""
        if self._process is not None:
            self._pipe.close()
            self._process.join(END_S)
            self._process.kill()
            self._process.join(END_S)
            self._process = None
        self._release()

    def _release(self) -> None:
        """Give the memory back, which both sides had open or nobody."""
        if self._memory is not None:
            del self._pixels
            if not self.open:
                self._memory.unlink()
            self._memory.close()
            self._memory = None

    def _forget(self) -> None:
        """What is known of a window ends with it."""
        self._release()
        self.open = False
        self._hz: float | None = None
        self._asked: float | None = None  # since when it opens, or draws what it was given
        self._open_at = np.inf

    @property
    def refresh_hz(self) -> float | None:
        """The monitor's rate; None where pictures do not wait for it."""
        return self._hz

    @property
    def pid(self) -> int | None:
        """The window's process."""
        return self._process.pid if self._process is not None else None

    def presses(self) -> list[tuple[Command, float]]:
        """What keys have asked for since the last call, and when."""
        now = self._clock()
        if self._asked is not None and now - self._looked > SLEPT_S:
            self._asked += now - self._looked  # this process did not run, nor may the window have
        self._looked = now
        if self._process is None:
            if now >= self._start_at:
                self._start()
        else:
            self._listen()
            asked = self._asked
            done, most_s = ("drawn nothing", HANG_S) if self.open else ("not opened", FIRST_S)
            if asked is not None and now - asked > most_s:
                self._gone(f"it has {done} for {now - asked:.0f} s")
            elif self._process is not None and not self._process.is_alive():
                self._gone(GONE)
        presses, self._presses = self._presses, []
        return presses

    def show(
        self, pixels: Pixels, master: float, hud: list[str] | None, notice: str | None
    ) -> None:
        """Show one picture. It is left out where the one before is not drawn yet."""
        if self._free():
            np.copyto(self._pixels, pixels)
            self._send(Draw(master, hud, notice))
            if self._hz is not None:
                self._await()

    def splash(self, lines: list[str], elapsed: float, master: float, notice: str | None) -> None:
        """Show what is being loaded."""
        if self._free():
            self._send(Splash(list(lines), elapsed, master, notice))

    def _free(self) -> bool:
        self._listen()
        return self.open and self._asked is None

    def _await(self) -> None:
        """Until the picture is on the screen, which keeps the ticks in step with the monitor."""
        until = self._clock() + VSYNC_S
        while self._asked is not None and (left := until - self._clock()) > 0:
            self._listen(left)

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # that it is gone is noticed when it is listened to
            self._pipe.send(message)
            self._asked = self._clock()

    def _start(self) -> None:
        self._forget()
        width, height = self._wanted.picture
        try:
            self._memory = shared.memory(width * height * 3)
            self._pixels = np.ndarray((height, width, 3), np.uint8, self._memory.buf)
            self._wanted = replace(self._wanted, memory=self._memory.name)
            self._process, self._pipe = self._spawn(self._wanted)
            self._asked = self._clock()
        except OSError as error:  # no memory or no process to be had just now
            self._process = None
            self._again(f"it cannot be started: {error}")

    def _listen(self, seconds: float = 0.0) -> None:
        """Hear what the window's process says, waiting so long for the first of it."""
        if self._process is None:
            return
        try:
            while self._pipe.poll(seconds):  # on Windows it raises where the process has ended
                self._heard(self._pipe.recv())
                seconds = 0.0
        except EOFError as error:
            self._gone(str(error) or GONE)
        except OSError:
            self._gone(GONE)

    def _heard(self, message: object) -> None:
        if isinstance(message, Open):
            assert self._memory is not None
            self._memory.unlink()  # both have it: nothing is left of it when both have ended
            self.open, self._open_at, self._missing = True, self._clock(), None
            self._asked = None
            if self.opened:
                self._say(f"the window is back, on monitor {message.monitor}")
            self.opened += 1
        elif isinstance(message, Broken):
            if self._begun:  # what draws was there when the show began: it is tried again
                raise EOFError(message.why)
            raise ImportError(message.why, name=message.module)
        elif isinstance(message, Missing):
            if self.opened and message != self._missing:
                log.info(f"no window: {message.why}")
            self._missing = message
            self._asked = self._clock()  # it tries again
        elif isinstance(message, Told):
            self._presses += message.presses
            self._hz = message.refresh_hz
            self._wanted = replace(self._wanted, place=message.place)
            for line in message.log:
                log.error(line)
            if message.drawn:
                self._asked = None

    def _gone(self, why: str) -> None:
        """The window is lost: the show continues without it."""
        process = self._process
        assert process is not None
        self._process = None
        process.kill()
        process.join(0.02)
        self._pipe.close()
        was_open = self.open
        if was_open and self._clock() - self._open_at > STEADY_S:
            self._row = 0
        self.lost += was_open
        self._forget()
        self._again(why if self.opened else "its process has ended")

    def _again(self, why: str) -> None:
        self._start_at = self._clock() + PAUSES_S[min(self._row, len(PAUSES_S) - 1)]
        self._row += 1
        self._missing = None
        if self.opened:
            self._say(f"the window is lost ({why}); the show continues, and opens it again")


def _spawn(wanted: Wanted) -> tuple[BaseProcess, "Connection[Any, Any]"]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=run, args=(wanted, theirs), name="window", daemon=True)
    child.start()
    theirs.close()
    return child, ours
