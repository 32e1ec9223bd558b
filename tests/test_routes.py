"""Routes: what moves a parameter by itself, around the value that the hand has set."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwlive.params import SPECS, ControlError, Params
from lwlive.routes import BANDS, ROUTES, SHAPES, Band, Lfo, Route, checked, modulated, table
from lwlive.tempo import Tempo

NUMBERS = [name for name, spec in SPECS.items() if spec.kind in (int, float) and spec.routed]
TEMPO = Tempo(120.0, 0.0, 0.0)
LFOS = st.builds(
    Lfo,
    st.sampled_from(sorted(SHAPES)),
    st.floats(0.05, 64),
    st.sampled_from(["beats", "seconds"]),
    st.floats(-1, 1),
)
SOURCES = st.one_of(LFOS, st.builds(Band, st.sampled_from(BANDS)))
ROUTED = st.builds(
    Route, st.sampled_from(NUMBERS), st.floats(-1, 1), SOURCES, st.integers(1, ROUTES)
)


@given(LFOS, st.floats(-1e5, 1e5), st.integers(0, 2**63 - 1))
@settings(max_examples=300, deadline=None)
def test_every_shape_stays_within_its_travel(lfo: Lfo, now: float, seed: int) -> None:
    assert -1.000001 <= lfo.value(now, TEMPO, seed) <= 1.000001


@pytest.mark.parametrize("shape", ["sine", "triangle", "saw", "square"])
def test_a_shape_comes_again_after_its_period_and_spends_as_long_above_as_below(shape: str) -> None:
    lfo, n = Lfo(shape, 2.0, "seconds"), 1000
    values = [lfo.value(2.0 * i / n + 1e-7, TEMPO, 0) for i in range(n)]
    again = [lfo.value(2.0 * i / n + 1e-7 + 6.0, TEMPO, 0) for i in range(n)]
    assert values == pytest.approx(again, abs=1e-3)
    assert sum(values) / n == pytest.approx(0, abs=0.01)
    assert (max(values), min(values)) == pytest.approx((1, -1), abs=0.01)


def test_smooth_and_triangle_and_sine_never_jump() -> None:
    for shape in ("sine", "triangle", "smooth"):
        lfo = Lfo(shape, 1.0, "seconds")
        values = [lfo.value(i / 1000, TEMPO, 7) for i in range(8000)]
        assert max(abs(b - a) for a, b in pairwise(values)) < 0.0075, shape


def test_random_shapes_follow_from_the_seed_alone() -> None:
    for shape in ("smooth", "stepped"):
        lfo = Lfo(shape, 1.0, "seconds")
        one = [lfo.value(i + 0.5, TEMPO, 7) for i in range(500)]
        assert one == [lfo.value(i + 0.5, TEMPO, 7) for i in range(500)]
        assert one != [lfo.value(i + 0.5, TEMPO, 8) for i in range(500)]
        assert abs(sum(one) / 500) < 0.1
        assert max(one) > 0.8
        assert min(one) < -0.8


def test_beats_follow_the_tempo() -> None:
    lfo = Lfo("saw", 4.0)
    tempo = Tempo(90.0, 8.0, 100.0)
    assert lfo.value(100.0, tempo, 0) == -1
    assert lfo.value(tempo.when(10.0), tempo, 0) == pytest.approx(0, abs=0.05)


@given(st.lists(ROUTED, max_size=6), st.floats(0, 1e4), st.lists(st.floats(0, 1), min_size=6))
@settings(max_examples=200, deadline=None)
def test_whatever_routes_do_values_stay_in_range(
    routes: list[Route], now: float, bands: list[float]
) -> None:
    found = modulated(Params(guidance=3.0, steps=4), routes, now, TEMPO, bands)
    for name in NUMBERS:
        value = getattr(found, name)
        assert SPECS[name].checked(value) == value
        assert type(value) is SPECS[name].kind


def test_amounts_are_in_fader_travel_and_add_up() -> None:
    up = Lfo("square", 1e3, "seconds")  # 1, for a long time
    two = [Route("speed", 0.2, up, 1), Route("speed", 0.1, up, 2)]
    params, row = Params(speed=1.0), SPECS["speed"]
    moved = modulated(params, two, 0.0, TEMPO)
    assert row.position(moved.speed) == pytest.approx(row.position(1.0) + 0.3)
    assert params.speed == 1.0


def test_a_route_without_amount_changes_nothing_and_the_models_own_stays() -> None:
    params = Params(seed=123456789)
    assert modulated(params, [Route("seed", 0.0, Lfo())], 3.0, TEMPO) == params
    assert modulated(params, [Route("steps", 0.5, Lfo())], 3.0, TEMPO).steps is None
    moved = modulated(params, [Route("seed", 0.1, Lfo("square", 9.0))], 0.0, TEMPO)
    assert abs(moved.seed - params.seed) < 10_000  # from where it is


@given(st.builds(Route, st.sampled_from(NUMBERS), st.floats(-1, 1), SOURCES, st.integers(1, 16)))
def test_a_table_gives_the_same_route(route: Route) -> None:
    assert checked(table(route), route.number) == route


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"parameter": "prompt"}, "prompt is not a number"),
        ({"parameter": "hold"}, "hold is not a number"),
        ({"parameter": "sped"}, "there is no parameter 'sped'"),
        ({}, "parameter takes the name of a number"),
        ({"parameter": "speed", "amount": 2}, "amount takes a number from -1 to 1, not 2"),
        ({"parameter": "speed", "amount": math.nan}, "amount takes a number from -1 to 1"),
        ({"parameter": "speed", "lfo": "wave"}, "lfo is one of sine, .*, not 'wave'"),
        ({"parameter": "speed", "band": "treble"}, "band is one of low, .*, not 'treble'"),
        ({"parameter": "speed", "band": "low", "beats": 2}, "a band has no beats"),
        ({"parameter": "speed", "beats": 2, "seconds": 1}, "in beats or in seconds, not both"),
        ({"parameter": "speed", "beats": 0}, "beats takes a number from 0.05 to 3600"),
        ({"parameter": "speed", "rate": 1}, "there is no 'rate'"),
        ({"parameter": "speed", "lfo": ["sine"]}, "lfo is one of"),
    ],
)
def test_a_wrong_route_is_refused_with_what_was_expected(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ControlError, match=why):
        checked(wrong, 3)
    for number in (0, 17, True, 1.5, "1"):
        with pytest.raises(ControlError, match="a number from 1 to 16"):
            checked({"parameter": "speed"}, number)  # type: ignore[arg-type] # as files have it
