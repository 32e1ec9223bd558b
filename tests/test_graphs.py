"""A replayed function gives what the function gives, and never writes into what it gave before."""

from typing import Any

import torch
from torch import Tensor

from lwlive.engine.graphs import MOST, Recorded, replayed, to_host


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
    assert to_host(torch.arange(3)).tolist() == [0, 1, 2]
