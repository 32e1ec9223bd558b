"""Latents: pictures to clean latents, with the autoencoder that decodes them again."""

import numpy as np
import torch
from torch import Tensor

from lwlive.engine.load import Modules
from lwlive.ring import Pixels


@torch.inference_mode()
def encoded(modules: Modules, picture: Pixels) -> Tensor:
    """Clean latents [C, h, w] float32 of a picture [H, W, 3]."""
    decoder = modules.decoder
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]  # a copy, to be written to
    image = decoder.kind.of(image.to(modules.device).float() / 127.5 - 1)
    found = decoder.vae.encode(image)
    z = found.latents if hasattr(found, "latents") else found.latent_dist.mode()
    spread, mean = decoder.factors
    whole: Tensor = (z.float() - mean) / spread
    return whole[0]
