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
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]  # [n], mono, -1 to 1
Numbers = npt.NDArray[np.float64]

HOP_S = 0.01  # from one value of the bands to the next
EDGES_HZ = (30.0, 200.0, 3000.0, 16_000.0)  # between which low, mid and high are
PARTS = 24  # of the spectrum, in which flux and centroid are measured
DULL_HZ, BRIGHT_HZ = 150.0, 6000.0  # where the centroid is 0 and 1

ATTACK_S, RELEASE_S = 0.008, 0.15  # of low, mid, high and level
PULSE_S = 0.12  # in which an onset falls to a third
BRIGHT_S = 0.1  # in which the centroid follows

# the gain, in decibels below a full-scale signal, for low, mid, high and level
NOTHING_DB = -90.0  # below this a device is silent
START_DB = np.array([-30.0, -30.0, -40.0, -30.0])  # as loud as full range is at first,
LEAST_DB = np.array([-72.0, -75.0, -82.0, -70.0])  # and at the least
UP_S, DOWN_S = 0.08, 6.0  # in which the gain follows what is louder, and what is not
RECENT_S = 2.0  # it follows the loudest in
MUSIC_DB = 9.0  # what is so far above the room's own noise is music,
MUSIC_S = 2.0  # in all bands, and for so long after
APART_DB = 32.0  # a band is not made louder than this, compared with all of the sound
SMOOTH_S = 0.12  # over which noise is measured
NEW_S = 0.5  # what a device gives for so long after nothing is taken for its noise
CREEP_DB_S = 0.5  # how fast what is never quieter becomes the room's own noise

STANDS_OUT = 2.2  # times the median of the flux that a hit has,
SHARE = 0.22  # at this share of the strongest lately,
WEAKEST = 0.25  # and not less than this
MEDIAN_S, STRONGEST_S = 0.8, 6.0
CONTRAST = 60.0  # of the logarithm in which flux is measured


@dataclass(frozen=True)
class Heard:
    """What was heard up to one moment."""

    bands: tuple[float, ...]  # in the order of BANDS in lwlive/routes.py
    flux: float  # how much louder the parts of the spectrum have become
    drum: float  # the same of the lowest parts, where the kick is


class Features:
    """Listens to one sound, block by block."""

    def __init__(self, rate: int) -> None:
        self.hop = round(rate * HOP_S)  # samples
        self.hop_s = self.hop / rate
        size = 2 ** math.ceil(math.log2(2 * self.hop))
        self._window = _late(size)
        self._scale = 2 / (size * float(np.sum(self._window**2)))  # of a power: 1 for a full square
        hz = np.fft.rfftfreq(size, 1 / rate)
        self._bands = np.stack([_between(hz, a, b) for a, b in pairwise(EDGES_HZ)])
        self._bands = np.vstack([self._bands, self._bands.sum(axis=0)])  # [4, bins]
        edges = np.geomspace(EDGES_HZ[0], min(EDGES_HZ[-1], rate / 2), PARTS + 1)
        parts = np.stack([_between(hz, a, b) for a, b in pairwise(edges)])
        self._parts = parts[parts.any(axis=1)]  # [parts, bins]; low ones fall between the bins
        middle = np.exp((self._parts @ np.log(np.maximum(hz, 1))) / self._parts.sum(axis=1))
        span = math.log(BRIGHT_HZ / DULL_HZ)
        self._bright = np.clip(np.log(middle / DULL_HZ) / span, 0, 1)
        self._drums = int(np.sum(middle < EDGES_HZ[1]))

        self._late: Samples = np.zeros(size, np.float32)  # the last samples
        self._left: Samples = np.zeros(0, np.float32)  # of a hop that is not whole yet
        self._gain = _Gain(self.hop_s)
        self._hits = _Hits(self.hop_s)
        self._before = np.zeros((2, len(self._parts)))  # the parts of the last two hops
        self._levels = np.zeros(4)
        self._centroid = 0.5
        self._attack, self._release = _share(self.hop_s, ATTACK_S), _share(self.hop_s, RELEASE_S)
        self._follow = _share(self.hop_s, BRIGHT_S)

    def heard(self, block: Samples) -> list[Heard]:
        """What a block of any length brings: one for each hundredth of a second that is whole."""
        left = np.concatenate([self._left, block])
        count = len(left) // self.hop
        self._left = left[count * self.hop :]
        return [self._hop(left[n * self.hop : (n + 1) * self.hop]) for n in range(count)]

    def _hop(self, samples: Samples) -> Heard:
        self._late = np.concatenate([self._late[self.hop :], samples])
        late = np.nan_to_num(self._late, nan=0.0, posinf=0.0, neginf=0.0)
        found = np.fft.rfft(late * self._window)
        power = (found.real**2 + found.imag**2) * self._scale  # [bins]
        shares = self._gain.shares(self._bands @ power)
        step = np.where(shares > self._levels, self._attack, self._release)
        self._levels += (shares - self._levels) * step

        loud = np.sqrt(self._parts @ power) / self._gain.full  # [parts]
        parts = np.log1p(CONTRAST * loud)
        grown = np.maximum(parts - self._before.max(axis=0), 0)
        self._before = np.stack([self._before[1], parts])
        flux = float(grown.mean())
        drum = float(grown[: self._drums].mean()) if self._drums else flux

        total = float(loud.sum())
        if total > 0:
            weight = self._follow * min(1.0, 4 * float(shares[3]))
            self._centroid += (float(loud @ self._bright) / total - self._centroid) * weight
        bands = (*self._levels.tolist(), self._hits.pulse(flux), self._centroid)
        return Heard(bands, flux, drum)


