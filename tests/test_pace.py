"""Pace is measured once a segment, only where it is wanted, and belongs to its own segment."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from simulated import Machine

from lwlive.commands import Set
from lwlive.engine.keyframe import Keyframe
from lwlive.engine.pace import live_pace
from lwlive.engine.sampler import Check, Sampler, unchecked
from lwlive.engine.walk import Walk

Make = Callable[..., Machine]


@pytest.fixture
def machine() -> Iterator[Make]:
    """Makes machines with a second to spare for each frame, and gives back their memory."""
    made: list[Machine] = []

    def make(**values: Any) -> Machine:
        made.append(Machine(0.001, 0.0005, **values))
        return made[-1]

    yield make
    for each in made:
        each.close()


def traced(show: Machine) -> dict[int, int]:
    """Counts, from now on, how often each keyframe's trajectory is made."""
    counts: dict[int, int] = {}
    real = show.producer.sampler.trace_one

    def counted(keyframe: Keyframe, walk: Walk, check: Check = unchecked) -> None:
        assert keyframe.origin is not None
        counts[keyframe.origin[1]] = counts.get(keyframe.origin[1], 0) + 1
        real(keyframe, walk, check)

    show.producer.sampler.trace_one = counted  # type: ignore[method-assign] # counts and does the same
    return counts


def test_the_trajectory_of_a_keyframe_is_made_once_however_often_its_segment_is_measured(
    machine: Make,
) -> None:
    show = machine(crossfeed=0.5, speed=0.5)
    counts = traced(show)
    show.play(12)
    assert len(counts) >= 6
    assert set(counts.values()) == {1}
    assert any(frame.turn.paced for frame in show.frames)


@pytest.mark.slow
def test_without_pace_nothing_is_measured(machine: Make) -> None:
    paced, raw = machine(speed=0.5), machine(speed=0.5, pace=0.0)
    for show in (paced, raw):
        show.play(12)
        assert show.late <= 1
    sampled = sum(frame.sampled for frame in raw.frames)
    ahead = 30  # made and not shown yet, and the model's first uses
    assert raw.model.calls <= sampled + ahead
    assert paced.model.calls > raw.model.calls + 30


def test_a_loop_closed_in_mid_walk_takes_no_pace_of_another_segment(machine: Make) -> None:
    show = machine(speed=1.0)
    show.play(3)
    show.controls.do(Set("loop", 2))
    show.play(8)
    fresh = Sampler(show.producer.model)
    compared = 0
    for made in show.made[-200:]:
        if made.walk.warp and made.walk.fraction < 0.05:
            pace = live_pace()
            while pace.measure(fresh, made.walk, 30.0):
                pass
            expected = pace.settled(made.walk, 30.0).warp
            assert made.walk.warp == pytest.approx(expected, abs=1e-5)
            compared += 1
    assert compared > 3


def test_a_pace_measured_without_trajectories_is_that_of_no_other_walk(machine: Make) -> None:
    show = machine(crossfeed=0.5, speed=0.5)
    show.play(1)
    pace, walk = live_pace(), show.producer.aim.next
    while pace.measure(Sampler(show.producer.model), walk.freed(True), 60.0):
        pass
    assert pace.settled(walk.freed(True), 60.0).warp
    assert not pace.settled(walk.freed(False), 60.0).warp
