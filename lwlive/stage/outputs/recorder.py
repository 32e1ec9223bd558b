"""The recorder: the frames that were shown, and the sound of the time, into a movie.

| thread | runs | may wait for |
|---|---|---|
| the show's | `Recorder(...)`, `put` | nothing |
| one that may wait | `close` | two seconds, and until the file is ordinary |
| recorder | its name, `Movie`: choosing an encoder, encoding, the file | the outbox, the disk |
| any | `leave` | nothing |

A frame that finds no room in the outbox is counted and its time kept: a frame's time stamp is its
number, so a gap is shown as a longer frame. While it runs the file is in fragments, which a killed
process leaves playable. At a proper end it is made an ordinary one, with its length in front; where
that fails it stays as it is, and plays. The recorder knows nothing of parameters, windows or the
walk, and nothing it meets ends the show.
"""

import errno
import logging
import shutil
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lwlive.checkpoint import Size
from lwlive.encoders import CODECS, RecordError
from lwlive.files import claimed
from lwlive.movie import Movie, rate_of
from lwlive.ring import Pixels
from lwlive.stage.outputs.outbox import Outbox, Pictures
from lwlive.stage.outputs.soundtrack import Soundtrack, Tap

_log = logging.getLogger(__name__)

_CLOSE_S = 1.4  # after so long in `close`, frames that are still queued are dropped
_JOIN_S = 0.4  # and so long the file then has to close
_LOOK_S = 2.0  # between two looks whether the file is still there
_ROOM = 16 * 2**20  # bytes that a disk has left, or a recording is not begun


