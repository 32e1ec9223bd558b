"""The recorder: the frames that were shown, into an H.264 MP4 of constant rate.

| thread | runs | may wait for |
|---|---|---|
| the show's | `Recorder(...)`, `put`, `close` | `close`: two seconds at most, nothing else |
| recorder | `Movie`: choosing an encoder, encoding, the file | its queue, the encoder, the disk |

Frames are copied into preallocated slots; slot numbers travel through two lists, `_free` and
`_filled`, and a slot belongs to whoever took its number. When no slot is free the frame is counted
and its time kept: a frame's time stamp is its number, so a gap is shown as a longer frame.
The recorder knows nothing of parameters, windows or the walk, and nothing it meets ends the show.
"""

import errno
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from lwlive.ring import Pixels

if TYPE_CHECKING:  # PyAV is loaded when a recording starts, in the recorder's thread
    from av import VideoCodecContext

_log = logging.getLogger(__name__)

# Encoder, its pixel format, its options; the first that takes a frame is used. Constant quality,
# no B-frames and no delay: what was put a moment ago is in the file when the process is killed.
# Options of the hardware encoders: `ffmpeg -h encoder=NAME`.
_ENCODERS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("h264_nvenc", "yuv420p", {"preset": "p4", "rc": "constqp", "qp": "20", "delay": "0"}),
    ("h264_videotoolbox", "yuv420p", {"realtime": "1"}),
    ("h264_qsv", "nv12", {"preset": "veryfast", "global_quality": "20", "async_depth": "1"}),
    ("h264_amf", "yuv420p", {"quality": "speed", "rc": "cqp", "qp_i": "20", "qp_p": "20"}),
    ("libx264", "yuv420p", {"preset": "veryfast", "crf": "18", "tune": "zerolatency"}),
)
_BITS_PER_PIXEL = 0.25  # for videotoolbox, which has no constant quality on every Mac
_BT709 = 1  # the number of BT.709 in every table of ITU-T H.273: matrix, primaries, transfer
_LIMITED = 1  # 16..235, what players expect of video

_QUEUE_S = 1.5  # how long the encoder may stall before frames are dropped
_QUEUE_BYTES = 256 * 2**20  # and how much memory that may take
_CLOSE_S = 1.4  # after so long in `close`, frames that are still queued are dropped
_JOIN_S = 0.4  # and so long the file then has to close


class RecordError(Exception):
    """A recording cannot start; the message is a sentence for the person at the desk."""


def rate_of(fps: float) -> Fraction:
    """The exact rate: 29.97 is 30000/1001, as broadcast means it (SMPTE ST 12-1)."""
    for whole in (24, 30, 48, 60, 120, 240):
        if abs(fps - whole * 1000 / 1001) < 0.0005:
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def free_path(folder: Path, when: datetime, suffix: str = ".mp4") -> Path:
    """`lwlive-YYYYMMDD-HHMMSS.mp4` in the folder; with -2, -3 ... where that name is taken."""
    stem = f"lwlive-{when:%Y%m%d-%H%M%S}"
    path, n = folder / f"{stem}{suffix}", 1
    while path.exists():
        n += 1
        path = folder / f"{stem}-{n}{suffix}"
    return path


