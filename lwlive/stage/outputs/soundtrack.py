"""The soundtrack of a recording: sound as it came in, laid beside the pictures shown at the time.

| thread | runs | may wait for |
|---|---|---|
| the show's | `shown` | nothing |
| the recorder's | `until` | nothing |

A movie's time counts ticks, sound has stamps of the clock, and its device a rate of its own. So the
moment of tick 0 is followed as the ticks go (a monitor may have another rate than the show), and
where sound and pictures part by more than NEAR_S, some of it is made a little longer or shorter,
too little to be heard. Sound that has not come after WAIT_S is silence. What does not part is
written as it came, sample for sample. This file knows nothing of devices and files.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lwlive.movie import SOUND_RATE, Samples

WAIT_S = 0.5  # for sound to come; the pictures beside it wait in the file's writer
NEAR_S, CLOSE_S = 0.006, 0.001  # where correcting begins, and ends
FAR_S = 0.015  # further away, sound was lost or is too much: a gap, or some is left out
STRETCH = 0.005  # of a block's length at most
PIECE = 10 * SOUND_RATE  # samples given together at most
KEPT = 64  # ticks, whose moments tell when tick 0 was


class Block(Protocol):
    """Some samples, [n, 2] at SOUND_RATE, and when the first came in, of the show's clock."""

    @property
    def frames(self) -> npt.NDArray[np.float32]:
        """The samples."""

    @property
    def at(self) -> float:
        """When the first of them came in."""


class Tap(Protocol):
    """Where blocks come from; never waits."""

    def taken(self) -> Sequence[Block]:
        """What came since the last call, in its order."""


class Soundtrack:
    """The sound of one recording of `rate` pictures a second."""

    def __init__(self, tap: Tap, rate: Any) -> None:
        self._tap, self._rate = tap, float(rate)
        self._ticks: deque[tuple[int, float]] = deque(maxlen=KEPT)  # put in by the show
        self._starts: deque[float] = deque(maxlen=KEPT)  # when tick 0 was, as each one tells
        self._waiting: deque[Block] = deque()
        self._parts: deque[Samples | int] = deque()  # laid down, not asked for; silence as a count
        self._end = 0  # sample at which they end
        self._given = 0  # samples given out
        self._correcting = False
        self._apart_s: float | None = None  # smoothed: how much later sound belongs than it lies
        self.heard = False  # whether any has come

    def shown(self, pts: int, now: float) -> None:
        """Tick `pts` of the movie was shown at this moment."""
        self._ticks.append((pts, now))

    def until(self, seconds: float, last: bool = False) -> Iterator[tuple[Samples, int]]:
        """The sound up to `seconds` of the movie that is not given yet, and at which sample.

        Up to WAIT_S before it, so that what is late still comes, unless this is the `last`. It
        comes in pieces: after a disk has hung for long it is much.
        """
        while self._ticks:
            pts, now = self._ticks.popleft()
            self._starts.append(now - pts / self._rate)
        self._waiting.extend(self._tap.taken())
        if self._starts:
            start = min(self._starts)  # a tick may be late, and never early
            while self._waiting:
                self._lay(self._waiting.popleft(), start)
        wanted = round((seconds if last else seconds - WAIT_S) * SOUND_RATE)
        if wanted > self._end:
            self._silence(wanted - self._end)
        while self._given < wanted:
            yield self._piece(min(PIECE, wanted - self._given))

    def _lay(self, block: Block, start: float) -> None:
        """Lay a block where it belongs."""
        samples: Samples = np.ascontiguousarray(block.frames.T)
        apart_s = (block.at - start) - self._end / SOUND_RATE
        if not self.heard or abs(apart_s) > FAR_S:
            self._apart_s, self._correcting = None, False
            if apart_s > 0:
                self._silence(round(apart_s * SOUND_RATE))
            else:
                samples = samples[:, min(samples.shape[1], round(-apart_s * SOUND_RATE)) :]
            self.heard = self.heard or samples.shape[1] > 0  # what came before tick 0 is not
            self._add(samples)
            return
        old = self._apart_s
        share = min(1.0, samples.shape[1] / SOUND_RATE / 0.25)  # of what is new: a quarter second
        self._apart_s = apart_s if old is None else old + share * (apart_s - old)
        if abs(self._apart_s) > NEAR_S:
            self._correcting = True
        elif abs(self._apart_s) < CLOSE_S:
            self._correcting = False
        if self._correcting:
            most = max(1, round(STRETCH * samples.shape[1]))
            by = int(np.clip(round(self._apart_s * SOUND_RATE), -most, most))
            samples = stretched(samples, samples.shape[1] + by)
            self._apart_s -= by / SOUND_RATE
        self._add(samples)

    def _silence(self, count: int) -> None:
        self._parts.append(count)
        self._end += count

    def _add(self, samples: Samples) -> None:
        self._parts.append(samples)
        self._end += samples.shape[1]

    def _piece(self, count: int) -> tuple[Samples, int]:
        """The next samples, and at which one they begin."""
        at, found = self._given, np.zeros((2, count), np.float32)
        self._given += count
        done = 0
        while done < count:
            part = self._parts.popleft()
            length = part if isinstance(part, int) else part.shape[1]
            taken = min(length, count - done)
            if not isinstance(part, int):
                found[:, done : done + taken] = part[:, :taken]
            if taken < length:
                self._parts.appendleft(length - taken if isinstance(part, int) else part[:, taken:])
            done += taken
        return found, at


def stretched(samples: Samples, count: int) -> Samples:
    """The same sound in another number of samples (Catmull-Rom): both ends stay."""
    n = samples.shape[1]
    if n < 4 or count == n or count < 2:
        return samples
    places = np.linspace(0, n - 1, count)
    whole = np.minimum(places.astype(int), n - 2)
    x = (places - whole).astype(np.float32)
    p = np.pad(samples, ((0, 0), (1, 1)), mode="edge")
    a, b, c, d = (p[:, whole + i] for i in range(4))
    found: Samples = b + 0.5 * x * (
        c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a))
    )
    return found
