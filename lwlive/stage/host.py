"""The engine's process as the stage sees it: started, heard, watched, renewed and started again.

All of it runs in the stage's main thread and never waits, but for a few milliseconds when an
engine is lost. An engine may be renewed: another one starts beside it and takes its place once it
has frames. The host knows nothing of what is on screen, of windows or of torch; time is passed in.
"""

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess

from lwlive.messages import Begin, Doing, Failed, Loaded, Note, Running
from lwlive.ring import Frame, Ring
from lwlive.routes import SILENCE
from lwlive.snapshot import Snapshot
from lwlive.stage.engine import LOADING_S, Engine, Starter, ending
from lwlive.stage.successor import Successor
from lwlive.stage.underway import Underway

log = logging.getLogger(__name__)

STALL_S = 6.0  # a running engine without a frame for so long stands still,
STALL_TURNS = 16.0  # or for so many turns: 8 steps in place of 1, and guidance
PAUSES_S = (0.0, 0.0, 2.0, 5.0, 15.0, 60.0)  # before a new start, by deaths in a row
MINUTE_S = 60.0  # an engine that gave pictures for so long ends the row
SLEPT_S = 2.0  # a tick so late tells of a stage that did not run, not of an engine
READY_S = 0.3  # seconds of frames that a successor has, before it takes over
FIRST_S = 0.1  # so long a first frame waits for the second, or the walk would begin with a halt
REAP_S = 0.02  # how long a lost engine is waited for, to learn how it ended


class EngineFailure(RuntimeError):  # noqa: N818 - what it is, not what was raised
    """The engine failed before the first picture, and would again. The message says why."""


