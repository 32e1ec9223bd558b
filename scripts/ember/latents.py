"""Drawn pictures as training data for the denoiser: latents, their noises, and captions.

A picture was drawn from its noise, and is learnt with it: a coupling of noise and data
(Albergo et al. 2023) under which few steps need not average over arrangements. This file
knows nothing of networks but the encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from caption import say, wish
from diffusers import AutoencoderTiny
from draw import starting
from gather import SHARD, paths, ready
from torch import Tensor
from transformers import CLIPTokenizer

TELLINGS = 6  # captions kept for each picture


@dataclass
class Store:
    """Everything the denoiser learns from, in memory."""

    latents: Tensor  # [N, 4, 32, 32] float16
    noise: Tensor  # [N, 4, 32, 32] float16, what each was drawn from
    tokens: Tensor  # [N, TELLINGS, TOKENS] int16
    weight: Tensor  # [N] int16, how often each is taken, next to the others


@torch.inference_mode()
def encode(vae: AutoencoderTiny, folder: Path, number: int) -> Tensor:
    """One shard as latents, [SHARD, 4, 32, 32] float16."""
    drawn = np.load(paths(folder, number)[0], mmap_mode="r")
    latents = []
    for start in range(0, SHARD, 20):
        part = torch.from_numpy(drawn[start : start + 20].astype(np.float32)) / 127.5 - 1
        latents.append(vae.encoder(part.to(memory_format=torch.channels_last)).half())
    return torch.cat(latents)


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


def load(
    vae: AutoencoderTiny,
    tokenizer: CLIPTokenizer,
    folder: Path,
    cache: Path,
    more: Sequence[str] = (),
) -> Store:
    """All drawn shards as one store; latents are encoded once and kept in `cache`.

    more: families and modifiers to be taken once more often for every mention.
    """
    parts = []
    for number in ready(folder):
        path = cache / f"{number:04d}.pt"
        if not path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            torch.save(encode(vae, folder, number), path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
        latents = torch.load(path, weights_only=True)
        parts.append((latents, noises(number), *tellings(tokenizer, number, more)))
    return Store(*(torch.cat(column) for column in zip(*parts, strict=True)))
