"""The ring: preallocated frame slots in shared memory, one writer process, one reader process.

The ring knows nothing of diffusion, windows or clocks. Threads: the engine's producer writes, and
waits for a free slot only where it asks to; the stage's main thread reads and never waits. Two
semaphores count free and filled slots; they order memory on every processor, and a killed process
cannot hold them.

A writer may change its mind about frames already queued: it opens a new epoch and writes from an
earlier frame number on. As soon as the first frame of the new epoch is in, the reader passes over
every queued frame that it replaces; until then the old ones are shown, so nothing ever runs dry.

The reader writes down when it took which frame, and of which epoch, so that the writer knows when
the frames to come are due and which of two versions of a frame was shown. It also writes down the
bands of the sound coming in: their newest values hold for frames made from then on.
"""

import errno
import math
import shutil
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, fields
from multiprocessing.context import BaseContext
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Semaphore
from typing import Any

import numpy as np
import numpy.typing as npt

from lwlive import shared
from lwlive.messages import Turn

BANDS = 6  # bands of the sound coming in: as many as lwlive/routes.py names
_TAKEN_AT = 128  # byte offset of what was taken when; before it are the marks and the bands
SHARED = shared.FOLDER
AHEAD_S = 0.6  # seconds of frames kept ready, against whatever else the machine has to do

Pixels = npt.NDArray[np.uint8]  # [H, W, 3] RGB


@dataclass(frozen=True)
class Frame:
    """One picture and what it was made with."""

    pixels: Pixels  # [H, W, 3]; from `take`: valid until the next `take`
    number: int  # position on the walk, one up per frame: no two pictures shown have the same
    version: int  # of the controls it was made with
    phase: float  # position along the walk, in keyframes
    sampled: bool  # False for an in-between
    epoch: int = 0
    ticks: int = 1  # of the display that it stands for: more than one where a machine is overloaded
    at: int = 0  # which frame of its turn it is, from 0
    turn: Turn = field(default_factory=Turn)  # that it was made in


def _row(kind: type[Frame] | type[Turn]) -> str:
    """The numbers of a row of a frame's header, as `struct` writes them."""
    kinds = {int: "q", float: "d", bool: "?", tuple[float, ...]: f"{BANDS}d"}
    return "".join(kinds[each.type] for each in fields(kind) if each.type in kinds)


_HEADER = struct.Struct(f"<{_row(Frame)}{_row(Turn)}")
_NUMBERS = tuple(each.name for each in fields(Frame) if each.name not in ("pixels", "turn"))


def _told(turn: Turn) -> tuple[float, ...]:
    """A turn as numbers: its bands, which are several, come last."""
    *numbers, bands = astuple(turn)
    return (*numbers, *bands)


def _turn(numbers: Sequence[float]) -> Turn:
    kept: list[Any] = [*numbers[:-BANDS], tuple(numbers[-BANDS:])]
    return Turn(*kept)


@dataclass(frozen=True)
class RingHandle:
    """What the other process needs to open the ring. Travels to a spawned child only."""

    name: str
    slots: int
    height: int
    width: int
    free: Semaphore
    filled: Semaphore


