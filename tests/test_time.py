"""The walk keeps time and never goes back, on simulated time that passes inside the work."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from simulated import Machine

from lwlive.commands import Fire, Set
from lwlive.engine.governor import CATCH_UP

Make = Callable[..., Machine]


@pytest.fixture
def machine() -> Iterator[Make]:
    """Makes machines, whose memory is given back in the end."""
    made: list[Machine] = []

    def make(*args: Any, **more: Any) -> Machine:
        made.append(Machine(*args, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


EASY = ("prompt", "seed", "next", "crossfeed_range")  # that leave a frame at one evaluation
ALL = ("prompt", "seed", "next", "crossfeed", "guidance", "depth", "steps")


class Storm:
    """Random controls of every kind that multiplies the work of a batch, or bends the walk."""

    def __init__(self, seed: int, every_s: float = 0.25, kinds: tuple[str, ...] = ALL) -> None:
        self.rng, self.every_s, self.next_s = np.random.default_rng(seed), every_s, 1.0
        self.kinds = kinds

    def __call__(self, show: Machine) -> None:
        if show.now < self.next_s:
            return
        self.next_s += self.every_s
        rng, controls = self.rng, show.controls
        what = str(rng.choice(self.kinds))
        if what == "prompt":
            controls.do(Set(what, "x" * int(rng.integers(1, 60))))
        elif what == "next":
            controls.do(Fire(what))
        elif what in ("crossfeed", "depth", "crossfeed_range"):
            controls.do(Set(what, float(rng.uniform(0, 0.9))))
        elif what == "guidance":
            controls.do(Set(what, float(rng.uniform(0, 3))))
        else:
            controls.do(Set(what, int(rng.integers(1, 5))))


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("denoise_s", "batch"),
    [(0.009, 1), pytest.param(0.012, 2, marks=pytest.mark.slow), (0.030, 2)],
)
def test_no_picture_has_an_earlier_place_than_the_one_before_it(
    machine: Make, seed: int, denoise_s: float, batch: int
) -> None:
    show = machine(denoise_s, 0.003, batch)
    show.hands = Storm(seed)
    show.play(30)
    assert [frame.number for frame in show.frames] == list(range(len(show.frames)))
    assert max(show.jumps()) < 1.05


@pytest.mark.parametrize(("batch", "fps"), [(8, 30.0), (64, 60.0)])
def test_one_hiccup_is_not_taken_for_a_slow_machine(machine: Make, batch: int, fps: float) -> None:
    show = machine(batch / 1600 / 2, batch / 1600 / 2, batch, fps)
    hiccups = [2.0 / show.model.denoise_s]
    show.slower = lambda now: hiccups.pop() if now > 5 and hiccups else 1.0
    show.play(4)
    whole = len(show.frames)
    show.play(10)
    assert show.late > 0.5 * fps  # there was one
    between = [frame for frame in show.frames[whole:] if not frame.sampled]
    assert not between


def test_no_turn_is_larger_than_the_ring_holds(machine: Make) -> None:
    show = machine(0.2, 0.02, 64, 60.0)
    show.play(20)
    assert max(frame.turn.frames for frame in show.frames) <= show.ring.handle.slots // 2
    assert len(show.frames) > 400


@pytest.mark.slow
@pytest.mark.parametrize("overload", [8.0, 20.0])
def test_a_walk_is_as_long_as_the_show_whatever_was_late(machine: Make, overload: float) -> None:
    """Half a keyframe a second at 60 frames/s, on a machine that is overloaded for 20 s."""
    show = machine(0.006, 0.003, 1, 60.0, speed=0.5, pace=0.0)
    show.slower = lambda now: overload if 10 < now < 30 else 1.0
    show.play(70)
    ends = [(at, frame.phase) for at, frame in zip(show.shown_at, show.frames, strict=True)]
    (first_at, first), (last_at, last) = ends[0], ends[-1]
    assert last_at - first_at > 69
    assert (last - first) / (last_at - first_at) == pytest.approx(0.5, rel=0.01)
    assert show.late > 0


def test_a_walk_that_is_late_catches_up_by_a_few_per_cent_and_never_by_a_jump(
    machine: Make,
) -> None:
    show = machine(0.004, 0.002, 1, 30.0, speed=0.5, pace=0.0)
    show.slower = lambda now: 300.0 if 5.0 < now < 5.01 else 1.0
    show.play(45)
    steps = np.diff([frame.phase for frame in show.frames])
    assert steps.max() <= 0.5 / 30 * (1 + CATCH_UP) + 1e-9
    assert show.late > 10
    gone, took = show.frames[-1].phase - show.frames[0].phase, show.shown_at[-1] - show.shown_at[0]
    assert gone / 0.5 == pytest.approx(took, abs=0.05)


def test_a_monitor_slower_than_the_frame_rate_does_not_slow_the_walk(machine: Make) -> None:
    show = machine(0.004, 0.002, 1, 60.0, speed=0.5, pace=0.0)
    show.tick_s = show.ring.tick_s = 1 / 50
    show.play(12)
    gone, took = show.frames[-1].phase - show.frames[0].phase, show.shown_at[-1] - show.shown_at[0]
    assert gone / took == pytest.approx(0.5, rel=0.002)
    assert show.late <= 1


@pytest.mark.slow
def test_an_engine_that_was_lost_for_a_while_catches_up(machine: Make) -> None:
    show = machine(0.004, 0.002, 1, 30.0, since=-5.0, speed=0.5, pace=0.0)
    show.play(120)
    steps = np.diff([frame.phase for frame in show.frames])
    assert steps.max() <= 0.5 / 30 * (1 + CATCH_UP) + 1e-9
    assert show.frames[-1].phase / 0.5 == pytest.approx(show.shown_at[-1] + 5.0, abs=0.05)


FADED = [
    *((0.007, 1), (0.014, 2)),
    *(pytest.param(*each, marks=pytest.mark.slow) for each in ((0.02, 1), (0.005, 4))),
]


@pytest.mark.parametrize(("denoise_s", "batch"), FADED)
def test_a_moving_fader_costs_at_most_three_sampled_frames_for_two_shown(
    machine: Make, denoise_s: float, batch: int
) -> None:
    show = machine(denoise_s, 0.002, batch, pace=0.0)
    show.play(5)
    shown, calls = len(show.frames), show.model.calls

    def fader(show: Machine) -> None:
        show.controls.do(Set("crossfeed_range", (show.ticks % 600) / 600))

    show.hands = fader
    show.play(20)
    assert (show.model.calls - calls) * batch <= 1.5 * (len(show.frames) - shown)
    assert show.late <= 2
    assert np.percentile(show.latencies_s[5:], 95) <= 0.25


@pytest.mark.slow
@pytest.mark.parametrize(
    ("per_second", "kinds", "most_s"),
    [(107, ALL, 0.101), (60, EASY, 0.101), (30, EASY, 0.2)],
)
def test_under_a_storm_of_controls_pictures_answer_in_time(
    machine: Make, per_second: int, kinds: tuple[str, ...], most_s: float
) -> None:
    frame_s = 1 / per_second
    show = machine(0.8 * frame_s, 0.2 * frame_s, 1)
    show.hands = Storm(7, kinds=kinds)
    show.play(60)
    assert len(show.latencies_s) > 150
    assert np.percentile(show.latencies_s, 95) <= most_s


@pytest.mark.parametrize("seed", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_hands_wait_for_no_more_than_the_steps_of_one_frame(machine: Make, seed: int) -> None:
    """However many trajectories are missing: four steps with guidance are eight evaluations."""
    show = machine(0.0114, 0.0081, 2)
    show.hands = Storm(seed)
    advance, longest = show.producer.advance, 0

    def counted() -> bool:
        nonlocal longest
        before = show.model.calls
        found = advance()
        longest = max(longest, show.model.calls - before)
        return found

    show.producer.advance = counted  # type: ignore[method-assign] # counts and does the same
    show.play(25)
    assert longest == 8


def test_a_depth_that_never_rests_is_seen_within_a_second_and_a_half(machine: Make) -> None:
    show = machine(0.0114, 0.0081, 2, steps=4, guidance=2.0, pace=0.0)
    show.play(2)

    def fader(show: Machine) -> None:
        show.controls.do(Set("depth", 0.5 + 0.2 * np.sin(show.now)))

    show.hands = fader
    show.play(3)
    seen = zip(show.shown_at, show.made, strict=True)
    assert not any(made.walk.free for at, made in seen if at > 3.5)


@pytest.mark.parametrize("what", [Set("seed", 7), Set("prompt", "xxx"), Fire("next")])
def test_a_frame_after_a_bend_takes_no_more_evaluations_than_the_one_before(
    machine: Make, what: Set | Fire
) -> None:
    """The trajectory of the keyframe it comes from is there, however long the other takes."""
    show = machine(0.006, 0.003, 1, steps=4, depth=0.75, pace=0.0)
    show.play(2)
    shown = len(show.frames)
    show.controls.do(what)
    show.play(0.5)
    after = [made.walk for made in show.made[shown:]]
    assert all(walk.drawn.inherited == 3 for walk in after)
    assert any(walk.lone for walk in after)
    assert not after[-1].lone


def test_the_evaluations_of_a_turn_are_known_before_it_is_made(machine: Make) -> None:
    show = machine(0.004, 0.001, 2)
    show.hands = Storm(3)
    told: list[tuple[int, int]] = []
    make = show.producer._make

    def counted(frames: int) -> None:
        expected = show.producer.sampler.evaluations(show.producer.aim.next)
        before = show.model.calls
        make(frames)
        told.append((expected, show.model.calls - before))

    show.producer._make = counted  # type: ignore[method-assign] # counts and does the same
    show.play(15)
    assert all(expected >= came for expected, came in told)
    exact = sum(expected == came for expected, came in told) / len(told)
    assert exact > 0.9
