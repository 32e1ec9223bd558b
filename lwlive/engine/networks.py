"""A checkpoint's networks as torch modules with static signatures, which can be compiled ahead.

Families of checkpoints differ only in here. Nothing is loaded in this file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lwlive.checkpoint import Size
from lwlive.engine.attention import SDPA, attend
from lwlive.engine.keyframe import Cond


@dataclass(frozen=True)
class Kind:
    """How numbers lie in memory and how is attended: what is fastest differs by machine."""

    precision: str  # float32, bfloat16 or float16
    channels_last: bool
    attention: str = SDPA

    @property
    def dtype(self) -> torch.dtype:
        """The precision, as torch has it."""
        found: torch.dtype = getattr(torch, self.precision)
        return found

    @property
    def layout(self) -> torch.memory_format:
        """The memory format, as torch has it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def of(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in this kind."""
        return images.to(self.dtype).contiguous(memory_format=self.layout)


class Denoiser(nn.Module):
    """The UNet with a static signature, float32 outside and its own dtype inside."""

    time_ids: Tensor

    def __init__(self, unet: Any, kind: Kind, size: Size) -> None:
        super().__init__()
        attend(unet, kind.attention)
        self.unet, self.kind = unet, kind
        self.embedding: int | None = unet.config.time_cond_proj_dim  # of guidance
        self.pooled = unet.config.addition_embed_type == "text_time"
        width, height = size
        # SDXL takes an original size, a crop and a target size
        ids = torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32)
        self.register_buffer("time_ids", ids.to(unet.device), persistent=False)

    def forward(self, x: Tensor, timestep: Tensor, text: Tensor, *more: Tensor) -> Tensor:
        """x [B, C, H, W], timestep [B], text [B, L, D], all float32; the output is like x.

        What follows is what the checkpoint knows of: the pooled text [B, P], the guidance [B].
        """
        x, text = self.kind.of(x), text.to(self.kind.dtype)
        options: dict[str, Any] = {}
        if self.embedding:
            options["timestep_cond"] = _embedded(more[-1] - 1, self.embedding).to(self.kind.dtype)
        if self.pooled:
            ids = self.time_ids.expand(len(x), -1)
            pooled = more[0].to(self.kind.dtype)
            options["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": ids}
        out: Tensor = self.unet(x, timestep, text, return_dict=False, **options)[0].float()
        return out.contiguous()


def _embedded(weight: Tensor, size: int) -> Tensor:
    """Sinusoids [B, size] of guidance weights [B] (Meng 2023, as LCM has them)."""
    half = size // 2
    waves = torch.exp(torch.arange(half, device=weight.device) * (-math.log(10000.0) / (half - 1)))
    angles = 1000.0 * weight[:, None] * waves
    return nn.functional.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, size % 2))


class Decoder(nn.Module):
    """The decoder of an autoencoder, down to bytes."""

    factors: Tensor

    def __init__(self, vae: Any, kind: Kind) -> None:
        super().__init__()
        self.vae, self.kind = vae, kind
        scale, shift = float(vae.config.scaling_factor), vae.config.get("shift_factor") or 0.0
        mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
        rows = torch.tensor([std or [1.0], mean or [shift]], dtype=torch.float32)
        factors = torch.stack([rows[0] / scale, rows[1]])[:, None, :, None, None]
        if not factors.isfinite().all():
            raise ValueError(f"its scaling_factor is {scale:g}, or its latents_mean is not finite")
        self.register_buffer("factors", factors.to(vae.device), persistent=False)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures [B, H, W, 3] uint8 of clean latents [B, C, h, w] float32, and which are good.

        A picture with NaN or infinite values is not: [B] bool.
        """
        z = latents * self.factors[0] + self.factors[1]
        image: Tensor = self.vae.decode(self.kind.of(z), return_dict=False)[0]
        image = image.float()
        good = image.isfinite().flatten(1).all(1)
        image = (image.nan_to_num() * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8)
        return image.permute(0, 2, 3, 1).contiguous(), good


class TextEncoder(nn.Module):
    """CLIP's text encoders, tokens to what the UNet attends to.

    One encoder's last states; of two, as SDXL has them, the states before the last ones side by
    side, and the second's pooled state.
    """

    def __init__(self, clips: Sequence[nn.Module]) -> None:
        super().__init__()
        self.clips = nn.ModuleList(clips)

    def forward(self, *tokens: Tensor) -> Cond:
        """States [n, L, D] and, of two, pooled [n, P], float32, of tokens [n, L] int64 for each."""
        if len(self.clips) == 1:
            return (self.clips[0](tokens[0], return_dict=False)[0].float(),)
        found = [
            clip(rows, output_hidden_states=True)
            for clip, rows in zip(self.clips, tokens, strict=True)
        ]
        states = torch.cat([one.hidden_states[-2] for one in found], dim=-1)
        return states.float(), found[-1].text_embeds.float()