class Ring:
    """Slots of [H, W, 3] uint8 pixels with a header each. Open with `create` or `attach`."""

    def __init__(self, handle: RingHandle, memory: SharedMemory, *, owner: bool) -> None:
        self.handle = handle
        assert memory.buf is not None
        self._memory, self._bytes = memory, memory.buf
        self._named = owner  # the memory has a name that this process has to take away
        n, h, w = handle.slots, handle.height, handle.width
        # [3]: the number last taken, the number last put, slots given back in all. Each has one
        # writer and is a hint to the other side; aligned 8-byte stores are never seen half done.
        self._marks = np.ndarray((3,), "<i8", memory.buf)
        self._tick = np.ndarray((1,), "<f8", memory.buf, 24)  # written by the reader
        # written by the reader, band by band: a writer may see some of them newer than others
        self._bands = np.ndarray((BANDS,), "<f8", memory.buf, 64)
        # [n] each, by number: written by the reader before the number is marked as taken
        self._taken_s = np.ndarray((n,), "<f8", memory.buf, _TAKEN_AT)
        self._taken_epoch = np.ndarray((n,), "<i8", memory.buf, _TAKEN_AT + 8 * n)
        self._headers_at = _TAKEN_AT + 16 * n
        self._pixels = np.ndarray((n, h, w, 3), np.uint8, memory.buf, _pixels_at(n))
        self._write = 0  # slots written in all; only the writer's side uses it
        self._read = 0  # slots moved to pending in all; only the reader's side uses it
        # slots seen by the reader and not released yet; and those of them to be shown, with numbers
        self._pending: deque[int] = deque()
        self._queue: deque[tuple[int, int]] = deque()
        self._holding = False  # the reader shows a slot that is not released yet

    @classmethod
    def create(
        cls, context: BaseContext, slots: int, height: int, width: int, tick_s: float = 1 / 30
    ) -> "Ring":
        """A new ring; the creating process removes the memory on `close`. Raises OSError."""
        size = _pixels_at(slots) + slots * height * width * 3
        _check_room(size)
        memory = shared.memory(size)
        free, filled = shared.semaphore(context, slots), shared.semaphore(context, 0)
        handle = RingHandle(memory.name, slots, height, width, free, filled)
        ring = cls(handle, memory, owner=True)
        ring._marks[:] = -1, -1, 0
        ring.tick_s = tick_s
        return ring

    @classmethod
    def attach(cls, handle: RingHandle) -> "Ring":
        """The same ring in the other process. Raises FileNotFoundError when its owner is gone."""
        return cls(handle, SharedMemory(handle.name), owner=False)

    def attached(self) -> None:
        """The other process has it open: nothing is left of it when both have ended, however.

        For the owner, and any number of times.
        """
        self._unname()

    def _unname(self) -> None:
        if self._named:
            self._named = False
            self._memory.unlink()

    @property
    def tick_s(self) -> float:
        """Seconds from one tick of the display to the next. The reader sets it."""
        return float(self._tick[0])

    @tick_s.setter
    def tick_s(self, seconds: float) -> None:
        self._tick[0] = seconds

    @property
    def bands(self) -> tuple[float, ...]:
        """How strong each band of the sound coming in is. The reader sets them."""
        return tuple(self._bands.tolist())

    @bands.setter
    def bands(self, values: Sequence[float]) -> None:
        self._bands[:] = values

    @property
    def taken(self) -> int:
        """Number of the frame last taken, -1 before the first."""
        return int(self._marks[0])

    def taking(self, number: int) -> tuple[float, int]:
        """When a frame was taken, by the reader's clock, and its epoch.

        Known for the last frames taken, as many as there are slots.
        """
        i = number % self.handle.slots
        return float(self._taken_s[i]), int(self._taken_epoch[i])

    @property
    def put_last(self) -> int:
        """Number of the frame last put, -1 before the first."""
        return int(self._marks[1])

    def put(self, frame: Frame, wait: bool = True) -> bool:
        """Write one frame. Where no slot is free: wait for one, or do nothing and return False."""
        if not self.handle.free.acquire(block=wait):
            return False
        slot = self._write % self.handle.slots
        numbers = (getattr(frame, name) for name in _NUMBERS)
        _HEADER.pack_into(self._bytes, self._header(slot), *numbers, *_told(frame.turn))
        np.copyto(self._pixels[slot], frame.pixels)
        self._write += 1
        self._marks[1] = frame.number
        self.handle.filled.release()
        return True

    def take(self, now: float = 0.0) -> Frame | None:
        """The next frame in the order of the walk, or None. Never waits. `now`: its time."""
        while self.handle.filled.acquire(block=False):
            self._see(self._read % self.handle.slots)
            self._read += 1
        if self._holding:
            self._release()
        if not self._queue:
            while self._pending:  # all of them were replaced
                self._release()
            return None
        slot, number = self._queue.popleft()
        while self._pending[0] != slot:
            self._release()
        self._holding = True
        row = _HEADER.unpack_from(self._bytes, self._header(slot))
        known, turn = row[: len(_NUMBERS)], _turn(row[len(_NUMBERS) :])
        frame = Frame(self._pixels[slot], turn=turn, **dict(zip(_NUMBERS, known, strict=True)))
        i = number % self.handle.slots
        self._taken_s[i], self._taken_epoch[i] = now, frame.epoch
        self._marks[0] = number
        return frame

    @property
    def queued(self) -> int:
        """Frames the reader has still to show, as far as the writer's hint tells."""
        return max(0, self.put_last - self.taken)

    @property
    def room(self) -> int:
        """Frames that the writer can put without waiting; it alone may ask."""
        return self.handle.slots - (self._write - int(self._marks[2]))

    def close(self) -> None:
        """Let go of the memory; the owner also removes it."""
        del self._bytes, self._marks, self._tick, self._bands
        del self._taken_s, self._taken_epoch, self._pixels
        self._unname()
        self._memory.close()

    def _see(self, slot: int) -> None:
        """Take note of a slot that was filled, and forget those whose frames it replaces.

        Each slot is noted and forgotten once, so that replacing many takes no longer than a few.
        A frame that comes too late replaces none.
        """
        (number,) = struct.unpack_from("<q", self._bytes, self._header(slot))
        self._pending.append(slot)
        if number <= self.taken:
            return
        while self._queue and self._queue[-1][1] >= number:
            self._queue.pop()
        self._queue.append((slot, number))

    def _header(self, slot: int) -> int:
        return self._headers_at + slot * _HEADER.size

    def _release(self) -> None:
        self._pending.popleft()
        self._holding = False
        self.handle.free.release()
        self._marks[2] += 1


def slots(fps: float) -> int:
    """Ring slots for a show: what is kept ready, and room to replace it more than once."""
    return math.ceil(AHEAD_S * fps) + 48


def _check_room(size: int) -> None:
    """Linux grants shared memory that is not there, and kills whoever then writes into it."""
    free = shutil.disk_usage(SHARED).free if SHARED.is_dir() else size
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f"the frames of this show take {size / 2**20:.0f} MB of shared memory and "
            f"{free / 2**20:.0f} MB are free; make it larger (a container's is 64 MB), or choose "
            "a smaller --size or a lower --fps",
            str(SHARED),
        )


def _pixels_at(slots: int) -> int:
    """Byte offset of the pixels, on a cache line of its own."""
    return -(-(_TAKEN_AT + slots * (16 + _HEADER.size)) // 64) * 64
