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
from latents import Store, tie, tokenize
from torch import Tensor, nn

BATCH = 16
PEAK = 2.4e-3
MEMORY = 0.995  # of the moving average, per step
SILENT = 0.1  # share of captions left empty, for guidance
LIVE = torch.tensor([999, 999, 749, 749, 749, 499, 499, 249])  # where 1, 2 and 4 steps stand
LATE = torch.tensor([999, 749, 749, 499, 499, 499, 249, 249])  # once colours are learnt: texture
SETTLED = 0.6  # of the training, after which it is


def coefficients(schedule: DDIMScheduler, times: Tensor) -> tuple[Tensor, Tensor]:
    """How much latent and how much noise there is at each time, both [B, 1, 1, 1]."""
    kept = schedule.alphas_cumprod[times].view(-1, 1, 1, 1)
    return kept.sqrt(), (1 - kept).sqrt()


def when(count: int, done: float) -> Tensor:
    """Times to learn at: a quarter evenly, the rest where few steps stand.

    done: how much of the training lies behind, 0 to 1.
    """
    even = torch.randint(100, 1000, (count,))
    places = LIVE if done < SETTLED else LATE
    live = places[torch.randint(0, len(places), (count,))]
    return torch.where(torch.rand(count) < 0.25, even, live)


def pair(data: Store, seed: int, step: int, count: int = BATCH) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, the noise tied to them, and caption tokens, of one step."""
    rng = numbers(seed, step)
    rows = torch.from_numpy(rng.integers(0, len(data.latents), count))
    telling = torch.from_numpy(rng.integers(0, data.tokens.shape[1], count))
    latents = data.latents[rows].float()
    noise = tie(torch.randn(latents.shape), data.layout[rows].float())
    return latents, noise, data.tokens[rows, telling].long()


def hush(tokens: Tensor, empty: Tensor) -> Tensor:
    """Some captions replaced by the empty one."""
    return torch.where(torch.rand(len(tokens), 1) < SILENT, empty, tokens)


def step_loss(model: nn.ModuleDict, ember: Ember, batch: tuple[Tensor, ...], done: float) -> Tensor:
    """Mean square error of v (Salimans and Ho 2022) at random times."""
    latents, noise, tokens = batch
    times = when(len(latents), done)
    keep, add = coefficients(ember.schedule, times)
    noisy = (keep * latents + add * noise).to(memory_format=torch.channels_last)
    condition = model["text"](tokens).last_hidden_state
    made: Tensor = model["unet"](noisy, times, condition).sample
    return (made - (keep * noise - add * latents)).square().mean()


def train(
    ember: Ember,
    data: Store,
    checkpoint: Path,
    steps: int,
    say: Callable[[str], None],
    stop: int | None = None,
) -> None:
    """Train for `steps` in all, or until `stop`; ember holds the averaged weights afterwards."""
    ember.unet.to(memory_format=torch.channels_last)
    model = nn.ModuleDict({"unet": ember.unet, "text": ember.text}).train()
    average = copy.deepcopy(model).eval()
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.98), weight_decay=0.01)
    start = restore(checkpoint, model=model, average=average, optimiser=optimiser)
    empty = tokenize(ember.tokenizer, [""])
    began, total = time.monotonic(), 0.0
    for step in range(start, steps if stop is None else stop):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps, PEAK)
        latents, noise, tokens = pair(data, 2, step)
        loss = step_loss(model, ember, (latents, noise, hush(tokens, empty)), step / steps)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        follow(average, model, step, MEMORY)
        total += float(loss.detach())
        if (step + 1) % 50 == 0:
            each = (time.monotonic() - began) / (step + 1 - start)
            say(f"denoiser {step + 1}/{steps} loss {total / 50:.4f} {each:.3f} s/step")
            total = 0.0
        if (step + 1) % 100 == 0 or step + 1 in (steps, stop):
            store(checkpoint, step + 1, model=model, average=average, optimiser=optimiser)
    ember.unet, ember.text = average["unet"], average["text"]
