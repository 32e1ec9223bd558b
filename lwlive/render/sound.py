"""Sound: a file's drums as a share of the way for every frame.

Percussive energy is what is left of a spectrogram where medians across frequencies beat those
across time (Fitzgerald 2010), as tools that walk to music have it; no library but scipy is needed.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from lwlive.render.settings import RenderError

RATE = 22_050  # samples a second
WINDOW, HOP = 2048, 512  # samples
SPAN = 31  # bins of both medians
STILL = 0.1  # the walk's share of its mean speed where nothing is heard

Numbers = npt.NDArray[np.float32]


@lru_cache(maxsize=2)
def samples(path: Path) -> Numbers:
    """A file's sound, mono. Raises RenderError where there is none."""
    parts = []
    try:
        with av.open(str(path.absolute())) as source:
            if not source.streams.audio:
                raise RenderError(f"{path} has no sound")
            resampler = av.AudioResampler("flt", "mono", RATE)
            for frame in source.decode(audio=0):
                frame.pts = None
                parts += [one.to_ndarray()[0] for one in resampler.resample(frame)]
            parts += [one.to_ndarray()[0] for one in resampler.resample(None)]
    except (OSError, av.FFmpegError) as error:
        why = getattr(error, "strerror", None) or error
        raise RenderError(f"{path} cannot be read as sound: {why}") from None
    if not parts:
        raise RenderError(f"{path} has no sound")
    return np.concatenate(parts)


def length(path: Path) -> float:
    """Seconds of sound in a file. Raises RenderError."""
    return len(samples(path)) / RATE


def percussion(sound: Numbers) -> Numbers:
    """Percussive energy every HOP samples."""
    padded = np.pad(sound, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = np.hanning(WINDOW).astype(np.float32)
    size: Numbers = np.abs(np.fft.rfft(frames * window)).astype(np.float32)  # [time, bins]
    steady = median_filter(size, (SPAN, 1)) ** 2
    sudden = median_filter(size, (1, SPAN)) ** 2
    share = sudden / np.maximum(steady + sudden, 1e-12)
    found: Numbers = np.sqrt(np.mean((size * share) ** 2, axis=1))
    return found


def shares(path: Path, joints: Sequence[int], fps: float) -> list[float]:
    """For each frame how far on its segment it is, 0 to 1: fast where the drums are."""
    energy = percussion(samples(path))
    edges = np.arange(joints[-1] + 1) / fps * RATE / HOP
    loud = np.zeros(joints[-1])
    for n in range(joints[-1]):
        part = energy[int(edges[n]) : max(int(edges[n]) + 1, int(edges[n + 1]))]
        loud[n] = part.max() if len(part) else 0.0
    found = [0.0] * (joints[-1] + 1)
    for a, b in pairwise(joints):
        speed = loud[a:b] + STILL * max(float(loud[a:b].mean()), 1e-9)
        way = np.cumsum(speed) / speed.sum()
        found[a : b + 1] = [0.0, *way.tolist()]
    found[-1] = 1.0
    for joint in joints[:-1]:
        found[joint] = 0.0
    return found
