"""A checkpoint's networks asked directly, uncompiled; on CUDA as recorded graphs."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from lwlive.checkpoint import name_of, own_values
from lwlive.engine.cuda import filled, records, replayed
from lwlive.engine.keyframe import Cond
from lwlive.engine.lastgood import LastGood
from lwlive.engine.load import Modules
from lwlive.engine.prompt import Encoder
from lwlive.engine.schedule import Schedule, read
from lwlive.ring import Pixels


class Eager:
    """A checkpoint's networks asked directly, any number together."""

    compiled = False

    def __init__(self, modules: Modules, batch: int, eta: float = 0.0) -> None:
        self.modules, self.batch = modules, batch
        self.name = name_of(modules.folder)
        self.shape, self.device = modules.shape, modules.device
        self.dtype = modules.kind.precision
        self.own = own_values(modules.folder, modules.additions)
        self.schedule: Callable[[int, int], Schedule] = cache(
            lambda steps, begin: read(modules.scheduler, steps, begin, eta)
        )
        self.encode = Encoder(modules.folder, modules.text, modules.device, modules.words)
        self.notes = self.encode.notes
        self.notes.extend(modules.notes)
        self.good = LastGood()
        self._denoiser, self._decoder = (
            replayed(net, modules.device, self.notes.append)
            for net in (modules.denoiser, modules.decoder)
        )
        self.embeds_guidance = bool(modules.denoiser.embedding)
        self._rows = batch if records(modules.device) else 1  # fewer are filled up

    @torch.inference_mode()
    def blank(self) -> Cond:
        """A batch's conditioning, of no prompt and guidance 1: to measure or compile with."""
        cond = tuple(part.clone() for part in self.encode([""] * self.batch))
        one = torch.ones(self.batch, device=self.device)
        return (*cond, one) if self.embeds_guidance else cond

    @property
    def replaced(self) -> int:
        """Pictures that were not good, so far."""
        return self.good.replaced

    @torch.inference_mode()
    def denoise(self, x: Tensor, timestep: float, cond: Cond) -> Tensor:
        """Model output for scaled latents [B, C, H, W]."""
        rows = max(len(x), self._rows)
        times = torch.full((rows,), timestep, device=x.device)
        out: Tensor = self._denoiser(filled(x, rows), times, *(filled(part, rows) for part in cond))
        return out[: len(x)]

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Pixels:
        """Pictures [n, H, W, 3] of clean latents, a batch at a time."""
        return self.good.decoded(self._decoder, latents, self.batch, self._rows)
