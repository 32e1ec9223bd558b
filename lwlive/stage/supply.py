"""The supply of pictures: the engine as the stage sees it, started, watched and started again.

All of it runs in the stage's main thread and never waits. From the first picture on there is one
for every tick: a new frame, the last one again when none is ready (late), or, while there is no
engine, the last seconds played slowly to and fro. The supply knows nothing of windows or torch;
time is passed in.
"""

import logging
import math
import multiprocessing
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import numpy as np

from lwlive.link import Doing, Failed, Loaded, Note, Running
from lwlive.params import Snapshot
from lwlive.ring import Frame, Pixels, Ring

log = logging.getLogger(__name__)

KEPT_S = 3.0  # seconds of pictures kept for playing to and fro
KEPT_BYTES = 256 * 2**20
FADE_S = 1.0  # seconds to fade back into the walk
STALL_S = 6.0  # a running engine without a frame for so long stands still
LOADING_S = 300.0  # an engine without a first frame for so long stands still
PAUSES_S = (0.0, 0.0, 2.0, 5.0, 15.0, 60.0)  # before a new start, by deaths within a minute
MINUTE_S = 60.0


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
        self._snapshot = snapshot
        self._engine: BaseProcess | None = None
        self._kept: deque[Pixels] = deque()
        self._coming: deque[Pixels] = deque()  # a new engine's, kept once they are faded in
        self._moving = False  # frames have come from this engine
        self._swing = 0  # ticks since the engine was lost, for playing to and fro
        self._fading = 0  # ticks left of fading back into the walk
        self._deaths: deque[float] = deque()  # times of those within the last minute
        self._start_at: float | None = None  # when to start again
        self._failed: Failed | None = None
        self.phase = 0.0  # of the last frame shown
        self.starts = self.deaths = 0
        self.doing = "starting"  # what the engine is busy with, before its first frame
        self.loaded: Loaded | None = None
        self.running: Running | None = None
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

    @property
    def state(self) -> str:
        """The engine in a word or two, for the HUD."""
        if self._engine is None:
            return f"lost, {self.deaths} times; starting again"
        if self.running is None or not self._moving:
            return self.doing
        return "compiled" if self.running.compiled else "not compiled"

    @property
    def queued(self) -> int:
        """Frames ready in the ring."""
        return self._ring.queued if self._engine is not None else 0

    @property
    def pid(self) -> int | None:
        """The engine's process, None while there is none."""
        return self._engine.pid if self._engine is not None else None

    def send(self, snapshot: Snapshot) -> None:
        """Give the engine new controls; a new engine starts with them."""
        self._snapshot = snapshot
        if self._engine is not None:
            try:
                self._pipe.send(snapshot)
            except OSError:  # its death is noticed by `tick`
                log.debug("the engine is gone: controls wait for the next one")

    def tick(self, now: float) -> Shown | None:
        """The picture of this tick, None before the very first. Raises EngineFailure."""
        if self._engine is None:
            if self._start_at is not None and now >= self._start_at:
                self._start(now)
        else:
            self._listen(now)
        frame = self._ring.take() if self._engine is not None else None
        if frame is not None:
            return self._new(frame, now)
        if self._engine is not None:
            self._watch(now)
        if not self._kept:
            return None
        if self._moving:
            return Shown(self._kept[-1], None, late=True)
        self._swing += 1
        return Shown(self._to_and_fro(), None, late=False)

    def _new(self, frame: Frame, now: float) -> Shown:
        frame = replace(frame, pixels=frame.pixels.copy())  # the slot is the ring's again
        pixels = frame.pixels
        if self._kept and not self._moving:
            self._fading = math.ceil(FADE_S * self._fps)
        self._moving, self._frame_at, self.phase = True, now, frame.phase
        if self._fading:
            self._swing += 1
            share = self._fading / (math.ceil(FADE_S * self._fps) + 1)
            shown = _mixed(self._to_and_fro(), pixels, share)
            self._fading -= 1
            self._coming.append(pixels)
            if not self._fading:
                self._kept, self._coming, self._swing = self._coming, deque(), 0
        else:
            shown = pixels
            self._kept.append(pixels)
        most = min(KEPT_S * self._fps, KEPT_BYTES / pixels.nbytes)
        while len(self._kept) > max(2, most):
            self._kept.popleft()
        return Shown(shown, frame, late=False)

    def _to_and_fro(self) -> Pixels:
        """A kept picture: back from the newest and forth again, at half speed, mixed between."""
        last = len(self._kept) - 1
        if last == 0:
            return self._kept[0]
        at = (self._swing / 2) % (2 * last)
        place = last - at if at <= last else at - last
        low = min(int(place), last - 1)
        return _mixed(self._kept[low + 1], self._kept[low], place - low)

    def _start(self, now: float) -> None:
        self._ring = self._make_ring()
        self._engine, self._pipe = self._start_engine(self._ring, self._snapshot, self.phase)
        self._started_at, self._frame_at, self._start_at = now, now, None
        self._moving, self._failed, self.running = False, None, None
        self._coming = deque()
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
            self.doing = message.text
        elif isinstance(message, Loaded):
            self.loaded = message
        elif isinstance(message, Running):
            self.running = message
        elif isinstance(message, Note):
            self.notes.append(message.text)
            log.warning(message.text)
        elif isinstance(message, Failed):
            self._failed = message

    def _watch(self, now: float) -> None:
        """End an engine that stands still."""
        assert self._engine is not None
        if now - self._frame_at > (STALL_S if self._moving else LOADING_S):
            self._failed = Failed(f"no picture for {now - self._frame_at:.0f} seconds")
            self._lost(now)
        elif not self._engine.is_alive():
            self._lost(now)

    def _lost(self, now: float) -> None:
        """The engine is gone: show what is kept, and start another, later if this goes on."""
        assert self._engine is not None
        failed, code = self._failed, self._engine.exitcode
        self._drop()
        if failed is not None and failed.trace:
            log.debug(failed.trace)
        if failed is not None and failed.lasting and not self._kept:
            raise EngineFailure(failed.text)
        self._kept.extend(self._coming)
        self.deaths += 1
        self._deaths.append(now)
        while self._deaths and now - self._deaths[0] > MINUTE_S:
            self._deaths.popleft()
        pause = PAUSES_S[min(len(self._deaths), len(PAUSES_S)) - 1]
        self._start_at = now + pause
        self._moving, self._fading, self._swing = False, 0, 0
        why = failed.text if failed else f"exit code {code}"
        again = "starting again" if not pause else f"starting again in {pause:.0f} s"
        note = f"engine lost ({why}), {len(self._deaths)} in the last minute; {again}"
        self.notes.append(note)
        log.warning(note)

    def _drop(self) -> None:
        assert self._engine is not None
        self._engine.kill()
        self._engine.join(1.0)
        self._pipe.close()
        self._ring.close()
        self._engine = None


def _mixed(old: Pixels, new: Pixels, share: float) -> Pixels:
    """`share` of the old picture and the rest of the new one."""
    part = np.uint16(round(256 * share))
    both = old.astype(np.uint16) * part + new.astype(np.uint16) * (np.uint16(256) - part)
    return (both >> 8).astype(np.uint8)


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
