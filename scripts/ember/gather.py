"""Draws pictures ahead of training into shards on disk, in processes of their own.

A shard is SHARD pictures as uint8 [SHARD, 3, SIZE, SIZE] and their captions and families.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from canvas import SIZE
from draw import example
from grade import as_bytes

SHARD = 200


def shard(folder: Path, number: int) -> None:
    """Draw shard `number`, seeds number * SHARD and on, unless it is there."""
    torch.set_num_threads(1)
    goal, notes = paths(folder, number)
    if goal.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    pictures = np.empty((SHARD, 3, SIZE, SIZE), np.uint8)
    rows = []
    for i in range(SHARD):
        picture, caption, asked = example(number * SHARD + i)
        pictures[i] = as_bytes(picture)
        rows.append({"caption": caption, "family": asked.family, "second": asked.second})
    notes.write_text(json.dumps(rows))
    part = goal.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, pictures)
    part.replace(goal)


def paths(folder: Path, number: int) -> tuple[Path, Path]:
    """Where a shard's pictures and its notes lie."""
    return folder / f"{number:04d}.npy", folder / f"{number:04d}.json"


def ready(folder: Path) -> Iterator[int]:
    """Numbers of the shards drawn so far."""
    return (int(path.stem) for path in sorted(folder.glob("????.npy")))
