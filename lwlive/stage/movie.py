"""A movie: one H.264 MP4 of constant rate being written, by the first encoder that works here.

Used by one thread, which may wait for the encoder and the disk. A movie knows nothing of queues,
clocks or the show.
"""

import logging
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from lwlive.ring import Pixels

if TYPE_CHECKING:  # PyAV is loaded when a movie is opened, in its thread
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


class RecordError(Exception):
    """A recording cannot start; the message is a sentence for the person at the desk."""


def rate_of(fps: float) -> Fraction:
    """The exact rate: 29.97 is 30000/1001, as broadcast means it (SMPTE ST 12-1)."""
    for whole in (24, 30, 48, 60, 120, 240):
        if abs(fps - whole * 1000 / 1001) < 0.0005:
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


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
