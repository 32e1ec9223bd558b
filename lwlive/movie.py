"""A movie: one H.264 MP4 of constant rate, with its colours told, and with sound where there is
some. A recording and a render are written by the same class.

Used by one thread at a time, which may wait for the encoder and the disk: the recorder's in a show,
the main one in a render. This file knows nothing of queues, clocks, shows, walks or sound files.

A recording is written in fragments, so that a killed process leaves what it has; `made_ordinary`
then makes it a file with its length in front. A render is written beside its name and moved there.
"""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lwlive import files
from lwlive.params import ControlError
from lwlive.ring import Pixels

if TYPE_CHECKING:  # PyAV is loaded when a movie is opened, in its thread
    from av import AudioStream, VideoCodecContext

_log = logging.getLogger(__name__)

Samples = npt.NDArray[np.float32]  # [2, n], at SOUND_RATE
SOUND_RATE = 48_000


@dataclass(frozen=True)
class Encoder:
    """An encoder of FFmpeg, and what it is told."""

    name: str
    pixels: str = "yuv420p"  # what every player decodes; some encoders take nv12, which is the same
    options: Mapping[str, str] = field(default_factory=dict)
    threads: int = field(default_factory=lambda: max(1, min(4, (os.cpu_count() or 1) // 2)))


# For a show; the first that takes a frame is used. Constant quality, no B-frames and no delay: what
# was put a moment ago is in the file when the process is killed. Threads: half the cores, the rest
# are the engine's. Options of the hardware encoders: `ffmpeg -h encoder=NAME`.
LIVE = (
    Encoder("h264_nvenc", options={"preset": "p4", "rc": "constqp", "qp": "20", "delay": "0"}),
    Encoder("h264_videotoolbox", options={"realtime": "1"}),
    Encoder("h264_qsv", "nv12", {"preset": "veryfast", "global_quality": "20", "async_depth": "1"}),
    Encoder("h264_amf", options={"quality": "speed", "rc": "cqp", "qp_i": "20", "qp_p": "20"}),
    Encoder(
        "libx264",
        options={"preset": "veryfast", "crf": "18", "tune": "zerolatency", "profile": "high"},
    ),
)
_BITS_PER_PIXEL = 0.25  # for videotoolbox, which has no constant quality on every Mac
_BT709 = 1  # the number of BT.709 in every table of ITU-T H.273: matrix, primaries, transfer
_LIMITED = 1  # 16..235, what players expect of video

# What an ordinary file's table has for a frame, at most: its size, time, place and whether it is a
# key frame (ISO 14496-12: stsz, stts, stsc, co64, stss); and for the rest of its head.
_BYTES_A_FRAME, _BYTES_OF_HEAD = 48, 2**13


def unhurried(crf: int) -> tuple[Encoder, ...]:
    """For a render: x264 in one thread, since with more the bytes are not always the same.

    x264 takes a quality of 0 as lossless, which few players decode: the finest that all of them
    do is a quantiser of 1.
    """
    quality = {"crf": str(crf)} if crf else {"qp": "1"}
    return (Encoder("libx264", options={**quality, "profile": "high"}, threads=1),)


class RecordError(ControlError):
    """A movie cannot be written; the message is a sentence for the person at the desk."""


def rate_of(fps: float) -> Fraction:
    """The exact rate: 29.97 is 30000/1001, as broadcast means it (SMPTE ST 12-1)."""
    for whole in (24, 30, 48, 60, 120, 240):
        if abs(fps - whole * 1000 / 1001) < 0.0005:
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


class Movie:
    """One MP4 file being written, by one thread. Opens immediately; raises PyAV's errors.

    `fragmented` and flushed: a killed process leaves everything but the last second playable. Else
    the file is whole when it is closed, with its length in front. There is a key frame every second
    or, `intra`, every frame is one, so that players can jump to any.
    """

    def __init__(
        self,
        path: Path,
        rate: Fraction,
        width: int,
        height: int,
        metadata: Mapping[str, str],
        encoders: Iterable[Encoder],
        fragmented: bool = True,
        intra: bool = False,
        sound: bool = False,
    ) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self.path, self.frames, self._metadata = path, 0, dict(metadata)
        self._rate, self._width, self._height, self._intra = rate, width, height, intra
        self._chosen = self._choose(tuple(encoders))
        self.encoder = self._chosen.name
        flags = "frag_keyframe+empty_moov+default_base_moof" if fragmented else "faststart"
        flush = {"flush_packets": "1"} if fragmented else {}
        self._output = av.open(
            _address(path),
            "w",
            format="mp4",
            container_options={"movflags": f"{flags}+use_metadata_tags", **flush},
        )
        try:
            self._output.metadata.update(metadata)
            options = dict(self._chosen.options)
            stream = self._output.add_stream(self.encoder, rate=rate, options=options)
            assert isinstance(stream, av.VideoStream)
            self._stream = stream
            self._set_up(stream.codec_context, self._chosen)
            self._sound: AudioStream | None = None
            if sound:
                self._sound = self._output.add_stream("aac", rate=SOUND_RATE, layout="stereo")
            self._new_frame, self._new_block = av.VideoFrame.from_numpy_buffer, av.AudioFrame
            self._reformatter = VideoReformatter()
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
            format=self._chosen.pixels,
            dst_colorspace=_BT709,
            dst_color_range=_LIMITED,
            threads=1,
        )
        frame.pts, frame.time_base = pts, 1 / self._rate
        return self._mux(self._stream.encode(frame))

    def hear(self, samples: Samples, at: int) -> None:
        """Encode sound [2, n] that begins at sample `at`."""
        assert self._sound is not None
        frame = self._new_block.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, at, Fraction(1, SOUND_RATE)
        self._output.mux(self._sound.encode(frame))

    def finish(self) -> int:
        """Write what the encoders still hold. Returns how many frames went to the file."""
        count = self._mux(self._stream.encode(None))
        if self._sound is not None:
            self._output.mux(self._sound.encode(None))
        return count

    def close(self) -> None:
        """Close the file properly."""
        self._output.close()

    def made_ordinary(self, going: Callable[[], bool]) -> None:
        """Make a closed file in fragments one with its length in front, without encoding it again.

        The new file is written beside the old one and takes its place when it is on the disk: what
        goes wrong, and `going` turning false, leaves the old one as it is. Raises OSError, or
        PyAV's errors; what is no regular file (a device, a pipe) stays what it is.
        """
        path = Path(os.path.realpath(self.path))  # a link goes on pointing there
        if path.exists() and not path.is_file():
            return
        size = path.stat().st_size
        if size > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        with files.draft(path) as beside:
            if self._copied(path, beside, going):
                files.settle(beside, path)

    def _copied(self, path: Path, to: Path, going: Callable[[], bool]) -> bool:
        """Copy the file's packets; False where it was not to be finished."""
        import av

        told = sum(len(f"{k}{v}".encode()) + 64 for k, v in self._metadata.items())
        head = _BYTES_OF_HEAD + told + _BYTES_A_FRAME * self.frames
        options = {"movflags": "use_metadata_tags", "moov_size": str(head)}
        with (
            av.open(_address(path)) as source,
            av.open(_address(to), "w", format="mp4", container_options=options) as output,
        ):
            output.metadata.update(self._metadata)
            video = source.streams.video[0]
            stream = output.add_stream_from_template(video)
            stream.time_base = video.time_base
            for packet in source.demux(video):
                if packet.dts is not None:  # the last one only says that there are no more
                    packet.stream = stream
                    output.mux(packet)
                if not going():
                    return False
        return True

    def _mux(self, packets: list["av.Packet"]) -> int:  # type: ignore[name-defined] # noqa: F821
        self._output.mux(packets)
        self.frames += len(packets)
        return len(packets)

    def _choose(self, encoders: tuple[Encoder, ...]) -> Encoder:
        """The first encoder that really takes a frame of this size on this machine."""
        import av

        for encoder in encoders:
            try:
                trial = av.CodecContext.create(encoder.name, "w")
                assert isinstance(trial, av.VideoCodecContext)
                self._set_up(trial, encoder)
                trial.options = dict(encoder.options)
                frame = av.VideoFrame(self._width, self._height, encoder.pixels)
                frame.pts, frame.time_base = 0, 1 / self._rate
                if trial.encode(frame) + trial.encode(None):
                    return encoder
            except (av.FFmpegError, ValueError) as error:  # ValueError: not in this build
                _log.debug("encoder %s: %s", encoder.name, error)
        raise RecordError(
            f"no H.264 encoder takes pictures of {self._width}x{self._height}; tried "
            f"{', '.join(one.name for one in encoders)}; choose a smaller size, of even numbers"
        )

    def _set_up(self, context: "VideoCodecContext", encoder: Encoder) -> None:
        context.width, context.height = self._width, self._height
        context.pix_fmt = encoder.pixels
        context.framerate, context.time_base = self._rate, 1 / self._rate
        context.gop_size = 1 if self._intra else max(1, int(self._rate))  # a second, never more
        context.max_b_frames = 0  # players loop and scrub without them, and times begin at 0
        context.bit_rate = int(self._width * self._height * self._rate * _BITS_PER_PIXEL)
        context.thread_count = encoder.threads
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED


def write_movie(
    path: Path,
    pictures: Iterable[Pixels],
    fps: float,
    encoders: Iterable[Encoder],
    metadata: Mapping[str, str],
    intra: bool = False,
    sound: Iterator[Samples] | None = None,
) -> int:
    """Make a whole movie; returns how many pictures are in it. Raises OSError, RecordError.

    The sound is as long as the pictures: cut, or followed by silence.
    """
    import av

    rate, movie, count = rate_of(fps), None, 0
    blocks = None if sound is None else _Blocks(sound)
    with files.draft(path) as beside:
        try:
            for count, pixels in enumerate(pictures, start=1):
                if movie is None:
                    height, width = pixels.shape[:2]
                    kind = (encoders, False, intra, blocks is not None)
                    movie = Movie(beside, rate, width, height, metadata, *kind)
                movie.write(np.ascontiguousarray(pixels), count - 1)
                if blocks is not None:  # so that both lie side by side
                    movie.hear(*blocks.until(round(count / rate * SOUND_RATE)))
            if movie is None:
                raise RecordError(f"there is no picture for {path}")
            movie.finish()
            movie.close()
        except av.FFmpegError as error:
            raise OSError(error.errno or errno.EIO, error.strerror or str(error)) from error
        finally:
            if movie is not None:
                movie.close()
        files.settle(beside, path)
    return count


def metadata_of(path: Path) -> dict[str, str]:
    """What a movie says of itself. Raises OSError or ValueError for what is none."""
    import av

    try:
        with av.open(_address(path), metadata_errors="replace") as source:
            return dict(source.metadata)
    except av.FFmpegError as error:
        raise OSError(error.errno or errno.EIO, error.strerror, str(path)) from error


class _Blocks:
    """Blocks of sound, given out up to the end of each picture, and silence after the last."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks, self._left, self._done = blocks, np.zeros((2, 0), np.float32), 0

    def until(self, end: int) -> tuple[Samples, int]:
        """The sound from where it was cut before up to sample `end`, and where that was."""
        at, wanted = self._done, end - self._done
        while self._left.shape[1] < wanted and (block := next(self._blocks, None)) is not None:
            self._left = np.concatenate([self._left, block], axis=1)
        silence = np.zeros((2, max(0, wanted - self._left.shape[1])), np.float32)
        whole = np.concatenate([self._left, silence], axis=1)
        part, self._left, self._done = whole[:, :wanted], whole[:, wanted:], end
        return part, at


def _address(path: Path) -> str:
    """For FFmpeg: absolute, or "20:15.mp4" would be the address of a protocol named "20"."""
    return str(path.absolute())
