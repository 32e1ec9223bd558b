"""Processes that learn one model together: each from its own pictures, all by the mean gradient.

`torchrun` starts them and tells each its number. On a processor two of them with a core each are
quicker than one with two. Started without it there is one, and nothing to do here. This file knows
nothing of models.
"""

import os
from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(hours=12)  # for the others, while the first process draws


def begin() -> None:
    """Meet the other processes, if torchrun has started any."""
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("gloo", timeout=PATIENCE)


def end() -> None:
    """Leave them."""
    if dist.is_initialized():
        dist.destroy_process_group()


def number() -> int:
    """This process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait() -> None:
    """Go on when all of them have come here."""
    if count() > 1:
        dist.barrier()


def as_first(*values: float) -> list[float]:
    """What the first process says, for all of them: clocks differ."""
    said = torch.tensor(values, dtype=torch.float64)
    if count() > 1:
        dist.broadcast(said, 0)
    return said.tolist()


def mean(weights: Iterable[Tensor]) -> None:
    """Replace every gradient by the mean of those that the processes have found."""
    if count() == 1:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= count()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
