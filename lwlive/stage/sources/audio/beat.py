"""The beat of a sound: how many a minute, and when they fall, or nothing where there is no beat.

Autocorrelation of how much louder the sound becomes (its flux), summed over several beats as
Scheirer (1998) and Ellis (2007) have it; then the beats are looked for where they should be, and a
line through them gives tempo and moment. One value every hundredth of a second is taken, so that a
minute's worth of arithmetic takes a few milliseconds.

Trackers on PyPI were looked at: those with a licence that fits want torch or numba, or whole files.
This file knows nothing of devices, threads or clocks: it is given the time.
"""

from collections import deque

import numpy as np

from lwlive.stage.sources.audio.features import Heard, Numbers
from lwlive.tempo import Tempo

SLOWEST, FASTEST = 80.0, 180.0  # beats a minute that are found
SPAN_S = 12.0  # of sound that is looked at,
ENOUGH_S = 6.9  # and at least
FAINT, STILL_S = 0.1, 2.5  # music that has no flux of so much for so long is over
EVERY_S = 1.0  # how often
BEATS = 8  # whose distances are compared
USUAL, OCTAVES = 125.0, 1.0  # tempos near this one are likelier than half or double of it
SURE = 0.35  # the correlation from one beat to the next that counts as a beat
FULL = 0.85  # times as alike after half a beat: then it is a whole one
CROSS = (1.5, 2 / 3)  # a cross-beat is so many times as fast
STAYS, STAY = 0.03, 1.25  # so near the last estimate, a tempo is so much likelier
AGREE = 0.015  # two estimates in a row differ by less
NEAR_S = 0.06  # how far from its place a beat is looked for
DRUMS = 0.5  # what the kick counts, beside everything else
LAG_S = 0.0095  # from a hit to where its flux is found
STEP_S = 0.01  # from one value that is looked at to the next


class Beat:
    """Follows one sound."""

    def __init__(self, hop_s: float) -> None:
        self._every = max(1, round(STEP_S / hop_s))  # hops
        self._hops = 0
        self._hop_s = hop_s = hop_s * self._every
        self._flux: deque[float] = deque(maxlen=round(SPAN_S / hop_s))
        self._since = 0
        self._still = 0  # hops in which nothing was heard
        self._last = 0.0  # beats a minute of the last estimate, 0 where there was none
        self.confidence = 0.0  # of the last estimate, 0 to 1

    def heard(self, new: Heard, at: float) -> Tempo | None:
        """The tempo, where it is known, after one more hop; `at`: the moment of its end."""
        self._hops = (self._hops + 1) % self._every
        if self._hops:
            return None
        self._flux.append(new.flux + DRUMS * new.drum)
        self._since += 1
        self._still = 0 if new.flux > FAINT else self._still + 1
        if self._still * self._hop_s > STILL_S:  # the music is over
            self._flux.clear()
            self._last = self.confidence = 0.0
        if self._since * self._hop_s < EVERY_S or len(self._flux) * self._hop_s < ENOUGH_S:
            return None
        self._since = 0
        before = self._last
        self._last, last_beat, self.confidence = estimate(np.array(self._flux), self._hop_s, before)
        if not self._last or abs(self._last / before - 1 if before else 1) > AGREE:
            return None
        return Tempo(self._last, 0.0, at + last_beat - LAG_S)


