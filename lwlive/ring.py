"""The ring: preallocated frame slots in shared memory, one writer process, one reader process.

The ring knows nothing of diffusion, windows or clocks. Threads: the engine's producer writes and
may wait for a free slot; the stage's main thread reads and never waits. Two semaphores count free
and filled slots; they order memory on every processor, and a killed process cannot hold them.

A writer may change its mind about frames already queued: it opens a new epoch and writes from an
earlier frame number on. As soon as the first frame of the new epoch is in, the reader passes over
every queued frame that it replaces; until then the old ones are shown, so nothing ever runs dry.
"""

import errno
import math
import shutil
from collections import deque
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Semaphore
from pathlib import Path

import numpy as np
import numpy.typing as npt

SHARED = Path("/dev/shm")  # where Linux keeps shared memory; elsewhere it needs no folder
AHEAD_S = 0.6  # seconds of frames kept ready, against whatever else the machine has to do

Pixels = npt.NDArray[np.uint8]  # [H, W, 3] RGB

_HEADER = np.dtype(
    [
        ("number", "<i8"),
        ("epoch", "<i8"),
        ("version", "<i8"),
        ("phase", "<f8"),
        ("sampled", "<i8"),
        ("place", "<i8"),
        ("stride", "<i8"),
        ("between", "<i8"),
        ("paced", "<i8"),
        ("eased", "<i8"),
    ]
)


@dataclass(frozen=True)
class Frame:
    """One picture and what it was made with."""

    pixels: Pixels  # [H, W, 3]; from `take`: valid until the next `take`
    number: int  # position in the show, one up per frame of the walk
    version: int  # of the controls it was made with
    phase: float  # position along the walk, in keyframes
    sampled: bool  # False for an in-between
    epoch: int = 0
    place: int = -1  # frames of this walk before it; less than expected where it was taken back
    stride: int = 1  # every how many frames one is sampled
    between: int = 0  # which of the in-betweens it is, from 1; 0 where it was sampled
    paced: bool = False  # whether its segment's pace was measured
    eased: bool = False  # whether its change was limited, while the walk was steered


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
        self._memory = memory
        self._owner = owner
        n, h, w = handle.slots, handle.height, handle.width
        # [3]: the number last taken, the number last put, slots given back in all. Each has one
        # writer and is a hint to the other side; aligned 8-byte stores are never seen half done.
        self._marks = np.ndarray((3,), "<i8", memory.buf)
        self._headers = np.ndarray((n,), _HEADER, memory.buf, 64)
        self._pixels = np.ndarray((n, h, w, 3), np.uint8, memory.buf, _pixels_at(n))
        self._write = 0  # slots written in all; only the writer's side uses it
        self._read = 0  # slots moved to pending in all; only the reader's side uses it
        self._pending: deque[int] = deque()  # slots seen by the reader and not yet released
        self._holding = False  # the reader shows a slot that is not released yet

    @classmethod
    def create(cls, context: BaseContext, slots: int, height: int, width: int) -> "Ring":
        """A new ring; the creating process removes the memory on `close`. Raises OSError."""
        size = _pixels_at(slots) + slots * height * width * 3
        _check_room(size)
        memory = SharedMemory(create=True, size=size)
        handle = RingHandle(
            memory.name, slots, height, width, context.Semaphore(slots), context.Semaphore(0)
        )
        ring = cls(handle, memory, owner=True)
        ring._marks[:] = -1, -1, 0
        return ring

    @classmethod
    def attach(cls, handle: RingHandle) -> "Ring":
        """The same ring in the other process. Raises FileNotFoundError when its owner is gone."""
        return cls(handle, SharedMemory(handle.name), owner=False)

    @property
    def taken(self) -> int:
        """Number of the frame last taken, -1 before the first."""
        return int(self._marks[0])

    @property
    def put_last(self) -> int:
        """Number of the frame last put, -1 before the first."""
        return int(self._marks[1])

    def put(self, frame: Frame, wait: bool = True) -> bool:
        """Write one frame. Where no slot is free: wait for one, or do nothing and return False."""
        if not self.handle.free.acquire(block=wait):
            return False
        slot = self._write % self.handle.slots
        self._headers[slot] = (
            frame.number,
            frame.epoch,
            frame.version,
            frame.phase,
            frame.sampled,
            frame.place,
            frame.stride,
            frame.between,
            frame.paced,
            frame.eased,
        )
        np.copyto(self._pixels[slot], frame.pixels)
        self._write += 1
        self._marks[1] = frame.number
        self.handle.filled.release()
        return True

    def take(self) -> Frame | None:
        """The next frame in the order of the walk, or None. Never waits."""
        while self.handle.filled.acquire(block=False):
            self._pending.append(self._read % self.handle.slots)
            self._read += 1
        if self._holding:
            self._release()
        while self._pending:
            slot = self._pending[0]
            number = int(self._headers[slot]["number"])
            if number <= self.taken or self._replaced(slot):
                self._release()
                continue
            self._holding = True
            self._marks[0] = number
            head = self._headers[slot]
            return Frame(
                self._pixels[slot],
                number,
                int(head["version"]),
                float(head["phase"]),
                bool(head["sampled"]),
                int(head["epoch"]),
                int(head["place"]),
                int(head["stride"]),
                int(head["between"]),
                bool(head["paced"]),
                bool(head["eased"]),
            )
        return None

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
        del self._marks, self._headers, self._pixels
        if self._owner:
            self._memory.unlink()
        self._memory.close()

    def _replaced(self, slot: int) -> bool:
        """Whether a later epoch holds this frame number or an earlier one."""
        head = self._headers[slot]
        epoch, number = int(head["epoch"]), int(head["number"])
        return any(
            int(self._headers[later]["epoch"]) > epoch
            and int(self._headers[later]["number"]) <= number
            for later in self._pending
        )

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
    return 64 + -(-slots * _HEADER.itemsize // 64) * 64
