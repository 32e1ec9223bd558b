"""Drawn pictures as training data for the denoiser: latents, captions, and their layout.

The layout of a picture is what its starting noise is tied to (see `tie`), so that one
noise means one arrangement. This file knows nothing of networks but the encoder.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from caption import say, wish
from diffusers import AutoencoderTiny
from gather import SHARD, paths, ready
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTokenizer
from words import FAMILIES

STORED = 16  # cells a side of a layout as it is kept
GRID = 4  # cells a side of a layout; finer ones are far from normal, and noise is not
TELLINGS = 4  # captions kept for each picture
BOUND = 0.85  # how much of the coarse noise is the picture's layout
SHRINK = 0.1  # towards independent cells, where a family has few pictures


@dataclass
class Store:
    """Everything the denoiser learns from, in memory."""

    latents: Tensor  # [N, 4, 32, 32] float16
    layout: Tensor  # [N, STORED * STORED] float16; in `load` [N, GRID * GRID], whitened
    tokens: Tensor  # [N, TELLINGS, TOKENS] int16
    family: Tensor  # [N] int64


@torch.inference_mode()
def encode(vae: AutoencoderTiny, tokenizer: CLIPTokenizer, folder: Path, number: int) -> Store:
    """One shard as latents, layouts and captions."""
    pictures, notes = paths(folder, number)
    families = [row["family"] for row in json.loads(notes.read_text())]
    drawn = np.load(pictures, mmap_mode="r")
    latents, layouts = [], []
    for start in range(0, SHARD, 20):
        part = torch.from_numpy(drawn[start : start + 20].astype(np.float32)) / 127.5 - 1
        part = part.to(memory_format=torch.channels_last)
        latents.append(vae.encoder(part).half())
        layouts.append(arrangement(part).half())
    kinds = torch.tensor([list(FAMILIES).index(family) for family in families])
    return Store(torch.cat(latents), torch.cat(layouts), tellings(tokenizer, number), kinds)


def tellings(tokenizer: CLIPTokenizer, number: int) -> Tensor:
    """Several true captions for each picture of a shard, [SHARD, TELLINGS, TOKENS]."""
    lines = []
    for seed in range(number * SHARD, (number + 1) * SHARD):
        rng = np.random.default_rng(seed)
        asked = wish(rng)
        lines += [say(rng, asked, plain=k == TELLINGS - 1) for k in range(TELLINGS)]
    ids = tokenize(tokenizer, lines)
    return ids.view(SHARD, TELLINGS, -1).to(torch.int16)


def tokenize(tokenizer: CLIPTokenizer, lines: list[str]) -> Tensor:
    """Captions as the pipeline writes them: cut and padded to the longest prompt."""
    length = tokenizer.model_max_length
    ids = tokenizer(lines, padding="max_length", max_length=length, truncation=True).input_ids
    return torch.tensor(ids)


def arrangement(pictures: Tensor) -> Tensor:
    """Where a picture is light and dark, whatever its colours, [B, STORED * STORED]."""
    grey = pictures.mean(1, keepdim=True)
    coarse = functional.adaptive_avg_pool2d(grey, STORED).flatten(1)
    return (coarse - coarse.mean(1, keepdim=True)) / (coarse.std(1, keepdim=True) + 0.05)


def gather(parts: list[Store]) -> Store:
    """Shards as one, with the layouts whitened within each family."""
    store = Store(
        torch.cat([p.latents for p in parts]),
        torch.cat([p.layout for p in parts]),
        torch.cat([p.tokens for p in parts]),
        torch.cat([p.family for p in parts]),
    )
    for kind in store.family.unique():
        rows = (store.family == kind).nonzero()[:, 0]
        store.layout[rows] = whiten(store.layout[rows].float()).half()
    return store


def whiten(values: Tensor) -> Tensor:
    """Zero-phase whitening: unit variance, no correlation, as near the values as can be."""
    centred = values - values.mean(0)
    spread: Tensor = centred.T @ centred / len(centred)
    spread = spread + SHRINK * spread.diagonal().mean() * torch.eye(len(spread))
    power, axes = torch.linalg.eigh(spread)
    white: Tensor = centred @ (axes * power.rsqrt()) @ axes.T
    return (white / white.std(0).clamp(min=1e-3)).clamp(-3.5, 3.5)


def tie(noise: Tensor, layout: Tensor) -> Tensor:
    """Noise whose coarse part in channel 0 is mostly the picture's layout.

    A coupling of noise and data (Albergo et al. 2023): each marginal stays as it was, but
    a noise now says where things are, so that few steps need not average over places.
    """
    side = noise.shape[-1] // GRID
    first = noise[:, :1]
    coarse = functional.avg_pool2d(first, side) * side  # unit normal, [B, 1, GRID, GRID]
    wanted = BOUND * layout.view_as(coarse) + (1 - BOUND**2) ** 0.5 * coarse
    change = functional.interpolate((wanted - coarse) / side, scale_factor=side, mode="nearest")
    return torch.cat((first + change, noise[:, 1:]), 1)


def load(vae: AutoencoderTiny, tokenizer: CLIPTokenizer, folder: Path, cache: Path) -> Store:
    """All drawn shards as one store, encoded once and kept in `cache`."""
    parts = []
    for number in ready(folder):
        path = cache / f"{number:04d}.pt"
        if not path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            part = encode(vae, tokenizer, folder, number)
            torch.save(vars(part), path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
        part = Store(**torch.load(path, weights_only=True))
        fine = part.layout.float().view(-1, 1, STORED, STORED)
        part.layout = functional.adaptive_avg_pool2d(fine, GRID).flatten(1).half()
        parts.append(part)
    return gather(parts)