def estimate(flux: Numbers, hop_s: float, before: float = 0.0) -> tuple[float, float, float]:
    """Beats a minute, the moment of the last beat (0: the end, earlier: below), confidence.

    0 beats a minute where there is no beat. before: the last estimate, which is likelier than its
    half or double, so that the tempo does not flip between them.
    """
    sharp = _sharpened(flux, hop_s)
    strength = float(sharp @ sharp)
    if strength <= 0:
        return 0.0, 0.0, 0.0
    size = 2 ** int(np.ceil(np.log2(2 * len(sharp))))
    spectrum = np.fft.rfft(sharp, size)
    alike = np.fft.irfft(np.abs(spectrum) ** 2, size)[: len(sharp)]
    alike *= len(sharp) / (strength * np.maximum(len(sharp) - np.arange(len(sharp)), 1))
    bpm = np.geomspace(SLOWEST, FASTEST, 600)
    score = _regular(alike, 60 / bpm / hop_s)
    likely = np.exp(-0.5 * (np.log2(bpm / USUAL) / OCTAVES) ** 2)
    held = score * np.where(np.abs(bpm - before) < STAYS * before, STAY, 1.0)
    best = int(np.argmax(held * likely))
    for ratio in CROSS:  # between these it is the sound that tells, and not what is usual
        part = np.abs(bpm / bpm[best] / ratio - 1) < STAYS
        if part.any() and (held * part).max() > held[best]:
            best = int(np.argmax(held * part))
            break
    twice = int(np.argmin(np.abs(bpm - 2 * bpm[best]))) if 2 * bpm[best] <= FASTEST * 1.01 else best
    near = score[max(0, twice - 3) : twice + 4]
    if (
        not before and near.max() > FULL * score[best]
    ):  # what falls between these beats is as strong as they are
        best = max(0, twice - 3) + int(np.argmax(near))
    period = 60 / bpm[best] / hop_s
    confidence = float(np.clip(score[best], 0, 1))
    if confidence < SURE:
        return 0.0, 0.0, confidence
    period, last = _line(sharp, float(period), hop_s)
    return 60 / (period * hop_s), (last - (len(sharp) - 1)) * hop_s, confidence


def _sharpened(flux: Numbers, hop_s: float) -> Numbers:
    """What stands out of its surroundings, a little smoothed."""
    wide = round(0.4 / hop_s) | 1
    mean = np.convolve(np.pad(flux, wide // 2, mode="edge"), np.full(wide, 1 / wide), "valid")
    found: Numbers = np.convolve(np.maximum(flux - mean, 0), (0.25, 0.5, 0.25), "same")
    found -= found.mean()
    return found


def _regular(alike: Numbers, periods: Numbers) -> Numbers:
    """How alike the sound is to itself after one beat, two and so on, for each period."""
    lags = np.outer(periods, np.arange(1, BEATS + 1))  # [periods, beats]
    inside = lags < len(alike) * 0.75
    found = np.interp(lags, np.arange(len(alike)), alike) * inside
    mean: Numbers = found.sum(axis=1) / inside.sum(axis=1)
    return mean


def _line(sharp: Numbers, period: float, hop_s: float) -> tuple[float, float]:
    """Period and last beat, in hops, of a line through the beats that are found."""
    places = np.arange(len(sharp))
    offsets = np.arange(0, period, 0.5)
    counts = int((len(sharp) - 1 - period) / period)
    grid = offsets[:, None] + period * np.arange(counts + 1)
    first = float(offsets[np.argmax(np.interp(grid, places, sharp).sum(axis=1))])
    reach = round(NEAR_S / hop_s)
    for _ in range(2):
        expected = np.arange(first, len(sharp) - 1, period)
        found, weight = np.empty(len(expected)), np.empty(len(expected))
        for n, place in enumerate(expected):
            low = max(0, round(place) - reach)
            part = np.maximum(sharp[low : round(place) + reach + 1], 0)
            weight[n] = part.max(initial=0.0)
            found[n] = low + float(part @ np.arange(len(part))) / max(float(part.sum()), 1e-9)
        numbers = np.arange(len(expected))
        if len(expected) < 3 or not weight.any():
            return period, float(expected[-1])
        slope, start = np.polyfit(numbers, found, 1, w=np.sqrt(weight + 1e-6))
        if abs(slope / period - 1) > 0.03:  # led away by something between the beats
            return period, float(expected[-1])
        period, first = float(slope), float(start)
    return period, first + period * (len(expected) - 1)