class Recorder:
    """Records what is put into it until `close`. An existing file is overwritten.

    fresh: the file gets another name where its own is taken. codec: a name of CODECS. tap: sound
    to record beside the pictures, whose moments `put` then has to be given. What goes wrong (no
    folder, no memory, no encoder, disk full) is in `failed`, and `put` then does nothing. The other
    attributes are for reading: each has one writing thread, and a reader sees the value of a
    moment ago.
    """

    def __init__(
        self,
        path: Path,
        fps: float,
        width: int,
        height: int,
        metadata: Mapping[str, str],
        fresh: bool = False,
        codec: str = "h264",
        tap: Tap | None = None,
    ) -> None:
        self.path = path
        self.encoder = ""  # empty until it is chosen, a moment after the start
        self.frames = 0  # encoded so far; after `close`, frames in the file
        self.failed: str | None = None  # why the recording ended early, as a sentence
        self._rate, self._size, self._fresh = rate_of(fps), Size(width, height), fresh
        self._metadata, self._codec = dict(metadata), CODECS[codec]
        self._sound = None if tap is None else Soundtrack(tap, self._rate)
        self._first: int | None = None
        self._last = -1
        self._closed = False
        self._opened = threading.Event()
        self._whole = threading.Event()  # everything is in the file, which may still be made over
        self._left_as_it_is = threading.Event()
        self._outbox = Outbox("recorder", self._run, self._fail, self._size, fps)
        self._outbox.start()

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
        return self._outbox.dropped

    @property
    def opened(self) -> bool:
        """Whether it has begun to write, or has failed to."""
        return self._opened.is_set()

    def wait_open(self, timeout_s: float = 10) -> None:
        """Wait until the encoder takes frames; for the start of a run, not for mid-show.

        Raises RecordError where it does not. Frames may be put without it.
        """
        if not self._opened.wait(timeout_s):
            raise RecordError(f"no encoder for {self.path} has opened within {timeout_s:g} s")
        if self.failed is not None:
            raise RecordError(self.failed)

    def put(self, pixels: Pixels, number: int, now: float = 0.0) -> None:
        """Queue one shown frame, [H, W, 3]. Never waits, never raises.

        `number` is its display tick; the first one put is time 0. A tick that was put before is
        counted as dropped. now: when it was shown, in seconds of the clock that stamps sound.
        """
        if self._closed or self.failed is not None:
            return
        if not self._outbox.fits(pixels):
            width, height = self._size
            self._end(
                f"the recording {self.path} takes pictures of {width}x{height}, got "
                f"{pixels.dtype} {list(pixels.shape)}; it ends here, the show continues"
            )
            return
        if self._first is None:
            self._first = number
        pts = number - self._first
        if self._sound is not None:
            self._sound.shown(pts, now)
        if pts <= self._last:
            self._outbox.miss()
        elif self._outbox.put(pixels, pts):
            self._last = pts

    def close(self) -> None:
        """End the recording within two seconds; frames that take longer are dropped, counted.

        Then wait until the file is an ordinary one, which takes as long as copying it, or `leave`.
        """
        if self._closed:
            return
        self._closed = True
        self._outbox.end(_CLOSE_S)
        if self._whole.wait(_CLOSE_S + _JOIN_S):
            self._outbox.join()
        elif self.failed is None:
            self._end(
                f"the disk or the encoder did not finish {self.path} in time; the file is left "
                "as it is and should play up to its last seconds"
            )

    def leave(self) -> None:
        """Leave the file in fragments where it is not ordinary yet; `close` then returns."""
        self._left_as_it_is.set()

    def _end(self, sentence: str) -> None:
        self.failed = sentence
        self._outbox.end()

    def _run(self, pictures: Pictures) -> None:
        """In the outbox's thread."""
        self.path = _opened(self.path, self._fresh)
        try:
            self._record(pictures)
        except BaseException:
            if self._fresh and not self.frames:  # nothing is in it that could be lost
                with suppress(OSError):
                    self.path.unlink()
            raise

    def _record(self, pictures: Pictures) -> None:
        encoders, sound = self._codec.encoders, self._sound
        movie = Movie(
            self.path,
            self._rate,
            *self._size,
            self._metadata,
            encoders,
            sound=sound is not None,
        )
        try:
            self.encoder = movie.encoder
            _log.debug("recording %s with %s", self.path, movie.encoder)
            self._opened.set()
            end, look = 0, round(_LOOK_S * float(self._rate))
            for pixels, pts in pictures:
                self.frames += movie.write(pixels, pts)
                end = pts + 1
                if sound is not None:
                    for piece in sound.until(float(end / self._rate)):
                        movie.hear(*piece)
                if pts >= look:
                    look = pts + round(_LOOK_S * float(self._rate))
                    if not self.path.exists():
                        raise RecordError(_gone(self.path))
            if sound is not None:
                for piece in sound.until(float(end / self._rate), last=True):
                    movie.hear(*piece)
            self.frames += movie.finish()
            movie.close()
        except BaseException:
            movie.abandon()
            raise
        self._whole.set()
        self._make_ordinary(movie)

    def _make_ordinary(self, movie: Movie) -> None:
        """What goes wrong here loses nothing: the file in fragments is complete, and plays."""
        try:
            movie.made_ordinary(lambda: not self._left_as_it_is.is_set())
        except FileNotFoundError:
            self._end(_gone(self.path))
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

    def _fail(self, error: Exception) -> None:
        """Mostly in the outbox's thread: whatever an encoder or a disk does, the show continues."""
        self._end(_sentence(self.path, error, self.frames, self._size))
        self._opened.set()
        self._whole.set()


def _gone(path: Path) -> str:
    return f"the recording {path} is gone: its file or its folder was removed meanwhile"


def _opened(path: Path, fresh: bool) -> Path:
    """The path that is written to, which exists now. Raises RecordError."""
    try:
        if path.parent.is_dir() and (free := shutil.disk_usage(path.parent).free) < _ROOM:
            raise RecordError(
                f"the disk is full: cannot record to {path}; {free / 2**20:.0f} MB are left; make "
                "room and record again"
            )
        if fresh:
            return claimed(path)
        if path.is_fifo():  # opening it would wait for a reader, and the recorder for the next
            raise RecordError(f"cannot record to {path}: it is a pipe; give the name of a file")
        with path.open("ab"):
            return path
    except FileNotFoundError:
        raise RecordError(
            f"cannot record to {path}: there is no folder {path.parent}; make it or choose another"
        ) from None
    except OSError as error:
        raise RecordError(
            f"cannot record to {path}: {error.strerror}; choose a file that may be written"
        ) from None


def _sentence(path: Path, error: Exception, frames: int, size: Size) -> str:
    if isinstance(error, RecordError):
        return str(error)
    end = f"the recording ends after {frames} frames, the show continues"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)):
        return f"the disk is full: cannot write {path}; {end}; make room and record again"
    if isinstance(error, MemoryError):
        return f"there is no memory to record {size} into {path}; {end}"
    what = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
    return f"cannot write {path}: {what}; {end}"
