"""The supply of pictures: the engine as the stage sees it, started, watched and started again.

All of it runs in the stage's main thread and never waits, but for a few milliseconds when an
engine is lost. From the first picture on there is one for every tick: a new frame, the last one
again when none is ready (late), or, while there is no engine, the last seconds played slowly to and
fro. The supply knows nothing of windows or torch; time is passed in.
"""

import logging
import math
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

from lwlive.link import Doing, Failed, Loaded, Note, Running
from lwlive.params import Snapshot
from lwlive.ring import Frame, Pixels, Ring
from lwlive.stage.kept import Kept, mixed

log = logging.getLogger(__name__)

FADE_S = 1.0  # seconds to fade back into the walk
FREEZE_S = 0.7  # longer than this no picture stands still
STALL_S = 6.0  # a running engine without a frame for so long stands still,
STALL_TURNS = 16.0  # or for so many turns: 8 steps in place of 1, and guidance
LOADING_S = 300.0  # one that loads something for so long stands still
PAUSES_S = (0.0, 0.0, 2.0, 5.0, 15.0, 60.0)  # before a new start, by deaths in a row
MINUTE_S = 60.0  # an engine that gave pictures for so long ends the row
REAP_S = 0.02  # how long a lost engine is waited for, to learn how it ended
UNREAD_BYTES = 6000  # of controls that no frame has shown yet; macOS's pipes hold 8192


class EngineFailure(RuntimeError):  # noqa: N818 - what it is, not what was raised
    """The engine failed before the first picture, and would again. The message says why."""


class Starter(Protocol):
    """Starts an engine: a child process that fills the ring, and this end of its pipe."""

    def __call__(
        self, ring: Ring, snapshot: Snapshot, phase: float
    ) -> tuple[BaseProcess, "Connection[Any, Any]"]: ...


@dataclass(frozen=True)
class Shown:
    """The picture of one tick."""

    pixels: Pixels  # [H, W, 3]
    frame: Frame | None  # the new frame it shows, None where a picture is repeated
    late: bool  # a frame was due and not there


