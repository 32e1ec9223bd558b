"""The supply of pictures: the engine as the stage sees it, started, watched and started again.

All of it runs in the stage's main thread and never waits, but for a few milliseconds when an
engine is lost. From the first picture on there is one for every tick: a new frame, the last one
again when none is ready (late), or, while no frames come, the last seconds played slowly back and
forth. An engine may be renewed: another one starts beside it and takes its place once it has
frames, behind the same fade. The supply knows nothing of windows or torch; time is passed in.
"""

import enum
import logging
import math
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

from lwlive.messages import Doing, Failed, Heard, Loaded, Note, Running
from lwlive.ring import Frame, Pixels, Ring
from lwlive.routes import SILENCE
from lwlive.snapshot import Snapshot
from lwlive.stage.standby import Standby, mixed

log = logging.getLogger(__name__)

FADE_S = 1.0  # seconds to fade back into the walk
FREEZE_S = 0.7  # longer than this no picture stands still
STALL_S = 6.0  # a running engine without a frame for so long stands still,
STALL_TURNS = 16.0  # or for so many turns: 8 steps in place of 1, and guidance
LOADING_S = 300.0  # one that loads something and says nothing for so long stands still
PAUSES_S = (0.0, 0.0, 2.0, 5.0, 15.0, 60.0)  # before a new start, by deaths in a row
MINUTE_S = 60.0  # an engine that gave pictures for so long ends the row
SLEPT_S = 2.0  # a tick so late tells of a stage that did not run, not of an engine
READY_S = 0.3  # seconds of frames that a successor has, before it takes over
REAP_S = 0.02  # how long a lost engine is waited for, to learn how it ended
IN_FLIGHT = 1_000  # controls waited for; without an engine nothing answers them


class EngineFailure(RuntimeError):  # noqa: N818 - what it is, not what was raised
    """The engine failed before the first picture, and would again. The message says why."""


class Starter(Protocol):
    """Starts an engine: a child process that fills the ring, and this end of its pipe.

    phase: where on the walk it begins; since: when that was due, None for the first engine.
    """

    def __call__(
        self, ring: Ring, snapshot: Snapshot, phase: float, since: float | None
    ) -> tuple[BaseProcess, "Connection[Any, Any]"]: ...


@dataclass(frozen=True)
class Shown:
    """The picture of one tick."""

    pixels: Pixels  # [H, W, 3]
    frame: Frame | None  # the new frame it shows, None where a picture is repeated
    late: bool  # a frame was due and not there
    snapshot: Snapshot | None = None  # the controls that the new frame was made with
    asked: tuple[float, ...] = ()  # when the controls were asked for that it is the first to show
    before: bool = False  # it is of the show before this one: no engine has given any yet


@dataclass
class _Successor:
    """An engine that is to take the place of the present one."""

    engine: BaseProcess
    pipe: "Connection[Any, Any]"
    ring: Ring
    snapshot: Snapshot  # that it starts with
    since: float
    said: list[object] = field(default_factory=list)


class State(enum.Enum):
    """Where the pictures come from."""

    WALK = enum.auto()  # new frames, the last one again where none is ready
    STANDBY = enum.auto()  # the last seconds
    FADE = enum.auto()  # both, from the last seconds back into the walk


