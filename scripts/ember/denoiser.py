"""Training of the whole way: a noise and a caption to latents, and those to pixels, end to end.

Text encoder, denoiser and decoder learn together from the error in pixels, and critics of
pixels pull them from the blur that the error alone would ask for. What latents are is left to
them: all that is asked is that they have about mean 0 and deviation 1, as the schedule takes for
granted. This file knows nothing of how pictures are drawn.
"""

import copy
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import together
import torch
from critic import RATE, Critics, Place
from diffusers import DDIMScheduler
from folder import FACTOR, Ember
from keep import follow, numbers, rate, restore, store
from latents import Store, tokenize
from muon import advance, optimisers
from parts import EDGE, Batch, crops, read, seen
from torch import Tensor, nn
from torch.nn import functional

PAIRS = 16  # pictures learnt at a time, each from its noise and some at several times
PEAK = 1.1e-3
MEMORY = 0.995  # of the moving average, per step
SILENT = 0.1  # share of captions left empty, for guidance
NEAR = 12 * FACTOR  # pixels a side of the place in it that a critic sees close by
NOISY = 0.04  # deviation of the noise on latents that are decoded, so that the way in is smooth
HELD = 0.02  # weight of latents' mean and deviation
HEARD = 0.3  # share of the training after which the critics are heard
PULL = 2.5  # of the critics at the end, next to that of the error
FURTHER = (0.03, 0.15)  # how often steps beyond the first are learnt, at the start and the end
EVERY = 150.0  # seconds between checkpoints


def coefficients(schedule: DDIMScheduler, times: Tensor) -> tuple[Tensor, Tensor]:
    """How much latent and how much noise there is at each time, both [B, 1, 1, 1]."""
    kept = schedule.alphas_cumprod.to(times.device)[times].view(-1, 1, 1, 1)
    return kept.sqrt(), (1 - kept).sqrt()


