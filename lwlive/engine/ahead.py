"""Ahead: the frames that were put into the ring and are still to be shown, and when they are due.

A frame that was put can be taken back: another one of the same number replaces it, unless the
reader is quicker. So two versions of a frame may be on their way, and the ring tells which one was
shown. This file holds no threads and reads no clock: time is that of the ring's reader.
"""

from collections import deque
from dataclasses import dataclass

from lwlive.engine.governor import FORGIVEN_S
from lwlive.engine.turn import Made
from lwlive.ring import AHEAD_S, Ring

WASTE = 0.4  # sampled frames taken back for each frame shown, beside those of a calm show


@dataclass(frozen=True, eq=False)
class Put:
    """A frame in the ring."""

    number: int
    epoch: int
    ticks: int  # of the display that it stands for
    walked_s: float  # time of the walk from its beginning to here
    sampled: bool
    made: Made


class Ahead:
    """The frames from the one on screen to the last one made.

    since: when the beginning of the walk was due, None where that is when its first frame is shown.
    """

    def __init__(self, ring: Ring, since: float | None = None) -> None:
        self._ring, self._since = ring, since
        self._line: deque[Put] = deque()  # numbers without a gap, the last one made at the end
        self._old: dict[int, Put] = {}  # taken back, and shown where nothing replaces them in time
        self._dead: dict[tuple[int, int], Put] = {}  # replaced in time, as far as one can tell
        self._synced = -1  # number of the last frame whose showing is taken into account
        self._credit = self._most = AHEAD_S / ring.tick_s  # sampled frames that may be taken back
        self.epoch = 0

    def __bool__(self) -> bool:
        return bool(self._line)

    @property
    def last(self) -> Put:
        """The last frame made and not taken back."""
        return self._line[-1]

    @property
    def next_number(self) -> int:
        """Number of the frame to be made next."""
        return self.last.number + 1 if self._line else 0

    def sync(self) -> bool:
        """Take into account what was shown: which frames, and which of two versions of each.

        Whether the last frame is another one than before: it came too late, and the one that it was
        to replace was shown.
        """
        taken, last = self._ring.taken, self._line[-1] if self._line else None
        for number in range(self._synced + 1, taken + 1):
            at, epoch = self._ring.taking(number)
            old = self._dead.get((number, epoch)) or self._old.get(number)
            if old is not None and old.epoch == epoch:  # a newer one came too late, or never
                if number <= self.last.number:
                    self._line[number - self._line[0].number] = old
                else:
                    self._line.append(old)
            put = self._line[number - self._line[0].number]
            self._credit = min(self._most, self._credit + WASTE)
            if self._since is None:
                self._since = at - put.walked_s
        self._synced = max(self._synced, taken)
        self._old = {n: put for n, put in self._old.items() if n > taken}
        self._dead = {key: put for key, put in self._dead.items() if key[0] > taken}
        while len(self._line) > 1 and self._line[0].number < taken:
            self._line.popleft()
        return last is not None and self.last is not last

    def due(self, number: int, now: float) -> float:
        """When a frame was shown, or is due. One past the last: when nothing is left."""
        taken, tick_s = self._ring.taken, self._ring.tick_s
        if number <= taken:
            return self._ring.taking(number)[0]
        at = now
        if taken >= 0:
            shown = self.shown(taken)
            at = self._ring.taking(taken)[0] + (shown.ticks if shown else 1) * tick_s
        between = (self.shown(n) for n in range(taken + 1, number))
        return max(at, now) + sum(put.ticks if put else 1 for put in between) * tick_s

    def ready_s(self, now: float) -> float:
        """Seconds until the last frame made has had its time on the screen."""
        return self.due(self.next_number, now) - now if self._line else 0.0

    def late_s(self, now: float) -> float:
        """How late the walk is: the last frame's time on the screen against its time of the walk.

        Negative where it is early. What is beyond all catching up is forgiven.
        """
        if self._since is None or not self._line:
            return 0.0
        late = self.due(self.last.number, now) - self._since - self.last.walked_s
        if late > FORGIVEN_S:
            self._since += late
            return 0.0
        return late

    def forgive(self, now: float) -> None:
        """The walk is in time as it is: what it was late or early is forgotten."""
        if self._since is not None and self._line:
            self._since += self.late_s(now)

    def take_back(self, soonest: float, now: float) -> bool:
        """Take back the frames due at `soonest` or later, as many as may be. Whether any were.

        The frame on screen stays, since the walk continues from it; so does the first frame of all.
        """
        before, taken, tick_s = self.last, self._ring.taken, self._ring.tick_s
        due = self.due(self.last.number, now)
        while len(self._line) > 1 and self.last.number > taken:
            put = self.last
            if due < soonest or self._credit < put.sampled:
                break
            self._credit -= put.sampled
            self._old[put.number] = self._line.pop()
            due -= self.last.ticks * tick_s
        if self.last is before:
            return False
        self.epoch += 1
        return True

    def waste(self, frames: int) -> bool:
        """Whether so many sampled frames may be made in vain; they are counted as taken back."""
        if self._credit < frames:
            return False
        self._credit -= frames
        return True

    def joining(self, soonest: float, now: float) -> int:
        """The first number that a frame put at `soonest` would still replace.

        Where no frame was taken back, nothing is shown in its place, and none comes too late.
        """
        number = self.next_number
        while number in self._old and self.due(number, now) < soonest:
            number += 1
        return number

    def let_go(self, until: int) -> None:
        """The frames taken back before this number are shown after all."""
        while self.next_number < until:
            self._line.append(self._old.pop(self.next_number))

    def put(self, put: Put) -> None:
        """The next frame is in the ring."""
        self._line.append(put)
        if self._ring.taken < put.number:  # the reader finds it before those that it replaces
            for number in [n for n in self._old if n >= put.number]:
                old = self._old.pop(number)
                self._dead[number, old.epoch] = old

    def shown(self, number: int) -> Put | None:
        """The frame of this number as it was shown, or will be if nothing else comes."""
        if self._line and self._line[0].number <= number <= self.last.number:
            return self._line[number - self._line[0].number]
        return self._old.get(number)