class _Gain:
    """Turns the power of low, mid, high and all into shares of what is loud at present."""

    def __init__(self, hop_s: float) -> None:
        self._hop_s = hop_s
        self._full_db = START_DB.copy()
        self._smooth = np.zeros(4)  # power
        self._noise_db = np.full(4, np.inf)  # the room's own
        self._new = np.full(4, NEW_S)
        self._music = 0.0  # seconds that music counts as heard
        slots = 20
        self._recent = np.full((slots, 4), NOTHING_DB)  # the loudest of each tenth of RECENT_S
        self._slot_s = RECENT_S / slots
        self._in_slot = 0.0
        self._up, self._down = _share(hop_s, UP_S), _share(hop_s, DOWN_S)
        self._smoothing = _share(hop_s, SMOOTH_S)

    @property
    def full(self) -> float:
        """The amplitude at which the level is 1."""
        return float(10 ** (self._full_db[3] / 20))

    def shares(self, power: Numbers) -> Numbers:
        """0 to 1, of the powers of one hop [4]."""
        now_db = 10 * np.log10(power + 1e-14)
        self._hear(power, now_db)
        louder = now_db > self._full_db
        down = np.minimum(self._recent.max(axis=0) - self._full_db, 0) if self._music > 0 else 0
        way = np.where(louder, (now_db - self._full_db) * self._up, down * self._down)
        self._full_db = np.maximum(self._full_db + way, LEAST_DB)
        self._full_db = np.maximum(self._full_db, self._full_db[3] - APART_DB)
        found: Numbers = np.minimum(1, 10 ** ((now_db - self._full_db) / 20))
        return found

    def _hear(self, power: Numbers, now_db: Numbers) -> None:
        """Take note of the room's noise, of music, and of the loudest lately."""
        self._smooth += (power - self._smooth) * self._smoothing
        smooth_db = 10 * np.log10(self._smooth + 1e-14)
        any_ = smooth_db > NOTHING_DB
        self._new = np.where(any_, self._new - self._hop_s, NEW_S)
        creeping = np.minimum(smooth_db, self._noise_db + CREEP_DB_S * self._hop_s)
        creeping = np.where(self._new > 0, smooth_db, creeping)
        self._noise_db = np.where(any_, creeping, self._noise_db)
        heard = bool(np.any(any_ & (smooth_db > self._noise_db + MUSIC_DB)))
        self._music = MUSIC_S if heard else self._music - self._hop_s
        self._in_slot += self._hop_s
        if self._in_slot >= self._slot_s:
            self._in_slot -= self._slot_s
            self._recent = np.roll(self._recent, 1, axis=0)
            self._recent[0] = now_db
        np.maximum(self._recent[0], now_db, out=self._recent[0])


class _Hits:
    """Finds hits in the flux, against what it was lately, and holds a pulse that falls."""

    def __init__(self, hop_s: float) -> None:
        self._lately = np.zeros(round(MEDIAN_S / hop_s))
        self._next = 0
        self._strongest = WEAKEST
        self._pulse = 0.0
        self._falls, self._forgets = math.exp(-hop_s / PULSE_S), math.exp(-hop_s / STRONGEST_S)

    def pulse(self, flux: float) -> float:
        """The pulse, 0 to 1, after one more hop."""
        usual = float(np.partition(self._lately, len(self._lately) // 2)[len(self._lately) // 2])
        self._lately[self._next] = flux
        self._next = (self._next + 1) % len(self._lately)
        self._strongest = max(WEAKEST, flux, self._strongest * self._forgets)
        self._pulse *= self._falls
        if flux > max(WEAKEST, STANDS_OUT * usual, SHARE * self._strongest):
            self._pulse = max(self._pulse, flux / self._strongest)
        return self._pulse


def _late(size: int) -> Numbers:
    """A window with its top near its end, so that what has just been heard counts."""
    rise, fall = size * 3 // 4, size - size * 3 // 4
    up = np.sin(np.pi / 2 * (np.arange(rise) + 0.5) / rise) ** 2
    down = np.cos(np.pi / 2 * (np.arange(fall) + 0.5) / fall) ** 2
    return np.concatenate([up, down])


def _between(hz: npt.NDArray[np.floating], low: float, high: float) -> Numbers:
    """1 for the bins whose frequency lies between, 0 for the others."""
    return ((hz >= low) & (hz < high)).astype(np.float64)


def _share(hop_s: float, time_s: float) -> float:
    """The share of the way that is gone in a hop, where two thirds are gone in `time_s`."""
    return 1 - math.exp(-hop_s / time_s)
