"""Hands that move between ticks, on simulated time: which picture answers them, and when.

The storm is that of scripts/storm.py, and calls of the model take as long as they do on a machine
of two cores that also shows and records: mostly a bit more than on a quiet one, now and then much.
"""

import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import Machine

from lwlive.commands import Set
from lwlive.snapshot import Snapshot
from lwlive.stage.show import POLL_S

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import storm

EVALUATION_S, DECODE_S = 0.0047, 0.0026  # of a frame, on a quiet machine
MORE = 0.6  # of its time that a call takes longer beside the rest of the show, on average
PIPE_S = 0.0004  # from stage to engine
SEEDS, SECONDS = 8, 60.0


class Stormed(Machine):
    """A show under a storm whose controls come at any time and are looked for every few ms."""

    def __init__(self, seed: int, **values: Any) -> None:
        self._rng, self._slow = random.Random(seed), random.Random(seed + 1000)
        self._next_s, self._looks = 1.0, 0
        self._wanted = storm.Wanted()
        self._sent: list[tuple[float, Snapshot]] = []
        self._waiting: list[tuple[int, int, float]] = []  # version, evaluations, when it came
        self.answers: dict[int, list[float]] = defaultdict(list)  # by evaluations, seconds
        super().__init__(EVALUATION_S, DECODE_S, **values)
        self.slower = lambda _now: 1 + MORE * self._slow.expovariate(1)
        self.watch = self._seen

    def start(self, phase: float, since: float | None) -> None:
        """A producer begins, which hears of controls when they have come to it."""
        super().start(phase, since)
        self._newest = self.controls.snapshot
        self.producer.aim._inbox = self._inbox

    def _inbox(self) -> Snapshot:
        while self._sent and self._sent[0][0] <= self.now:
            self._newest = self._sent.pop(0)[1]
        return self._newest

    def spend(self, seconds: float) -> None:
        """Let time pass, with a look at the controls every so often."""
        until = self.now + seconds
        while (look := self._looks * POLL_S) < until:
            self._looks += 1
            super().spend(max(0.0, look - self.now))
            self._look()
        super().spend(max(0.0, until - self.now))

    def _tick(self) -> None:
        self._look()
        super()._tick()

    def _look(self) -> None:
        """Take up what has come."""
        before = self.controls.snapshot
        while self._next_s <= self.now:
            name, value = storm.stormy(self._rng)
            self._wanted.take(name, value, self._next_s)
            was = self.controls.snapshot.sampled
            self.controls.do(Set(name, value))
            new = self.controls.snapshot
            if new.sampled != was:
                self._waiting.append((new.version, self._wanted.evaluations, self._next_s))
            self._next_s += storm.STORM_S + self._rng.uniform(0, POLL_S)
        if self.controls.snapshot is not before:
            self._sent.append((self.now + PIPE_S, self.controls.snapshot))

    def _seen(self, frame: Any) -> None:
        while frame is not None and self._waiting and self._waiting[0][0] <= frame.version:
            _, evaluations, at = self._waiting.pop(0)
            self.answers[evaluations].append(self.now - at)


@pytest.fixture(scope="module")
def shows() -> Iterator[list[Stormed]]:
    """Storms of a minute."""
    played = [Stormed(seed).play(SECONDS) for seed in range(SEEDS)]
    yield [show for show in played if isinstance(show, Stormed)]
    for show in played:
        show.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("evaluations", "most_s"),
    [(1, 0.068), (2, 0.09), (3, 0.1), (4, 0.11), (6, 0.125), (8, 0.15)],
)
def test_pictures_answer_a_storm_in_time(
    shows: list[Stormed], evaluations: int, most_s: float
) -> None:
    """Up to three evaluations a frame are 60 frames a second or more, eight are 25.

    The goals are 100 ms at 60 and 200 ms at 30.
    """
    found = [s for show in shows for s in show.answers[evaluations]]
    assert len(found) > 25
    assert np.percentile(found, 95) <= most_s


@pytest.mark.slow
def test_a_storm_costs_few_late_frames_and_no_jump(shows: list[Stormed]) -> None:
    late, ticks = (sum(getattr(show, name) for show in shows) for name in ("late", "ticks"))
    assert late <= 0.005 * ticks
    assert max(max(show.jumps()) for show in shows) < 1.05
