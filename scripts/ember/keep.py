"""Checkpoints that a killed run continues from, and the learning rate along a run.

Every step draws its random numbers from (seed, step), so no generator state is kept.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def store(path: Path, step: int, **parts: Any) -> None:
    """Write a checkpoint beside the last one, then rename it over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    torch.save({"step": step} | {name: part.state_dict() for name, part in parts.items()}, fresh)
    fresh.replace(path)


def restore(path: Path, **parts: Any) -> int:
    """Load what `store` wrote into the same parts; the number of steps done, 0 without a file."""
    if not path.exists():
        return 0
    saved = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    return int(saved["step"])


def numbers(seed: int, step: int) -> np.random.Generator:
    """The random numbers of one step; torch is seeded with them as well."""
    rng = np.random.default_rng((seed, step))
    torch.manual_seed(int(rng.integers(2**31)))
    return rng


def rate(step: int, steps: int, peak: float, warm: int = 100) -> float:
    """Learning rate: a short rise, then half a cosine down to a hundredth."""
    done = min(1.0, step / steps)
    return peak * min(1.0, (step + 1) / warm) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int, memory: float) -> None:
    """Exponential moving average of weights, quicker in the first steps."""
    keep = min(memory, (1 + step) / (10 + step))
    ours: list[Tensor] = list(average.parameters())
    theirs: list[Tensor] = list(model.parameters())
    torch._foreach_mul_(ours, keep)
    torch._foreach_add_(ours, theirs, alpha=1 - keep)
