"""Capture: an audio input as blocks of samples, for as long as it is wanted.

| thread | runs | may wait for |
|---|---|---|
| whoever takes `blocks` | opening, watching, opening again | the sound system, and the next block |
| the library's | puts what came into a bounded queue | nothing |

The library says nothing when a device is pulled out or a sound server ends: no more blocks come,
and that is all. So a watchdog counts the time since the last one, closes the device and opens it
again, after pauses that grow; by then the device may be back. What there is to say about it is
said once, not at every try.

Whoever wants the sound itself, as a recording does, takes a `Tap`. This file knows nothing of what
is done with the sound.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lwlive.stage.sources.audio.devices import (
    BLOCK_MS,
    CHANNELS,
    RATE,
    USUAL,
    AudioError,
    Opener,
    Put,
    opened,
)

log = logging.getLogger(__name__)

QUIET_S = 0.1  # without a block for so long, there is silence
LOST_S = 2.5  # and for so long, the device is lost; an idle PulseAudio sink rests for up to two
PAUSES_S = (0.5, 1.0, 2.0, 5.0)  # before it is opened again, by failures in a row
BACK_S = 1.0  # of sound that ends the row
HELD = 400  # blocks that may wait, two seconds of sound
CREEP = 1e-3  # by which a device's clock may be slow
JUMP_S = 0.1  # a stamp that is later than expected by this: blocks were lost


Came = queue.SimpleQueue[tuple[bytearray, float]]  # blocks, and when each of them came


class Block(NamedTuple):
    """Some samples, and when the first of them came in."""

    frames: npt.NDArray[np.float32]  # [n, CHANNELS]; nobody writes into them
    at: float  # seconds of the show's clock, evened out


class Tap:
    """Blocks for one who takes them in a thread of its own, with `popleft` or `taken`.

    Holds the newest ones; those that were not taken in time are counted in `lost`. Safe for one
    thread that puts, the capture's, and one that takes. Stamps tell where blocks are missing.
    """

    def __init__(self, most: int) -> None:
        self._blocks: deque[Block] = deque(maxlen=most)
        self.lost = 0

    def put(self, block: Block) -> None:
        """One more; never waits."""
        if len(self._blocks) == self._blocks.maxlen:
            self.lost += 1
        self._blocks.append(block)

    def taken(self) -> list[Block]:
        """What came since the last call, in its order; never waits."""
        found = []
        while self._blocks:
            try:
                found.append(self._blocks.popleft())
            except IndexError:  # the putting side has just made room
                break
        return found


class Capture:
    """One input, by name. `blocks` is taken by one thread; everything else is for any thread."""

    def __init__(
        self,
        wanted: str = USUAL,
        say: Callable[[str], None] = log.info,
        clock: Callable[[], float] = time.perf_counter,
        opener: Opener | None = None,
    ) -> None:
        self._wanted, self._say, self._clock = wanted, say, clock
        self._open = opened if opener is None else opener
        self._taps: tuple[Tap, ...] = ()
        self.name: str | None = None  # of the open device, while it gives sound
        self.losses = 0
        self.skipped = 0  # blocks that nobody took in time

    def tap(self, seconds: float = 10.0) -> Tap:
        """All blocks from now on; so much of them is held. May be asked of any thread."""
        tap = Tap(round(seconds * 1e3 / BLOCK_MS))
        self._taps = (*self._taps, tap)
        return tap

    def untap(self, tap: Tap) -> None:
        """That tap gets no more."""
        self._taps = tuple(one for one in self._taps if one is not tap)

    def blocks(self, stop: threading.Event) -> Iterator[Block | None]:
        """Block after block until `stop` is set; None wherever there has been none for a while."""
        row, told = 0, ""
        while not stop.is_set():
            came: Came = queue.SimpleQueue()
            try:
                device = self._open(self._wanted, self._putting(came))
            except AudioError as error:
                trouble = str(error)
            else:
                try:
                    for block, sounding in self._listened(came, stop):
                        if sounding and self.name is None:
                            self.name = device.name
                            self._say(f"listening to {device.name}")
                            told, row = "", 0
                        yield block
                finally:
                    device.close()
                if stop.is_set():
                    return
                trouble = f"no sound comes from {device.name} any more"
                self.losses += self.name is not None
                self.name = None
            if trouble != told:
                told = trouble
                self._say(f"{trouble}; trying again")
            ends = self._clock() + PAUSES_S[min(row, len(PAUSES_S) - 1)]
            row += 1
            while self._clock() < ends and not stop.wait(QUIET_S):
                yield None

    def _putting(self, came: Came) -> Put:
        def put(samples: bytearray) -> None:
            if came.qsize() < HELD:
                came.put((samples, self._clock()))
            else:
                self.skipped += 1

        return put

    def _listened(self, came: Came, stop: threading.Event) -> Iterator[tuple[Block | None, bool]]:
        """What an open device gives until it is lost, and whether it has proved to give sound."""
        last, count, offset = self._clock(), 0, float("inf")
        while not stop.is_set():
            try:
                samples, stamp = came.get(timeout=QUIET_S)
            except queue.Empty:
                if self._clock() - last > LOST_S:
                    return
                yield None, False
                continue
            frames = np.frombuffer(samples, np.float32).reshape(-1, CHANNELS)
            # stamps are never early, and late by what the machine had to do meanwhile
            new = stamp - (count + len(frames)) / RATE
            if new > offset + JUMP_S:
                offset = new
            offset = min(new, offset + CREEP * len(frames) / RATE)
            block = Block(frames, offset + count / RATE)
            count, last = count + len(frames), stamp
            for tap in self._taps:
                tap.put(block)
            yield block, count > BACK_S * RATE
