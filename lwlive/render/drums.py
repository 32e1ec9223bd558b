"""Drums: a sound file's drums as a share of the way for every frame.

Percussive energy is what is left of a spectrogram where medians across frequencies beat those
across time (Fitzgerald 2010), as tools that walk to music have it; no library but scipy is needed.
The sound is taken in blocks, so that an hour needs no more memory than a minute.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from scipy.ndimage import rank_filter

from lwlive.render.sound import Numbers, blocks

RATE = 22_050  # samples a second
WINDOW, HOP = 2048, 512  # samples
ROWS = 512  # of the spectrogram taken together
SPAN = 31  # bins of both medians
STILL = 0.1  # the walk's share of its mean speed where nothing is heard


@dataclass(frozen=True)
class Heard:
    """What a walk needs of a sound."""

    seconds: float
    energy: Numbers  # percussive, every HOP samples


@lru_cache(maxsize=2)
def heard(path: Path) -> Heard:
    """A file's sound, listened to once, block by block. Raises RenderError where there is none."""
    count = 0

    def counted() -> Iterator[Numbers]:
        nonlocal count
        for block in blocks(path, RATE, 1):
            count += block.shape[1]
            yield block[0]

    parts = list(percussion(counted()))
    return Heard(count / RATE, np.concatenate(parts))


def percussion(sound: Iterable[Numbers]) -> Iterator[Numbers]:
    """Percussive energy every HOP samples of a sound that comes in blocks of any size.

    The same however it is cut: a block of the spectrogram is taken with its neighbours' margin.
    """
    margin, before, rows = SPAN // 2, 0, np.zeros((0, WINDOW // 2 + 1), np.float32)
    for more in _spectrogram(sound):
        rows = np.concatenate([rows, more])
        ready = len(rows) - margin  # the medians of what follows need rows that are to come
        if ready > before:
            yield _energy(rows)[before:ready]
            kept = max(0, ready - margin)
            rows, before = rows[kept:], ready - kept
    if len(rows) > before:
        yield _energy(rows)[before:]


def _spectrogram(sound: Iterable[Numbers]) -> Iterator[Numbers]:
    """Rows [n, bins] every HOP samples, the first and the last around the sound's ends."""
    window, edge = np.hanning(WINDOW).astype(np.float32), np.zeros(WINDOW // 2, np.float32)
    waiting: list[Numbers] = []
    size = 0
    for block in chain([edge], sound, [edge]):
        waiting.append(block)
        size += len(block)
        if size < WINDOW + ROWS * HOP and block is not edge:
            continue
        left = np.concatenate(waiting)
        if len(left) >= WINDOW:
            frames = np.lib.stride_tricks.sliding_window_view(left, WINDOW)[::HOP]
            for first in range(0, len(frames), ROWS):
                part = frames[first : first + ROWS] * window
                yield np.abs(np.fft.rfft(part)).astype(np.float32)
            left = left[len(frames) * HOP :]
        waiting, size = [left], len(left)


def _energy(rows: Numbers) -> Numbers:
    steady = _medians(rows.T).T ** 2
    sudden = _medians(rows) ** 2
    share = sudden / np.maximum(steady + sudden, 1e-12)
    found: Numbers = np.sqrt(np.mean((rows * share) ** 2, axis=1))
    return found


def _medians(rows: Numbers) -> Numbers:
    """Medians along each row, which is ten times as fast in scipy as along an axis of all.

    Mirrored at its ends here, since scipy is wrong about rows of two.
    """
    edge = SPAN // 2
    padded = np.pad(rows, ((0, 0), (edge, edge)), mode="symmetric")
    found = np.empty_like(rows, order="C")
    for row, into in zip(padded, found, strict=True):
        into[:] = rank_filter(row, edge, size=SPAN)[edge:-edge]
    return found


def shares(path: Path, joints: Sequence[int], fps: float) -> list[float]:
    """For each frame how far on its segment it is, 0 to 1: fast where the drums are."""
    energy = heard(path).energy
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
