"""The control loop on simulated machines of 5 to 1000 frames/s, on simulated time."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwlive.engine.loop import (
    AHEAD_S,
    BATCH_LOAD,
    FULL_LOAD,
    MOST_STRIDE,
    Costs,
    Situation,
    batch_for,
    decide,
    stride_for,
)
from lwlive.ring import slots

IDLE_S = 0.002
SETTLED_S = 3.0  # of a show, while costs and the ring's filling are learnt
RATES = [5, 8, 12, 20, 30, 45, 60, 90, 150, 400, 1000]
BATCHES = (1, 2, 4, 8)


@dataclass
class Machine:
    """A show on a machine that samples `rate` frames/s one by one, half again in batches of 8.

    `share` of a frame's time is its decoding; `noise` is how much batches differ in their time.
    """

    rate: float
    share: float
    fps: float
    noise: float = 0.0
    controls_s: float = math.inf  # a control every so many seconds, on average
    now: float = 0.0
    ticks: int = 0
    late: int = 0
    taken: int = -1
    last: int = -1  # number of the last frame made and not taken back
    version: int = 0
    worst_s: float = 0.0  # the longest batch
    queue: dict[int, tuple[int, bool]] = field(default_factory=dict)  # number -> version, sampled
    taken_back: int = 0  # frames that are replaced and hold their slots until the next tick
    shown: list[bool] = field(default_factory=list)  # whether sampled, since it has settled
    strides: list[int] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(round(self.rate * 1000 + self.fps))
        self._asked: list[tuple[int, float]] = []
        self._control_at = SETTLED_S + self.controls_s
        self.batch = batch_for({n: self.frame_s(n) for n in BATCHES}, self.fps)

    def frame_s(self, batch: int) -> float:
        """Seconds a frame, sampled and decoded."""
        return (1 - (1 - 1 / batch) * 8 / 21) / self.rate

    def run(self, seconds: float) -> "Machine":
        """The producer's thread, as long as that."""
        stride, costs, heard = 1, Costs(), 0
        frame_s = self.frame_s(self.batch)
        while self.now < seconds:
            situation = Situation(
                fps=self.fps,
                batch=self.batch,
                stride=stride,
                costs=costs,
                ready=self.last - self.taken if self.last >= 0 else 0,
                room=slots(self.fps) - len(self.queue) - self.taken_back,
                slots=slots(self.fps),
            )
            if heard != self.version:
                heard = self.version
                self.last = min(self.last, self.taken + decide(situation).keep)
                continue
            decision = decide(situation)
            stride = decision.stride
            self.strides.append(stride)
            if not decision.make:
                self._spend((self.ticks + 1) / self.fps - self.now + IDLE_S)  # nothing changes
                continue
            frames = stride * self.batch
            longer = 1 + self.noise * self._random.uniform(-1, 1)
            sample_s, decode_s = (longer * part * frame_s for part in (1 - self.share, self.share))
            self.worst_s = max(self.worst_s, self.batch * sample_s + frames * decode_s)
            self._spend(self.batch * sample_s)
            for before in range(0, frames, self.batch):  # shown as soon as they are decoded
                self._spend(self.batch * decode_s)
                self._put(before, stride, heard)
            costs = costs.learned(sample_s, decode_s)
        return self

    def _put(self, before: int, stride: int, version: int) -> None:
        first = max(self.last, self.taken) + 1
        replaced = [number for number in self.queue if number >= first]
        self.taken_back += len(replaced)
        for number in replaced:
            del self.queue[number]
        for i in range(self.batch):
            self.queue[first + i] = version, (before + i + 1) % stride == 0
        self.last = first + self.batch - 1

    def _spend(self, seconds: float) -> None:
        until = self.now + seconds
        while (self.ticks + 1) / self.fps <= until:
            self.ticks += 1
            self.now = self.ticks / self.fps
            self._tick()
        self.now = until

    def _tick(self) -> None:
        self.taken_back = 0
        if self.now >= self._control_at:
            self.version += 1
            self._asked.append((self.version, self.now))
            self._control_at += self._random.exponential(self.controls_s)
        frame = self.queue.pop(self.taken + 1, None)
        if frame is None:
            self.late += self.now > SETTLED_S
            return
        self.taken += 1
        version, sampled = frame
        if self.now > SETTLED_S:
            self.shown.append(sampled)
        while self._asked and self._asked[0][0] <= version:
            self.latencies_s.append(self.now - self._asked.pop(0)[1])

    @property
    def needed(self) -> int:
        """The stride it takes to keep up, more than MOST_STRIDE where none does."""
        frame_s = self.frame_s(self.batch)
        load = (((1 - self.share) / s + self.share) * frame_s * self.fps for s in range(1, 9))
        return next((s for s, spent in enumerate(load, 1) if spent <= FULL_LOAD), MOST_STRIDE + 1)


