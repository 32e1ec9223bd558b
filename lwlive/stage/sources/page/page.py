"""The page as a part of the show: its process looked after, commands up, state and pictures down.

The process starts with the show's first tick: where a show starts again, its last pictures are on
the screen before anything else gets a core.

| thread, process | runs | may wait for |
|---|---|---|
| the show's | `poll`, `tell`, `put`, `refused` | a lock held for a few dictionary operations |
| page | starts the process, receives from it, starts it again | that process |
| the page's process | the web server (see `process`) | what it likes |

Nothing that a browser does reaches the show's thread but commands that were checked, the newest of
each address. Downwards everything is a level on the board, which is written without waiting.
"""

import json
import math
import multiprocessing
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from lwlive.checkpoint import Size
from lwlive.commands import Command, Fire
from lwlive.recent import Recent
from lwlive.stage.parts import Arrived, Output, Picture, Source
from lwlive.stage.sources.page.address import Address
from lwlive.stage.sources.page.board import Board, BoardHandle
from lwlive.stage.sources.page.state import written
from lwlive.stage.status import Status

STATE_S = 1 / 30  # between two states while somebody is there,
ALONE_S = 1.0  # and while nobody is
PICTURE_S = 1 / 15  # least time between two pictures
EARLY_S = 0.004  # that much too early a tick still counts, so that rates are those of the show's
PAUSES_S = (0.0, 1.0, 5.0, 15.0, 60.0)  # before a new start, by failures in a row
MINUTE_S = 60.0  # a process that served for so long ends the row
CLOSE_S = 1.0  # how long the process has to end
ANSWERS = 64  # refusals that are kept for whoever reads the state late


class Asked(NamedTuple):
    """A good message on its way to the show, as the page's process sends it."""

    key: str  # of several with one key, the newest counts
    command: Command
    client: int
    at: float


@dataclass(frozen=True)
class Order:
    """What the page's process needs to know."""

    address: Address
    sockets: tuple[socket.socket, ...]  # listening already
    board: BoardHandle
    osc_port: int | None  # None: OSC is off, and so is OSCQuery
    osc_host: str
    osc_allow: tuple[str, ...]
    folder: str  # where presets are


Starter = Callable[[Order], "tuple[BaseProcess, Connection[Any, Any]]"]


