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

PAIRS = 16  # pictures learnt at a time, each from its noise and some at several times
PEAK = 2e-3
MEMORY = 0.995  # of the moving average, per step
SILENT = 0.1  # share of captions left empty, for guidance
BEND = 0.3  # size of error from which it counts by itself rather than by its square


def coefficients(schedule: DDIMScheduler, times: Tensor) -> tuple[Tensor, Tensor]:
    """How much latent and how much noise there is at each time, both [B, 1, 1, 1]."""
    kept = schedule.alphas_cumprod[times].view(-1, 1, 1, 1)
    return kept.sqrt(), (1 - kept).sqrt()


def course(count: int, further: float) -> list[Tensor]:
    """Times of each pass over the first so many rows: all take one, some take more now and then.

    further: how often, 0 to 1. Half of those courses go four steps, a sixth of the rows; in the
    others it goes from the first step to the second of two, or to any time, for any other number
    of steps.
    """
    few = max(2, count // 6)
    first = torch.full((count,), 999)
    chance = float(torch.rand(()))
    if chance >= further:
        return [first]
    if chance >= further / 2:
        return [first, *(torch.full((few,), time) for time in (749, 499, 249))]
    second = torch.full((few // 2,), 499)
    return [first, torch.cat((second, torch.randint(100, 999, (few - few // 2,))))]


def pair(data: Store, seed: int, step: int, count: int = PAIRS) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, the noise each was drawn from, and caption tokens, of one step.

    Pictures that tell more are taken more often, as much as they weigh.
    """
    rng = numbers(seed, step)
    chance = data.weight.double().numpy()
    rows = torch.from_numpy(rng.choice(len(chance), count, p=chance / chance.sum()))
    telling = torch.from_numpy(rng.integers(0, data.tokens.shape[1], count))
    return data.latents[rows].float(), data.noise[rows].float(), data.tokens[rows, telling].long()


def hush(tokens: Tensor, empty: Tensor) -> Tensor:
    """Some captions replaced by the empty one."""
    return torch.where(torch.rand(len(tokens), 1) < SILENT, empty, tokens)


def step_loss(
    model: nn.ModuleDict, ember: Ember, batch: tuple[Tensor, ...], further: float
) -> Tensor:
    """Error of v (Salimans and Ho 2022) along the denoiser's own way, square where it is small.

    Where large errors counted by their squares, a region in doubt between two colours would
    be given their mixture; so (pseudo-Huber, Charbonnier 1994) it is given one.

    Every step begins where the denoiser's own steps before it have led (DDIM, Song et al.
    2021), as it will in use, and learns the way from there to the picture.
    """
    latents, noise, tokens = batch
    condition = model["text"](tokens).last_hidden_state
    clean, rest, errors = torch.zeros_like(noise), noise, []
    for times in course(len(latents), further):
        rows = len(times)
        keep, add = coefficients(ember.schedule, times)
        noisy = keep * clean[:rows] + add * rest[:rows]
        made = model["unet"](noisy, times, condition[:rows]).sample
        error = made - (keep * noisy - latents[:rows]) / add
        errors.append(((error.square() + BEND**2).sqrt() - BEND).flatten())
        v = made.detach()
        clean, rest = keep * noisy - add * v, keep * v + add * noisy
    return 2 * BEND * torch.cat(errors).mean()


def train(
    ember: Ember,
    data: Store,
    checkpoint: Path,
    steps: int,
    say: Callable[[str], None],
    stop: int | None = None,
    peak: float = PEAK,
) -> None:
    """Train for `steps` in all, or until `stop`; ember holds the averaged weights afterwards.

    The first step is learnt throughout, the ones after it more and more often, since they
    begin where it has led.
    """
    ember.unet.to(memory_format=torch.contiguous_format)  # a twentieth faster, backwards
    model = nn.ModuleDict({"unet": ember.unet, "text": ember.text}).train()
    average = copy.deepcopy(model).eval()
    tools = optimisers(model, decay=0.01)
    start = restore(checkpoint, model=model, average=average, **tools)
    empty = tokenize(ember.tokenizer, [""])
    began, total = time.monotonic(), 0.0
    for step in range(start, steps if stop is None else stop):
        latents, noise, tokens = pair(data, 2, step)
        loss = step_loss(model, ember, (latents, noise, hush(tokens, empty)), step / steps)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        advance(tools, rate(step, steps, peak))
        follow(average, model, step, MEMORY)
        total += float(loss.detach())
        if (step + 1) % 50 == 0:
            each = (time.monotonic() - began) / (step + 1 - start)
            say(f"denoiser {step + 1}/{steps} loss {total / 50:.4f} {each:.3f} s/step")
            total = 0.0
        if (step + 1) % 100 == 0 or step + 1 in (steps, stop):
            store(checkpoint, step + 1, model=model, average=average, **tools)
    ember.unet, ember.text = average["unet"], average["text"]
