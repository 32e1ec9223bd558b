"""Features: sound in, bands out. How strong low, mid and high are, the level, hits, brightness.

Each is from 0 to 1, whatever the volume: a gain for each band follows the loudest of the last
seconds up within a tenth of a second, and down while it hears music. Where it hears only what the
room sounds like by itself it stays, so that silence does not turn into noise.

`onset` is a pulse that falls after every hit: the spectral flux (how much louder each part of the
spectrum has become) where it stands out of the last second. `centroid` tells dull, 0, from bright,
1, and stays where it is in silence.

Plain arithmetic: the same samples give the same bands, however they are cut into blocks. This file
knows nothing of devices, threads or clocks.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]  # [n], mono, -1 to 1
Numbers = npt.NDArray[np.float64]

HOP_S = 0.005  # from one value of the bands to the next
LOOK_S = 0.02  # of sound is looked at for each, at least
APART = 2  # hops that spectra are apart, of which one tells how much louder the other is
EDGES_HZ = (30.0, 250.0, 3000.0, 16_000.0)  # between which low, mid and high are
PARTS = (4, 12, 8)  # of each of them, in which flux and centroid are measured
DULL_HZ, BRIGHT_HZ = 150.0, 6000.0  # where the centroid is 0 and 1

ATTACK_S, RELEASE_S = 0.008, 0.15  # of low, mid, high and level
PULSE_S = 0.12  # in which an onset falls to a third
BRIGHT_S = 0.1  # in which the centroid follows

# the gain, in decibels below a full-scale signal, for low, mid, high and level
NOTHING_DB = -90.0  # below this a device is silent
START_DB = (-30.0, -30.0, -40.0, -30.0)  # as loud as full range is at first,
LEAST_DB = (-72.0, -75.0, -82.0, -70.0)  # and at the least
UP_S, DOWN_S = 0.08, 6.0  # in which the gain follows what is louder, and what is not
RECENT_S, SLOTS = 2.0, 20  # it follows the loudest in, kept in so many parts
MUSIC_DB = 9.0  # what is so far above the room's own noise is music,
MUSIC_S = 2.0  # in all bands, and for so long after
APART_DB = (30.0, 26.0, 40.0, math.inf)  # below all of the sound, no band is made louder
SMOOTH_S = 0.12  # over which noise is measured
NEW_S = 0.5  # what a device gives for so long after nothing is taken for its noise
CREEP_DB_S = 0.5  # how fast what is never quieter becomes the room's own noise

STANDS_OUT = 2.2  # times the median of the flux that a hit has,
SHARE = 0.22  # at this share of the strongest lately,
WEAKEST = 0.25  # and not less than this
MEDIAN_S, STRONGEST_S = 0.8, 6.0
LOUDEST = 1e3  # a sample that is larger is a fault
CONTRAST = 60.0  # of the logarithm in which flux is measured


class Heard(NamedTuple):
    """What was heard up to one moment."""

    bands: tuple[float, ...]  # in the order of BANDS in lwlive/routes.py
    flux: float  # how much louder the parts of the spectrum have become
    drum: float  # the same of the lowest parts, where the kick is


class Features:
    """Listens to one sound, block by block."""

    def __init__(self, rate: int) -> None:
        self.hop = round(rate * HOP_S)  # samples
        self.hop_s = self.hop / rate
        size = 2 ** math.ceil(math.log2(rate * LOOK_S))
        self._window = _late(size).astype(np.float32)
        self._scale = 2 / (size * float(np.sum(self._window**2)))  # of a power: 1 for a full square
        hz = np.fft.rfftfreq(size, 1 / rate)
        found = [int(np.searchsorted(hz, one)) for one in _edges(rate / 2)]
        edges = sorted(set(found))  # in bins; low parts may fall between two
        self._begin, self._end = 2 * np.array(edges[:-1]), 2 * edges[-1]  # a bin is two numbers
        between = [edges.index(int(np.searchsorted(hz, one))) for one in EDGES_HZ[1:3]]
        self._low, self._mid = between  # the parts before these are low and mid
        span = math.log(BRIGHT_HZ / DULL_HZ)
        middle = [math.exp(float(np.log(hz[a:b]).mean())) for a, b in pairwise(edges)]
        self._bright = [min(1.0, max(0.0, math.log(m / DULL_HZ) / span)) for m in middle]

        # the last samples, and those of a hop that is not whole yet
        self._late: Samples = np.zeros(size - self.hop, np.float32)
        self._gain = _Gain(self.hop_s)
        self._hits = _Hits(self.hop_s)
        self._before = deque([[0.0] * len(middle)] * 2 * APART, 2 * APART)  # parts of the last hops
        self._levels = [0.0] * 4
        self._centroid = 0.5
        self._attack, self._release = _share(self.hop_s, ATTACK_S), _share(self.hop_s, RELEASE_S)
        self._follow = _share(self.hop_s, BRIGHT_S)

    def heard(self, block: Samples) -> list[Heard]:
        """What a block of any length brings: one for each hop that is whole."""
        late, hop, size = np.concatenate([self._late, block]), self.hop, len(self._window)
        count = max(0, len(late) - size + hop) // hop
        self._late = late[count * hop :]
        return [self._hop(late[n * hop : n * hop + size]) for n in range(count)]

    def _powers(self, late: Samples) -> list[float]:
        """The power of each part of the spectrum."""
        found = np.fft.rfft(late * self._window).view(np.float32)
        found *= found
        powers = np.add.reduceat(found[: self._end], self._begin)
        powers *= self._scale
        numbers: list[float] = powers.tolist()
        return numbers

    def _hop(self, late: Samples) -> Heard:
        powers = self._powers(late)
        if not math.isfinite(sum(powers)):  # so is a sample, or it is far too large
            late = np.nan_to_num(late, nan=0.0, posinf=0.0, neginf=0.0)
            powers = self._powers(np.clip(late, -LOUDEST, LOUDEST))
        # a few dozen numbers are left, with which plain Python is faster than numpy
        low, mid, high = (
            sum(powers[: self._low]),
            sum(powers[self._low : self._mid]),
            sum(powers[self._mid :]),
        )
        shares = self._gain.shares((low, mid, high, low + mid + high))
        for n, share in enumerate(shares):
            step = self._attack if share > self._levels[n] else self._release
            self._levels[n] += (share - self._levels[n]) * step

        loud = [math.sqrt(power) / self._gain.full for power in powers]
        parts = [math.log1p(CONTRAST * one) for one in loud]
        lately = zip(parts, self._before[0], self._before[APART], strict=True)
        grown = [p - m if p > (m := a if a > b else b) else 0.0 for p, a, b in lately]
        self._before.append(parts)
        flux = sum(grown) / len(grown)
        drum = sum(grown[: self._low]) / self._low

        total = sum(loud)
        if total > 0:
            weight = self._follow * min(1.0, 4 * shares[3])
            bright = sum(a * b for a, b in zip(loud, self._bright, strict=True)) / total
            self._centroid += (bright - self._centroid) * weight
        return Heard((*self._levels, self._hits.pulse(flux), self._centroid), flux, drum)


class _Gain:
    """Turns the power of low, mid, high and all into shares of what is loud at present."""

    def __init__(self, hop_s: float) -> None:
        self._all = [_Loudness(*each, hop_s) for each in zip(START_DB, LEAST_DB, strict=True)]
        self._music, self._hop_s = 0.0, hop_s  # seconds that music counts as heard

    @property
    def full(self) -> float:
        """The amplitude at which the level is 1."""
        return float(10 ** (self._all[3].full_db / 20))

    def shares(self, powers: Sequence[float]) -> list[float]:
        """0 to 1, of the powers of one hop."""
        music = [one.hear(power) for one, power in zip(self._all, powers, strict=True)]
        self._music = MUSIC_S if any(music) else self._music - self._hop_s
        full_db, heard = self._all[3].full_db, self._music > 0
        both = zip(self._all, APART_DB, strict=True)
        return [one.share(heard, full_db - apart_db) for one, apart_db in both]


class _Loudness:
    """What is loud at present in one band, and what the room sounds like by itself."""

    def __init__(self, start_db: float, least_db: float, hop_s: float) -> None:
        self.full_db, self._least_db, self._hop_s = start_db, least_db, hop_s
        self._now_db = NOTHING_DB
        self._smooth = 0.0  # power
        self._noise_db = math.inf  # the room's own
        self._new = NEW_S
        self._recent = deque([NOTHING_DB] * SLOTS, SLOTS)  # the loudest in each part of RECENT_S
        self._in_slot = 0.0
        self._up, self._down = _share(hop_s, UP_S), _share(hop_s, DOWN_S)
        self._smoothing = _share(hop_s, SMOOTH_S)

    def hear(self, power: float) -> bool:
        """Take note of the power of one hop. Returns whether it is music, and no room's noise."""
        self._now_db = 10 * math.log10(power + 1e-14)
        self._in_slot += self._hop_s
        if self._in_slot >= RECENT_S / SLOTS:
            self._in_slot -= RECENT_S / SLOTS
            self._recent.append(self._now_db)
        self._recent[-1] = max(self._recent[-1], self._now_db)
        self._smooth += (power - self._smooth) * self._smoothing
        smooth_db = 10 * math.log10(self._smooth + 1e-14)
        if smooth_db <= NOTHING_DB:
            self._new = NEW_S
            return False
        self._new -= self._hop_s
        creeping = self._noise_db + CREEP_DB_S * self._hop_s
        self._noise_db = smooth_db if self._new > 0 else min(smooth_db, creeping)
        return smooth_db > self._noise_db + MUSIC_DB

    def share(self, music: bool, least_db: float) -> float:
        """How loud the last hop is, 0 to 1; the gain follows it."""
        if self._now_db > self.full_db:
            self.full_db += (self._now_db - self.full_db) * self._up
        elif music:
            self.full_db += min(0.0, max(self._recent) - self.full_db) * self._down
        self.full_db = max(self.full_db, self._least_db, least_db)
        return float(min(1.0, 10 ** ((self._now_db - self.full_db) / 20)))


