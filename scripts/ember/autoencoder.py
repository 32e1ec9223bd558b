"""Training of the encoder: pictures to latents of which a decoder, as it is, makes them again.

The decoder learns with the denoiser, and the latents are theirs. This file knows nothing of words.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from denoiser import difference, quicker
from diffusers import AutoencoderTiny
from gather import paths, ready
from keep import numbers, rate, restore, store
from muon import advance, optimisers
from torch import Tensor

CROP = 192  # pixels; the network is convolutional, so crops do
BATCH = 8
PEAK = 2e-3


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


def train(
    vae: AutoencoderTiny,
    data: Path,
    checkpoint: Path,
    steps: int,
    say: Callable[[str], None],
    stop: int | None = None,
    peak: float = PEAK,
    device: str = "cpu",
) -> None:
    """Train the encoder for `steps` in all, or up to `stop`, from the checkpoint if any."""
    vae.to(device, memory_format=torch.channels_last).train()
    vae.decoder.requires_grad_(False)
    tools = optimisers(vae.encoder, decay=0.0)
    start = restore(checkpoint, device, encoder=vae.encoder, **tools)
    precision = quicker(device)
    began, total = time.monotonic(), 0.0
    for step in range(start, steps if stop is None else stop):
        drawn = batch(data, numbers(1, step)).to(device, memory_format=torch.channels_last)
        with precision:
            latents = vae.encoder(drawn)
            made = vae.decoder(latents + 0.04 * torch.randn_like(latents))
        loss = difference(made.float(), drawn)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.encoder.parameters(), 1.0)
        advance(tools, rate(step, step / steps, peak))
        total += float(loss.detach())
        if (step + 1) % 50 == 0:
            each = (time.monotonic() - began) / (step + 1 - start)
            say(f"encoder {step + 1}/{steps} loss {total / 50:.4f} {each:.3f} s/step")
            total = 0.0
        if (step + 1) % 200 == 0 or step + 1 in (steps, stop):
            store(checkpoint, step + 1, encoder=vae.encoder, **tools)
    vae.decoder.requires_grad_(True)
    vae.to("cpu").eval()


@torch.inference_mode()
def decibels(vae: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of encoding and decoding, of each picture -1..1."""
    made = torch.cat([vae.decoder(vae.encoder(part)).clamp(-1, 1) for part in pictures.split(8)])
    return -10 * ((made - pictures) / 2).square().mean((1, 2, 3)).log10()
