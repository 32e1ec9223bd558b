"""The show's end of the process that MIDI has: started, watched, started again.

All of it runs in the thread that polls, and never waits. A process that dies or says nothing for a
few seconds is ended and started again, after a pause that grows.
"""

import contextlib
import math
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from lwlive.stage.sources.midi.child import Failed, Heard, Order, Ports, Send, run

SILENCE_S = 5.0  # a process that says nothing for so long hangs
START_S = 20.0  # or one that has just been started, for so long
PAUSES_S = (0.5, 2.0, 5.0, 15.0, 60.0)  # before a new start, by failures in a row
SLEPT_S = 2.0  # a poll so late after the last tells of a machine that slept, or a busy one
MINUTE_S = 60.0  # one that lived for so long ends the row
MOST = 2000  # messages taken at one poll; more wait for the next

Start = Callable[[Order], tuple[BaseProcess, "Connection[Any, Any]"]]


def spawned(order: Order) -> tuple[BaseProcess, "Connection[Any, Any]"]:
    """The process, started, and this end of its pipe."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=run, args=(order, its), name="midi", daemon=True)
    process.start()
    its.close()
    return process, mine


class Link:
    """One process after the other. `say` gets what the person at the desk should know."""

    def __init__(self, order: Order, say: Callable[[str], None], start: Start = spawned) -> None:
        self._order, self._say, self._start = order, say, start
        self._process: BaseProcess | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._started_at = self._heard_at = -math.inf
        self._start_at = -math.inf
        self._polled_at = math.inf
        self._row = 0  # failures in a row
        self._dying: list[BaseProcess] = []  # killed, and not gone when last looked at

    def poll(self, now: float) -> Iterator[Ports | Heard]:
        """What it has said since the last call."""
        self._dying = [process for process in self._dying if process.is_alive()]
        if (slept := now - self._polled_at) > SLEPT_S:  # nor may MIDI's process have run
            self._heard_at += slept
        self._polled_at = now
        if self._pipe is None:
            if now >= self._start_at:
                self._started_at = self._heard_at = now
                try:
                    self._process, self._pipe = self._start(self._order)
                except OSError as error:
                    self._lost(now, error.strerror or str(error))
            return
        try:
            for _ in range(MOST):
                if not self._pipe.poll(0):
                    break
                message = self._pipe.recv()
                self._heard_at = now
                if isinstance(message, Failed):
                    self._lost(now, message.why)
                    return
                yield message
        except (EOFError, OSError):
            self._lost(now, "its process has ended")
            return
        young = now - self._started_at < START_S
        if now - self._heard_at > (START_S if young else SILENCE_S):
            self._lost(now, f"it has said nothing for {now - self._heard_at:.0f} s")

    def send(self, port: str, messages: list[bytes], now: float) -> bool:
        """Send to a box; False where it cannot be. A process that is silent is sent nothing."""
        if self._pipe is None or now - self._heard_at > SILENCE_S / 2:
            return False
        try:
            self._pipe.send(Send(port, messages))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.send(None)
        if self._process is not None:
            self._process.join(0.5)
        self._end()

    def _lost(self, now: float, why: str) -> None:
        self._end()
        self._row = 1 if now - self._started_at > MINUTE_S else self._row + 1
        pause = PAUSES_S[min(self._row, len(PAUSES_S)) - 1]
        self._start_at = now + pause
        self._say(f"MIDI was lost ({why}); it starts again in {pause:g} s")

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._dying.append(self._process)
        self._pipe = self._process = None
