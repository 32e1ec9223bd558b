"""One engine as the stage sees it: a process, this end of its pipe, and the ring it fills.

All of it runs in the stage's main thread and never waits. It knows neither what an engine says nor
what becomes of the show when it ends.
"""

import logging
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

from lwlive.messages import Begin, Heard
from lwlive.ring import Ring
from lwlive.snapshot import Snapshot

log = logging.getLogger(__name__)

# So many bytes fit into an empty pipe: Linux holds three times as many; the 8 KB of macOS and
# Windows have not been tried.
PIPE_BYTES = 2**16 if sys.platform == "linux" else 2**13 - 64
LOADING_S = 300.0  # one that loads something and says nothing for so long stands still


class Starter(Protocol):
    """Starts an engine: a child process that fills the ring, and this end of its pipe.

    begin: where on the walk.
    """

    def __call__(
        self, ring: Ring, snapshot: Snapshot, begin: Begin
    ) -> tuple[BaseProcess, "Connection[Any, Any]"]: ...


class Engine:
    """A process that was started with a ring and these controls. Raises OSError where it cannot be.

    It owns the ring, also where it cannot be started. begin: where on the walk.
    """

    def __init__(self, start: Starter, ring: Ring, snapshot: Snapshot, begin: Begin) -> None:
        self.ring = ring
        self.first = self._sent = snapshot  # the controls that it starts with
        self._unheard = False  # it has not said yet that it has those sent last
        try:
            self.process, self._pipe = start(ring, snapshot, begin)
        except BaseException:
            ring.close()
            raise

    def messages(self) -> Iterator[object]:
        """What it has said since it was asked last. Raises EOFError or OSError where it is gone."""
        while self._pipe.poll():
            message = self._pipe.recv()
            self.ring.attached()  # it has the ring, or could say nothing
            if isinstance(message, Heard):
                self._unheard = False
            yield message

    def post(self, snapshot: Snapshot) -> None:
        """Send the newest controls. One message is under way at most: a full pipe would wait.

        Of what waits for its moment it hears as much as the pipe holds, the earliest first. Of the
        rest it hears when some of that has come, since the controls are others then.
        """
        if self._unheard or self._sent is snapshot:
            return
        self._sent, self._unheard = snapshot, True
        try:
            self._pipe.send_bytes(_fitting(snapshot))
        except OSError:  # its death is noticed where it is listened to
            log.debug("the engine is gone: controls wait for the next one")

    def end(self, reap_s: float = 0.0) -> int | None:
        """End it and let go of its ring and pipe. Returns its exit code, if known by then."""
        self.process.kill()
        self.process.join(reap_s)
        self._pipe.close()
        self.ring.close()
        return self.process.exitcode


def _fitting(snapshot: Snapshot) -> bytes:
    """The controls as they are sent, with as many of the later ones as fit."""
    data = bytes(ForkingPickler.dumps(snapshot))
    while len(data) > PIPE_BYTES and snapshot.later:
        count = len(snapshot.later)
        fit = min(count - 1, count * PIPE_BYTES // len(data))
        snapshot = replace(snapshot, later=snapshot.later[:fit])
        data = bytes(ForkingPickler.dumps(snapshot))
    return data


def ending(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "its pipe ended"
    if code < 0 and -code in {*signal.Signals}:
        return f"ended by {signal.Signals(-code).name}"
    return f"exit code {code}"


def starter(order: Callable[[Ring, Snapshot, Begin], Any], run: Callable[..., None]) -> Starter:
    """A Starter that spawns `run(order, pipe)` as a child of this process.

    order: from ring, snapshot and begin to what the engine is asked.
    """
    context = multiprocessing.get_context("spawn")

    def start(
        ring: Ring, snapshot: Snapshot, begin: Begin
    ) -> tuple[BaseProcess, "Connection[Any, Any]"]:
        ours, theirs = context.Pipe()
        asked = order(ring, snapshot, begin)
        child = context.Process(target=run, args=(asked, theirs), name="engine", daemon=True)
        child.start()
        theirs.close()
        return child, ours

    return start
