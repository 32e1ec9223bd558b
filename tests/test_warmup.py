"""What a control asks of the model for the first time was tried in idle time, so nothing stalls."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from test_producer import FPS, Bench, FakeModel, Timer
from torch import Tensor

from lwlive.checkpoint import Size
from lwlive.engine import eager as module
from lwlive.engine import spare
from lwlive.engine.eager import Eager
from lwlive.engine.keyframe import Cond
from lwlive.engine.load import load
from lwlive.engine.networks import Kind
from lwlive.engine.schedule import Schedule
from lwlive.ring import Pixels, Ring, slots

FIRST_S = 0.4  # longer that any function takes when it is first called with inputs of a shape
IDLE_S = 40


class Cold(FakeModel):
    """A model whose functions take so much longer when they are first called."""

    def __init__(self, timer: Timer, denoise_s: float, decode_s: float) -> None:
        super().__init__(timer, denoise_s, decode_s)
        self.used: set[object] = set()

    def first(self, *use: object) -> None:
        """Count this use; the first one of its kind takes long."""
        if use not in self.used:
            self.used.add(use)
            self._timer.now += FIRST_S

    def encode(self, prompts: Sequence[str]) -> Cond:
        self.first("encode", len(prompts))
        return super().encode(prompts)

    def denoise(self, x: Tensor, _timestep: float, cond: Cond) -> Tensor:
        assert {len(part) for part in cond} == {len(x)}
        self.first("denoise", len(x), len(cond))
        return super().denoise(x, _timestep, cond)

    def decode(self, latents: Tensor) -> Pixels:
        self.first("decode", len(latents))
        return super().decode(latents)

    def schedule(self, steps: int, begin: int) -> Schedule:
        self.first("schedule", steps, begin)
        return super().schedule(steps, begin)


def used(bench: Bench) -> set[object]:
    """What this show's model has been asked for."""
    assert isinstance(bench.model, Cold)
    return bench.model.used


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], Bench]]:
    """Starts shows with such a model, whose reader never waits."""
    rings = []

    def start(embeds_guidance: bool = False) -> Bench:
        monkeypatch.setattr("test_producer.FakeModel", Cold)
        monkeypatch.setattr(Cold, "embeds_guidance", embeds_guidance)
        rings.append(Ring.create(multiprocessing.get_context("spawn"), slots(FPS), 16, 16))
        return Bench(rings[-1], denoise_s=0.002, decode_s=0.001)

    yield start
    for ring in rings:
        ring.close()


CHANGES: list[dict[str, Any]] = [
    {"steps": 4},
    {"guidance": 5.0},
    {"steps": 8, "depth": 0.5},
    {"guidance": 0.5},
    {"prompt": "something else", "guidance": 3.0},
    {"crossfeed": 0.5, "steps": 2},
]


def perform(bench: Bench) -> int:
    """Change everything that may ask for something new; the frames that were late meanwhile."""
    before = bench.late
    for change in CHANGES:
        bench.controls.load(change)
        bench.run(60)
    return bench.late - before


@pytest.mark.parametrize("embeds_guidance", [False, True])
def test_after_some_idle_time_no_control_stalls_the_show(
    show: Callable[[bool], Bench], embeds_guidance: bool
) -> None:
    bench = show(embeds_guidance)
    bench.run(round(IDLE_S * FPS))
    before = set(used(bench))
    assert perform(bench) == 0
    assert before == used(bench)


def test_without_idle_time_they_would(
    show: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare, "first_uses", lambda *_: iter(()))
    bench = show()
    bench.run(round(IDLE_S * FPS))
    assert perform(bench) > 0


def test_warming_costs_no_frame_and_ends(show: Callable[..., Bench]) -> None:
    bench = show()
    bench.run(120)
    late = bench.late
    bench.run(round(IDLE_S * FPS))
    assert bench.late == late
    turns = len(used(bench))
    bench.run(60)
    assert len(used(bench)) == turns


def test_another_model_is_warmed_as_well(show: Callable[..., Bench]) -> None:
    bench = show()
    bench.run(round(IDLE_S * FPS))
    again = Cold(bench.timer, 0.001, 0.001)
    bench.producer.use(again)
    bench.run(round(IDLE_S * FPS))
    assert again.used >= {("denoise", rows, 1) for rows in range(1, 5)}
    assert perform(bench) == 0


def test_where_functions_are_recorded_they_are_asked_for_whole_batches_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = load(tiny.folder(tmp_path / "x"), Size(64, 64), "cpu", Kind("float32", True))
    asked: set[int] = set()

    def counted(net: Callable[..., Any], *_: object) -> Callable[..., Any]:
        def call(*inputs: Tensor) -> Any:
            asked.update(map(len, inputs))
            return net(*inputs)

        return call

    plain = Eager(modules, 4)
    monkeypatch.setattr(module, "records", lambda _: True)
    monkeypatch.setattr(module, "replayed", counted)
    whole = Eager(modules, 4)
    x, cond = torch.randn(6, *modules.shape), plain.encode(["a", "b", "c"])
    found = whole.denoise(x[:3], 300.0, cond)
    assert torch.allclose(found, plain.denoise(x[:3], 300.0, cond), atol=1e-5)
    same = np.abs(whole.decode(x).astype(int) - plain.decode(x).astype(int))
    assert len(same) == 6
    assert same.max() <= 1
    assert asked == {4}
