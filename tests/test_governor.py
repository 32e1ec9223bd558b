"""The control loop: arithmetic over machines of 5 to 1000 frames/s, and shows on simulated time."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import Machine

from lwlive.engine.governor import (
    CATCH_UP,
    FULL_LOAD,
    MOST_STRIDE,
    MOST_TICKS,
    Costs,
    Situation,
    batch_for,
    decide,
    hurry,
    strides_for,
)
from lwlive.ring import AHEAD_S

RATES = [5, 12, 30, 60, 400]
NOW = Situation(
    tick_s=1 / 30,
    batch=4,
    stride=1,
    ticks=1,
    costs=Costs((0.02,), (0.004,)),
    evaluations=1,
    tracing=0,
    measuring=1,
    ready_s=0.0,
    room=66,
    slots=66,
)
SECONDS = st.floats(1e-4, 0.5)


def costs_of(rate: float, share: float) -> tuple[float, float]:
    """Seconds to sample and to decode a frame; `share` of its time is decoding."""
    return (1 - share) / rate, share / rate


@pytest.fixture(
    params=[
        *((rate, 0.02) for rate in RATES[::2]),
        *(pytest.param((rate, 0.02), marks=pytest.mark.slow) for rate in RATES[1::2]),
        *(pytest.param((rate, 0.3), marks=pytest.mark.slow) for rate in RATES),
    ]
)
def show(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A show at 30 frames/s on a machine of some rate."""
    made = Machine(*costs_of(*request.param), batch=1, pace=0.0)
    yield made
    made.close()


def needed(show: Machine) -> tuple[int, int]:
    """Ticks and stride that keep real time on this machine."""
    choices = ((t, s) for t in range(1, MOST_TICKS + 1) for s in range(1, MOST_STRIDE + 1))
    spent = show.model.denoise_s, show.model.decode_s
    return next(
        (t, s) for t, s in choices if (spent[0] / s + spent[1]) <= FULL_LOAD * t * show.tick_s
    )


def test_the_display_never_starves_and_in_betweens_are_shown_only_where_needed(
    show: Machine,
) -> None:
    ticks, stride = needed(show)
    show.play(5)
    frames, late = len(show.frames), show.late
    show.play(15)
    new = show.frames[frames:]
    assert show.late - late <= (1 - 1 / ticks) * 15 * 30 + 2
    assert {frame.ticks for frame in new} == {ticks}
    assert sum(frame.sampled for frame in new) / len(new) == pytest.approx(1 / stride, abs=0.03)


def test_batches_that_differ_in_their_time_change_nothing(show: Machine) -> None:
    rng = np.random.default_rng(4)
    show.slower = lambda _now: rng.uniform(0.9, 1.1)
    show.play(5)
    strides = [frame.turn.stride for frame in show.frames]
    show.play(15)
    strides = [frame.turn.stride for frame in show.frames[len(strides) :]]
    assert np.count_nonzero(np.diff(strides)) <= 3


@given(SECONDS, st.floats(1e-4, 0.1), st.integers(1, 8), st.integers(1, 16), st.integers(1, 24))
def test_the_stride_is_the_smallest_that_keeps_real_time(
    evaluation_s: float, decode_s: float, stride: int, batch: int, evaluations: int
) -> None:
    costs = Costs((evaluation_s,), (decode_s,))
    now = replace(NOW, batch=batch, stride=stride, costs=costs, evaluations=evaluations)
    chosen = strides_for(now)
    assert 1 <= chosen[0] <= MOST_STRIDE
    assert 1 <= chosen[1] <= MOST_TICKS
    again = strides_for(replace(now, stride=chosen[0], ticks=chosen[1]))
    assert again == chosen
    assert decide(now).frames == chosen[0] * max(1, min(batch, 33 // chosen[0]))


@given(SECONDS, SECONDS, st.integers(1, 64), st.integers(1, 64), st.booleans())
def test_a_turn_is_made_where_it_is_wanted_and_has_room(
    evaluation_s: float, ready_s: float, batch: int, room: int, moving: bool
) -> None:
    costs = Costs((evaluation_s,), (0.001,))
    now = replace(NOW, costs=costs, batch=batch, ready_s=ready_s, room=room, moving=moving)
    found = decide(now)
    assert found.frames <= 33
    if found.make:
        assert room >= found.frames
        assert ready_s < AHEAD_S
    elif room >= found.frames:
        assert ready_s >= (costs.first_s(1) if moving else AHEAD_S) or ready_s >= AHEAD_S
    if found.measure:
        assert found.stride == 1
        assert ready_s >= 2 * evaluation_s


def test_before_anything_is_known_a_turn_is_made_and_nothing_changed() -> None:
    found = decide(replace(NOW, costs=Costs(), stride=3))
    assert (found.stride, found.ticks, found.make, found.measure) == (3, 1, True, False)


def test_one_outlier_changes_no_cost_and_a_trend_does() -> None:
    costs = Costs().learned(0.1, 0.02)
    assert (costs.evaluation, costs.decode) == (0.1, 0.02)
    assert costs.first_s(2) == pytest.approx(0.22)
    for _ in range(4):
        costs = costs.learned(0.1, 0.02)
    once = costs.learned(9.0, 9.0)
    assert (once.evaluation, once.first_s(1)) == (costs.evaluation, costs.first_s(1))
    for _ in range(5):
        costs = costs.learned(0.3, 0.02)
    assert costs.evaluation == 0.3


@given(st.floats(-1e4, 1e4))
def test_a_walk_hurries_by_a_few_per_cent_at_most_and_the_right_way(late_s: float) -> None:
    assert 1 - CATCH_UP <= hurry(late_s) <= 1 + CATCH_UP
    assert (hurry(late_s) - 1) * late_s >= 0
    assert hurry(0.01) == 1


def test_a_show_takes_the_smallest_batch_that_samples_every_frame() -> None:
    assert batch_for({1: 0.01, 2: 0.009, 4: 0.008}, 30) == 1
    assert batch_for({1: 0.03, 2: 0.02, 4: 0.015}, 30) == 2
