"""Encoders: which of FFmpeg's encoders writes pictures, and with which options.

A row for each encoder and one table of codecs; recordings, renders and streams choose from them.
`Encoding` is one stream of pictures being encoded, used by one thread at a time. This file knows
nothing of files, networks or shows.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from lwlive.checkpoint import Size
from lwlive.params import ControlError
from lwlive.ring import Pixels

if TYPE_CHECKING:  # PyAV is loaded when something is encoded, in its thread
    from av import VideoCodecContext, VideoFrame, VideoStream
    from av.container import OutputContainer

_log = logging.getLogger(__name__)

# Numbers of ITU-T H.273. JPEG, which knows no tags, is always BT.601 in full range.
_BT709, _BT601 = 1, 5
_LIMITED, _FULL = 1, 2  # 16..235, what players expect of video, and 0..255
_BITS_PER_PIXEL = 0.25  # for videotoolbox, which has no constant quality on every Mac


# Where the last of these, which is software, took pictures of a size and none before it did: that
# stays so, and a trial holds Python's lock for 20 ms. Threads only add to it.
_KNOWN: set[tuple[tuple[str, ...], Size]] = set()

_IDR = {"forced-idr": "1"}  # a key frame that is asked for is one that players can begin with


class RecordError(ControlError):
    """Pictures cannot be encoded or written; the message is a sentence for who is at the desk."""


@dataclass(frozen=True)
class Encoder:
    """An encoder of FFmpeg, and its options."""

    name: str
    pixels: str = "yuv420p"  # what every player decodes; some encoders take nv12, which is the same
    options: Mapping[str, str] = field(default_factory=dict)
    threads: int = field(default_factory=lambda: max(1, min(4, (os.cpu_count() or 1) // 2)))
    tag: str | None = None  # of the codec in the file, where FFmpeg's own is not what players take
    intra: bool = False  # every frame is a key frame
    matrix: int = _BT709
    range: int = _LIMITED


@dataclass(frozen=True)
class Codec:
    """What a recording may be written in. The first encoder that takes a frame is used."""

    title: str
    suffix: str  # of its files
    encoders: tuple[Encoder, ...]


# For a show. Constant quality, no B-frames and no delay: what was put a moment ago is in the file
# when the process is killed. Threads: half the cores, the rest are the engine's. Options of the
# hardware encoders: `ffmpeg -h encoder=NAME`.
LIVE = (
    Encoder(
        "h264_nvenc", options={"preset": "p4", "rc": "constqp", "qp": "20", "delay": "0", **_IDR}
    ),
    Encoder("h264_videotoolbox", options={"realtime": "1"}),
    Encoder("h264_qsv", "nv12", {"preset": "veryfast", "global_quality": "20", "async_depth": "1"}),
    Encoder("h264_amf", options={"quality": "speed", "rc": "cqp", "qp_i": "20", "qp_p": "20"}),
    Encoder(
        "libx264",
        options={"preset": "veryfast", "crf": "18", "tune": "zerolatency", "profile": "high"},
    ),
)
_HEVC = (
    Encoder(
        "hevc_nvenc",
        options={"preset": "p4", "rc": "constqp", "qp": "22", "delay": "0", **_IDR},
        tag="hvc1",
    ),
    Encoder("hevc_videotoolbox", options={"realtime": "1"}, tag="hvc1"),
    Encoder("hevc_qsv", "nv12", {"preset": "veryfast", "global_quality": "22"}, tag="hvc1"),
    Encoder("hevc_amf", options={"quality": "speed", "rc": "cqp"}, tag="hvc1"),
    Encoder(
        "libx265",
        options={
            "preset": "ultrafast",
            "tune": "zerolatency",
            "crf": "20",
            **_IDR,
            "x265-params": f"log-level=error:pools={max(1, (os.cpu_count() or 1) // 2)}",
        },
        tag="hvc1",
    ),
)
_PRORES = (Encoder("prores_ks", "yuv422p10le", {"profile": "standard"}, intra=True),)
_MJPEG = (  # 118 is FFmpeg's unit of quality, of which 2 is nearly the finest
    Encoder(
        "mjpeg",
        "yuvj420p",
        {"flags": "+qscale", "global_quality": str(2 * 118)},
        intra=True,
        matrix=_BT601,
        range=_FULL,
    ),
)
CODECS = {
    "h264": Codec("H.264", ".mp4", LIVE),
    "hevc": Codec("HEVC", ".mp4", _HEVC),
    "prores": Codec("ProRes", ".mov", _PRORES),
    "mjpeg": Codec("Motion JPEG", ".mov", _MJPEG),
}


def unhurried(crf: int) -> tuple[Encoder, ...]:
    """For a render: x264 in one thread, since with more the bytes are not always the same.

    x264 takes a quality of 0 as lossless, which few players decode: the finest that all of them
    do is a quantiser of 1.
    """
    quality = {"crf": str(crf)} if crf else {"qp": "1"}
    return (Encoder("libx264", options={**quality, "profile": "high"}, threads=1),)


def streaming(quality: int, mbit: float) -> tuple[Encoder, ...]:
    """For a stream: as little delay as there can be, and no second above `mbit` megabits.

    quality: of x264 and of the hardware's constant quality, from 1 (fine) to 51.
    """
    most = str(round(mbit * 1e6))
    held = {"maxrate": most, "bufsize": most}  # a second's worth
    return (
        Encoder(
            "h264_nvenc",
            options={
                "preset": "p2",
                "tune": "ull",
                "rc": "vbr",
                "cq": str(quality),
                "delay": "0",
                **_IDR,
            }
            | held,
        ),
        Encoder("h264_videotoolbox", options={"realtime": "1", "prio_speed": "1"} | held),
        Encoder("h264_amf", options={"usage": "ultralowlatency", "quality": "speed"} | held),
        Encoder(
            "libx264",
            options={"preset": "superfast", "tune": "zerolatency", "crf": str(quality)} | held,
            threads=1,
        ),
    )


class Encoding:
    """Pictures of one size and rate, encoded. There is a key frame every second, or all are one.

    Encoders count pictures. Where some were dropped, a key frame is asked for when it is time.

    Raises RecordError where no encoder takes such pictures on this machine.
    """

    def __init__(
        self, encoders: Iterable[Encoder], rate: Fraction, size: Size, intra: bool = False
    ) -> None:
        from av.video.reformatter import VideoReformatter

        self.rate, self._size, self._intra = rate, size, intra
        self.chosen = self._choose(tuple(encoders))
        self._reformatter = VideoReformatter()
        self._every = 1 if intra or self.chosen.intra else max(1, int(rate))  # a second, never more
        self._key, self._since = 0, 0  # tick of the last key frame, pictures since then

    def stream(self, output: "OutputContainer") -> "VideoStream":
        """A stream of its own in a file or on a network."""
        import av

        options = dict(self.chosen.options)
        stream = output.add_stream(self.chosen.name, rate=self.rate, options=options)
        assert isinstance(stream, av.VideoStream)
        self._set_up(stream.codec_context, self.chosen)
        return stream

    def frame(self, pixels: Pixels, pts: int) -> "VideoFrame":
        """One picture as the encoder takes it, shown from tick `pts` on. A copy."""
        import av
        from av.video.frame import PictureType

        frame = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pixels), "rgb24"),
            format=self.chosen.pixels,
            dst_colorspace=self.chosen.matrix,
            dst_color_range=self.chosen.range,
            threads=1,
        )
        frame.pts, frame.time_base = pts, 1 / self.rate
        if pts - self._key >= self._every:
            if self._since < self._every:  # else the encoder makes one by itself
                frame.pict_type = PictureType.I
            self._key, self._since = pts, 0
        self._since += 1
        return frame

    def _choose(self, encoders: tuple[Encoder, ...]) -> Encoder:
        """The first encoder that really takes a frame of this size on this machine."""
        import av

        tried = tuple(encoder.name for encoder in encoders), self._size
        if tried in _KNOWN:
            return encoders[-1]
        width, height = self._size
        for encoder in encoders:
            try:
                trial = av.CodecContext.create(encoder.name, "w")
                assert isinstance(trial, av.VideoCodecContext)
                self._set_up(trial, encoder)
                trial.options = dict(encoder.options)
                frame = av.VideoFrame(width, height, encoder.pixels)
                frame.pts, frame.time_base = 0, 1 / self.rate
                if trial.encode(frame) + trial.encode(None):
                    if encoder is encoders[-1]:
                        _KNOWN.add(tried)
                    return encoder
            except (av.FFmpegError, ValueError) as error:  # ValueError: not in this build
                _log.debug("encoder %s: %s", encoder.name, error)
        title = next((c.title for c in CODECS.values() if c.encoders == encoders), "H.264")
        raise RecordError(
            f"no {title} encoder takes pictures of {width}x{height}; tried "
            f"{', '.join(one.name for one in encoders)}; choose a smaller size, of even numbers"
        )

    def _set_up(self, context: "VideoCodecContext", encoder: Encoder) -> None:
        context.width, context.height = self._size
        context.pix_fmt = encoder.pixels
        context.framerate, context.time_base = self.rate, 1 / self.rate
        intra = self._intra or encoder.intra
        context.gop_size = 1 if intra else max(1, int(self.rate))
        context.max_b_frames = 0  # players loop and scrub without them, and times begin at 0
        width, height = self._size
        context.bit_rate = int(width * height * self.rate * _BITS_PER_PIXEL)
        context.thread_count = encoder.threads
        context.colorspace = encoder.matrix
        context.color_primaries = context.color_trc = _BT709
        context.color_range = encoder.range
        if encoder.tag is not None:
            context.codec_tag = encoder.tag
