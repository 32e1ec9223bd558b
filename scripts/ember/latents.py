"""Drawn pictures as training data: their noises, captions and pixels.

A picture was drawn from its noise, and is learnt with it: a coupling of noise and data
(Albergo et al. 2023) under which few steps need not average over arrangements. This file
knows nothing of networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from caption import say, wish
from draw import starting
from gather import SHARD, paths, ready
from torch import Tensor
from transformers import CLIPTokenizer

TOGETHER = 6  # shards that a GPU takes up at a time
TELLINGS = 6  # captions kept for each picture


@dataclass
class Store:
    """Everything that is learnt from: pictures stay on disk or on a GPU, all else is in memory."""

    pictures: list[Tensor]  # of each shard, uint8 [SHARD, 3, SIZE, SIZE]
    noise: Tensor  # [N, 4, 32, 32] float16, what each was drawn from
    tokens: Tensor  # [N, TELLINGS, TOKENS] int16
    weight: Tensor  # [N] int16, how often each is taken, next to the others

    def picture(self, row: int) -> Tensor:
        """The pixels of one, uint8 [3, SIZE, SIZE]."""
        shard = self.pictures[0].shape[0]
        return self.pictures[row // shard][row % shard]


def noises(number: int) -> Tensor:
    """What the pictures of a shard were drawn from, [SHARD, 4, 32, 32] float16."""
    seeds = range(number * SHARD, (number + 1) * SHARD)
    return torch.stack([starting(seed).half() for seed in seeds])


def tellings(tokenizer: CLIPTokenizer, number: int, more: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Several true captions for each picture of a shard, and its weight.

    [SHARD, TELLINGS, TOKENS] and [SHARD], int16. A picture weighs as many as the colours it is
    told, so that every colour told counts alike, and once more for every mention of its family
    or of a modifier.
    """
    lines, weight = [], []
    for seed in range(number * SHARD, (number + 1) * SHARD):
        rng = np.random.default_rng(seed)
        asked = wish(rng)
        often = 1 + sum(map(more.count, (asked.family, *asked.modifiers)))
        weight.append(often * len(asked.colours) if asked.named else often)
        lines += [say(rng, asked, plain=k == TELLINGS - 1) for k in range(TELLINGS)]
    ids = tokenize(tokenizer, lines)
    return ids.view(SHARD, TELLINGS, -1).to(torch.int16), torch.tensor(weight, dtype=torch.int16)


def tokenize(tokenizer: CLIPTokenizer, lines: list[str]) -> Tensor:
    """Captions as the pipeline writes them: cut and padded to the longest prompt."""
    length = tokenizer.model_max_length
    ids = tokenizer(lines, padding="max_length", max_length=length, truncation=True).input_ids
    return torch.tensor(ids)


class Drawn:
    """The shards drawn so far; there may be more of them the next time.

    more: families and modifiers to be taken once more often for every mention. device: where
    pictures are kept; on a processor they stay on disk until they are looked at.
    """

    def __init__(
        self, tokenizer: CLIPTokenizer, folder: Path, more: Sequence[str] = (), device: str = "cpu"
    ) -> None:
        self.tokenizer, self.folder, self.more, self.device = tokenizer, folder, more, device
        self.parts: dict[int, Store] = {}

    def now(self) -> Store:
        """All of them as one."""
        fresh = [number for number in ready(self.folder) if number not in self.parts]
        if self.device != "cpu":
            fresh = fresh[:TOGETHER]  # the others later, while there is something to learn from
        for number in fresh:
            told = tellings(self.tokenizer, number, self.more)
            self.parts[number] = Store([self.pictures(number)], noises(number), *told)
        parts = [self.parts[number] for number in sorted(self.parts)]
        return Store(
            [part.pictures[0] for part in parts],
            torch.cat([part.noise for part in parts]),
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.weight for part in parts]),
        )

    def pictures(self, number: int) -> Tensor:
        """The pixels of a shard, uint8 [SHARD, 3, SIZE, SIZE]."""
        path = paths(self.folder, number)[0]
        if self.device == "cpu":
            return torch.from_numpy(np.load(path, mmap_mode="c"))
        # read whole before it is copied: a copy that waits for the disk holds up the GPU
        return torch.from_numpy(np.load(path)).pin_memory().to(self.device, non_blocking=True)
