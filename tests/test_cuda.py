"""A replayed function gives what the function gives, and never writes into what it gave before."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lwlive.checkpoint import Size
from lwlive.engine import lastgood
from lwlive.engine.cuda import MOST, Recorded, replayed, to_host, waited
from lwlive.engine.eager import Eager
from lwlive.engine.lastgood import LastGood
from lwlive.engine.load import load
from lwlive.engine.networks import Kind


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

    monkeypatch.setattr(lastgood, "to_host", slow)
    parts = [torch.full((2, 1, 1, 3), n, dtype=torch.uint8) for n in range(3)]
    shown = LastGood()((part, torch.ones(2, dtype=torch.bool)) for part in parts)
    assert shown[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert done == ["leaves"] * 3 + ["waited for"] * 3


class Graph(TorchDispatchMode):
    """A CUDA graph as far as a CPU can be one: what ran is run again, on the same memory.

    No Python runs again, so what hung on a value then hangs on it for ever.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch has no annotation there
        self._done: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self._done.append((func, args, kwargs or {}, found))
        return found

    def replay(self) -> None:
        for func, args, kwargs, found in self._done:
            again = func(*args, **kwargs)
            outputs = found if isinstance(found, tuple | list) else [found]
            news = again if isinstance(again, tuple | list) else [again]
            for old, new in zip(outputs, news, strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Stream:
    """A stream, which writes down what waits for what."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def wait_stream(self, other: "Stream") -> None:
        self.log.append(f"{self.name} waits for {other.name}")

    def record_event(self) -> Any:
        self.log.append(f"a mark on {self.name}")
        return self

    def synchronize(self) -> None:
        self.log.append(f"the host waits for {self.name}")


class Gpu:
    """Stands in for torch.cuda."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.main = self.now = Stream(self.log, "main")
        for name in ("current_stream", "stream", "graph"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "Stream", lambda *_: Stream(self.log, "side"))

    def current_stream(self, *_: object) -> Stream:
        return self.now

    @contextmanager
    def stream(self, other: Stream) -> Iterator[None]:
        self.now = other
        yield
        self.now = self.main

    @contextmanager
    def graph(self, graph: Graph) -> Iterator[None]:
        with graph:
            self.log.append("recording")
            yield


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def test_a_function_is_warmed_on_a_stream_of_its_own_before_it_is_recorded(gpu: Gpu) -> None:
    calls = []

    def function(x: Tensor) -> Tensor:
        calls.append(gpu.now.name)
        return x + 1

    replay = replayed(function, "cuda:0", print)
    assert [replay(torch.full((2,), float(n))).tolist() for n in range(3)] == [
        [1, 1],
        [2, 2],
        [3, 3],
    ]
    assert calls == ["side"] * 3 + ["main"]
    assert gpu.log == ["side waits for main", "main waits for side", "recording"]


@pytest.mark.parametrize("family", ["sd1", "sdxl", "lcm"])
def test_networks_replayed_give_what_they_give(gpu: Gpu, family: str, tmp_path: Path) -> None:
    modules = load(
        tiny.folder(tmp_path / "x", family=family), Size(64, 64), "cpu", Kind("float32", True)
    )
    plain = Eager(modules, 2)
    denoiser, decoder = (
        replayed(net, "cuda", pytest.fail) for net in (modules.denoiser, modules.decoder)
    )
    with torch.inference_mode():
        for prompt, time_ in (("a", 900.0), ("something else", 20.0), ("b", 500.0)):
            cond = tuple(part.clone() for part in plain.encode([prompt] * 2))
            if plain.embeds_guidance:
                cond = (*cond, torch.full((2,), 1 + time_ / 100))
            x, times = torch.randn(2, *modules.shape), torch.full((2,), time_)
            assert torch.allclose(
                denoiser(x, times, *cond), modules.denoiser(x, times, *cond), atol=1e-5
            )
            pictures, good = decoder(x)
            expected, _ = modules.decoder(x)
            assert (pictures.int() - expected.int()).abs().max() <= 1
            assert good.all()
            assert not decoder(x * torch.nan)[1].any()
    assert gpu.log.count("recording") == 2


class There(Tensor):
    """A tensor on a GPU."""

    device = torch.device("cuda", 0)

    def record_stream(self, stream: Any) -> None:
        stream.log.append("its memory is kept")


def test_what_leaves_a_gpu_goes_into_pinned_memory_on_a_stream_of_its_own(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = torch.empty

    def pinned(shape: Any, dtype: torch.dtype, pin_memory: bool) -> Tensor:
        assert pin_memory
        gpu.log.append(f"pinned on {gpu.now.name}")
        return empty(shape, dtype=dtype)

    monkeypatch.setattr(torch, "empty", pinned)
    arrived = to_host(torch.arange(6, dtype=torch.uint8).as_subclass(There))
    assert gpu.log == [
        "side waits for main",
        "pinned on side",
        "its memory is kept",
        "a mark on side",
    ]
    assert arrived()[0].tolist() == list(range(6))
    assert gpu.log[-1] == "the host waits for side"
