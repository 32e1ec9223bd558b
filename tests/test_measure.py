"""What is measured decides the batch; what is written down is read back."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from lwlive.checkpoint import ModelError, Size
from lwlive.engine.eager import Eager
from lwlive.engine.governor import BATCH_LOAD, LATENCY_S, batch_for
from lwlive.engine.load import load
from lwlive.engine.networks import Kind
from lwlive.engine.tuning import measure as module
from lwlive.engine.tuning.measure import (
    BATCHES,
    Costs,
    Measured,
    a_frame,
    measure,
    recall,
    remember,
)
from lwlive.engine.tuning.pieces import Cost

SECONDS = st.floats(1e-4, 2.0)
COSTS = st.fixed_dictionaries({n: st.builds(Cost, SECONDS, SECONDS) for n in BATCHES})
KIND = Kind("bfloat16", True)


def spent(costs: Costs, batch: int, steps: int) -> float:
    """Seconds a frame."""
    return (steps * costs[batch].evaluation + costs[batch].decoding) / batch


@given(COSTS, st.integers(1, 8), st.sampled_from([24.0, 30.0, 60.0]))
def test_the_smallest_batch_that_keeps_up_is_taken_and_none_too_long_for_the_hands(
    costs: Costs, steps: int, fps: float
) -> None:
    chosen = batch_for(a_frame(costs, steps), fps)

    def answer_s(n: int) -> float:
        return 2 * n * spent(costs, n, steps) + 2 / fps

    prompt = [n for n in BATCHES if answer_s(n) <= LATENCY_S + 1e-9]
    enough = [n for n in prompt if spent(costs, n, steps) * fps <= BATCH_LOAD]
    if enough:
        assert chosen == min(enough)
    else:
        assert chosen == max(prompt, default=1)


def test_a_slow_machine_takes_as_large_a_batch_as_the_hands_allow() -> None:
    ones, decodings = (0.018, 0.031, 0.043, 0.080), (0.007, 0.013, 0.029, 0.073)
    costs = dict(zip(BATCHES, map(Cost, ones, decodings), strict=True))
    assert batch_for(a_frame(costs, 2), 30) == 1  # the next would be seen after 0.22 s
    halved = {n: Cost(one / 2, other / 2) for n, (one, other) in costs.items()}
    assert batch_for(a_frame(halved, 2), 30) == 2  # one frame at a time leaves too little
    costly = halved | {1: Cost(0.03, 0.03)}
    assert batch_for(a_frame(costly, 2), 30) == 2
    faster = {n: Cost(one / 9, other / 9) for n, (one, other) in costs.items()}
    assert batch_for(a_frame(faster, 2), 30) == 1


@given(COSTS, st.integers(1, 64))
def test_what_was_measured_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    costs: Costs,
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with random weights."""
    return tiny.folder(tmp_path_factory.mktemp("model") / "tiny")


def measured_with_room_for(
    most: int, folder: Path, monkeypatch: pytest.MonkeyPatch, call_s: float = 0.001
) -> tuple[Measured, list[str]]:
    """What is measured and said on a device whose memory holds so many frames.

    call_s: how long an evaluation and a decoding take there.
    """

    class Narrow(Eager):
        def decode(self, latents: torch.Tensor) -> Any:
            if len(latents) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().decode(latents)

    monkeypatch.setattr(module, "Eager", Narrow)
    monkeypatch.setattr(module, "kinds", lambda _: [Kind("float32", True)])
    times, said = itertools.count(), list[str]()
    timer = lambda: next(times) * call_s  # noqa: E731
    measured, _ = measure(folder, Size(64, 64), "cpu", timer, say=said.append)
    return measured, said


@pytest.mark.slow
@pytest.mark.parametrize(("most", "next_one"), [(1, 2), (2, 4), (5, 8)])
def test_a_batch_too_large_for_memory_is_said_and_the_smaller_ones_serve(
    most: int, next_one: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, said = measured_with_room_for(most, folder, monkeypatch)
    assert list(measured.costs) == [n for n in BATCHES if n <= most]
    assert batch_for(a_frame(measured.costs, 1), 30) in measured.costs
    largest = max(measured.costs)
    sentence = f"for {next_one} frames together, so {largest} are the most"
    assert said == [f"too little memory on cpu {sentence}"]


def test_on_a_slow_machine_batches_that_answer_too_late_are_not_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, said = measured_with_room_for(8, folder, monkeypatch, call_s=1.0)
    assert list(measured.costs) == [1]
    assert not said


def test_too_little_memory_for_a_single_frame_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=r"^too little memory on cpu for pictures: choose"):
        measured_with_room_for(0, folder, monkeypatch)


def test_a_gpu_too_small_for_the_weights_is_said_before_they_are_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000, 2**33))
    with pytest.raises(ModelError, match=r"the GPU has 0\.0 GB free and tiny needs .*: close what"):
        load(folder, Size(64, 64), "cuda", Kind("float16", True))


def test_gpus_have_half_precision_and_on_a_cpu_the_faster_one_is_measured() -> None:
    for device in ("cuda", "mps"):
        assert {kind.precision for kind in module.kinds(device)} == {"float16"}
    assert {kind.precision for kind in module.kinds("cpu")} == {"bfloat16", "float32"}