class _Hits:
    """Finds hits in the flux, against what it was lately, and holds a pulse that falls."""

    def __init__(self, hop_s: float) -> None:
        self._lately = deque([0.0], round(MEDIAN_S / hop_s))
        self._sorted = [0.0]
        self._strongest = WEAKEST
        self._pulse = 0.0
        self._falls, self._forgets = math.exp(-hop_s / PULSE_S), math.exp(-hop_s / STRONGEST_S)

    def pulse(self, flux: float) -> float:
        """The pulse, 0 to 1, after one more hop."""
        usual = self._sorted[len(self._sorted) // 2]
        if len(self._lately) == self._lately.maxlen:
            del self._sorted[bisect_left(self._sorted, self._lately[0])]
        self._lately.append(flux)
        insort(self._sorted, flux)
        self._strongest = max(WEAKEST, flux, self._strongest * self._forgets)
        self._pulse *= self._falls
        if flux > max(WEAKEST, STANDS_OUT * usual, SHARE * self._strongest):
            self._pulse = max(self._pulse, flux / self._strongest)
        return self._pulse


def _late(size: int) -> Numbers:
    """A window with its top near its end, so that what has just been heard counts."""
    rise, fall = size * 5 // 8, size * 3 // 8
    up = np.sin(np.pi / 2 * (np.arange(rise) + 0.5) / rise) ** 2
    down = np.cos(np.pi / 2 * (np.arange(fall) + 0.5) / fall) ** 2
    return np.concatenate([up, down])


def _edges(highest_hz: float) -> list[float]:
    """Between which frequencies the parts are: even steps for the ear within each band."""
    found: list[float] = []
    for count, (low, high) in zip(PARTS, pairwise(EDGES_HZ), strict=True):
        found += np.geomspace(low, min(high, highest_hz), count, endpoint=False).tolist()
    return [*found, min(EDGES_HZ[-1], highest_hz)]


def _share(hop_s: float, time_s: float) -> float:
    """The share of the way that is gone in a hop, where two thirds are gone in `time_s`."""
    return 1 - math.exp(-hop_s / time_s)