def course(count: int, further: float) -> list[Tensor]:
    """Times of each pass over so many rows: one, and more now and then.

    further: how often, 0 to 1. Half of those courses go four steps; in the others it goes from the
    first step to the second of two, or to any time, for any other number of steps.
    """
    first = torch.full((count,), 999)
    chance = float(torch.rand(()))
    if chance >= further:
        return [first]
    if chance >= further / 2:
        return [first, *(torch.full((count,), time) for time in (749, 499, 249))]
    second = torch.full((count // 2,), 499)
    return [first, torch.cat((second, torch.randint(100, 999, (count - count // 2,))))]


def hush(tokens: Tensor, empty: Tensor) -> Tensor:
    """Some captions replaced by the empty one."""
    quiet = torch.rand(len(tokens), 1) < SILENT
    return torch.where(quiet.to(tokens.device), empty, tokens)


def ways(
    nets: dict[str, Any], schedule: DDIMScheduler, noise: Tensor, tokens: Tensor, further: float
) -> list[Tensor]:
    """Clean latents [B, C, h, w] as the denoiser makes them at each step of its way.

    Every step begins where the denoiser's own steps before it have led (DDIM, Song et al. 2021),
    as it will in use, and learns the way from there to the picture.
    """
    condition = nets["text"](tokens).last_hidden_state
    clean, rest, passes = torch.zeros_like(noise), noise, list[Tensor]()
    for times in course(len(noise), further):
        times = times.to(noise.device)
        keep, add = coefficients(schedule, times)
        noisy = keep * clean + add * rest
        v = nets["unet"](noisy, times, condition).sample.float()
        made = keep * noisy - add * v
        passes.append(made)
        clean, rest = made.detach(), keep * v.detach() + add * noisy
    return passes


def difference(made: Tensor, drawn: Tensor) -> Tensor:
    """L1 at four scales, squares, and gradients: edges count, a flat blur does not pass."""
    error = made - drawn
    total = error.abs().mean() + error.square().mean()
    total = total + 0.7 * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean())
    for _ in range(3):
        error = functional.avg_pool2d(error, 2)
        total = total + 0.4 * error.abs().mean()
    return total


def slope(critics: Critics, made: Tensor, drawn: Tensor, near: Place, pull: float) -> Tensor:
    """Where made pixels should not go, [N, 3, H, W]: by their error, and by the critics.

    The critics' part is `pull` times as large as the error's, however steep their scores are.
    """
    made = made.detach().requires_grad_()
    (steep,) = torch.autograd.grad(difference(made, drawn), made)
    if pull:
        steep = steep + pull * steep.norm() * critics.complaint(made.detach(), drawn, near)
    found: Tensor = steep
    return found


def quicker(device: str) -> AbstractContextManager[Any]:
    """Bfloat16 where it is quicker: on a GPU, and on a processor where a try shows it."""
    if device != "cpu":
        return torch.autocast(device, torch.bfloat16)
    net, x = nn.Conv2d(48, 48, 3, 1, 1), torch.randn(16, 48, 32, 32)
    took = []
    for enabled in (False, True):
        for again in range(3):
            began = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                net(x).square().mean().backward()
            if again:  # the first time is not the usual one
                took.append(time.perf_counter() - began)
    return torch.autocast("cpu", torch.bfloat16, enabled=min(took[2:]) < min(took[:2]))


@dataclass
class Learner:
    """All that learns, with what is kept of it in checkpoints."""

    ember: Ember
    device: str
    compiled: bool = False

    def __post_init__(self) -> None:
        ember, device = self.ember, self.device
        flat = torch.contiguous_format  # a twentieth faster on a processor, backwards
        ember.unet.to(memory_format=flat if device == "cpu" else torch.channels_last)
        ember.vae.decoder.to(memory_format=torch.channels_last)
        parts = {"unet": ember.unet, "text": ember.text, "decoder": ember.vae.decoder}
        self.model = nn.ModuleDict(parts).to(device).train()
        self.average = copy.deepcopy(self.model).eval()
        self.tools = optimisers(self.model, decay=0.01)
        torch.manual_seed(1)
        critics: Any = Critics()  # type checkers know no memory format of a module
        self.critics: Critics = critics.to(device, memory_format=torch.channels_last)
        self.eye = torch.optim.AdamW(
            self.critics.parameters(), RATE, betas=(0.5, 0.99), weight_decay=0
        )
        self.nets: dict[str, Any] = dict(self.model.items())
        if device != "cpu":
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
        if self.compiled:
            self.nets |= {name: torch.compile(self.nets[name]) for name in ("unet", "decoder")}
        self.empty = tokenize(ember.tokenizer, [""]).to(device)
        self.precision = quicker(device)

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint has."""
        ours = {"model": self.model, "average": self.average}
        return {**ours, "critics": self.critics, "eye": self.eye, **self.tools}

    def made(self, now: Batch, further: float) -> tuple[Tensor, Tensor, Tensor]:
        """Latents of every step, and the parts as decoded and as drawn, [N, 3, H, W].

        Beside the edge of a part, where the decoder saw too little, it is as drawn.
        """
        noise, tokens, corners = (
            each.to(self.device) for each in (now.noise, now.tokens, now.corners)
        )
        drawn = now.drawn.to(self.device).float() / 127.5 - 1
        mask = seen(corners, noise.shape[-1])
        with self.precision:
            tokens = hush(tokens, self.empty)
            latents = ways(self.nets, self.ember.schedule, noise, tokens, further)
            shown = []
            for each in latents:
                z = crops(each, corners)
                z = (z + NOISY * torch.randn_like(z)).contiguous(memory_format=torch.channels_last)
                decoded = self.nets["decoder"](z).float().contiguous()  # half as slow for errors
                shown.append(drawn + (decoded - drawn) * mask)
        return torch.cat(latents), torch.cat(shown), drawn.repeat(len(shown), 1, 1, 1)

    def step(self, now: Batch, rng: np.random.Generator, share: float, speed: float) -> Tensor:
        """One step, `share` of the way through the training; the error, and what latents lack.

        The critics are heard more and more, and steps beyond the first, which begin where it has
        led, are learnt more and more often.
        """
        further = FURTHER[0] + (FURTHER[1] - FURTHER[0]) * share
        latents, pixels, drawn = self.made(now, further)
        pull = PULL * max(0.0, (share - HEARD) / (1 - HEARD))
        top, left = (int(corner) for corner in rng.integers(0, EDGE * FACTOR - NEAR + 1, 2))
        near = slice(top, top + NEAR), slice(left, left + NEAR)
        with self.precision:
            if pull:
                self.critics.lesson(pixels.detach(), drawn, near).backward()
                together.mean(self.critics.parameters())
                self.eye.step()
                self.eye.zero_grad()
            steep = slope(self.critics, pixels, drawn, near, pull)
        flat = latents.transpose(0, 1).flatten(1)
        apart = flat.mean(1).square().mean() + (flat.std(1) - 1).square().mean()
        torch.autograd.backward([pixels, HELD * apart], [steep, None])
        together.mean(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        advance(self.tools, speed)
        error = (pixels - drawn)[: len(now.drawn)].detach().abs().mean()
        return torch.stack((error, apart.detach()))

    def finished(self) -> None:
        """Give the averaged weights to ember, on the CPU."""
        average = self.average.to("cpu")
        self.ember.unet, self.ember.text = average["unet"], average["text"]
        self.ember.vae.decoder = average["decoder"]


def train(
    ember: Ember,
    drawn: Callable[[], Store],
    checkpoint: Path,
    steps: int,
    say: Callable[[str], None],
    stop: int | None = None,
    peak: float = PEAK,
    pairs: int = PAIRS,
    device: str = "cpu",
    until: float = math.inf,
    finish: bool = False,
    compiled: bool = False,
    kept: Callable[[], object] = lambda: None,
) -> None:
    """Train for `steps` in all, or up to `stop`, or until a time on the monotonic clock.

    ember holds the averaged weights afterwards. drawn: asked for pictures now and then. pairs:
    pictures a step, shared out among all processes; the first of them keeps checkpoints. finish:
    plan the training to be over when the time is. compiled: compile denoiser and decoder first,
    which takes a minute or more. kept: called after every checkpoint.
    """
    learner = Learner(ember, device, compiled)
    start = restore(checkpoint, device, **learner.state)
    last = steps if stop is None else stop
    began = saved = time.monotonic()
    total, first = torch.zeros(2, device=device), together.number() == 0
    for step, now in read(drawn, range(start, last), max(1, pairs // together.count())):
        rng, share = numbers(3, step), step / steps
        if finish:
            gone = (time.monotonic() - began) / (until - began)
            share = max(share, start / steps + (1 - start / steps) * gone)
        share, over = together.as_first(share, time.monotonic() >= until)
        total += learner.step(now, rng, share, rate(step, share, peak))
        follow(learner.average, learner.model, step, MEMORY)
        done, clock = step + 1, time.monotonic()
        if first and done % 50 == 0:
            each = (clock - began) / (done - start)
            error, apart = (total / 50).tolist()
            say(f"denoiser {done}/{steps} L1 {error:.4f} latents {apart:.3f} {each:.3f} s/step")
            total = torch.zeros_like(total)
        if first and (over or done == last or clock - saved > EVERY):
            store(checkpoint, done, **learner.state)
            kept()
            saved = clock
        if over:
            break
    learner.finished()
