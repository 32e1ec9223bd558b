"""Threads: how many of them frames are made with. All that are worth it, or a single one.

Several threads make a frame together and wait for each other at every operation. Where other
programs want the cores, one of them is mostly not running, and a single thread is several times
faster than two. So the other number is tried for a few turns, at the beginning and whenever calls
take longer than they did, and the faster one is kept. Pure arithmetic: time and costs come in;
whoever makes the frames sets the number.
"""

import math
from statistics import median

from lwlive.engine.governor import RECENT, Costs

SLOWER = 1.5  # times its best: something else wants the cores
GONE = 0.7  # times what it was, alone: the others may have gone
FASTER = 0.85  # of the other's costs: worth a change
TURNS = 3  # of a trial; the first only counts against it, since its caches are another core's
PAUSE_S, LONGEST_PAUSE_S = 2.0, 32.0  # from trial to trial; doubled where nothing came of it
ROOM_S = 0.25  # of frames ready, so that a trial that goes badly is not seen


class Threads:
    """The number to use now, with what calls take under it. most: what suits a quiet machine."""

    def __init__(self, most: int) -> None:
        self.most = self.now = most
        self._costs = {count: Costs() for count in (most, 1)}
        self._best: dict[int, float] = {}
        self._trial = 0  # turns left
        self._next_at, self._pause = -math.inf, PAUSE_S
        self._since_s = 0.0  # what a call took when the number in use was chosen
        self._before_s = 0.0  # what a call took with the other one, just before the trial

    @property
    def costs(self) -> Costs:
        """What calls take with the number in use; until that is known, with the other one."""
        own = self._costs[self.now]
        return own if own.known else self._costs[self._other]

    def learned(self, evaluation_s: float, decode_s: float, now: float) -> None:
        """Note what a call took in the last turn, and end a trial that has had its turns."""
        if self._trial and evaluation_s + decode_s > SLOWER * self._before_s:
            self._trial = 0
            self._costs[self.now] = Costs().learned(evaluation_s, decode_s)
            self._judge(now)
            return
        if self._trial == TURNS:
            self._trial -= 1
            return
        self._costs[self.now] = self._costs[self.now].learned(evaluation_s, decode_s)
        call_s = self._call_s(self.now)
        self._best[self.now] = min(call_s, self._best.get(self.now, math.inf))
        if self._trial:
            self._trial -= 1
            if not self._trial:
                self._judge(now)

    def choose(self, ready_s: float, now: float) -> int:
        """The number for the next turn. ready_s: of frames made and not shown yet."""
        if self.most == 1 or self._trial or now < self._next_at or not self.costs.known:
            return self.now
        call_s = self._call_s(self.now)
        slow = call_s > SLOWER * self._best[self.now]
        # Alone it is no slower for the others; but it is faster when they have gone.
        gone = self.now != self.most and (
            call_s < GONE * self._since_s or now >= self._next_at + LONGEST_PAUSE_S
        )
        settled = len(self._costs[self.now].evaluations) == RECENT
        untried = settled and not self._costs[self._other].known  # others may have been there first
        if (slow and self.now == self.most) or ((gone or untried) and ready_s >= ROOM_S):
            self._before_s = self._newest_s()
            self.now = self._other
            self._costs[self.now] = Costs()
            self._trial = TURNS
        return self.now

    @property
    def _other(self) -> int:
        return 1 if self.now == self.most else self.most

    def _judge(self, now: float) -> None:
        """Keep the faster number."""
        if self._call_s(self.now) <= FASTER * self._before_s:
            self._pause, self._since_s = PAUSE_S, self._call_s(self.now)
        else:
            self.now = self._other
            self._pause = min(LONGEST_PAUSE_S, 2 * self._pause)
        self._next_at = now + self._pause

    def _newest_s(self) -> float:
        """What a call took in the newest turns: others may just have come, or gone."""
        costs = self._costs[self.now]
        newest = zip(costs.evaluations[-TURNS:], costs.decodes[-TURNS:], strict=True)
        return median(map(sum, newest))

    def _call_s(self, count: int) -> float:
        costs = self._costs[count]
        return costs.evaluation + costs.decode
