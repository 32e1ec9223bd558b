"""The movie: frames from disk into an H.264 MP4 of constant rate, with sound and settings.

Written beside its name and then moved there. It knows nothing of walks.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from lwlive.stage.recorder import rate_of

_BT709, _LIMITED = 1, 1  # of ITU-T H.273: matrix, primaries, transfer; 16..235
SOUND_RATE = 48_000


def write_movie(
    path: Path,
    frames: Iterable[Path],
    fps: float,
    crf: int,
    metadata: Mapping[str, str],
    sound: Path | None = None,
) -> int:
    """Make the movie from frame files; returns how many there are in it. Raises OSError.

    x264 in yuv420p; the sound is cut to the length of the pictures.
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
        context.thread_count = 4  # a number of its own, so that every machine makes the same bytes
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        audio = output.add_stream("aac", rate=SOUND_RATE, layout="stereo") if sound else None
        count = 0
        for count, file in enumerate(frames, start=1):
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("RGB"))
            if count == 1:
                video.height, video.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(
                format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED
            )
            frame.pts, frame.time_base = count - 1, 1 / rate
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if audio is not None and sound is not None:
            for block in _sound(sound, round(count / rate * SOUND_RATE)):
                output.mux(audio.encode(block))
            output.mux(audio.encode(None))
    return count


def _sound(path: Path, samples: int) -> Iterable[av.AudioFrame]:
    """The file's sound as stereo, so many samples and no more."""
    done = 0
    with av.open(str(path.absolute())) as source:
        resampler = av.AudioResampler("fltp", "stereo", SOUND_RATE)
        decoded = (frame for frame in source.decode(audio=0))
        for frame in _all(decoded, resampler):
            values = frame.to_ndarray()[:, : samples - done]
            if not values.shape[1]:
                return
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(values), "fltp", "stereo")
            block.sample_rate, block.pts = SOUND_RATE, done
            block.time_base = Fraction(1, SOUND_RATE)
            done += values.shape[1]
            yield block


def _all(
    frames: Iterable[av.AudioFrame], resampler: av.AudioResampler
) -> Iterable[av.AudioFrame]:
    for frame in frames:
        frame.pts = None  # numbered anew; gaps in broken files would stop the resampler
        yield from resampler.resample(frame)
    yield from resampler.resample(None)
