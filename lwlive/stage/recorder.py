"""The recorder: the frames that were shown, into an H.264 MP4 of constant rate.

| thread | runs | may wait for |
|---|---|---|
| the show's | `Recorder(...)`, `put` | nothing |
| one that may wait | `close` | two seconds, and until the file is ordinary |
| recorder | `Movie`: choosing an encoder, encoding, the file | its queue, the encoder, the disk |
| any | `leave` | nothing |

Frames are copied into preallocated slots; slot numbers travel through two lists, `_free` and
`_filled`, and a slot belongs to whoever took its number. When no slot is free the frame is counted
and its time kept: a frame's time stamp is its number, so a gap is shown as a longer frame.
While it runs the file is in fragments, which a killed process leaves playable. At a proper end it
is made an ordinary one, with its length in front; where that fails it stays as it is, and plays.
The recorder knows nothing of parameters, windows or the walk, and nothing it meets ends the show.
"""

import errno
import logging
import math
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from lwlive.movie import LIVE, Movie, RecordError, rate_of
from lwlive.ring import Pixels

_log = logging.getLogger(__name__)

_QUEUE_S = 1.5  # how long the encoder may stall before frames are dropped
_QUEUE_BYTES = 256 * 2**20  # and how much memory that may take
_CLOSE_S = 1.4  # after so long in `close`, frames that are still queued are dropped
_JOIN_S = 0.4  # and so long the file then has to close


def free_path(folder: Path, when: datetime, suffix: str = ".mp4") -> Path:
    """`lwlive-YYYYMMDD-HHMMSS.mp4` in the folder; with -2, -3 ... where that name is taken."""
    return free(folder / f"lwlive-{when:%Y%m%d-%H%M%S}{suffix}")


def free(path: Path) -> Path:
    """The path itself, or the first of `name-2`, `name-3` ... that nothing has yet."""
    found, n = path, 1
    while found.exists():
        n += 1
        found = path.with_stem(f"{path.stem}-{n}")
    return found


