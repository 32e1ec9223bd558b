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

from lwlive.checkpoint import FACTOR, SCHEDULERS, TEXTS, Additions, ModelError, name_of, own_values
from lwlive.engine.lora import fuse
from lwlive.engine.prompt import Encoder
from lwlive.engine.schedule import Schedule, read
from lwlive.engine.walk import Cond
from lwlive.ring import Pixels

PLAIN = Additions()


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

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures [B, 8H, 8W, 3] uint8 of clean latents [B, C, H, W] float32, and which are good.

        A picture with values that are no finite numbers is not: [B] bool.
        """
        z = latents * self.factors[0] + self.factors[1]
        image: Tensor = self.vae.decode(self.kind.of(z), return_dict=False)[0]
        image = image.float()
        good = image.isfinite().flatten(1).all(1)
        image = (image.nan_to_num() * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8)
        return image.permute(0, 2, 3, 1).contiguous(), good


class LastGood:
    """Puts the last good picture in the place of each that is not good, and counts those."""

    def __init__(self) -> None:
        self.replaced = 0
        self._last: Pixels | None = None

    def __call__(self, pictures: Tensor, good: Tensor) -> Pixels:
        """Pictures [n, H, W, 3] as they can be shown, before the first good one black."""
        found: Pixels = pictures.cpu().numpy()
        sound = good.cpu().tolist()
        if not all(sound):
            found = found.copy()
            self.replaced += sound.count(False)
            for i, fine in enumerate(sound):
                if not fine:
                    before = found[i - 1] if i else self._last
                    found[i] = 0 if before is None else before
        if self._last is not None or any(sound):
            self._last = found[-1].copy()
        return found


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
    additions: Additions = PLAIN


def load(
    folder: Path, size: tuple[int, int], device: str, kind: Kind, additions: Additions = PLAIN
) -> Modules:
    """Load a checkpoint for pictures of (width, height). Raises ModelError with a sentence."""
    _hush()
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    words = torch.float32 if device == "cpu" else kind.dtype
    texts = [part for part in TEXTS if index.get(part, [None])[0]]
    if device == "cuda":
        _check_memory(folder)
    try:
        unet = _part(folder, index, "unet", dtype=kind.dtype, low_cpu_mem_usage=False)
        vae = _decoder(folder, index, additions.decoder, kind.dtype)
        clips = [_part(folder, index, part, dtype=words) for part in texts]
        scheduler = _scheduler(folder, index, additions.scheduler)
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"the checkpoint in {folder} cannot be loaded: {error}") from error
    for path, weight in additions.loras:
        fuse(Path(path), weight, {"unet": unet, **dict(zip(texts, clips, strict=True))})
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
        additions=additions,
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


def _check_memory(folder: Path) -> None:
    """Raises ModelError where a GPU cannot hold the weights, before they are loaded."""
    free, _ = torch.cuda.mem_get_info()
    parts = ("unet", "vae", *TEXTS)
    needed = sum(_weights(folder / part) for part in parts if (folder / part).is_dir())
    if needed > free:
        raise ModelError(
            f"the GPU has {free / 2**30:.1f} GB free and {folder.name} needs {needed / 2**30:.1f}: "
            "close what else uses the GPU, or choose a smaller model or --device cpu"
        )


def _weights(folder: Path) -> int:
    """Bytes of a network in float16, whatever its file has."""
    files = list(folder.glob("*.safetensors"))
    half = [file for file in files if ".fp16." in file.name]
    return sum(file.stat().st_size for file in half) or sum(f.stat().st_size for f in files) // 2


def _scheduler(folder: Path, index: dict[str, Any], name: str | None) -> Any:
    """The checkpoint's own scheduler, or another one with its numbers, spaced for few steps."""
    import diffusers

    library, own = index["scheduler"]
    scheduler = getattr(importlib.import_module(library), own).from_pretrained(folder / "scheduler")
    if name is None:
        return scheduler
    kind = getattr(diffusers, SCHEDULERS[name])
    config = {**scheduler.config, "timestep_spacing": "trailing", "clip_sample": False}
    return kind.from_config(config)


def _decoder(folder: Path, index: dict[str, Any], other: str | None, dtype: torch.dtype) -> Any:
    """The checkpoint's own autoencoder, or another one from a folder of its own."""
    options = {"dtype": dtype, "low_cpu_mem_usage": False}
    if other is None:
        return _part(folder, index, "vae", **options)
    config = json.loads((Path(other) / "config.json").read_text("utf-8"))
    where = {Path(other).name: ["diffusers", config["_class_name"]]}
    return _part(Path(other).parent, where, Path(other).name, **options)


def _part(folder: Path, index: dict[str, Any], part: str, **options: Any) -> Any:
    library, name = index[part]
    loader = getattr(importlib.import_module(library), name)
    files = [path.name for path in (folder / part).glob("*.safetensors")]
    if files and all(".fp16." in file for file in files):
        options["variant"] = "fp16"
    return loader.from_pretrained(folder / part, **options)


class Eager:
    """A checkpoint's networks asked directly, in any number at once."""

    compiled = False

    def __init__(self, modules: Modules, batch: int) -> None:
        self.modules, self.batch = modules, batch
        self.name = name_of(modules.folder)
        self.shape, self.device = modules.shape, modules.device
        self.dtype = modules.kind.precision
        self.own = own_values(modules.folder, modules.additions)
        self.schedule: Callable[[int, int], Schedule] = cache(
            lambda steps, begin: read(modules.scheduler, steps, begin)
        )
        self.encode = Encoder(modules.folder, self._text, modules.device)
        self.notes = self.encode.notes
        self.good = LastGood()
        self.embeds_guidance = bool(modules.denoiser.embedding)

    @torch.inference_mode()
    def blank(self) -> Cond:
        """A batch's conditioning, of no prompt and guidance 1: to measure or compile with."""
        cond = tuple(part.clone() for part in self.encode([""] * self.batch))
        one = torch.ones(self.batch, device=self.device)
        return (*cond, one) if self.embeds_guidance else cond

    @torch.inference_mode()
    def _text(self, *tokens: Tensor) -> Cond:
        found: Cond = self.modules.text(*tokens)
        return found

    @property
    def replaced(self) -> int:
        """Pictures that were not good, so far."""
        return self.good.replaced

    @torch.inference_mode()
    def denoise(self, x: Tensor, timestep: float, cond: Cond) -> Tensor:
        """Model output for scaled latents [B, C, H, W]."""
        times = torch.full((len(x),), timestep, device=x.device)
        out: Tensor = self.modules.denoiser(x, times, *cond)
        return out

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Pixels:
        """Pictures [B, H, W, 3] of clean latents."""
        return self.good(*self.modules.decoder(latents))
