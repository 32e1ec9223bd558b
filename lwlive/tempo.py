"""Tempo: a line through time. Who has it offers it; frames know when they are due, so they know
their beat.

Plain arithmetic. This file knows nothing of clocks, sources or frames.
"""

import math
from dataclasses import dataclass, replace

SLOWEST, FASTEST = 20.0, 300.0  # beats a minute
ROUNDING = 1e-9  # beats: a moment computed as a beat's is on that beat


@dataclass(frozen=True)
class Tempo:
    """Beat `beat` falls at second `at` of the show's clock."""

    bpm: float = 120.0
    beat: float = 0.0
    at: float = 0.0
    by: str = ""  # who keeps it; "" for the hand that set `bpm`

    def beats(self, now: float) -> float:
        """The beat at a moment, with its fraction."""
        return self.beat + (now - self.at) * self.bpm / 60

    def when(self, beat: float) -> float:
        """The moment of a beat."""
        return self.at + (beat - self.beat) * 60 / self.bpm

    def next(self, every: float, now: float) -> float:
        """The moment of the next beat that is a multiple of `every`, `now` included."""
        return self.when(math.ceil(self.beats(now) / every - ROUNDING) * every)

    def turned(self, bpm: float, now: float, by: str = "") -> "Tempo":
        """Another tempo from now on, at the same beat."""
        return Tempo(bpm, self.beats(now), now, by)

    def struck(self, now: float, by: str = "") -> "Tempo":
        """The same tempo, with the nearest beat put at `now`."""
        return replace(self, beat=float(round(self.beats(now))), at=now, by=by)


UNTOLD = Tempo()  # where nobody has given one
