"""A replayed function gives what the function gives, and never writes into what it gave before."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lwlive.engine import model
from lwlive.engine.graphs import MOST, Recorded, replayed, to_host, waited
from lwlive.engine.model import LastGood


def recorder(function: Any, buffers: tuple[Tensor, ...]) -> Any:
    """Records as a graph does: the same buffers in, the same memory out, no Python in between."""
    outputs = function(*buffers)
    parts = outputs if isinstance(outputs, tuple) else (outputs,)

    def play() -> None:
        again = function(*buffers)
        for part, new in zip(parts, again if isinstance(again, tuple) else (again,), strict=True):
            part.copy_(new)

    return play, outputs


def both(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return x + y, x * y


def test_a_replay_gives_what_the_function_gives_whatever_the_shapes() -> None:
    said: list[str] = []
    replay = Recorded(both, recorder, said.append)
    for n in [1, 2, 1, 3, 2, 4, 5, 6, 1, 6]:
        x, y = torch.randn(n, 3), torch.randn(n, 3)
        for found, expected in zip(replay(x, y), both(x, y), strict=True):
            assert torch.equal(found, expected)
    assert said == []


def test_what_was_given_stays_as_it_was() -> None:
    replay = Recorded(lambda x: x + 1, recorder, print)
    first = replay(torch.zeros(3))
    replay(torch.ones(3))
    assert first.tolist() == [1, 1, 1]


def test_a_shape_is_recorded_once_and_not_more_than_a_few() -> None:
    recorded = []

    def counting(function: Any, buffers: tuple[Tensor, ...]) -> Any:
        recorded.append(len(buffers[0]))
        return recorder(function, buffers)

    replay = Recorded(lambda x: x, counting, print)
    for n in [1, 2, 1, 3, 4, 5, 5, 6]:
        assert len(replay(torch.zeros(n))) == n
    assert recorded == list(range(1, MOST + 1))


def test_what_cannot_be_recorded_is_said_once_and_goes_on() -> None:
    def refusing(_function: Any, _buffers: tuple[Tensor, ...]) -> Any:
        raise torch.OutOfMemoryError("no room for a graph\nmore")

    said: list[str] = []
    replay = Recorded(lambda x: x + 1, refusing, said.append)
    assert [replay(torch.full((n,), 1.0)).tolist() for n in (1, 2)] == [[2.0], [2.0, 2.0]]
    assert said == ["CUDA graphs cannot be used here, so pictures come slower: no room for a graph"]


def test_without_a_gpu_the_function_is_the_function() -> None:
    assert replayed(both, "cpu", print) is both
    found = to_host(torch.arange(3), torch.ones(1))()
    assert [part.tolist() for part in found] == [[0, 1, 2], [1.0]]
    assert waited(time.perf_counter, "cpu") is time.perf_counter


def test_a_gpu_has_finished_before_the_time_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: done.append("finished"))

    def read() -> float:
        done.append("read")
        return 7.0

    assert waited(read, "cuda")() == 7.0
    assert done == ["finished", "read"]


def test_all_pictures_are_asked_for_before_the_first_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []

    def slow(*tensors: Tensor) -> Callable[[], tuple[Tensor, ...]]:
        done.append("leaves")

        def arrived() -> tuple[Tensor, ...]:
            done.append("waited for")
            return tensors

        return arrived

    monkeypatch.setattr(model, "to_host", slow)
    parts = [torch.full((2, 1, 1, 3), n, dtype=torch.uint8) for n in range(3)]
    shown = LastGood()((part, torch.ones(2, dtype=torch.bool)) for part in parts)
    assert shown[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert done == ["leaves"] * 3 + ["waited for"] * 3
