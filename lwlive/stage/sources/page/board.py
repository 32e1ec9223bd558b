"""The board: the newest state and picture of the show, in memory that both processes share.

The show's thread writes and never waits; the page's process reads when it likes. A reader that is
slow, stopped or dead costs the writer nothing. What is read while it is written is noticed: a
state by its checksum, a picture by the number of the newest one. Every number in the head has one
writer, and aligned 8-byte stores are never seen half done. The board knows nothing of the show.
"""

import contextlib
import errno
import shutil
import struct
import zlib
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from lwlive.ring import SHARED, Pixels

STATE_BYTES = 1 << 19  # of the longest state
SIDE = 640  # a picture's longest side; of a larger one every second or third pixel is taken
SLOTS = 3  # of pictures: one is written while another is read
_STATE = struct.Struct("<qqI")  # number, length, checksum of the bytes behind
_HEAD_BYTES = 256
_PICTURES_AT = _HEAD_BYTES + _STATE.size + STATE_BYTES + 4


@dataclass(frozen=True)
class BoardHandle:
    """What the other process needs to open the board. Travels to a spawned child only."""

    name: str
    height: int
    width: int


class Board:
    """Open it with `create`, or with `attach` in the other process."""

    def __init__(self, handle: BoardHandle, memory: SharedMemory) -> None:
        assert memory.buf is not None
        self.handle, self._memory = handle, memory
        self._bytes = memory.buf
        # written by the show: when it ticked, showed a picture, showed a new frame; -inf: not yet
        self._times = np.ndarray((3,), "<f8", memory.buf)
        # pictures written so far (by the show); people looking, and people there (by the page)
        self._counts = np.ndarray((3,), "<i8", memory.buf, 64)
        shape = (SLOTS, handle.height, handle.width, 3)
        self._pictures = np.ndarray(shape, np.uint8, memory.buf, _PICTURES_AT)
        self._number = 0  # of the newest state; only the writer's side uses it

    @classmethod
    def create(cls, height: int, width: int) -> "Board":
        """A new board for pictures of this size. Raises OSError."""
        step = _step(height, width)
        handle = BoardHandle("", -(-height // step), -(-width // step))
        size = _PICTURES_AT + SLOTS * handle.height * handle.width * 3
        if SHARED.is_dir() and shutil.disk_usage(SHARED).free < size:
            # Linux grants memory that is not there, and kills whoever then writes into it
            raise OSError(errno.ENOSPC, "there is too little shared memory", str(SHARED))
        memory = SharedMemory(create=True, size=size)
        board = cls(BoardHandle(memory.name, handle.height, handle.width), memory)
        board._times[:] = -np.inf
        board._counts[:] = 0
        return board

    @classmethod
    def attach(cls, handle: BoardHandle) -> "Board":
        """The same board in the other process. Raises FileNotFoundError where it is gone."""
        return cls(handle, SharedMemory(handle.name))

    def forget_name(self) -> None:
        """Both sides have it open: whatever is killed now, the memory goes with them."""
        with contextlib.suppress(FileNotFoundError):
            self._memory.unlink()

    def close(self) -> None:
        """Let go of the memory."""
        del self._bytes, self._times, self._counts, self._pictures
        self._memory.close()

    @property
    def looking(self) -> int:
        """How many people want pictures. The page sets it."""
        return int(self._counts[1])

    @looking.setter
    def looking(self, people: int) -> None:
        self._counts[1] = people

    @property
    def there(self) -> int:
        """How many people want to know the state. The page sets it."""
        return int(self._counts[2])

    @there.setter
    def there(self, people: int) -> None:
        self._counts[2] = people

    def ticked(self, now: float) -> None:
        """The show is alive."""
        self._times[0] = now

    def shown(self, now: float, new: bool) -> None:
        """A picture was shown; `new`: a frame of the walk that was not shown before."""
        self._times[1] = now
        if new:
            self._times[2] = now

    @property
    def times(self) -> tuple[float, float, float]:
        """When the show last ticked, showed a picture and showed a new frame; -inf: never."""
        return float(self._times[0]), float(self._times[1]), float(self._times[2])

    def put_picture(self, pixels: Pixels) -> None:
        """Write a picture of the size that the board was made for. Never waits."""
        number = int(self._counts[0])
        step = _step(*pixels.shape[:2])
        np.copyto(self._pictures[number % SLOTS], pixels[::step, ::step])
        self._counts[0] = number + 1

    def picture(self, after: int) -> tuple[int, Pixels] | None:
        """The newest picture and its number; None where it is not newer than number `after`."""
        number = int(self._counts[0])
        if number <= after:
            return None
        pixels = self._pictures[(number - 1) % SLOTS].copy()
        torn = int(self._counts[0]) - number >= SLOTS - 1
        return None if torn else (number, pixels)

    def put_state(self, state: bytes) -> bool:
        """Write a state, whole; False where it is too long. Never waits."""
        if len(state) > STATE_BYTES:
            return False
        self._number += 1
        at = _HEAD_BYTES + _STATE.size
        _STATE.pack_into(self._bytes, _HEAD_BYTES, self._number, len(state), zlib.crc32(state))
        self._bytes[at : at + len(state)] = state
        return True

    def state(self, after: int) -> tuple[int, bytes] | None:
        """The newest state and its number; None where it is not newer, or just being written."""
        number, length, checksum = _STATE.unpack_from(self._bytes, _HEAD_BYTES)
        if number <= after or not 0 <= length <= STATE_BYTES:
            return None
        at = _HEAD_BYTES + _STATE.size
        state = bytes(self._bytes[at : at + length])
        return (number, state) if zlib.crc32(state) == checksum else None


def _step(height: int, width: int) -> int:
    return -(-max(height, width) // SIDE)