class Supply:
    """Pictures for every tick, whatever the engine does. A context manager."""

    def __init__(
        self,
        start: Starter,
        make_ring: Callable[[], Ring],
        fps: float,
        snapshot: Snapshot,
        now: float,
    ) -> None:
        self._start_engine, self._make_ring, self._fps = start, make_ring, fps
        self._snapshot = self._sent = snapshot
        self._engine: BaseProcess | None = None
        self._last: Pixels  # of the last tick, once there are pictures
        self._kept = Kept(fps)
        self._coming = Kept(fps)  # a new engine's, kept once they are faded in
        self._fade = math.ceil(FADE_S * fps)  # ticks
        self._frozen = False  # it gives none at present, and the kept ones are played
        self._moving = False  # frames have come from this engine
        self._loading = True  # it said so, and not yet that it samples
        self._fading = 0  # ticks left of fading back into the walk
        self._settling = 0  # ticks left of fading from `_still`, where an engine died in its fade
        self._row = 0  # deaths in a row
        self._start_at = math.inf  # when to start again
        self._dying: list[BaseProcess] = []  # killed, and not gone when last looked at
        self._unread: deque[tuple[int, int]] = deque()  # (version, bytes) sent, in no frame yet
        self._failed: Failed | None = None
        self.phase = 0.0  # of the last frame shown
        self.starts = self.deaths = 0
        self.doing = "starting"  # what the engine is busy with, before its first frame
        self.trouble = ""  # what the last engine was lost to, as a sentence
        self.loaded: Loaded | None = None
        self.running: Running | None = None
        self._replaced = 0  # by engines that are gone
        self.notes: deque[str] = deque(maxlen=16)  # sentences not shown yet, for the show
        self._start(now)

    def __enter__(self) -> "Supply":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engine and give its memory back."""
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
        """Frames of the whole show that had values that are no numbers, and were not shown."""
        return self._replaced + (self.running.replaced if self.running is not None else 0)

    @property
    def pid(self) -> int | None:
        """The engine's process, None while there is none."""
        return self._engine.pid if self._engine is not None else None

    def send(self, snapshot: Snapshot) -> None:
        """Give the engine new controls; a new engine starts with them."""
        self._snapshot = snapshot
        self._post()

    def _post(self) -> None:
        """Send the newest controls, later where too much is unread: a full pipe would wait."""
        if self._engine is None or self._sent is self._snapshot:
            return
        message = bytes(ForkingPickler.dumps(self._snapshot))
        if self._unread and sum(size for _, size in self._unread) + len(message) > UNREAD_BYTES:
            return
        self._sent = self._snapshot
        self._unread.append((self._snapshot.version, len(message)))
        try:
            self._pipe.send_bytes(message)
        except OSError:  # its death is noticed by `tick`
            log.debug("the engine is gone: controls wait for the next one")

    def tick(self, now: float) -> Shown | None:
        """The picture of this tick, None before the very first. Raises EngineFailure."""
        self._dying = [engine for engine in self._dying if engine.is_alive()]
        if self._engine is not None:
            self._listen(now)
            self._post()
        elif now >= self._start_at:
            try:
                self._start(now)
            except OSError as error:  # no memory or no process to be had just now
                self._again(f"it cannot be started: {error}", now)
        frame = self._ring.take() if self._engine is not None else None
        if frame is not None:
            return self._new(frame, now)
        if self._engine is not None:
            self._watch(now)
        if not self._kept:
            return None
        if self._moving and (self._fading or now - self._frame_at <= FREEZE_S):
            return Shown(self._last, None, late=True)
        if self._moving and not self._frozen:
            self._frozen = True
            self._kept.rewind()
        self._last = self._to_and_fro()
        return Shown(self._last, None, late=self._moving)

    def _new(self, frame: Frame, now: float) -> Shown:
        frame = replace(frame, pixels=frame.pixels.copy())  # the slot is the ring's again
        pixels = frame.pixels
        if not self._moving:
            self._moving, self._moving_at = True, now
            self._fading = self._fade if self._kept else 0
        elif self._frozen:
            self._fading = self._fade
        self._frozen = False
        self._frame_at, self.phase = now, frame.phase
        while self._unread and self._unread[0][0] <= frame.version:
            self._unread.popleft()
        if self._fading:
            share = self._fading / (self._fade + 1)
            self._last = mixed(self._to_and_fro(), pixels, share)
            self._coming.add(pixels)
            self._fading -= 1
            if not self._fading:
                self._kept, self._coming, self._settling = self._coming, Kept(self._fps), 0
        else:
            self._last = pixels
            self._kept.add(pixels)
        return Shown(self._last, frame, late=False)

    def _to_and_fro(self) -> Pixels:
        """The next kept picture, faded to from the still one where an engine died in its fade."""
        picture = self._kept.play()
        if self._settling:
            picture = mixed(self._still, picture, self._settling / (self._fade + 1))
            self._settling -= 1
        return picture

    def _start(self, now: float) -> None:
        """Start an engine. Raises OSError."""
        self._replaced, self.running = self.replaced, None
        ring = self._make_ring()
        try:
            self._engine, self._pipe = self._start_engine(ring, self._snapshot, self.phase)
        except BaseException:
            ring.close()
            raise
        self._ring, self._frame_at, self._sent = ring, now, self._snapshot
        self._moving, self._loading, self._failed = False, True, None
        self._unread.clear()
        self.doing = "starting"
        self.starts += 1

    def _listen(self, now: float) -> None:
        """Take in what the engine says; the end of its pipe is its death."""
        try:
            while self._pipe.poll():
                self._heard(self._pipe.recv())
        except (EOFError, OSError):
            self._lost(now)

    def _heard(self, message: object) -> None:
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

    def _watch(self, now: float) -> None:
        """End an engine that stands still."""
        assert self._engine is not None
        turns_s = STALL_TURNS * self.running.turn_s if self.running is not None else 0.0
        limit = LOADING_S if self._loading or not self._moving else max(STALL_S, turns_s)
        if now - self._frame_at > limit:
            self._failed = Failed(f"no picture for {now - self._frame_at:.0f} seconds")
            self._lost(now)
        elif not self._engine.is_alive():
            self._lost(now)

    def _lost(self, now: float) -> None:
        """The engine is gone: show what is kept."""
        failed, code = self._failed, self._drop()
        if failed is not None and failed.trace:
            log.debug(failed.trace)
        if failed is not None and failed.lasting and not self._kept:
            raise EngineFailure(failed.text)
        if self._fading:  # on screen is a mix that is nowhere kept: go on from there
            self._still, self._settling = self._last, self._fade
        elif self._moving and not self._frozen:
            self._kept.rewind()
        if self._moving and now - self._moving_at > MINUTE_S:
            self._row = 0
        self._moving, self._frozen, self._fading, self._coming = False, False, 0, Kept(self._fps)
        self._again(failed.text if failed else _ending(code), now)

    def _again(self, why: str, now: float) -> None:
        """Start another engine, later if this goes on."""
        self.deaths += 1
        self._row += 1
        self.doing = "starting again"
        pause = PAUSES_S[min(self._row, len(PAUSES_S)) - 1]
        self._start_at = now + pause
        often = f", {self._row} times in a row" if self._row > 1 else ""
        when = f" in {pause:.0f} s" if pause else ""
        self.trouble = f"engine lost ({why}){often}"
        self.notes.append(f"{self.trouble}; starting again{when}")

    def _drop(self) -> int | None:
        """End the engine and let go of its ring and pipe. Returns its exit code, if known yet."""
        assert self._engine is not None
        engine, self._engine = self._engine, None
        engine.kill()
        engine.join(REAP_S)
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


def starter(order: Callable[[Ring, Snapshot, float], Any], run: Callable[..., None]) -> Starter:
    """A Starter that spawns `run(order, pipe)` as a child of this process."""
    context = multiprocessing.get_context("spawn")

    def start(
        ring: Ring, snapshot: Snapshot, phase: float
    ) -> tuple[BaseProcess, "Connection[Any, Any]"]:
        ours, theirs = context.Pipe()
        child = context.Process(
            target=run, args=(order(ring, snapshot, phase), theirs), name="engine", daemon=True
        )
        child.start()
        theirs.close()
        return child, ours

    return start
