"""Training of the tiny autoencoder: pictures to latents of unit variance and back.

This file knows nothing of words.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from gather import paths, ready
from keep import numbers, rate, restore, store
from muon import advance, optimisers
from torch import Tensor
from torch.nn import functional

CROP = 128  # pixels; the network is convolutional, so crops do
BATCH = 8
PEAK = 2e-3
FROZEN = 1500  # steps after which the encoder stays as it is, and only the decoder learns


def batch(folder: Path, rng: np.random.Generator, count: int = BATCH) -> Tensor:
    """Random crops of drawn pictures, some mirrored, [B, 3, CROP, CROP], -1..1."""
    shards = list(ready(folder))
    chosen = [np.load(paths(folder, int(n))[0], mmap_mode="r") for n in rng.choice(shards, 4)]
    crops = []
    for i in range(count):
        pictures = chosen[i % len(chosen)]
        top, left = rng.integers(0, pictures.shape[-1] - CROP + 1, 2)
        picture = pictures[int(rng.integers(len(pictures)))]
        crop = picture[:, top : top + CROP, left : left + CROP]
        crops.append(crop[:, :, ::-1] if rng.random() < 0.5 else crop)
    return torch.from_numpy(np.stack(crops)).float() / 127.5 - 1


def difference(made: Tensor, wanted: Tensor) -> Tensor:
    """L1 at three scales, and of the gradients: edges count, a flat blur does not pass."""
    error = made - wanted
    total = error.abs().mean() + 2 * error.square().mean()
    total = total + 0.5 * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean())
    for _ in range(2):
        error = functional.avg_pool2d(error, 2)
        total = total + 0.5 * error.abs().mean()
    return total


def step_loss(vae: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Reconstruction, and latents held near mean 0 and deviation 1 in every channel."""
    latents: Tensor = vae.encoder(pictures)
    if not latents.requires_grad:
        return difference(vae.decoder(latents + 0.06 * torch.randn_like(latents)), pictures)
    made: Tensor = vae.decoder(latents + 0.04 * torch.randn_like(latents))
    flat = latents.transpose(0, 1).flatten(1)
    centred = flat.mean(1).square().mean() + (flat.std(1) - 1).square().mean()
    return difference(made, pictures) + 0.05 * centred


def train(
    vae: AutoencoderTiny,
    data: Path,
    checkpoint: Path,
    steps: int,
    say: Callable[[str], None],
    stop: int | None = None,
    frozen: int = FROZEN,
    peak: float = PEAK,
) -> None:
    """Train for `steps` in all, or until `stop`, from the checkpoint where there is one.

    The denoiser can begin once the encoder is frozen, after so many steps.
    """
    vae.to(memory_format=torch.channels_last).train()
    tools = optimisers(vae, decay=0.0)
    start = restore(checkpoint, vae=vae, **tools)
    began, total = time.monotonic(), 0.0
    for step in range(start, steps if stop is None else stop):
        vae.encoder.requires_grad_(step < frozen)
        rng = numbers(1, step)
        loss = step_loss(vae, batch(data, rng).to(memory_format=torch.channels_last))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        advance(tools, rate(step, steps, peak))
        total += float(loss.detach())
        if (step + 1) % 50 == 0:
            each = (time.monotonic() - began) / (step + 1 - start)
            say(f"autoencoder {step + 1}/{steps} loss {total / 50:.4f} {each:.3f} s/step")
            total = 0.0
        if (step + 1) % 200 == 0 or step + 1 in (steps, stop):
            store(checkpoint, step + 1, vae=vae, **tools)
    vae.eval()


@torch.inference_mode()
def decibels(vae: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of encoding and decoding, of each picture -1..1."""
    made = torch.cat([vae.decoder(vae.encoder(part)).clamp(-1, 1) for part in pictures.split(16)])
    return -10 * ((made - pictures) / 2).square().mean((1, 2, 3)).log10()
