"""What only a GPU has: CUDA graphs, a way out through pinned memory, and work that runs on unseen.

The only file that knows of these. A network called with the same shapes is recorded once and then
replayed; elsewhere a replayed function looks like the function itself, and on other devices it is
the function itself. What cannot be recorded costs speed, never the show.

The UNet and the decoder are two graphs, and not one from noise to bytes. One would have to be
built for every number of steps, every step to begin from, guided or not and pulled by crossfeed or
not: 144 for each batch and size, a minute or more each, where these two serve all of that, and
in-betweens, too. It would save the operations between the two: about 10 of the 204 small ones that
a batch of 8 takes at one step, and 9 more with each further step; at 5 microseconds a launch 0.05
ms each time.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

Timer = Callable[[], float]  # seconds
Function = Callable[..., Any]  # tensors -> a tensor, or a tuple of them
Record = Callable[[Function, tuple[Tensor, ...]], tuple[Callable[[], Any], Any]]

MOST = 4  # shapes of one function; each graph keeps memory of its own


class Recorded:
    """A function of tensors, recorded for each of the first few shapes it is called with."""

    def __init__(self, function: Function, record: Record, say: Callable[[str], None]) -> None:
        self._function, self._record, self._say = function, record, say
        self._made: dict[object, tuple[tuple[Tensor, ...], Callable[[], Any], Any]] = {}
        self._given_up = False

    def __call__(self, *inputs: Tensor) -> Any:
        """What the function gives; the caller's own, since the next replay writes elsewhere."""
        shapes = tuple((part.shape, part.dtype) for part in inputs)
        if shapes not in self._made and not self._recorded(shapes, inputs):
            return self._function(*inputs)
        buffers, play, outputs = self._made[shapes]
        for buffer, part in zip(buffers, inputs, strict=True):
            buffer.copy_(part)
        play()
        if isinstance(outputs, Tensor):
            return outputs.clone()
        return tuple(part.clone() for part in outputs)

    def _recorded(self, shapes: object, inputs: tuple[Tensor, ...]) -> bool:
        """Record one more shape. False where there are enough, or where it cannot be done."""
        if self._given_up or len(self._made) >= MOST:
            return False
        buffers = tuple(part.clone(memory_format=torch.contiguous_format) for part in inputs)
        try:
            self._made[shapes] = (buffers, *self._record(self._function, buffers))
        except RuntimeError as error:  # out of memory is one, too
            self._given_up = True
            why = str(error).splitlines()[0]
            self._say(f"CUDA graphs cannot be used here, so pictures come slower: {why}")
            return False
        return True


def on_cuda(function: Function, buffers: tuple[Tensor, ...]) -> tuple[Callable[[], Any], Any]:
    """Record a function; returns what replays it, and the outputs that this fills again."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # first calls choose kernels and allocate, which cannot be recorded
            function(*buffers)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function(*buffers)
    return graph.replay, outputs


def filled(rows: Tensor, count: int) -> Tensor:
    """Contiguous rows, the last repeated until there are as many as `count`."""
    missing = count - len(rows)
    if missing > 0:
        rows = torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])
    return rows.contiguous()


def replayed(function: Function, device: str, say: Callable[[str], None]) -> Function:
    """The function, replayed on a GPU that knows graphs."""
    return Recorded(function, on_cuda, say) if records(device) else function


def records(device: str) -> bool:
    """Whether functions are recorded there, so that each number of rows takes one of its own."""
    return device.startswith("cuda")


def to_host(*tensors: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    """Start moving tensors into the host's memory; the function returned waits for them.

    They leave a GPU into pinned memory, the only fast way, and on a stream of their own, so that
    what it is asked next need not wait.
    """
    device = tensors[0].device
    if device.type != "cuda":
        return lambda: tuple(tensor.cpu() for tensor in tensors)
    way = _way_out(device)
    way.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(way):
        found = tuple(torch.empty(t.shape, dtype=t.dtype, pin_memory=True) for t in tensors)
        for here, there in zip(found, tensors, strict=True):
            here.copy_(there, non_blocking=True)
            there.record_stream(way)  # its memory is not given to others before
        there_all = way.record_event()

    def arrived() -> tuple[Tensor, ...]:
        there_all.synchronize()
        return found

    return arrived


@cache
def _way_out(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def waited(timer: Timer, device: str) -> Timer:
    """The timer, letting a GPU finish first: it still works after a call has returned."""
    finish = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device)
    if finish is None:
        return timer

    def after() -> float:
        finish()
        return timer()

    return after
