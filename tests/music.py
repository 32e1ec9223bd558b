"""Music made for tests: a kick on every beat, hats between them, a chord. Plain numpy, seeded.

Each hit and chord is made once, and nobody writes into it.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, cast

import numpy as np
import numpy.typing as npt

RATE = 48_000

Sound = npt.NDArray[np.float32]  # [n], mono


P = ParamSpec("P")


def _kept(make: Callable[P, Sound]) -> Callable[P, Sound]:
    """The same sound for the same words."""

    @wraps(make)
    def made(*args: P.args, **more: P.kwargs) -> Sound:
        sound = make(*args, **more)
        sound.flags.writeable = False
        return sound

    return cast(Callable[P, Sound], lru_cache(64)(made))


def _sound(samples: Any) -> Sound:
    return np.asarray(samples, np.float32)


@_kept
def kick(rate: int = RATE) -> Sound:
    """A bass drum: a sine that falls from 160 to 48 Hz."""
    t = np.arange(round(0.28 * rate)) / rate
    phase = 2 * np.pi * (48 * t + 112 / 30 * (1 - np.exp(-30 * t)))
    return (np.sin(phase) * np.exp(-t / 0.09)).astype(np.float32)


@_kept
def hat(rate: int = RATE, seed: int = 1) -> Sound:
    """A closed hi-hat: noise without its lows."""
    noise = np.random.default_rng(seed).standard_normal(round(0.06 * rate))
    t = np.arange(len(noise)) / rate
    return _sound(np.diff(noise, 2, prepend=[0, 0]) / 3 * np.exp(-t / 0.018))


@_kept
def chord(
    seconds: float, notes: tuple[float, ...] = (220, 277.2, 329.6), rate: int = RATE
) -> Sound:
    """A chord of sines with two overtones, faded in and out within a tenth of a second."""
    t = np.arange(round(seconds * rate)) / rate
    edge = np.minimum(1, np.minimum(t, seconds - t) / 0.1) / (2 * len(notes))
    waves = [edge * np.sin(2 * np.pi * note * k * t) / k for note in notes for k in (1, 2, 3)]
    return _sound(np.sum(waves, axis=0))


@_kept
def click(rate: int = RATE, seed: int = 7) -> Sound:
    """A short burst over the whole spectrum."""
    noise = np.random.default_rng(seed).standard_normal(round(0.02 * rate))
    return _sound(0.8 * noise / np.abs(noise).max())


def at(seconds: float, length: int, what: Sound, into: Sound, rate: int = RATE) -> None:
    """Add a sound to another one at a time, cut at its end."""
    first = round(seconds * rate)
    part = what[: max(0, length - first)]
    into[first : first + len(part)] += part


def music(
    seconds: float,
    bpm: float,
    first: float = 0.0,
    kicks: float = 0.7,
    hats: float = 0.25,
    pads: float = 0.15,
    rate: int = RATE,
) -> Sound:
    """A kick on each beat from `first` on, hats on the eighths, a chord a bar."""
    out = np.zeros(round(seconds * rate), np.float32)
    beat_s = 60 / bpm
    for n in range(int((seconds - first) / beat_s * 2) + 1):
        if n % 2 == 0:
            at(first + n / 2 * beat_s, len(out), kicks * kick(rate), out, rate)
        at(first + n / 2 * beat_s, len(out), hats * hat(rate, n % 5), out, rate)
        if n % 8 == 0:
            higher = 2 ** ((0, -4, 3, -2)[n // 8 % 4] / 12)
            notes = (220 * higher, 277.2 * higher, 329.6 * higher)
            at(first + n / 2 * beat_s, len(out), pads * chord(4 * beat_s, notes, rate), out, rate)
    return out


@_kept
def snare(rate: int = RATE, seed: int = 3) -> Sound:
    """A snare drum: noise over a short tone."""
    t = np.arange(round(0.18 * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t)) * np.exp(-t / 0.05)
    return _sound(0.6 * noise + 0.7 * np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.04))


@_kept
def bass(hz: float, seconds: float, rate: int = RATE) -> Sound:
    """A bass note with overtones."""
    t = np.arange(round(seconds * rate)) / rate
    edge = np.minimum(1, np.minimum(t / 0.005, (seconds - t) / 0.03)) / 2
    return _sound(edge * sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 3)))


# sixteenths of a bar: kick, snare, hat, bass
STYLES = {
    "house": ("x...x...x...x...", "....x.......x...", "..x...x...x...x.", "..x...x...x..xx."),
    "hiphop": ("x.....x...x.....", "....x.......x...", "x.x.x.x.x.x.x.xx", "x.....x...x....."),
    "techno": ("x...x...x...x...", "................", "x.x.xxx.x.x.xxx.", ".xxx.xxx.xxx.xxx"),
    "dnb": ("x.........x.....", "....x.......x...", "x.x.x.x.x.x.x.x.", "x..x..x.....x..."),
}
ROOTS = (55.0, 55.0, 65.4, 49.0)


def song(
    bars: int, bpm: float, style: str, swing: float = 0.0, pause: range = range(0), seed: int = 0
) -> Sound:
    """Drums, bass and chords as hands play them: uneven, and in `pause` chords alone, then hats."""
    rng, sixteenth_s = np.random.default_rng(seed), 15 / bpm
    out = np.zeros(round(bars * 16 * sixteenth_s * RATE), np.float32)
    for bar in range(bars):
        root, begins = ROOTS[bar // 2 % 4], bar * 16 * sixteenth_s
        notes = (4 * root, 4.8 * root, 6 * root)
        at(begins, len(out), 0.14 * chord(16 * sixteenth_s, notes), out)
        for n in range(16):
            late_s = (swing if n % 2 else 0) * sixteenth_s + abs(rng.normal(0, 0.002))
            kicks, snares, hats, basses = (row[n] == "x" for row in STYLES[style])
            if bar in pause:
                kicks = snares = basses = False
                hats = hats and bar - pause[0] >= len(pause) // 2
            sounds = [(kicks, 0.56, kick()), (snares, 0.28, snare())]
            sounds += [(hats, 0.12, hat(seed=n % 5)), (basses, 0.2, bass(root, sixteenth_s * 0.9))]
            for played, loud, what in sounds:
                if played:
                    loud *= rng.uniform(0.8, 1)
                    at(begins + n * sixteenth_s + late_s, len(out), loud * what, out)
    return np.clip(out, -1, 1)
