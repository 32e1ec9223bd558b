"""Ticks keep the show's time, whatever monitor shows them."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwlive.stage.ticks import Ticks

START = 100.0
DRAWING_S = 0.002


def shown(fps: float, hz: float, seconds: float) -> list[tuple[int, float]]:
    """Tick and time of every picture on a monitor that pictures wait for."""
    ticks, now, found = Ticks(fps, START), START, []
    while now < START + seconds:
        now = max(now, ticks.due) + DRAWING_S
        now = math.ceil(now * hz) / hz  # the monitor's next picture
        found.append((ticks.number, now))
        ticks.done(now)
        ticks.follow(hz)
    return found[2:]


@pytest.mark.parametrize(
    ("fps", "hz", "every"),
    [(60, 60.0, 1), (60, 59.94, 1), (60, 60.06, 1), (30, 59.94, 2), (24, 71.9, 3), (60, 50.0, 1)],
)
def test_a_monitor_near_a_multiple_is_followed_and_no_picture_is_doubled_or_dropped(
    fps: float, hz: float, every: int
) -> None:
    times = [at for _, at in shown(fps, hz, 30)]
    gaps = {round((b - a) * hz) for a, b in itertools.pairwise(times)}
    assert gaps == {every}


@pytest.mark.parametrize(("fps", "hz"), [(60, 59.94), (60, 50.0), (30, 59.94), (60, 60.001)])
def test_ticks_are_numbered_by_the_shows_time(fps: float, hz: float) -> None:
    pictures = shown(fps, hz, 120)
    (first, at), (last, then) = pictures[0], pictures[-1]
    assert (last - first) / fps == pytest.approx(then - at, abs=2 / fps)
    numbers = [number for number, _ in pictures]
    assert numbers == sorted(set(numbers))


def test_a_monitor_of_another_rate_is_not_followed() -> None:
    ticks = Ticks(60, START)
    ticks.follow(144.0)
    assert ticks.seconds == 1 / 60


@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=80), st.sampled_from([24.0, 30.0, 60.0]))
def test_without_a_monitor_ticks_are_where_the_clock_says_and_all_are_counted(
    costs: list[float], fps: float
) -> None:
    ticks, now, counted = Ticks(fps, START), START, 0
    for cost in costs:
        number, now = ticks.number, max(now, ticks.due) + cost
        assert ticks.due == pytest.approx(START + number / fps)
        missed = ticks.done(now)
        assert ticks.number == number + 1 + missed
        counted += 1 + missed
    assert counted == ticks.number
