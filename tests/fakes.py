"""Fakes that several tests share: a clock, an engine without a process, a screen, OSC.

Nothing here imports torch, pygame or av, since spawned children import this file too.
"""

import math
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from lwlive.commands import Command
from lwlive.messages import Begin, Heard, Running
from lwlive.params import Params
from lwlive.ring import Frame, Pixels, Ring
from lwlive.routes import SILENCE
from lwlive.snapshot import Snapshot
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.midi import child as midi
from lwlive.stage.status import Status
from lwlive.stage.supply import Shown

SPAWN = multiprocessing.get_context("spawn")


class SimulatedClock:
    """Time that passes only where the test says so."""

    def __init__(self, time: float = 100.0) -> None:
        self.time = time

    def now(self) -> float:
        return self.time

    def sleep_until(self, due: float) -> None:
        self.time = max(self.time, due)


def flat(level: float, side: int = 8) -> Pixels:
    """A picture of one grey."""
    return np.full((side, side, 3), round(level), np.uint8)


def checksummed(number: int, side: int = 16) -> Pixels:
    """A picture that is noise of its own number, so that a torn or swapped one shows."""
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)


def stream(handle: Any, frames: int) -> None:
    """A writer in a process of its own: so many numbered, checksummed frames into the ring."""
    ring = Ring.attach(handle)
    for number in range(frames):
        ring.put(Frame(checksummed(number), number, number // 7, number / 8, True))
    ring.close()


RUNNING = Running("cpu", "float32", 4, False, 9.0, 2.0, 1, 0.04)


class FakeEngine:
    """An engine without a process: its ring and its pipe are real, its life is the test's.

    Looks like a multiprocessing process to the supply. `look` draws the picture of a phase.
    """

    def __init__(
        self,
        ring: Ring,
        snapshot: Snapshot,
        begin: Begin,
        look: Callable[[float], Pixels],
    ) -> None:
        self.ours, self.theirs = multiprocessing.Pipe()
        self.handle = ring.handle
        self.first, self.phase, self.look, self.begin = snapshot, begin.phase, look, begin
        self.newest = snapshot
        self.number = 0
        self.exitcode: int | None = None
        self.lingers = False  # does not go immediately when killed
        self.killed = False
        self.pid = 4711
        self._ring: Ring | None = Ring.attach(ring.handle)

    def make(self, count: int = 1, step: float = 1 / 30, ticks: int = 1) -> None:
        """Put so many frames into the ring, each made with the newest controls heard."""
        self.hear()
        for _ in range(count):
            self.phase += step
            frame = Frame(
                self.look(self.phase),
                self.number,
                self.newest.version,
                self.phase,
                True,
                ticks=ticks,
            )
            assert self._ring is not None
            assert self._ring.put(frame, wait=False), "the ring is full"
            self.number += 1
            if self.number == 1:
                self.say(RUNNING)  # as engines do after their first frame

    def hear(self) -> None:
        """Read what came down the pipe, and say so, as engines do."""
        while self.theirs.poll():
            self.newest = self.theirs.recv()
            self.say(Heard(self.newest.version))

    def say(self, message: object) -> None:
        self.theirs.send(message)

    def die(self, code: int = -9) -> None:
        if self._ring is not None:
            self.exitcode = code
            self.theirs.close()
            self._ring.close()
            self._ring = None

    def kill(self) -> None:
        self.killed = True
        if not self.lingers:
            self.die()

    def join(self, timeout: float | None = None) -> None:
        assert timeout is not None, "the stage may not wait for ever"

    def is_alive(self) -> bool:
        return self.exitcode is None


class FakeEngines:
    """Starts fake engines and keeps them all; `refuse` makes starting fail."""

    def __init__(self, look: Callable[[int], Callable[[float], Pixels]]) -> None:
        self.all: list[FakeEngine] = []
        self.look = look  # number of the engine -> what its pictures look like
        self.refuse = False

    def __call__(
        self, ring: Ring, snapshot: Snapshot, begin: Begin
    ) -> tuple[Any, "Connection[Any, Any]"]:
        if self.refuse:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        engine = FakeEngine(ring, snapshot, begin, self.look(len(self.all)))
        self.all.append(engine)
        return engine, engine.ours

    @property
    def last(self) -> FakeEngine:
        return self.all[-1]


class FakeHost:
    """What a show asks and tells of its engine."""

    def __init__(self) -> None:
        self.sent: list[Snapshot] = []
        self.asked: deque[tuple[Snapshot, float | None]] = deque()
        self.notes: deque[str] = deque()
        self.loaded: Any = None
        self.running: Any = None
        self.doing, self.state, self.queued, self.pid = "loading", "not compiled", 3, None
        self.starts, self.deaths, self.phase, self.trouble = 1, 0, 0.0, ""
        self.replaced = 0
        self.tick_s = 1 / 30
        self.bands = SILENCE

    def send(self, snapshot: Snapshot, asked: float | None) -> None:
        self.sent.append(snapshot)
        self.asked.append((snapshot, asked))


class FakeSupply:
    """A supply that shows grey frames, `lag` ticks after the controls they are made with.

    `plan` may hold what the next ticks give: "new", "late", "repeat" or None (no picture yet).
    """

    def __init__(self, lag: int = 3) -> None:
        self.plan: deque[str | None] = deque()
        self.host = FakeHost()
        self.ticks = 0
        self.continues = False
        self.closed = False
        self.pixels = flat(200)
        self._lag = deque([0] * lag)  # versions that the next pictures show
        self._shows: Snapshot | None = None

    def __enter__(self) -> "FakeSupply":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def renew(self, now: float) -> bool:
        assert now > 0
        return False

    def tick(self, now: float) -> Shown | None:
        assert now > 0
        what = self.plan.popleft() if self.plan else "new"
        if what is None:
            return None
        if what != "new":
            return Shown(self.pixels, None, late=what == "late")
        self.ticks += 1
        sent, waiting = self.host.sent, self.host.asked
        self._lag.append(sent[-1].version if sent else 0)
        frame = Frame(self.pixels, self.ticks, self._lag.popleft(), self.ticks / 30, True)
        asked = []
        while waiting and waiting[0][0].version <= frame.version:
            self._shows, at = waiting.popleft()
            asked += [] if at is None else [at]
        shows = self._shows or Snapshot(0, Params())
        return Shown(self.pixels, frame, False, shows, tuple(asked))


class FakeScreen:
    """A window: `keys` is what is pressed next, `cost` what a call to `show` takes in seconds."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.keys: dict[int, list[Command]] = {}  # tick -> commands
        self.costs: dict[int, float] = {}  # tick -> seconds
        self.tick = 0  # the one to come
        self.hz: float | None = None  # of a monitor that pictures wait for
        self.shown_at: list[float] = []
        self.levels: list[float] = []
        self.huds: list[list[str] | None] = []
        self.notices: list[str | None] = []
        self.splashes: list[list[str]] = []
        self.keep = True
        self.open = True

    @property
    def refresh_hz(self) -> float | None:
        return self.hz

    def presses(self) -> list[tuple[Command, float]]:
        return [(command, self.clock.now()) for command in self.keys.pop(self.tick, [])]

    def show(
        self, pixels: Pixels, master: float, hud: list[str] | None, notice: str | None
    ) -> None:
        assert pixels.dtype == np.uint8
        if self.keep:
            self.shown_at.append(self.clock.now())
            self.levels.append(master)
            self.huds.append(hud)
            self.notices.append(notice)
        self.clock.time += self.costs.get(self.tick, 0.0)
        if self.hz is not None:  # until the monitor shows it
            self.clock.time = math.ceil(self.clock.time * self.hz) / self.hz
        self.tick += 1

    def splash(self, lines: list[str], elapsed: float, master: float, notice: str | None) -> None:
        assert elapsed >= 0
        assert 0 <= master <= 1
        assert notice != ""
        self.splashes.append(lines)
        self.tick += 1

    @property
    def said(self) -> list[str]:
        """The different sentences shown, in their order."""
        spoken = [notice for notice in self.notices if notice]
        return [text for i, text in enumerate(spoken) if i == 0 or spoken[i - 1] != text]


class FakeOsc(Source):
    """OSC without a socket: at a tick it yields commands, having done what the test wants done."""

    name = "osc"

    def __init__(self) -> None:
        self.arrives: dict[int, list[Command]] = {}
        self.happens: dict[int, Callable[[], object]] = {}
        self.waited_s = 0.0  # since a command arrived, when it is polled
        self.tick = 0  # the one to come
        self.told: list[dict[str, object]] = []
        self.changes: list[dict[str, str]] = []
        self.refusals: list[str] = []
        self.closed = False

    def poll(self, now: float) -> list[Arrived]:
        self.happens.pop(self.tick, bool)()
        asked = self.arrives.pop(self.tick, [])
        return [Arrived(command, "osc test", now - self.waited_s) for command in asked]

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:
        assert now > 0
        self.tick += 1
        self.told[:] = [status.values()]
        self.changes += [dict(changes)] if changes else []

    def refused(self, arrived: Arrived, why: str) -> None:
        assert arrived.by == "osc test"
        self.refusals.append(why)

    def summary(self) -> dict[str, int]:
        return {"received": 5, "applied": 4, "refused": 1}

    def close(self) -> None:
        self.closed = True


class FakeRecorder:
    """A recorder that keeps what is put into it. Set `refuses` on a subclass to have it fail."""

    made: list["FakeRecorder"]  # a fresh list in each subclass
    refuses: str | None = None
    opened = True

    def __init__(
        self,
        path: Any,
        fps: float,
        width: int,
        height: int,
        about: Any,
        fresh: bool = False,
        codec: str = "h264",
        tap: Any = None,
    ) -> None:
        self.codec, self.tap = codec, tap
        self.path, self.fps, self.size, self.about = path, fps, (width, height), about
        self.fresh = fresh
        self.pictures: list[Pixels] = []
        self.numbers: list[int] = []
        self.dropped = 0
        self.failed: str | None = self.refuses
        self.closed = False
        if not self.failed:
            self.made.append(self)

    @property
    def frames(self) -> int:
        return len(self.pictures)

    def put(self, pixels: Pixels, number: int, now: float = 0.0) -> None:
        assert not self.closed
        assert now > 0
        if self.failed is None:
            self.pictures.append(pixels)
            self.numbers.append(number)

    def close(self) -> None:
        self.closed = True

    def leave(self) -> None:
        """Nothing is left to be made of it."""


class FakeEars:
    """The process that MIDI has, without one."""

    def __init__(self) -> None:
        self.waiting: list[midi.Ports | midi.Heard] = []
        self.sent: list[tuple[str, bytes]] = []
        self.takes = True
        self.closed = False

    def poll(self, now: float) -> Iterable[midi.Ports | midi.Heard]:
        assert now > 0
        waiting, self.waiting = self.waiting, []
        return waiting

    def send(self, port: str, messages: list[bytes], now: float) -> bool:
        assert now > 0
        if self.takes:
            self.sent.extend((port, data) for data in messages)
        return self.takes

    def close(self) -> None:
        self.closed = True
