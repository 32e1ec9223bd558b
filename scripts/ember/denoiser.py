"""Training of the denoiser with its text encoder: v-prediction in the latents.

This file knows nothing of how pictures are drawn or encoded.
"""

import copy
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import DDIMScheduler
from folder import Ember
from keep import follow, numbers, rate, restore, store
from latents import Store, tokenize
from muon import advance, optimisers
from torch import Tensor, nn

BATCH = 16
PEAK = 2e-3
MEMORY = 0.995  # of the moving average, per step
SILENT = 0.1  # share of captions left empty, for guidance
LIVE = torch.tensor([999, 999, 999, 749, 499, 249])  # where 1, 2 and 4 steps stand
EVEN = 0.15  # share of times taken evenly instead, for any other number of steps
OWN = 0.5  # share of later steps learnt from the denoiser's own first picture
BEND = 0.3  # size of error from which it counts by itself rather than by its square


def coefficients(schedule: DDIMScheduler, times: Tensor) -> tuple[Tensor, Tensor]:
    """How much latent and how much noise there is at each time, both [B, 1, 1, 1]."""
    kept = schedule.alphas_cumprod[times].view(-1, 1, 1, 1)
    return kept.sqrt(), (1 - kept).sqrt()


def when(count: int) -> Tensor:
    """Times to learn at: most of them where few steps stand."""
    live = LIVE[torch.randint(0, len(LIVE), (count,))]
    return torch.where(torch.rand(count) < EVEN, torch.randint(100, 1000, (count,)), live)


def pair(data: Store, seed: int, step: int, count: int = BATCH) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, the noise each was drawn from, and caption tokens, of one step."""
    rng = numbers(seed, step)
    rows = torch.from_numpy(rng.integers(0, len(data.latents), count))
    telling = torch.from_numpy(rng.integers(0, data.tokens.shape[1], count))
    return data.latents[rows].float(), data.noise[rows].float(), data.tokens[rows, telling].long()


def hush(tokens: Tensor, empty: Tensor) -> Tensor:
    """Some captions replaced by the empty one."""
    return torch.where(torch.rand(len(tokens), 1) < SILENT, empty, tokens)


def step_loss(model: nn.ModuleDict, ember: Ember, batch: tuple[Tensor, ...]) -> Tensor:
    """Error of v (Salimans and Ho 2022) at random times, square where it is small.

    Where large errors counted by their squares, a region in doubt between two colours would
    be given their mixture; so (pseudo-Huber, Charbonnier 1994) it is given one.

    Later steps begin half from the truth and half from what the first step made of the noise,
    as they will in use, and learn to mend it.
    """
    latents, noise, tokens = batch
    times = when(len(latents))
    keep, add = coefficients(ember.schedule, times)
    condition = model["text"](tokens).last_hidden_state
    begun = latents.clone()
    own = (times < 999) & (torch.rand(len(times)) < OWN)
    if own.any():
        with torch.no_grad():
            first = noise[own].to(memory_format=torch.channels_last)
            begun[own] = -model["unet"](first, 999, condition[own]).sample
    noisy = (keep * begun + add * noise).to(memory_format=torch.channels_last)
    made: Tensor = model["unet"](noisy, times, condition).sample
    error = made - (keep * noisy - latents) / add
    return 2 * BEND * ((error.square() + BEND**2).sqrt() - BEND).mean()


def train(
    ember: Ember,
    data: Store,
    checkpoint: Path,
    steps: int,
    say: Callable[[str], None],
    stop: int | None = None,
    peak: float = PEAK,
) -> None:
    """Train for `steps` in all, or until `stop`; ember holds the averaged weights afterwards."""
    ember.unet.to(memory_format=torch.channels_last)
    model = nn.ModuleDict({"unet": ember.unet, "text": ember.text}).train()
    average = copy.deepcopy(model).eval()
    tools = optimisers(model, decay=0.01)
    start = restore(checkpoint, model=model, average=average, **tools)
    empty = tokenize(ember.tokenizer, [""])
    began, total = time.monotonic(), 0.0
    for step in range(start, steps if stop is None else stop):
        latents, noise, tokens = pair(data, 2, step)
        loss = step_loss(model, ember, (latents, noise, hush(tokens, empty)))
        loss.backward()
        total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        advance(tools, rate(step, steps, peak))
        follow(average, model, step, MEMORY)
        if (step + 1) % 50 == 0:
            each = (time.monotonic() - began) / (step + 1 - start)
            say(f"denoiser {step + 1}/{steps} loss {total / 50:.4f} {each:.3f} s/step")
            total = 0.0
        if (step + 1) % 100 == 0 or step + 1 in (steps, stop):
            store(checkpoint, step + 1, model=model, average=average, **tools)
    ember.unet, ember.text = average["unet"], average["text"]