class Movie:
    """One MP4 file being written, by one thread. Opens at once; raises PyAV's errors.

    Fragmented and flushed: a killed process leaves everything but the last second playable.
    """

    def __init__(
        self, path: Path, rate: Fraction, width: int, height: int, metadata: Mapping[str, str]
    ) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self._rate, self._width, self._height = rate, width, height
        self.encoder, self._format, options = self._choose()
        # absolute, or "20:15.mp4" would be read as the address of a protocol named "20"
        self._output = av.open(
            str(path.absolute()),
            "w",
            format="mp4",
            container_options={
                "movflags": "frag_keyframe+empty_moov+default_base_moof+use_metadata_tags",
                "flush_packets": "1",
            },
        )
        self._output.metadata.update(metadata)
        stream = self._output.add_stream(self.encoder, rate=rate, options=options)
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        self._set_up(stream.codec_context, self._format)
        self._new_frame = av.VideoFrame.from_numpy_buffer
        self._reformatter = VideoReformatter()
        try:
            self._output.start_encoding()
        except BaseException:
            self._output.close()
            raise

    def write(self, pixels: Pixels, pts: int) -> int:
        """Encode one picture, shown from tick `pts` on. Returns how many frames went to the file.

        The pixels are free again afterwards.
        """
        frame = self._reformatter.reformat(
            self._new_frame(pixels, "rgb24"),
            format=self._format,
            dst_colorspace=_BT709,
            dst_color_range=_LIMITED,
            threads=1,
        )
        frame.pts, frame.time_base = pts, 1 / self._rate
        packets = self._stream.encode(frame)
        self._output.mux(packets)
        return len(packets)

    def finish(self) -> int:
        """Write what the encoder still holds. Returns how many frames went to the file."""
        packets = self._stream.encode(None)
        self._output.mux(packets)
        return len(packets)

    def close(self) -> None:
        """Close the file properly."""
        self._output.close()

    def _choose(self) -> tuple[str, str, dict[str, str]]:
        """The first encoder that really takes a frame of this size on this machine."""
        import av

        for name, pixel_format, options in _ENCODERS:
            try:
                trial = av.CodecContext.create(name, "w")
                assert isinstance(trial, av.VideoCodecContext)
                self._set_up(trial, pixel_format)
                trial.options = dict(options)
                frame = av.VideoFrame(self._width, self._height, pixel_format)
                frame.pts, frame.time_base = 0, 1 / self._rate
                if trial.encode(frame) + trial.encode(None):
                    return name, pixel_format, dict(options)
            except (av.FFmpegError, ValueError) as error:  # ValueError: not in this build
                _log.debug("encoder %s: %s", name, error)
        raise RecordError(
            f"no H.264 encoder takes pictures of {self._width}x{self._height}; tried "
            f"{', '.join(name for name, _, _ in _ENCODERS)}; choose a size of even numbers"
        )

    def _set_up(self, context: "VideoCodecContext", pixel_format: str) -> None:
        context.width, context.height = self._width, self._height
        context.pix_fmt = pixel_format
        context.framerate, context.time_base = self._rate, 1 / self._rate
        context.gop_size = max(1, round(self._rate))  # a key frame every second
        context.max_b_frames = 0
        context.bit_rate = int(self._width * self._height * self._rate * _BITS_PER_PIXEL)
        context.thread_count = max(1, min(4, (os.cpu_count() or 1) // 2))  # the engine's cores
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED


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
        self._slots = np.empty((count, height, width, 3), np.uint8)
        self._free = list(range(count))  # last in, first out: an idle queue touches one slot
        self._filled: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._missed = 0  # no free slot; counted by the show's thread
        self._left = 0  # queued and never encoded; counted by the recorder's thread
        self._first: int | None = None
        self._last = -1
        self._closed = False
        self._deadline = math.inf  # written once by `close`, a float is read whole
        self._opened = threading.Event()
        _check_writable(path)
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

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
        """End the recording within two seconds; frames that take longer are dropped, counted."""
        if self._closed:
            return
        self._closed = True
        self._deadline = time.monotonic() + _CLOSE_S
        self._filled.put(None)
        self._thread.join(_CLOSE_S + _JOIN_S)
        if self._thread.is_alive() and self.failed is None:
            self._end(
                f"the disk or the encoder did not finish {self.path} in time; the file is left "
                "as it is and should play up to its last seconds"
            )

    def _end(self, sentence: str) -> None:
        self.failed = sentence
        _log.error("%s", sentence)
        self._filled.put(None)

    def _run(self) -> None:
        try:
            movie = Movie(self.path, self._rate, *self._slots.shape[2:0:-1], self._metadata)
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
        except Exception as error:  # whatever an encoder or a disk does, the show goes on
            self._end(_sentence(self.path, error, self.frames))
            self._left += sum(item is not None for item in self._drain())
        finally:
            self._opened.set()

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
