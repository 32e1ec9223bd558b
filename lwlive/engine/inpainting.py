"""Checkpoints trained for inpainting: their UNet sees mask and picture beside the latents."""

import numpy as np
import torch
from torch import Tensor

from lwlive.checkpoint import MASKED
from lwlive.engine.eager import Eager
from lwlive.engine.keyframe import Cond
from lwlive.engine.latents import encoded
from lwlive.engine.load import Modules
from lwlive.ring import Pixels

GREY = 128


def wants_mask(modules: Modules) -> bool:
    """Whether this checkpoint is one of them."""
    return int(modules.denoiser.unet.config.in_channels) == MASKED


class Inpainting(Eager):
    """Such a checkpoint, for one picture [H, W, 3] and mask [H, W], 255 where it is to change."""

    def __init__(
        self, modules: Modules, batch: int, eta: float, picture: Pixels, mask: Pixels
    ) -> None:
        super().__init__(modules, batch, eta)
        blank = np.where((mask > 127)[..., None], np.uint8(GREY), picture)
        self._seen = torch.cat([grown(mask, modules), encoded(modules, blank)])[None]

    def denoise(self, x: Tensor, timestep: float, cond: Cond) -> Tensor:
        """Model output for scaled latents [B, C, H, W]."""
        seen = self._seen.expand(len(x), *self._seen.shape[1:])
        return super().denoise(torch.cat([x, seen], 1), timestep, cond)


def grown(mask: Pixels, modules: Modules) -> Tensor:
    """The mask of latents [1, H, W]: 1 where any of a latent's pixels may change."""
    walks = torch.from_numpy((mask > 0).copy()).float()[None, None].to(modules.device)
    return torch.nn.functional.adaptive_max_pool2d(walks, modules.shape[1:])[0]