def machines(fps: float, **more: float) -> list[Machine]:
    """Machines of all rates, with decoders that are nearly free and that are not."""
    return [Machine(rate, share, fps, **more) for rate in RATES for share in (0.02, 0.3)]


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0])
@pytest.mark.parametrize("controls_s", [math.inf, 2.0, 0.2])
def test_the_display_never_starves_where_the_machine_can_keep_up(
    fps: float, controls_s: float
) -> None:
    able = [m for m in machines(fps, controls_s=controls_s) if m.needed <= MOST_STRIDE]
    assert {5 if fps <= 30 else 12, 1000} <= {m.rate for m in able}
    for machine in able:
        assert machine.run(20).late == 0, machine


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_batches_that_differ_in_their_time_cost_no_frame(fps: float) -> None:
    for machine in machines(fps, noise=0.2):
        if machine.needed <= MOST_STRIDE:
            assert machine.run(20).late == 0, machine


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_a_control_is_seen_after_the_batch_in_work_its_own_and_two_frames(fps: float) -> None:
    for machine in machines(fps, controls_s=0.7):
        machine.run(30)
        assert len(machine.latencies_s) > 20
        longest = 2 * machine.worst_s + 2 / fps + IDLE_S
        if machine.needed <= MOST_STRIDE:
            assert max(machine.latencies_s) <= longest, machine


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_a_machine_that_samples_every_frame_in_time_answers_at_once(fps: float) -> None:
    for machine in machines(fps, controls_s=0.7):
        if machine.frame_s(1) * fps <= BATCH_LOAD:
            assert machine.batch == 1
            assert max(machine.run(30).latencies_s) <= 4 / fps + IDLE_S, machine


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_in_betweens_are_shown_only_where_they_are_needed(fps: float) -> None:
    for machine in machines(fps):
        machine.run(20)
        share = sum(machine.shown) / len(machine.shown)
        if machine.needed <= MOST_STRIDE:
            assert share == pytest.approx(1 / machine.needed, abs=0.03), machine
        else:
            assert share == pytest.approx(1 / MOST_STRIDE, abs=0.03), machine


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_the_stride_settles_and_does_not_hunt(fps: float) -> None:
    for machine in machines(fps, noise=0.08, controls_s=1.0):
        changes = np.count_nonzero(np.diff(machine.run(60).strides))
        assert changes <= 3, machine


@given(
    st.floats(1e-4, 1.0),
    st.floats(1e-4, 0.1),
    st.sampled_from([24.0, 30.0, 60.0]),
    st.integers(1, MOST_STRIDE),
)
def test_the_stride_is_the_smallest_that_keeps_real_time(
    sample_s: float, decode_s: float, fps: float, present: int
) -> None:
    costs = Costs(sample_s, decode_s, known=True)
    stride = stride_for(costs, fps, present, 0.9)

    def spent(s: int) -> float:
        return (sample_s / s + decode_s) * fps

    assert 1 <= stride <= MOST_STRIDE
    assert stride == MOST_STRIDE or spent(stride) <= 0.9
    assert stride == 1 or spent(stride - 1) > 0.7199
    assert stride_for(costs, fps, stride, 0.9) == stride


SECONDS = st.floats(1e-4, 1.0)


@given(SECONDS, SECONDS, st.integers(1, 8), st.integers(1, 64), st.integers(-9, 99))
def test_what_is_kept_lasts_until_the_next_frames_and_no_frame_longer(
    sample_s: float, decode_s: float, stride: int, batch: int, ready: int
) -> None:
    fps, costs = 30.0, Costs(sample_s, decode_s, known=True)
    found = decide(Situation(fps, batch, stride, costs, ready, room=66, slots=66))
    next_s = batch * (sample_s + decode_s)
    assert (found.keep - 1) / fps < next_s + 1e-9
    assert found.keep / fps >= next_s - 1e-9


@given(SECONDS, st.integers(1, 64), st.integers(-9, 99), st.integers(0, 66))
def test_a_batch_is_made_where_it_is_wanted_and_has_room(
    sample_s: float, batch: int, ready: int, room: int
) -> None:
    costs = Costs(sample_s, 0.0, known=True)
    found = decide(Situation(30.0, batch, 1, costs, ready, room, slots=66))
    wanted = ready < AHEAD_S * 30
    assert found.make == (wanted and room >= min(found.stride * batch, 33))
    assert found.idle == (not wanted)
    if found.measure:
        assert found.stride == 1
        assert ready / 30 >= 2 * batch * sample_s


def test_before_anything_is_known_a_batch_is_made_and_nothing_changed() -> None:
    found = decide(Situation(30.0, 4, 3, Costs(), ready=0, room=66, slots=66))
    assert (found.stride, found.make, found.keep, found.measure) == (3, True, 0, False)


def test_costs_begin_with_the_first_measurement_and_then_follow_smoothly() -> None:
    costs = Costs().learned(0.1, 0.02)
    assert costs == Costs(0.1, 0.02, known=True)
    later = costs.learned(0.2, 0.02)
    assert 0.1 < later.sample < 0.2
    for _ in range(40):
        later = later.learned(0.2, 0.02)
    assert later.sample == pytest.approx(0.2)