class Page(Source, Output):
    """The page of one show. `start` starts its process; `say` is for the person at the desk.

    recent: the lines of the log that it shows.
    """

    name = "page"

    def __init__(
        self,
        order: Callable[[BoardHandle], Order],
        size: Size,
        say: Callable[[str], None],
        recent: Recent,
        start: "Starter | None" = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._order, self._say, self._size, self._clock = order, say, size, clock
        self._start = start or started
        self._recent = recent
        self._log = 0, "[]"  # how many lines there had been, and the newest as JSON
        self._answers: deque[tuple[int, int, str]] = deque(maxlen=ANSWERS)
        self._refused = self._applied = 0
        self._told_at = self._picture_at = -math.inf
        self._too_long = False
        self.pid: int | None = None  # of its process; written by the page thread
        self._stop = threading.Event()
        self._lock = threading.Lock()  # guards the next four
        self._board: Board | None = None
        self._gone: list[Board] = []  # boards of processes that have ended
        self._asked: dict[str, Asked] = {}
        self._notes: list[str] = []  # sentences to say
        self._thread = threading.Thread(target=self._look_after, name="page", daemon=True)
        self._start_at = -math.inf  # when the thread is started, where it is not yet

    def close(self) -> None:
        """End the process."""
        self._stop.set()
        if self._thread.ident is not None:  # it was started
            self._thread.join(2 * CLOSE_S)
        self._tidy()

    def summary(self) -> Mapping[str, Any]:
        """The counts, for the statistics."""
        board = self._board
        there = board.there if board is not None else 0
        return {"clients": there, "applied": self._applied, "refused": self._refused}

    def poll(self, now: float) -> Sequence[Arrived]:  # noqa: ARG002 - commands bring their own
        """What was asked for since the last call, the newest of each address."""
        with self._lock:
            asked, self._asked = self._asked, {}
            notes, self._notes = self._notes, []
        self._tidy()
        for note in notes:
            self._say(note)
        self._applied += len(asked)
        return [Arrived(one.command, f"page {one.client}", one.at) for one in asked.values()]

    def refused(self, arrived: Arrived, why: str) -> None:
        """Whoever asked hears why not."""
        self._applied -= 1
        self._refused += 1
        self._answers.append((self._refused, int(arrived.by.rpartition(" ")[2]), why))
        self._told_at = -math.inf

    def put(self, picture: Picture) -> None:
        """Let people see it, where there are any."""
        board, now = self._board, picture.status.now
        if board is None:
            return
        board.shown(now, picture.shown.frame is not None)
        if board.looking and now - self._picture_at >= PICTURE_S - EARLY_S:
            self._picture_at = now
            board.put_picture(picture.pixels)

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:  # noqa: ARG002
        """Write how things stand; the first time, start the process."""
        if self._thread.ident is None and now >= self._start_at:
            self._begin(now)
        board = self._board
        if board is None:
            return
        board.ticked(now)
        period = STATE_S if board.there else ALONE_S
        if now - self._told_at < period - EARLY_S:
            return
        self._told_at = now
        if self._recent.count != self._log[0]:
            self._log = self._recent.count, json.dumps(self._recent.lines(), ensure_ascii=False)
        state = written(status, list(self._answers), self._log[1])
        if not board.put_state(state) and not self._too_long:
            self._too_long = True
            self._say(f"the page cannot be sent how things stand: {len(state)} bytes are too many")

    def _begin(self, now: float) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:  # no memory for a thread, or too many
            self._start_at = now + PAUSES_S[-1]
            self._say(f"there is no page yet: {error}; it is tried again")

    def _tidy(self) -> None:
        """Let go of boards that nobody writes any more; only the show's thread writes."""
        with self._lock:
            gone, self._gone = self._gone, []
        for board in gone:
            board.close()
            self._answers.clear()  # the next process numbers its clients from 1 again

    # What follows runs in the page thread.

    def _look_after(self) -> None:
        """The thread, whole."""
        row = 0
        while not self._stop.is_set():
            since = self._clock()
            why = self._serve()
            if self._stop.is_set():
                return
            row = 1 if self._clock() - since > MINUTE_S else row + 1
            pause = PAUSES_S[min(row, len(PAUSES_S)) - 1]
            again = f"again in {pause:.0f} s" if pause else "again"
            with self._lock:
                self._notes.append(f"the page stopped ({why}); it starts {again}")
            self._stop.wait(pause)

    def _serve(self) -> str:
        """One life of the process; returns what it ended with, in words."""
        try:
            board = Board.create(self._size.height, self._size.width)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        try:
            process, pipe = self._start(self._order(board.handle))
        except Exception as error:  # no memory, too many processes: the show continues
            board.forget_name()
            board.close()
            return f"{error}"
        self.pid = process.pid
        why = self._receive(board, pipe)
        self.pid = None
        pipe.close()
        process.join(CLOSE_S)
        if process.exitcode is None:
            process.kill()
            process.join(CLOSE_S)
        board.forget_name()
        with self._lock:
            self._board = None
            self._gone.append(board)
        return why or f"exit code {process.exitcode}"

    def _receive(self, board: Board, pipe: "Connection[Any, Any]") -> str | None:
        """Until the process ends, or the show does. A sentence is why it cannot continue."""
        try:
            while not self._stop.is_set():
                if not pipe.poll(0.2):
                    continue
                message = pipe.recv()
                if message is None:  # it has opened the board
                    board.forget_name()
                    with self._lock:
                        self._board = board
                elif isinstance(message, str):
                    return message
                else:
                    self._take(message)
            pipe.send(None)
        except (EOFError, OSError):
            pass
        return None

    def _take(self, batch: Sequence[Asked]) -> None:
        with self._lock:
            for one in batch:
                older = self._asked.pop(one.key, None)
                if older is not None and isinstance(one.command, Fire):
                    one = one._replace(at=older.at)  # the first press is the one that is felt
                self._asked[one.key] = one


def started(order: Order) -> "tuple[BaseProcess, Connection[Any, Any]]":
    """Start the page's process."""
    from lwlive.stage.sources.page.process import run

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(order, theirs), name="lwlive-page", daemon=True)
    process.start()
    theirs.close()
    return process, ours
