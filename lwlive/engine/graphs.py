"""CUDA graphs: a network called with the same shapes is recorded once and then replayed.

The only file that knows of them. Elsewhere a replayed function looks like the function itself, and
on other devices it is the function itself. What cannot be recorded costs speed, never the show.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

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
    """Record a function; returns what replays it, and the outputs that this fills anew."""
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


def replayed(function: Function, device: str, say: Callable[[str], None]) -> Function:
    """The function, replayed on a GPU that knows graphs."""
    return Recorded(function, on_cuda, say) if device.startswith("cuda") else function


def to_host(tensor: Tensor) -> Tensor:
    """A tensor in the host's memory: from a GPU into pinned memory, the only fast way out of it."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    found = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    found.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream().synchronize()
    return found
