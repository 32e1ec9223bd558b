"""Checkpoints that a killed run continues from, in pieces too, and the learning rate along a run.

Every step draws its random numbers from (seed, step), so no generator state is kept.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PIECE = 16 * 2**20 - 2**16  # bytes; some places take no files above 16 MB


def store(path: Path, step: int, **parts: Any) -> None:
    """Write a checkpoint beside the last one, then rename it over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    torch.save({"step": step} | {name: part.state_dict() for name, part in parts.items()}, fresh)
    fresh.replace(path)


def restore(path: Path, device: str = "cpu", **parts: Any) -> int:
    """Load what `store` wrote into the same parts; the number of steps done, 0 without a file."""
    if not path.exists():
        return 0
    saved = torch.load(path, map_location=device, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    return int(saved["step"])


def cut(path: Path, folder: Path) -> None:
    """Copy a file into a folder in pieces of at most PIECE bytes, in place of older ones.

    The list of them, with the whole file's digest, is written last, so that pieces of two
    checkpoints are never taken for one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole, names = hashlib.sha256(), list[str]()
    mark = path.stat().st_mtime_ns
    with path.open("rb") as file:
        while chunk := file.read(PIECE):
            whole.update(chunk)
            names.append(f"{path.name}.{mark}.{len(names):03d}")
            (folder / names[-1]).write_bytes(chunk)
    fresh = folder / f"{path.name}.new"
    fresh.write_text(json.dumps({"pieces": names, "sha256": whole.hexdigest()}))
    fresh.replace(folder / f"{path.name}.json")
    for old in folder.glob(f"{path.name}.*.???"):
        if old.name not in names:
            old.unlink()


def join(folder: Path, path: Path) -> bool:
    """Put together what `cut` wrote of a file; False where there is nothing of it.

    Raises ValueError where a piece is missing or damaged, and writes nothing.
    """
    table = folder / f"{path.name}.json"
    if not table.exists():
        return False
    told = json.loads(table.read_text())
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh, whole = path.with_suffix(".new"), hashlib.sha256()
    with fresh.open("wb") as file:
        for name in told["pieces"]:
            if not (folder / name).exists():
                raise ValueError(f"{folder / name} is missing: copy all pieces of {path.name}.")
            chunk = (folder / name).read_bytes()
            whole.update(chunk)
            file.write(chunk)
    if whole.hexdigest() != told["sha256"]:
        raise ValueError(f"The pieces of {path.name} in {folder} are damaged: copy them again.")
    fresh.replace(path)
    return True


def numbers(seed: int, step: int) -> np.random.Generator:
    """The random numbers of one step; torch is seeded with them as well."""
    rng = np.random.default_rng((seed, step))
    torch.manual_seed(int(rng.integers(2**31)))
    return rng


def rate(step: int, share: float, peak: float, warm: int = 100) -> float:
    """Learning rate, `share` of the way: a short rise, then half a cosine down to a hundredth."""
    rise, fall = min(1.0, (step + 1) / warm), 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return peak * rise * (0.01 + 0.99 * fall)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int, memory: float) -> None:
    """Exponential moving average of weights, quicker in the first steps."""
    keep = min(memory, (1 + step) / (10 + step))
    ours: list[Tensor] = list(average.parameters())
    theirs: list[Tensor] = list(model.parameters())
    torch._foreach_mul_(ours, keep)
    torch._foreach_add_(ours, theirs, alpha=1 - keep)
