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
import numpy.typing as npt

from lwlive.commands import Offer
from lwlive.stage.taps import Taps
from lwlive.tempo import FASTEST, SLOWEST, UNTOLD, Tempo

TICKS = 24  # of a beat
TICKS_OF_POSITION = 6  # a song position counts sixteenths
SILENT_S = 0.4  # without a tick: three times the slowest clock's
WINDOWS = (
    96,
    68,
    48,
    34,
    24,
    17,
    12,
    8,
    6,
)  # ticks to fit a line through, the longest that is straight
EVERY = 6  # ticks from one fit to the next,
SURPRISED = 3  # or fewer, where a tick is not on the line
BEND = 0.6745 * math.sqrt(6)  # the median of second differences, in standard deviations of one
STRAIGHT_S = 1e-4  # so far off the line a quarter of the ticks may always be
CLEAR = 0.02  # of a tempo: how well it must be known to be offered
LATEST_S = 1e9  # no machine runs for longer: a later stamp is a broken one
MOVED_S = 0.001  # a line that has moved by less is not offered, nor one by less than its noise
STEADY = 0.05  # of the time between two ticks: with less noise it is plain where some are lost
IN_A_ROW = 2  # gaps that are losses; more are another tempo
AHEAD = 4.0  # beats: there too it must not have moved
YIELDS = 0.005  # of its bpm: an own change after which a clock speaks again where another one has
HANDS = ("", Taps.by)  # who is not a clock: a clock that runs takes the tempo back from them

Numbers = npt.NDArray[np.float64]

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
        self._lost: list[int] = []  # ticks that seem to be lost before each of the last ones
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
        if not self._lost and self._fits(at):
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
        self._line, self._said, self._lost, self._yields = None, None, [], False

    def _counted(self, at: float) -> bool:
        """Number a tick. False: it belongs to the silence before, which has been counted."""
        passed = (at - self._last) / self._period if self._period else 1.0  # ticks
        if self._owed:
            if passed < 0.25:
                self._owed -= 1
                return False
            self._owed = 0
        self._lost = self._losing(passed)
        self._number += 1
        self._ticks.append((self._number, at))
        return True

    def _losing(self, passed: float) -> list[int]:
        """Which of the last ticks seem to have lost some before them, after one that came now.

        A program that was not scheduled in time sends less: two ticks are a whole number of them
        apart. Once two are again where they should be, those lost are counted. Where that does not
        come to pass, the tempo is another one.
        """
        line, whole = self._line, round(passed)
        steady = line is not None and line.noise < STEADY * line.period
        if not steady or abs(passed - whole) > 0.25 or whole < 1:
            return []
        if whole > 1:
            if len(self._lost) < IN_A_ROW:
                return [*self._lost, whole - 1]
            self._line = None
            while len(self._ticks) > IN_A_ROW:
                self._ticks.popleft()
            return []
        missing = 0
        for n, lost in enumerate(self._lost):
            missing += lost
            place = n - len(self._lost)
            number, at = self._ticks[place]
            self._ticks[place] = (number + missing, at)
        self._number += missing
        return []

    def _fits(self, at: float) -> bool:
        """Whether it is time to draw the line again."""
        line = self._line
        if line is None:
            return True
        since = self._number - line.tick
        off = abs(at - line.at - since * line.period)
        return since >= (SURPRISED if off > max(MOVED_S, 5 * line.noise) else EVERY)

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
    They are straight where no quarter of them is off by more than that can make it. Medians are
    taken, and stamps far off are left out: where a machine is busy, some come late by a lot.
    """
    if len(ticks) < WINDOWS[-1]:
        return None
    last, late = ticks[-1]
    n = np.array([number - last for number, _ in ticks], np.float64)
    t = np.array([at for _, at in ticks]) - late
    bends = np.abs(np.diff(t, 2)[np.diff(n, 2) == 0])
    noise = float(np.median(bends)) / BEND if len(bends) else math.inf
    allowed = max(STRAIGHT_S, 4 * noise)
    for window in WINDOWS:
        if window > len(ticks):
            continue
        x, y = n[-window:], t[-window:]
        half = window // 2
        period = float(np.median((y[half:] - y[:-half]) / (x[half:] - x[:-half])))
        start = float(np.median(y - period * x))
        for _ in range(3):
            near = np.abs(y - (start + period * x)) <= allowed
            if 2 * np.count_nonzero(near) > window:
                period, start = _least_squares(x[near], y[near])
        off = y - (start + period * x)
        away = max(abs(np.median(part)) for part in np.array_split(off, 4))
        if away <= 5 * noise / math.sqrt(window / 4) + STRAIGHT_S:
            break
    if not (noise * math.sqrt(12 / window**3) < CLEAR * period and away < period):
        return None
    return _Line(last, start + late, period, noise)


def _least_squares(x: Numbers, y: Numbers) -> tuple[float, float]:
    """Slope and height at 0 of the line nearest to points."""
    middle_x, middle_y = x.mean(), y.mean()
    slope = np.dot(x - middle_x, y - middle_y) / np.dot(x - middle_x, x - middle_x)
    return float(slope), float(middle_y - slope * middle_x)
