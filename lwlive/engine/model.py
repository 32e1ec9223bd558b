"""Checkpoints: a diffusers folder in, text encoder, denoiser and decoder out.

What a checkpoint is, is read from its own files. `Modules` holds its networks as plain torch
modules with static signatures, which eager code calls and `packages.py` compiles ahead; `Eager`
asks them directly. This file knows nothing of walks, rings or processes.
"""

import importlib
import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lwlive.checkpoint import FACTOR, TEXTS, ModelError, own_values
from lwlive.engine.prompt import Encoder
from lwlive.engine.schedule import Schedule, read
from lwlive.engine.walk import Cond
from lwlive.ring import Pixels


@dataclass(frozen=True)
class Kind:
    """How numbers lie in memory: what is fastest differs from machine to machine."""

    precision: str  # float32, bfloat16 or float16
    channels_last: bool

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

    def __init__(self, unet: Any, kind: "Kind", size: tuple[int, int]) -> None:
        super().__init__()
        self.unet, self.kind = unet, kind
        self.embedding: int | None = unet.config.time_cond_proj_dim  # of guidance
        self.pooled = unet.config.addition_embed_type == "text_time"
        width, height = size
        # SDXL is told of an original size, a crop and a target size
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

    def __init__(self, vae: Any, kind: "Kind") -> None:
        super().__init__()
        self.vae, self.kind = vae, kind
        scale, shift = float(vae.config.scaling_factor), vae.config.get("shift_factor") or 0.0
        mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
        rows = torch.tensor([std or [1.0], mean or [shift]], dtype=torch.float32)
        factors = torch.stack([rows[0] / scale, rows[1]])[:, None, :, None, None]
        self.register_buffer("factors", factors.to(vae.device), persistent=False)

    def forward(self, latents: Tensor) -> Tensor:
        """Pictures [B, 8H, 8W, 3] uint8 of clean latents [B, C, H, W] float32."""
        z = latents * self.factors[0] + self.factors[1]
        image: Tensor = self.vae.decode(self.kind.of(z), return_dict=False)[0]
        image = (image.float() * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8)
        return image.permute(0, 2, 3, 1).contiguous()


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


@dataclass(frozen=True)
class Modules:
    """A checkpoint's networks and what is needed to call them."""

    folder: Path
    text: TextEncoder
    denoiser: Denoiser
    decoder: Decoder
    scheduler: Any
    shape: tuple[int, int, int]  # latents [C, H, W]
    device: str
    kind: Kind


def load(folder: Path, size: tuple[int, int], device: str, kind: Kind) -> Modules:
    """Load a checkpoint for pictures of (width, height). Raises ModelError with a sentence."""
    _hush()
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    words = torch.float32 if device == "cpu" else kind.dtype
    texts = [part for part in TEXTS if index.get(part, [None])[0]]
    try:
        unet = _part(folder, index, "unet", dtype=kind.dtype, low_cpu_mem_usage=False)
        vae = _part(folder, index, "vae", dtype=kind.dtype, low_cpu_mem_usage=False)
        clips = [_part(folder, index, part, dtype=words) for part in texts]
        library, name = index["scheduler"]
        scheduler = getattr(importlib.import_module(library), name).from_pretrained(
            folder / "scheduler"
        )
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"the checkpoint in {folder} cannot be loaded: {error}") from error
    coded = kind
    if kind.precision == "float16" and vae.config.get("force_upcast"):  # its numbers grow too large
        coded = replace(kind, precision="float32")
    for net in (unet, vae, *clips):
        net.requires_grad_(False).eval()
    unet.to(device, memory_format=kind.layout)
    vae.to(device, coded.dtype, memory_format=kind.layout)
    for clip in clips:
        clip.to(device)
    return Modules(
        folder=folder,
        text=TextEncoder(clips),
        denoiser=Denoiser(unet, kind, size),
        decoder=Decoder(vae, coded),
        scheduler=scheduler,
        shape=(unet.config.in_channels, size[1] // FACTOR, size[0] // FACTOR),
        device=device,
        kind=kind,
    )


def _hush() -> None:
    """No progress bars, no advice: the show's log is for the person at the desk."""
    import diffusers
    import transformers
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own lock is left behind by a process that is killed
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def _part(folder: Path, index: dict[str, Any], part: str, **options: Any) -> Any:
    library, name = index[part]
    loader = getattr(importlib.import_module(library), name)
    return loader.from_pretrained(folder / part, **options)


class Eager:
    """A checkpoint's networks asked directly, in any number at once."""

    compiled = False

    def __init__(self, modules: Modules, batch: int) -> None:
        self.modules, self.batch = modules, batch
        self.name = modules.folder.name
        self.shape, self.device = modules.shape, modules.device
        self.dtype = modules.kind.precision
        self.own = own_values(modules.folder)
        self.schedule: Callable[[int, int], Schedule] = cache(
            lambda steps, begin: read(modules.scheduler, steps, begin)
        )
        self.encode = Encoder(modules.folder, self._text, modules.device)
        self.notes = self.encode.notes
        self.embeds_guidance = bool(modules.denoiser.embedding)

    @torch.inference_mode()
    def _text(self, *tokens: Tensor) -> Cond:
        found: Cond = self.modules.text(*tokens)
        return found

    @torch.inference_mode()
    def denoise(self, x: Tensor, timestep: float, cond: Cond) -> Tensor:
        """Model output for scaled latents [B, C, H, W]."""
        times = torch.full((len(x),), timestep, device=x.device)
        out: Tensor = self.modules.denoiser(x, times, *cond)
        return out

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Pixels:
        """Pictures [B, H, W, 3] of clean latents."""
        pictures: Pixels = self.modules.decoder(latents).cpu().numpy()
        return pictures
