"""Taps: a tempo from the moments at which somebody taps it.

The slope is the median of all pairs of taps (Theil 1950, Sen 1968): one bad tap does not move it.
Time is passed in. This file knows nothing of keys, sources or the show.
"""

from collections import deque
from itertools import combinations
from statistics import median

from lwlive.tempo import FASTEST, SLOWEST, Tempo

ENOUGH = 4  # taps that make a tempo
KEPT = 8  # taps that count
PATIENCE = 2.5  # beats without a tap, then the next one is the first
NEAR = 0.3  # of a beat: so far off a tap may be, beyond it somebody taps another tempo
BOUNCE_S = 0.5 * 60 / FASTEST  # two taps nearer to each other are one


class Taps:
    """The taps of one run. `by`: who keeps the tempo that they make."""

    by = "tap"

    def __init__(self) -> None:
        self._taps: deque[tuple[int, float]] = deque(maxlen=KEPT)  # beat since the first, second

    def tapped(self, at: float, before: Tempo) -> Tempo | None:
        """A tap at this second; the tempo that the taps make, with a beat on this tap.

        before: what the show has; the beat's number is that of its nearest. None: too few taps yet.
        """
        if self._taps and at - self._taps[-1][1] < BOUNCE_S:
            return None
        self._count(at)
        if len(self._taps) < ENOUGH:
            return None
        bpm = 60 / self._period()
        if not SLOWEST <= bpm <= FASTEST:
            return None
        return Tempo(bpm, before.struck(at).beat, at, self.by)

    def _count(self, at: float) -> None:
        """Find the tap's beat. One that is left out is counted; what does not fit starts again."""
        if not self._taps:
            self._taps.append((0, at))
            return
        beat, last = self._taps[-1]
        if len(self._taps) == 1:
            passed = 1.0 if at - last <= 60 / SLOWEST else PATIENCE + 1
        else:
            passed = (at - last) / self._period()
        if passed > PATIENCE:
            self._taps.clear()
            self._taps.append((0, at))
            return
        beats = max(1, round(passed))
        if abs(passed - beats) > NEAR:
            self._taps.clear()
            self._taps.append((0, last))
            beat, beats = 0, 1
        self._taps.append((beat + beats, at))

    def _period(self) -> float:
        """Seconds from beat to beat."""
        pairs = combinations(self._taps, 2)
        return median((at - since) / (beat - first) for (first, since), (beat, at) in pairs)