class Recorder:
    """Records what is put into it until `close`. An existing file is overwritten.

    Raises RecordError where the path cannot be written. What happens later (no encoder, disk
    full) is in `failed`, and `put` then does nothing. The other attributes are for reading:
    each has one writing thread, and a reader sees the value of a moment ago.
    """

    def __init__(
        self, path: Path, fps: float, width: int, height: int, metadata: Mapping[str, str]
    ) -> None:
        self.path = path
        self.encoder = ""  # empty until it is chosen, a moment after the start
        self.frames = 0  # encoded so far; after `close`, frames in the file
        self.failed: str | None = None  # why the recording ended early, as a sentence
        self._rate = rate_of(fps)
        self._metadata = dict(metadata)
        count = max(4, min(math.ceil(fps * _QUEUE_S), _QUEUE_BYTES // (height * width * 3)))
        try:
            self._slots = np.empty((count, height, width, 3), np.uint8)
        except MemoryError:
            raise RecordError(
                f"there is no memory to record {width}x{height}: {count} pictures take "
                f"{count * height * width * 3 / 2**20:.0f} MB; choose a smaller size"
            ) from None
        self._free = list(range(count))  # last in, first out: an idle queue touches one slot
        self._filled: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._missed = 0  # no free slot; counted by the show's thread
        self._left = 0  # queued and never encoded; counted by the recorder's thread
        self._first: int | None = None
        self._last = -1
        self._closed = False
        self._deadline = math.inf  # written once by `close`, a float is read whole
        self._opened = threading.Event()
        self._whole = threading.Event()  # everything is in the file, which may still be made over
        self._left_as_it_is = threading.Event()
        _check_writable(path)
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no memory for it, or too many
            raise RecordError(f"cannot record to {path}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def dropped(self) -> int:
        """Frames put that are not in the file because encoder or disk were too slow."""
        return self._missed + self._left

    def wait_open(self, timeout_s: float = 10) -> None:
        """Wait until the encoder takes frames; for the start of a run, not for mid-show.

        Raises RecordError where it does not. Frames may be put without it.
        """
        if not self._opened.wait(timeout_s):
            raise RecordError(f"no encoder for {self.path} has opened within {timeout_s:g} s")
        if self.failed is not None:
            raise RecordError(self.failed)

    def put(self, pixels: Pixels, number: int) -> None:
        """Queue a copy of one shown frame, [H, W, 3]. Never waits, never raises.

        `number` is its display tick; the first one put is time 0. A tick that was put before is
        counted as dropped.
        """
        if self._closed or self.failed is not None:
            return
        height, width = self._slots.shape[1:3]
        if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            self._end(
                f"the recording {self.path} takes pictures of {width}x{height}, got "
                f"{pixels.dtype} {list(pixels.shape)}; it ends here, the show goes on"
            )
            return
        if self._first is None:
            self._first = number
        pts = number - self._first
        if pts <= self._last or not self._free:
            self._missed += 1
            return
        slot = self._free.pop()
        np.copyto(self._slots[slot], pixels)
        self._last = pts
        self._filled.put((slot, pts))

    def close(self) -> None:
        """End the recording within two seconds; frames that take longer are dropped, counted.

        Then wait until the file is an ordinary one, which takes as long as copying it, or `leave`.
        """
        if self._closed:
            return
        self._closed = True
        self._deadline = time.monotonic() + _CLOSE_S
        self._filled.put(None)
        self._whole.wait(_CLOSE_S + _JOIN_S)
        if self._whole.is_set():
            self._thread.join()
        elif self._thread.is_alive() and self.failed is None:
            self._end(
                f"the disk or the encoder did not finish {self.path} in time; the file is left "
                "as it is and should play up to its last seconds"
            )

    def leave(self) -> None:
        """Leave the file in fragments where it is not ordinary yet; `close` then returns."""
        self._left_as_it_is.set()

    def _end(self, sentence: str) -> None:
        self.failed = sentence
        _log.error("%s", sentence)
        self._filled.put(None)

    def _run(self) -> None:
        try:
            movie = Movie(self.path, self._rate, *self._slots.shape[2:0:-1], self._metadata, LIVE)
            try:
                self.encoder = movie.encoder
                _log.info("recording %s with %s", self.path, movie.encoder)
                self._opened.set()
                self._encode(movie)
                self.frames += movie.finish()
            except BaseException:
                with suppress(Exception):  # the first error is the one to tell
                    movie.close()
                raise
            movie.close()
            self._whole.set()
            self._make_ordinary(movie)
        except Exception as error:  # whatever an encoder or a disk does, the show goes on
            self._end(_sentence(self.path, error, self.frames))
            self._left += sum(item is not None for item in self._drain())
        finally:
            self._opened.set()
            self._whole.set()

    def _make_ordinary(self, movie: Movie) -> None:
        """What goes wrong here loses nothing: the file in fragments is complete, and plays."""
        try:
            movie.made_ordinary(lambda: not self._left_as_it_is.is_set())
        except FileNotFoundError:
            self._end(
                f"the recording {self.path} is gone: its file or its folder was removed meanwhile"
            )
        except Exception as error:
            why = getattr(error, "strerror", None) or error
            _log.warning(
                "%s stays in fragments, which most players play: it could not be made an ordinary "
                "file (%s)",
                self.path,
                why,
            )
        if self._left_as_it_is.is_set():
            _log.warning("%s stays in fragments, which most players play", self.path)

    def _encode(self, movie: Movie) -> None:
        while (item := self._filled.get()) is not None:
            slot, pts = item
            if time.monotonic() > self._deadline:
                self._left += 1
                continue
            self.frames += movie.write(self._slots[slot], pts)
            self._free.append(slot)

    def _drain(self) -> list[tuple[int, int] | None]:
        items = []
        with suppress(queue.Empty):
            while True:
                items.append(self._filled.get_nowait())
        return items


def _check_writable(path: Path) -> None:
    if path.is_fifo():  # opening it would wait for a reader, and the recorder for the next
        raise RecordError(f"cannot record to {path}: it is a pipe; give the name of a file")
    try:
        with path.open("ab"):
            pass
    except FileNotFoundError:
        raise RecordError(
            f"cannot record to {path}: there is no folder {path.parent}; make it or choose another"
        ) from None
    except OSError as error:
        raise RecordError(
            f"cannot record to {path}: {error.strerror}; choose a file that may be written"
        ) from None


def _sentence(path: Path, error: Exception, frames: int) -> str:
    if isinstance(error, RecordError):
        return str(error)
    end = f"the recording ends after {frames} frames, the show goes on"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)):
        return f"the disk is full: cannot write {path}; {end}; make room and record again"
    what = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
    return f"cannot write {path}: {what}; {end}"
