"""The clock of MIDI as a tempo: 24 ticks a beat, start, stop, continue and song position.

A line is fitted through the stamps of the last ticks: through four beats of them while the tempo
holds, through fewer where it has just changed. A clock that falls silent leaves its tempo; when it
is back, its beats are counted from the line that has run on meanwhile.

Used by one thread; time comes with the messages. This file knows nothing of ports or the show.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lwlive.controls import Offer
from lwlive.stage.taps import Taps
from lwlive.tempo import FASTEST, SLOWEST, UNTOLD, Tempo

TICKS = 24  # of a beat
TICKS_OF_POSITION = 6  # a song position counts sixteenths
SILENT_S = 0.5  # without a tick: four times the slowest clock's
WINDOWS = (96, 68, 48, 34, 24, 17, 12)  # ticks to fit a line through, the longest that is straight
EVERY = 6  # ticks from one fit to the next
STRAIGHT_S = 1e-4  # so far off the line a quarter of the ticks may always be
CLEAR = 0.01  # of a tempo: how well it must be known to be offered
LATEST_S = 1e9  # no machine runs for longer: a later stamp is a broken one
MOVED_S = 0.001  # a line that has moved by less is not offered, nor one by less than its noise
AHEAD = 4.0  # beats: there too it must not have moved
YIELDS = 0.005  # of its bpm: an own change after which a clock speaks again where another one has
HANDS = ("", Taps.by)  # who is not a clock: a clock that runs takes the tempo back from them

CLOCK, START, CONTINUE, STOP, POSITION = 0xF8, 0xFA, 0xFB, 0xFC, 0xF2


class _Line(NamedTuple):
    """A straight line through some ticks."""

    tick: int  # the number of one of them
    at: float  # the second at which it falls
    period: float  # seconds from tick to tick
    noise: float  # of a stamp, in seconds


class MidiClock:
    """The clock that comes in at one port. `by`: what it is called where the tempo is shown."""

    def __init__(self, by: str = "MIDI clock") -> None:
        self._by = by
        self._kept = UNTOLD  # the tempo that the show has
        self._said: Tempo | None = None  # what was offered last, unless a hand has overruled it
        self._yields = False  # to another clock, which spoke later
        self._ticks: deque[tuple[int, float]] = deque(maxlen=WINDOWS[0])  # number, second
        self._number = 0  # of the last tick
        self._offset = 0.0  # the beat of tick 0
        self._last = -math.inf  # when a tick came
        self._line: _Line | None = None  # through the ticks since the last silence
        self._period: float | None = None  # from tick to tick, as far as one knows
        self._skipped = 0  # ticks that seem to be lost, if the next one is in its place
        self._owed = 0  # ticks of a silence, which may yet come in a heap
        self._rolling = True  # the song runs, unless it was stopped
        self._position: int | None = None  # where in the song the next tick is, in ticks
        self._jumps = False  # to that position, with the next tick

    def told(self, tempo: Tempo) -> None:
        """The tempo that the show has. What a hand says of the beat holds for this clock too."""
        before, self._kept = self._kept, tempo
        if tempo == before or tempo.by == self._by:
            return
        if tempo.by in HANDS:
            self._offset += tempo.beat - self._beats(tempo.at)
            self._said = None
        else:
            self._yields = True

    def heard(self, data: bytes, at: float) -> Offer | None:
        """A message of the clock, stamped in seconds of the show's clock; others are passed over.

        Returns what is to be offered, if the line has moved.
        """
        kind = data[0] if data else 0
        if kind == CLOCK and abs(at) < LATEST_S:
            return self._tick(at)
        if kind == POSITION and len(data) >= 3:
            self._position = TICKS_OF_POSITION * (data[1] & 0x7F | (data[2] & 0x7F) << 7)
            self._jumps = self._rolling
        elif kind == START:
            self._rolling, self._position, self._jumps = True, 0, True
        elif kind == CONTINUE:
            self._rolling, self._jumps = True, self._position is not None
        elif kind == STOP:
            self._rolling = False
        return None

    def _tick(self, at: float) -> Offer | None:
        if abs(at - self._last) > SILENT_S:
            self._awake(at)
        elif not self._counted(at):
            return None
        self._last = at
        if self._line is None or self._number - self._line.tick >= EVERY:
            self._fit()
        jumps, self._jumps = self._jumps, False
        if self._position is not None:
            if jumps:
                self._offset = (self._position - self._number) / TICKS
            self._position += self._rolling
        if self._line is not None and self._line.tick == self._number:
            return self._offered(self._line, jumps)
        if jumps:
            period = self._period or 60 / self._kept.bpm / TICKS
            return self._offered(_Line(self._number, at, period, 0.0), jumps)
        return None

    def _awake(self, at: float) -> None:
        """The first tick after a silence: its place is the nearest on the line that has run on."""
        if self._period is not None and at > self._last:
            self._owed = round(min((at - self._last) / self._period, 1e6)) - 1
        self._number = round((self._kept.beats(at) - self._offset) * TICKS)
        self._ticks.clear()
        self._ticks.append((self._number, at))
        self._line, self._said, self._skipped, self._yields = None, None, 0, False

    def _counted(self, at: float) -> bool:
        """Number a tick. False: it belongs to the silence before, which has been counted."""
        passed = (at - self._last) / self._period if self._period else 1.0  # ticks
        if self._owed:
            if passed < 0.25:
                self._owed -= 1
                return False
            self._owed = 0
        if self._skipped and abs(passed - 1) < 0.25:
            self._number += self._skipped
            self._ticks[-1] = (self._number, self._last)
            self._skipped = 0
        else:
            steady = self._line is not None and self._line.noise < 0.05 * self._line.period
            whole = passed > 1.75 and abs(passed - round(passed)) < 0.25
            self._skipped = round(passed) - 1 if steady and whole and not self._skipped else 0
        self._number += 1
        self._ticks.append((self._number, at))
        return True

    def _fit(self) -> None:
        """Draw the line again, where that can be done well."""
        line = _fitted(self._ticks)
        if line is not None and SLOWEST <= 60 / line.period / TICKS <= FASTEST:
            self._line, self._period = line, line.period

    def _offered(self, line: _Line, jumps: bool) -> Offer | None:
        """The line as a tempo, if there is something to say."""
        tempo = self._tempo(line)
        said, yields = self._said, self._yields
        if not jumps and yields and (said is None or abs(tempo.bpm / said.bpm - 1) < YIELDS):
            self._said = said or tempo
            return None
        if not jumps and said is not None and _moved_s(tempo, said) < max(MOVED_S, line.noise):
            return None
        self._said, self._yields = tempo, False
        away = abs(tempo.beats(line.at) - self._kept.beats(line.at))
        return Offer(tempo, jump=jumps and away > 1)

    def _tempo(self, line: _Line) -> Tempo:
        beat = line.tick / TICKS + self._offset
        return Tempo(60 / line.period / TICKS, beat, line.at, self._by)

    def _beats(self, at: float) -> float:
        """The beat of this clock at a moment; of one that was never heard, that of the show."""
        if self._line is not None:
            return self._tempo(self._line).beats(at)
        if math.isinf(self._last):
            return self._kept.beats(at)
        return self._number / TICKS + self._offset + (at - self._last) * self._kept.bpm / 60


def _moved_s(tempo: Tempo, said: Tempo) -> float:
    """How far apart two lines are, in seconds, at a beat and a bar later."""
    beats = (tempo.beat, tempo.beat + AHEAD)
    return max(abs(tempo.when(beat) - said.when(beat)) for beat in beats)


def _fitted(ticks: Sequence[tuple[int, float]]) -> _Line | None:
    """The line through the most of the last ticks that are straight; None: it says too little yet.

    What stamps scatter by is read from their second differences, which a tempo does not touch.
    They are straight where no quarter of them is off by more than that can make it.
    """
    if len(ticks) < WINDOWS[-1]:
        return None
    last = ticks[-1][0]
    n = np.array([number - last for number, _ in ticks], np.float64)
    t = np.array([at for _, at in ticks]) - ticks[-1][1]
    noise = float(np.sqrt(np.mean(np.diff(t, 2)[np.diff(n, 2) == 0] ** 2) / 6))
    for window in WINDOWS:
        if window > len(ticks):
            continue
        x, y = n[-window:], t[-window:]
        period, start = np.polyfit(x, y, 1)
        off = max(abs(part.mean()) for part in np.array_split(y - (start + period * x), 4))
        if window == WINDOWS[-1] or off <= 4 * noise / math.sqrt(window / 4) + STRAIGHT_S:
            break
    if not noise * math.sqrt(12 / window**3) < CLEAR * period:
        return None
    return _Line(last, float(start) + ticks[-1][1], float(period), noise)