class Host:
    """Has an engine run, whatever happens to it. A context manager.

    Starts the first one, and raises OSError where that fails. phase: where on the walk it begins.
    later: there are other pictures to be shown at the first tick, and it starts with the second.
    """

    def __init__(
        self,
        start: Starter,
        make_ring: Callable[[], Ring],
        fps: float,
        snapshot: Snapshot,
        now: float,
        delay_s: float = 0.0,
        phase: float = 0.0,
        later: bool = False,
    ) -> None:
        self._start_engine, self._make_ring, self._fps = start, make_ring, fps
        self._tick_s = 1 / fps
        self._bands = SILENCE
        self._snapshot = snapshot
        self.underway = Underway(snapshot, delay_s)
        self._engine: Engine | None = None
        self._stands = 0  # ticks that the last frame still stands for
        self.moving = False  # frames have come from this engine
        self.begun = False  # frames have come from any
        self._waiting: float | None = None  # since when its first frame is there
        self._loading = True  # it said so, and not yet that it samples
        self._row = 0  # deaths in a row
        self._start_at = math.inf  # when to start again
        self._dying: list[BaseProcess] = []  # killed, and not gone when last looked at
        self._failed: Failed | None = None
        self._successor: Successor | None = None
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
        if later:
            self.doing = "waiting"
        else:
            self._start(now)

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engine and give its memory back."""
        self._abandon()
        if self._engine is not None:
            self._drop()
        for process in self._dying:
            process.join(1.0)

    @property
    def state(self) -> str:
        """The engine in a few words, for the HUD: lost until the next one's pictures come."""
        if self.running is None or not self.moving:
            return f"lost ({self.deaths} so far), {self.doing}" if self.deaths else self.doing
        return "compiled" if self.running.compiled else "not compiled"

    @property
    def queued(self) -> int:
        """Frames ready in the ring."""
        return self._engine.ring.queued if self._engine is not None else 0

    @property
    def replaced(self) -> int:
        """Frames of the whole show that had NaN in them and were not shown."""
        return self._replaced + (self.running.replaced if self.running is not None else 0)

    @property
    def pid(self) -> int | None:
        """The engine's process, None while there is none."""
        return self._engine.process.pid if self._engine is not None else None

    @property
    def tick_s(self) -> float:
        """Seconds from one tick to the next; the engine follows where that changes."""
        return self._tick_s

    @tick_s.setter
    def tick_s(self, seconds: float) -> None:
        self._tick_s = seconds
        if self._engine is not None:
            self._engine.ring.tick_s = seconds

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
            self._engine.ring.bands = values

    def send(self, snapshot: Snapshot, asked: float | None) -> None:
        """Give the engine new controls, asked for at that time; a new engine starts with them.

        None: no picture is awaited, as after a change of tempo. What waits for its moment is asked
        for then.
        """
        self._snapshot = snapshot
        self.underway.sent(snapshot, asked)
        for engine in self._engines():
            engine.post(snapshot)

    def _engines(self) -> list[Engine]:
        """Those that work: the one whose pictures are shown, and one that is to take its place."""
        found = [self._engine] if self._engine is not None else []
        return found + ([self._successor.engine] if self._successor is not None else [])

    def renew(self, now: float) -> bool:
        """Start another engine beside this one, to take its place unseen; False where that fails.

        Both are in memory for as long as the new one loads.
        """
        if self._successor is not None or not self.moving:
            return False
        try:
            engine = self._started(beside=True)
        except OSError as error:
            log.debug(f"another engine cannot be started: {error}")
            return False
        self._successor = Successor(engine, now)
        return True

    @property
    def renewing(self) -> bool:
        """Whether another engine is loading, to take the place of the present one."""
        return self._successor is not None

    def attend(self, now: float, settled: bool) -> bool:
        """Listen to the engine, or start again. False where the one there was so far is gone.

        settled: what is on screen is the engine's alone, and a successor may take its place.
        Raises EngineFailure.
        """
        self._dying = [process for process in self._dying if process.is_alive()]
        if (slept := now - self._ticked_at) > SLEPT_S:  # this process, and maybe the machine
            self._signs_at += slept
        self._ticked_at = now
        stays = True
        if self._engine is not None:
            stays = self._listen(now)
            for engine in self._engines():
                engine.post(self._snapshot)
        elif now >= self._start_at:
            try:
                self._start(now)
            except OSError as error:  # no memory or no process to be had just now
                self._again(f"it cannot be started: {error}", now)
        elif self._start_at == math.inf:
            self._start_at = now  # with the next tick
        if self._successor is not None and self._engine is not None:
            stays = self._succeed(now, settled) and stays
        return stays

    def take(self, now: float) -> Frame | None:
        """The new frame of this tick, if there is one."""
        if self._stands:
            self._stands -= 1
            return None
        if not self.moving and not self._flows(now):
            return None
        frame = self._engine.ring.take(now) if self._engine is not None else None
        if frame is None:
            return None
        frame = replace(frame, pixels=frame.pixels.copy())  # the slot is the ring's again
        self.begun = True
        if not self.moving:
            self.moving, self._moving_at = True, now
        self._stands, self.phase = frame.ticks - 1, frame.phase
        self._frame_at = self._signs_at = now
        return frame

    def _flows(self, now: float) -> bool:
        """Whether a new engine's frames are to be shown: more than one is there, or one for long.

        The second one takes a whole batch, which may be longer than a tick.
        """
        if not self.queued:
            return False
        if self._waiting is None:
            self._waiting = now
        return self.queued > 1 or now - self._waiting >= FIRST_S

    def still_s(self, now: float) -> float:
        """For how long an engine that has given frames gives none."""
        return now - self._signs_at if self.moving else 0.0

    def watch(self, now: float) -> bool:
        """Look after an engine that gives no frame at this tick. False where it is gone.

        One that stands still is ended. Raises EngineFailure.
        """
        if self._engine is None:
            return True
        turns_s = STALL_TURNS * self.running.turn_s if self.running is not None else 0.0
        limit = LOADING_S if self._loading or not self.moving else max(STALL_S, turns_s)
        if now - self._signs_at > limit:
            self._failed = Failed(f"no picture for {now - self._signs_at:.0f} seconds")
            self._lost(now)
            return False
        if not self._engine.process.is_alive():
            self._lost(now)
            return False
        return True

    def _succeed(self, now: float, settled: bool) -> bool:
        """Let a successor that is ready take over; one that failed is let go.

        Returns whether the present engine stays.
        """
        assert self._successor is not None
        if why := self._successor.failure(now):
            self._abandon(why)
        elif self._successor.frames >= READY_S * self._fps and settled:
            self._drop()
            self._take_over(now)
            return False
        return True

    def _take_over(self, now: float) -> None:
        """The successor is the engine from now on."""
        successor, self._successor = self._successor, None
        assert successor is not None
        self._replaced, self.running = self.replaced, None
        ring = successor.engine.ring
        ring.tick_s, ring.bands = self._tick_s, self._bands
        self._begin(successor.engine, now)
        for message in successor.said:
            self._heard(message, now)

    def _abandon(self, why: str = "") -> None:
        """End a successor."""
        if self._successor is None:
            return
        successor, self._successor = self._successor, None
        self._end(successor.engine)
        if why:
            self.notes.append(f"the engine could not be renewed: {why}")

    def _start(self, now: float) -> None:
        """Start an engine. Raises OSError."""
        self._replaced, self.running = self.replaced, None
        self._begin(self._started(), now)

    def _started(self, beside: bool = False) -> Engine:
        """An engine that begins where the last frame was, or is by then. Raises OSError."""
        ring = self._make_ring()
        ring.tick_s, ring.bands = self._tick_s, self._bands
        begin = Begin(self.phase, self._frame_at, beside)
        return Engine(self._start_engine, ring, self._snapshot, begin)

    def _begin(self, engine: Engine, now: float) -> None:
        """This is the engine from now on, and nothing is known of it yet."""
        self._engine = engine
        self.underway.begin(engine.first)
        self._signs_at = now  # of life: a frame, a message
        self.moving, self._waiting, self._loading, self._failed = False, None, True, None
        self.doing = "starting"
        self.starts += 1

    def _listen(self, now: float) -> bool:
        """Take in what the engine says. False where its pipe ends, which is its death."""
        assert self._engine is not None
        try:
            for message in self._engine.messages():
                self._heard(message, now)
        except (EOFError, OSError):
            self._lost(now)
            return False
        return True

    def _heard(self, message: object, now: float) -> None:
        if not self.moving or (self._loading and isinstance(message, Running)):
            self._signs_at = now
        if isinstance(message, Doing):
            self.doing, self._loading = message.text, True
        elif isinstance(message, Loaded):
            self.loaded = message
        elif isinstance(message, Running):
            self.running, self._loading = message, False
        elif isinstance(message, Note):
            self.notes.append(message.text)
        elif isinstance(message, Failed):
            self._failed = message

    def _lost(self, now: float) -> None:
        """The engine is gone: one that starts already takes its place, or another is to start."""
        failed, code = self._failed, self._drop(REAP_S)
        if failed is not None and failed.trace:
            log.debug(failed.trace)
        if failed is not None and failed.lasting and not self.begun:
            raise EngineFailure(failed.text)
        if self.moving and now - self._moving_at > MINUTE_S:
            self._row = 0
        self.moving, self._stands = False, 0
        why = failed.text if failed else ending(code)
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

    def _drop(self, reap_s: float = 0.0) -> int | None:
        """End the engine. Returns its exit code, if known yet."""
        assert self._engine is not None
        engine, self._engine = self._engine, None
        return self._end(engine, reap_s)

    def _end(self, engine: Engine, reap_s: float = 0.0) -> int | None:
        code = engine.end(reap_s)
        if code is None:  # a graphics driver may take its time
            self._dying.append(engine.process)
        return code
