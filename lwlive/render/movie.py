"""The movie: frames from disk into an H.264 MP4 of constant rate, with sound and settings.

Written beside its name and then moved there. It knows nothing of walks.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter
from PIL import Image

from lwlive.stage.movie import rate_of

_BT709, _LIMITED = 1, 1  # of ITU-T H.273: matrix, primaries, transfer; 16..235
SOUND_RATE = 48_000

Samples = npt.NDArray[np.float32]  # [2, n]


def write_movie(
    path: Path,
    frames: Iterable[Path],
    fps: float,
    crf: int,
    metadata: Mapping[str, str],
    sound: Path | None = None,
) -> int:
    """Make the movie from frame files; returns how many there are in it. Raises OSError.

    x264 in yuv420p; the sound is as long as the pictures: cut, or followed by silence.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        count = _write(draft, frames, rate_of(fps), crf, metadata, sound)
        os.replace(draft, path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return count


def _write(
    path: Path,
    frames: Iterable[Path],
    rate: Fraction,
    crf: int,
    metadata: Mapping[str, str],
    sound: Path | None,
) -> int:
    options = {"movflags": "+faststart+use_metadata_tags"}
    with av.open(str(path.absolute()), "w", format="mp4", container_options=options) as output:
        output.metadata.update(metadata)
        video = output.add_stream("libx264", rate=rate, options={"crf": str(crf)})
        video.pix_fmt, video.time_base = "yuv420p", 1 / rate
        context = video.codec_context
        context.thread_count = 1  # here and below: with more, the bytes are not always the same
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        audio = output.add_stream("aac", rate=SOUND_RATE, layout="stereo") if sound else None
        cut = _Cut(_sound(sound)) if sound else None
        reformatter, count = VideoReformatter(), 0
        for count, file in enumerate(frames, start=1):
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("RGB"))
            if count == 1:
                video.height, video.width = pixels.shape[:2]
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(pixels, "rgb24"),
                format="yuv420p",
                dst_colorspace=_BT709,
                dst_color_range=_LIMITED,
                threads=1,
            )
            frame.pts, frame.time_base = count - 1, 1 / rate
            output.mux(video.encode(frame))
            if audio is not None and cut is not None:  # so that both lie side by side
                for block in cut.until(float(count / rate)):
                    output.mux(audio.encode(block))
        output.mux(video.encode(None))
        if audio is not None:
            output.mux(audio.encode(None))
    return count


def _sound(path: Path) -> Iterator[Samples]:
    """A file's sound, stereo [2, n] at SOUND_RATE, block by block."""
    with av.open(str(path.absolute())) as source:
        resampler = av.AudioResampler("fltp", "stereo", SOUND_RATE)
        for frame in source.decode(audio=0):
            frame.pts = None  # numbered anew; gaps in broken files would stop the resampler
            yield from (_samples(block) for block in resampler.resample(frame))
        yield from (_samples(block) for block in resampler.resample(None))


def _samples(block: av.AudioFrame) -> Samples:
    return block.to_ndarray().astype(np.float32, copy=False)


class _Cut:
    """Blocks of sound, given out up to the end of each picture, and silence after the last."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks, self._left, self._done = blocks, np.zeros((2, 0), np.float32), 0

    def until(self, seconds: float) -> Iterator[av.AudioFrame]:
        """The sound from where it was cut before, up to so many seconds."""
        wanted = round(seconds * SOUND_RATE) - self._done
        while self._left.shape[1] < wanted and (block := next(self._blocks, None)) is not None:
            self._left = np.concatenate([self._left, block], axis=1)
        silence = np.zeros((2, max(0, wanted - self._left.shape[1])), np.float32)
        whole = np.concatenate([self._left, silence], axis=1)
        part, self._left = whole[:, :wanted], whole[:, wanted:]
        if part.shape[1]:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "fltp", "stereo")
            frame.sample_rate, frame.pts = SOUND_RATE, self._done
            frame.time_base = Fraction(1, SOUND_RATE)
            self._done += part.shape[1]
            yield frame
