"""Training of the denoiser with its text encoder: v-prediction in the latents, and a critic.

This file knows nothing of how pictures are drawn or encoded.
"""

import copy
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from critic import RATE, Critic
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
PULL = 1.0  # of the critic at the end, next to that of the error
BEND = 0.3  # size of error from which it counts by itself rather than by its square


def coefficients(schedule: DDIMScheduler, times: Tensor) -> tuple[Tensor, Tensor]:
    """How much latent and how much noise there is at each time, both [B, 1, 1, 1]."""
    kept = schedule.alphas_cumprod[times].view(-1, 1, 1, 1)
    return kept.sqrt(), (1 - kept).sqrt()


def course(count: int, further: float) -> list[Tensor]:
    """Times of each pass over the first so many rows: all take one, some take more now and then.

    further: how often, 0 to 1. Half of those courses go four steps, a quarter of the rows; in the
    others it goes from the first step to the second of two, or to any time, for any other number
    of steps.
    """
    few = max(2, count // 4)
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


def ways(
    model: nn.ModuleDict, ember: Ember, batch: tuple[Tensor, ...], further: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Clean latents as the denoiser makes them along its way, those drawn, and the share of noise.

    [N, 4, h, w] twice and [N, 1, 1, 1], of every pass over the batch. Every step begins where the
    denoiser's own steps before it have led (DDIM, Song et al. 2021), as it will in use, and
    learns the way from there to the picture.
    """
    latents, noise, tokens = batch
    condition = model["text"](tokens).last_hidden_state
    clean, rest, passes = torch.zeros_like(noise), noise, []
    for times in course(len(latents), further):
        rows = len(times)
        keep, add = coefficients(ember.schedule, times)
        noisy = keep * clean[:rows] + add * rest[:rows]
        v = model["unet"](noisy, times, condition[:rows]).sample
        made = keep * noisy - add * v
        passes.append((made, latents[:rows], add))
        clean, rest = made.detach(), keep * v.detach() + add * noisy
    made, drawn, add = (torch.cat(parts) for parts in zip(*passes, strict=True))
    return made, drawn, add


def error(made: Tensor, drawn: Tensor, add: Tensor) -> Tensor:
    """Error of v (Salimans and Ho 2022), square where it is small.

    Where large errors counted by their squares, a region in doubt between two colours would
    be given their mixture; so (pseudo-Huber, Charbonnier 1994) it is given one.
    """
    miss = (made - drawn) / add
    return 2 * BEND * ((miss.square() + BEND**2).sqrt() - BEND).mean()


def slope(critic: Critic, made: Tensor, drawn: Tensor, add: Tensor, pull: float) -> Tensor:
    """Where made latents should not go, [N, 4, h, w]: by their error, and by the critic.

    The critic's part is `pull` times as large as the error's, however steep its scores are.
    """
    made = made.detach().requires_grad_()
    (by_error,) = torch.autograd.grad(error(made, drawn, add), made)
    complaint = critic.complaint(made, drawn)
    size = pull * by_error.norm() / (complaint.norm() + 1e-12)
    both: Tensor = by_error + size * complaint
    return both


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
    begin where it has led; and the critic, who learns as well, is heard more and more.
    """
    ember.unet.to(memory_format=torch.contiguous_format)  # a twentieth faster, backwards
    model = nn.ModuleDict({"unet": ember.unet, "text": ember.text}).train()
    average = copy.deepcopy(model).eval()
    tools = optimisers(model, decay=0.01)
    critic = Critic()
    eye = torch.optim.AdamW(critic.parameters(), RATE, betas=(0.5, 0.99), weight_decay=0)
    parts = {"model": model, "average": average, "critic": critic, "eye": eye, **tools}
    start = restore(checkpoint, **parts)
    empty = tokenize(ember.tokenizer, [""])
    began, total = time.monotonic(), np.zeros(2)
    for step in range(start, steps if stop is None else stop):
        latents, noise, tokens = pair(data, 2, step)
        made, drawn, add = ways(model, ember, (latents, noise, hush(tokens, empty)), step / steps)
        lesson = critic.lesson(made, drawn)
        lesson.backward()
        eye.step()
        eye.zero_grad()
        made.backward(slope(critic, made, drawn, add, PULL * step / steps))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        advance(tools, rate(step, steps, peak))
        follow(average, model, step, MEMORY)
        total += (float(error(made.detach(), drawn, add)), float(lesson.detach()))
        if (step + 1) % 50 == 0:
            each = (time.monotonic() - began) / (step + 1 - start)
            loss, told = total / 50
            say(f"denoiser {step + 1}/{steps} loss {loss:.4f} critic {told:.3f} {each:.3f} s/step")
            total[:] = 0
        if (step + 1) % 100 == 0 or step + 1 in (steps, stop):
            store(checkpoint, step + 1, **parts)
    ember.unet, ember.text = average["unet"], average["text"]
