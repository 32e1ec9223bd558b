"""What is measured decides the batch; what is written down is read back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwlive.engine.measure import BATCHES, LOAD, LONGEST_S, NEAR, Measured, recall, remember
from lwlive.engine.networks import Kind

SECONDS = st.floats(1e-4, 2.0)
COSTS = st.fixed_dictionaries({n: st.tuples(SECONDS, SECONDS) for n in BATCHES})
KIND = Kind("bfloat16", True)


def spent(costs: dict[int, tuple[float, float]], batch: int, steps: int) -> float:
    """Seconds a frame."""
    return (steps * costs[batch][0] + costs[batch][1]) / batch


@given(COSTS, st.integers(1, 8), st.sampled_from([24.0, 30.0, 60.0]))
def test_the_smallest_batch_that_keeps_up_is_taken(
    costs: dict[int, tuple[float, float]], steps: int, fps: float
) -> None:
    chosen = Measured(KIND, 2, costs).batch(steps, fps)
    enough = [n for n in BATCHES if spent(costs, n, steps) * fps <= LOAD]
    best = min(spent(costs, n, steps) for n in BATCHES)
    if enough:
        assert chosen == min(enough)
    else:
        longer = [n for n in BATCHES if n > chosen]
        too_long = [n for n in longer if n * spent(costs, n, steps) > LONGEST_S]
        assert spent(costs, chosen, steps) <= NEAR * best or too_long == longer


def test_a_slow_machine_takes_the_batch_past_the_knee_unless_controls_would_feel_slow() -> None:
    costs = {1: (0.008, 0.004), 2: (0.012, 0.006), 4: (0.020, 0.010), 8: (0.039, 0.020)}
    assert Measured(KIND, 2, costs).batch(4, 120) == 4
    assert Measured(KIND, 2, costs).batch(1, 10) == 1
    slower = {n: (3 * one, 3 * other) for n, (one, other) in costs.items()}
    assert Measured(KIND, 2, slower).batch(4, 120) == 1


@given(COSTS, st.integers(1, 64))
def test_what_was_measured_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    costs: dict[int, tuple[float, float]],
    threads: int,
) -> None:
    path = tmp_path_factory.mktemp("measured") / "deep" / "x.json"
    remember(path, Measured(KIND, threads, costs))
    assert recall(path) == Measured(KIND, threads, costs)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": 1}', '{"costs": {"1": [1]}}'])
def test_what_cannot_be_read_is_measured_again(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    assert recall(tmp_path / "x.json") is None
    assert recall(tmp_path / "missing.json") is None
