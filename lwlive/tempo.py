"""Tempo: a line through time. Who has it offers it; frames know when they are due, so they know
their beat.

Beats never run backwards: where a new line is behind the one before it, the beat stands until the
new line has caught up. Only a clock that starts from the top, or says where in the song it is, may
put it back.

Plain arithmetic. This file knows nothing of clocks, sources or frames.
"""

import math
from dataclasses import dataclass, replace

SLOWEST, FASTEST = 20.0, 300.0  # beats a minute
BAR = 4  # beats
FINEST = 1 / 64  # beats
ROUNDING = 1e-9  # beats: a moment computed as a beat's is on that beat


@dataclass(frozen=True)
class Tempo:
    """Beat `beat` falls at second `at` of the show's clock."""

    bpm: float = 120.0
    beat: float = 0.0
    at: float = 0.0
    by: str = ""  # who keeps it; "" for the hand that set `bpm`
    floor: float | None = None  # where the beat stands until the line has caught up

    def beats(self, now: float) -> float:
        """The beat at a moment, with its fraction."""
        line = self.line(now)
        return line if self.floor is None else max(self.floor, line)

    def line(self, now: float) -> float:
        """The same, but for where the beat stands."""
        return self.beat + (now - self.at) * self.bpm / 60

    def when(self, beat: float) -> float:
        """The moment of a beat."""
        return self.at + (beat - self.beat) * 60 / self.bpm

    def next(self, every: float, now: float) -> float:
        """The moment of the next beat that is a multiple of `every`, `now` included.

        Beats closer than FINEST are everywhere.
        """
        if every < FINEST:
            return now
        return self.when(multiple(self.beats(now), every))

    def turned(self, bpm: float, now: float, by: str = "") -> "Tempo":
        """Another tempo from now on, at the same beat."""
        return Tempo(bpm, self.beats(now), now, by)

    def struck(self, now: float, by: str = "", of: int = 1) -> "Tempo":
        """The same tempo, with a beat that is a multiple of `of` put at `now`.

        It is one to come, or one that fell half a beat ago at most.
        """
        beat = float(of * math.ceil((self.beats(now) - 0.5) / of))
        return replace(self, beat=beat, at=now, by=by)

    def after(self, before: "Tempo", now: float) -> "Tempo":
        """This line from `now` on, where another was kept until then; its beats run on from there.

        One that is behind by up to a beat is waited for. One further behind is counted on by whole
        bars until it is not.
        """
        reached, line = before.beats(now), replace(self, floor=None)
        if reached - line.line(now) > 1:
            bars = math.ceil((reached - line.line(now) - 1) / BAR)
            line = replace(line, beat=line.beat + bars * BAR)
        return replace(line, floor=reached) if line.line(now) < reached else line

    def renumbered(self, before: "Tempo", now: float) -> int:
        """How many more beats this line counts than another did, where it takes over from that."""
        at = min(now, max(self.at, before.at))
        return round(self.line(at) - before.line(at))


def multiple(beat: float, of: float) -> float:
    """The first multiple of some beats that is not before a beat."""
    return math.ceil(beat / of - ROUNDING) * of


UNTOLD = Tempo()  # where nobody has given one
