"""The batch that a machine takes: controls are answered soon, on simulated time."""

from collections.abc import Callable

import numpy as np
import pytest
from simulated import Machine

from lwlive.commands import Set
from lwlive.engine.governor import LATENCY_S, batch_for
from lwlive.engine.tuning.measure import a_frame
from lwlive.engine.tuning.pieces import Cost

FPS = 30.0
FRAME_S = 1 / 35  # of a machine that samples 35 frames a second, whatever the batch
STEPS, DENOISE_S, DECODE_S = 2, 0.0105, FRAME_S - 2 * 0.0105


def prompts(seed: int) -> Callable[[Machine], None]:
    """Hands that type another prompt now and then."""
    rng, due = np.random.default_rng(seed), [60]

    def type_one(show: Machine) -> None:
        if show.ticks >= due[0]:
            show.controls.do(Set("prompt", f"prompt {show.ticks}"))
            due[0] = show.ticks + int(rng.integers(5, 60))

    return type_one


def performed(
    batch: int,
    seconds: float,
    steps: int = STEPS,
    denoise_s: float = DENOISE_S,
    decode_s: float = DECODE_S,
) -> Machine:
    """A show of so many simulated seconds; seconds are those of a frame."""
    show = Machine(batch * denoise_s, batch * decode_s, batch, FPS, steps=steps, pace=0)
    show.hands = prompts(batch)
    show.play(seconds)
    show.close()
    return show


@pytest.mark.slow
def test_a_machine_hardly_faster_than_the_show_answers_controls_in_a_fifth_of_a_second() -> None:
    costs = {n: Cost(n * DENOISE_S, n * DECODE_S) for n in (1, 2, 4, 8)}
    show = performed(batch_for(a_frame(costs, STEPS), FPS), 60)
    assert len(show.latencies_s) > 40
    assert np.percentile(show.latencies_s, 95) <= LATENCY_S + 1e-6
    assert show.late <= 0.01 * show.ticks


@pytest.mark.parametrize("batch", [8, 16])
def test_larger_batches_would_make_that_machine_feel_slow(batch: int) -> None:
    assert np.percentile(performed(batch, 60).latencies_s, 95) > LATENCY_S


def test_a_machine_that_needs_in_betweens_answers_as_soon() -> None:
    """Frames are seen while others of the same turn are decoded; whole turns would take 0.25 s."""
    show = performed(2, 60, steps=1, denoise_s=0.0195, decode_s=0.0153)
    assert len(show.latencies_s) > 40
    assert np.percentile(show.latencies_s, 95) <= LATENCY_S + 1e-6
    assert show.late <= 0.01 * show.ticks