class Supply:
    """Pictures for every tick, whatever the engine does. A context manager."""

    def __init__(
        self,
        start: Starter,
        make_ring: Callable[[], Ring],
        fps: float,
        snapshot: Snapshot,
        now: float,
        delay_s: float = 0.0,
        phase: float = 0.0,
        kept: Sequence[Pixels] = (),  # of the show before, to be shown until there are others
    ) -> None:
        self._start_engine, self._make_ring, self._fps = start, make_ring, fps
        self._delay_s = delay_s  # from a picture to the audience's eyes
        self._tick_s = 1 / fps
        self._bands = SILENCE
        self._snapshot = self._sent = snapshot
        # controls that no picture shows yet, and when they were asked for, if that counts
        self._flight: deque[tuple[Snapshot, float | None]] = deque(maxlen=IN_FLIGHT)
        self._known = snapshot.version  # the newest of them
        self._unheard = False  # the engine has not said yet that it has those sent last
        self._engine: BaseProcess | None = None
        self._state = State.WALK
        self._newest: Pixels | None = None  # of the last new frame
        self._last: Pixels  # of the last tick, once there are pictures
        self._kept = Standby(fps)
        self._begun = False  # an engine has given a picture
        self._coming = Standby(fps)  # a new engine's, kept once they are faded in
        self._fade = math.ceil(FADE_S * fps)  # ticks
        self._fading = 0  # ticks left of fading back into the walk
        self._settling = 0  # ticks left of fading from `_still`, where a fade was broken off
        self._stands = 0  # ticks that the last frame still stands for
        self._moving = False  # frames have come from this engine
        self._loading = True  # it said so, and not yet that it samples
        self._row = 0  # deaths in a row
        self._start_at = math.inf  # when to start again
        self._dying: list[BaseProcess] = []  # killed, and not gone when last looked at
        self._failed: Failed | None = None
        self._successor: _Successor | None = None
        self._frame_at: float | None = None  # when the last new frame was shown
        self.phase = phase  # of the last frame shown, and where the first one is to be
        self.starts = self.deaths = 0
        self.doing = "starting"  # what the engine is busy with, before its first frame
        self.trouble = ""  # what the last engine was lost to, as a sentence
        self.loaded: Loaded | None = None
        self.running: Running | None = None
        self._replaced = 0  # by engines that are gone
        self.notes: deque[str] = deque(maxlen=16)  # sentences not shown yet, for the show
        self._ticked_at = self._signs_at = now  # when the last tick was, and the last sign of life
        if kept:  # an audience sees these first: the engine is started after they are shown
            self._kept.fill(kept)
            self._newest, self._state, self.doing = kept[-1], State.STANDBY, "waiting"
        else:
            self._start(now)

    def __enter__(self) -> "Supply":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engine and give its memory back."""
        self._abandon()
        if self._engine is not None:
            self._drop()
        for engine in self._dying:
            engine.join(1.0)

    @property
    def state(self) -> str:
        """The engine in a few words, for the HUD: lost until the next one's pictures come."""
        if self.running is None or not self._moving:
            return f"lost ({self.deaths} so far), {self.doing}" if self.deaths else self.doing
        return "compiled" if self.running.compiled else "not compiled"

    @property
    def queued(self) -> int:
        """Frames ready in the ring."""
        return self._ring.queued if self._engine is not None else 0

    @property
    def replaced(self) -> int:
        """Frames of the whole show that had NaN in them and were not shown."""
        return self._replaced + (self.running.replaced if self.running is not None else 0)

    @property
    def pid(self) -> int | None:
        """The engine's process, None while there is none."""
        return self._engine.pid if self._engine is not None else None

    @property
    def tick_s(self) -> float:
        """Seconds from one tick to the next; the engine follows where that changes."""
        return self._tick_s

    @tick_s.setter
    def tick_s(self, seconds: float) -> None:
        self._tick_s = seconds
        if self._engine is not None:
            self._ring.tick_s = seconds

    @property
    def bands(self) -> tuple[float, ...]:
        """The sound coming in; it holds for pictures made from now on, by a new engine too."""
        return self._bands

    @bands.setter
    def bands(self, values: tuple[float, ...]) -> None:
        if values is self._bands:
            return
        self._bands = values
        if self._engine is not None:
            self._ring.bands = values

    def send(self, snapshot: Snapshot, asked: float | None) -> None:
        """Give the engine new controls, asked for at that time; a new engine starts with them.

        None: no picture is awaited, as after a change of tempo. What waits for its moment is asked
        for then.
        """
        self._snapshot = snapshot
        self._fly(snapshot, asked)
        for later in snapshot.later:
            self._fly(later, later.due)
        self._post()

    def _fly(self, snapshot: Snapshot, asked: float | None) -> None:
        """These controls are under way, where they were not before."""
        if snapshot.version > self._known:
            self._known = snapshot.version
            self._flight.append((snapshot, asked))

    def renew(self, now: float) -> bool:
        """Start another engine beside this one, to take its place unseen; False where that fails.

        Both are in memory for as long as the new one loads.
        """
        if self._successor is not None or not self._moving or self._state is not State.WALK:
            return False
        try:
            ring = self._make_ring()
        except OSError as error:
            log.debug(f"no ring for another engine: {error}")
            return False
        ring.tick_s, ring.bands = self._tick_s, self._bands
        try:
            engine, pipe = self._start_engine(ring, self._snapshot, self.phase, self._frame_at)
        except OSError as error:
            ring.close()
            log.debug(f"no process for another engine: {error}")
            return False
        self._successor = _Successor(engine, pipe, ring, self._snapshot, now)
        return True

    @property
    def renewing(self) -> bool:
        """Whether another engine is loading, to take the place of the present one."""
        return self._successor is not None

    def _succeed(self, now: float) -> None:
        """Let a successor that is ready take over; one that failed is let go."""
        successor = self._successor
        assert successor is not None
        try:
            while successor.pipe.poll():
                successor.said.append(successor.pipe.recv())
                successor.ring.attached()
        except (EOFError, OSError):
            self._abandon("it has ended")
            return
        if any(isinstance(message, Failed) for message in successor.said):
            self._abandon("it has failed")
        elif now - successor.since > LOADING_S:
            self._abandon("it takes too long")
        elif successor.ring.queued >= READY_S * self._fps and self._state is State.WALK:
            self._drop(reap_s=0.0)
            self._stand_by()
            self._take_over(now)

    def _take_over(self, now: float) -> None:
        """The successor is the engine from now on."""
        successor, self._successor = self._successor, None
        assert successor is not None
        self._engine, self._pipe, self._ring = successor.engine, successor.pipe, successor.ring
        self._replaced, self.running = self.replaced, None
        self._ring.tick_s, self._ring.bands = self._tick_s, self._bands
        self._begin(successor.snapshot, now)
        for message in successor.said:
            self._heard(message, now)

    def _abandon(self, why: str = "") -> None:
        """End a successor."""
        if self._successor is None:
            return
        successor, self._successor = self._successor, None
        successor.engine.kill()
        self._dying.append(successor.engine)
        successor.pipe.close()
        successor.ring.close()
        if why:
            self.notes.append(f"the engine could not be renewed: {why}")

    def _post(self) -> None:
        """Send the newest controls. One message is under way at most: a full pipe would wait."""
        if self._engine is None or self._unheard or self._sent is self._snapshot:
            return
        self._sent, self._unheard = self._snapshot, True
        try:
            self._pipe.send_bytes(bytes(ForkingPickler.dumps(self._snapshot)))
        except OSError:  # its death is noticed by `tick`
            log.debug("the engine is gone: controls wait for the next one")

    def tick(self, now: float) -> Shown | None:
        """The picture of this tick, None before the very first. Raises EngineFailure."""
        self._dying = [engine for engine in self._dying if engine.is_alive()]
        if (slept := now - self._ticked_at) > SLEPT_S:  # this process, and maybe the machine
            self._signs_at += slept
        self._ticked_at = now
        if self._engine is not None:
            self._listen(now)
            self._post()
        elif now >= self._start_at:
            try:
                self._start(now)
            except OSError as error:  # no memory or no process to be had just now
                self._again(f"it cannot be started: {error}", now)
        if self._successor is not None and self._engine is not None:
            self._succeed(now)
        frame = self._taken(now)
        snapshot, asked = self._answered(frame, now)
        if frame is None and self._engine is not None:
            self._watch(now)
        if self._newest is None:
            return None
        if self._moving and now - self._signs_at > FREEZE_S:
            self._stand_by()
        self._last = self._picture()
        if self._engine is None and self._start_at == math.inf:
            self._start_at = now  # with the next tick
        late = frame is None and self._moving
        return Shown(self._last, frame, late, snapshot, asked, before=not self._begun)

    def _taken(self, now: float) -> Frame | None:
        """The new frame of this tick, if there is one."""
        if self._stands:
            self._stands -= 1
            return None
        frame = self._ring.take(now) if self._engine is not None else None
        if frame is None:
            return None
        frame = replace(frame, pixels=frame.pixels.copy())  # the slot is the ring's again
        self._begun = True
        if not self._moving:
            self._moving, self._moving_at = True, now
        if self._state is State.STANDBY:
            self._state, self._fading, self._coming = State.FADE, self._fade, Standby(self._fps)
        (self._coming if self._state is State.FADE else self._kept).add(frame.pixels)
        self._stands, self._newest, self.phase = frame.ticks - 1, frame.pixels, frame.phase
        self._frame_at = self._signs_at = now
        return frame

    def _picture(self) -> Pixels:
        """What this tick shows."""
        assert self._newest is not None
        if self._state is State.WALK:
            return self._newest
        if self._state is State.STANDBY:
            return self._back_and_forth()
        picture = mixed(self._back_and_forth(), self._newest, self._fading / (self._fade + 1))
        self._fading -= 1
        if not self._fading:
            self._state, self._kept, self._settling = State.WALK, self._coming, 0
        return picture

    def _back_and_forth(self) -> Pixels:
        """The next kept picture, faded to from the still one where a fade was broken off."""
        picture = self._kept.play()
        if self._settling:
            picture = mixed(self._still, picture, self._settling / (self._fade + 1))
            self._settling -= 1
        return picture

    def _stand_by(self) -> None:
        """Play what is kept, from what is on screen on."""
        if self._state is State.WALK:
            self._kept.rewind()
        elif self._state is State.FADE:  # on screen is a mix that is nowhere kept
            self._still, self._settling = self._last, self._fade
        self._state = State.STANDBY

    def _answered(
        self, frame: Frame | None, now: float
    ) -> tuple[Snapshot | None, tuple[float, ...]]:
        """The controls that a frame was made with, and when those it answers were asked for.

        Of a change that waits, or was called off while it did, nothing is answered.
        """
        if frame is None:
            return None, ()
        asked = []
        while self._flight and self._flight[0][0].version <= frame.version:
            self._shows, at = self._flight.popleft()
            if at is not None and at <= now + self._delay_s:
                asked.append(at)
        return self._shows, tuple(asked)

    def _start(self, now: float) -> None:
        """Start an engine. Raises OSError."""
        self._replaced, self.running = self.replaced, None
        ring = self._make_ring()
        ring.tick_s, ring.bands = self._tick_s, self._bands
        try:
            self._engine, self._pipe = self._start_engine(
                ring, self._snapshot, self.phase, self._frame_at
            )
        except BaseException:
            ring.close()
            raise
        self._ring = ring
        self._begin(self._snapshot, now)

    def _begin(self, snapshot: Snapshot, now: float) -> None:
        """Nothing is known yet of the engine that is there now. snapshot: that it starts with."""
        self._sent = self._shows = snapshot
        self._signs_at = now  # of life: a frame, a message
        self._moving, self._loading, self._unheard, self._failed = False, True, False, None
        self.doing = "starting"
        self.starts += 1

    def _listen(self, now: float) -> None:
        """Take in what the engine says; the end of its pipe is its death."""
        try:
            while self._pipe.poll():
                self._heard(self._pipe.recv(), now)
        except (EOFError, OSError):
            self._lost(now)

    def _heard(self, message: object, now: float) -> None:
        self._ring.attached()  # it has the ring, or could say nothing
        if not self._moving:
            self._signs_at = now
        if isinstance(message, Heard):
            self._unheard = False
        elif isinstance(message, Doing):
            self.doing, self._loading = message.text, True
        elif isinstance(message, Loaded):
            self.loaded = message
        elif isinstance(message, Running):
            self.running, self._loading = message, False
        elif isinstance(message, Note):
            self.notes.append(message.text)
        elif isinstance(message, Failed):
            self._failed = message

    def _watch(self, now: float) -> None:
        """End an engine that stands still."""
        assert self._engine is not None
        turns_s = STALL_TURNS * self.running.turn_s if self.running is not None else 0.0
        limit = LOADING_S if self._loading or not self._moving else max(STALL_S, turns_s)
        if now - self._signs_at > limit:
            self._failed = Failed(f"no picture for {now - self._signs_at:.0f} seconds")
            self._lost(now)
        elif not self._engine.is_alive():
            self._lost(now)

    def _lost(self, now: float) -> None:
        """The engine is gone: show what is kept."""
        failed, code = self._failed, self._drop()
        if failed is not None and failed.trace:
            log.debug(failed.trace)
        if failed is not None and failed.lasting and not self._begun:
            raise EngineFailure(failed.text)
        if self._newest is not None:
            self._stand_by()
        if self._moving and now - self._moving_at > MINUTE_S:
            self._row = 0
        self._moving, self._stands = False, 0
        why = failed.text if failed else _ending(code)
        if self._successor is None:
            self._again(why, now)
            return
        self.deaths, self._row = self.deaths + 1, self._row + 1
        self.trouble = f"engine lost ({why})"
        self.notes.append(f"{self.trouble}; another one was starting already")
        self._take_over(now)

    def _again(self, why: str, now: float) -> None:
        """Start another engine, later if this continues."""
        self.deaths += 1
        self._row += 1
        self.doing = "starting again"
        pause = PAUSES_S[min(self._row, len(PAUSES_S)) - 1]
        self._start_at = now + pause
        often = f", {self._row} times in a row" if self._row > 1 else ""
        when = f" in {pause:.0f} s" if pause else ""
        self.trouble = f"engine lost ({why}){often}"
        self.notes.append(f"{self.trouble}; starting again{when}")

    def _drop(self, reap_s: float = REAP_S) -> int | None:
        """End the engine and let go of its ring and pipe. Returns its exit code, if known yet."""
        assert self._engine is not None
        engine, self._engine = self._engine, None
        engine.kill()
        engine.join(reap_s)
        if engine.exitcode is None:  # a graphics driver may take its time
            self._dying.append(engine)
        self._pipe.close()
        self._ring.close()
        return engine.exitcode


def _ending(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "its pipe ended"
    if code < 0 and -code in {*signal.Signals}:
        return f"ended by {signal.Signals(-code).name}"
    return f"exit code {code}"


def starter(
    order: Callable[[Ring, Snapshot, float, float | None], Any], run: Callable[..., None]
) -> Starter:
    """A Starter that spawns `run(order, pipe)` as a child of this process.

    order: from ring, snapshot, phase and since to what the engine is asked.
    """
    context = multiprocessing.get_context("spawn")

    def start(
        ring: Ring, snapshot: Snapshot, phase: float, since: float | None
    ) -> tuple[BaseProcess, "Connection[Any, Any]"]:
        ours, theirs = context.Pipe()
        asked = order(ring, snapshot, phase, since)
        child = context.Process(target=run, args=(asked, theirs), name="engine", daemon=True)
        child.start()
        theirs.close()
        return child, ours

    return start
