"""Checkpoints: a diffusers folder in, text encoder, denoiser and decoder out.

What a checkpoint is, is read from its own files. `Modules` holds its networks as plain torch
modules with static signatures, which eager code calls and `packages.py` compiles ahead; `Eager`
asks them directly. This file knows nothing of walks, rings or processes.
"""

import importlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from lwlive.checkpoint import ModelError, own_values
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

    def __init__(self, unet: nn.Module, kind: "Kind") -> None:
        super().__init__()
        self.unet, self.kind = unet, kind

    def forward(self, x: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        """x [B, C, H, W], timestep [B], text [B, L, D], all float32; the output is like x."""
        x, text = self.kind.of(x), text.to(self.kind.dtype)
        out: Tensor = self.unet(x, timestep, text, return_dict=False)[0].float()
        return out.contiguous()


class Decoder(nn.Module):
    """The decoder of an autoencoder, down to bytes."""

    def __init__(self, vae: Any, kind: "Kind") -> None:
        super().__init__()
        self.vae, self.kind = vae, kind
        self.scale = float(vae.config.scaling_factor)
        self.shift = float(getattr(vae.config, "shift_factor", None) or 0.0)

    def forward(self, latents: Tensor) -> Tensor:
        """Pictures [B, 8H, 8W, 3] uint8 of clean latents [B, C, H, W] float32."""
        z = latents / self.scale + self.shift
        image: Tensor = self.vae.decode(self.kind.of(z), return_dict=False)[0]
        image = (image.float() * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8)
        return image.permute(0, 2, 3, 1).contiguous()


class TextEncoder(nn.Module):
    """CLIP's text encoder, tokens to the states that the UNet attends to."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, tokens: Tensor) -> Tensor:
        """States [n, L, D] float32 of tokens [n, L] int64."""
        states: Tensor = self.clip(tokens, return_dict=False)[0]
        return states.float()


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
    if "text_encoder_2" in index and index["text_encoder_2"][0]:
        raise ModelError(f"{folder} is an SDXL checkpoint, which lwlive cannot walk yet")
    try:
        unet = _part(folder, index, "unet", dtype=kind.dtype, low_cpu_mem_usage=False)
        vae = _part(folder, index, "vae", dtype=kind.dtype, low_cpu_mem_usage=False)
        clip = _part(folder, index, "text_encoder", dtype=torch.float32)
        library, name = index["scheduler"]
        scheduler = getattr(importlib.import_module(library), name).from_pretrained(
            folder / "scheduler"
        )
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"the checkpoint in {folder} cannot be loaded: {error}") from error
    for net in (unet, vae, clip):
        net.requires_grad_(False).eval()
    unet.to(device, memory_format=kind.layout)
    vae.to(device, memory_format=kind.layout)
    clip.to(device)
    factor = 2 ** (len(vae.config.get("block_out_channels", (0,) * 4)) - 1)
    return Modules(
        folder=folder,
        text=TextEncoder(clip),
        denoiser=Denoiser(unet, kind),
        decoder=Decoder(vae, kind),
        scheduler=scheduler,
        shape=(vae.config.latent_channels, size[1] // factor, size[0] // factor),
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


class Tokens:
    """Prompts to tokens [n, L] int64: start, words, end, filled up as CLIP's tokenizer does."""

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer"
        config = json.loads((path / "tokenizer_config.json").read_text("utf-8"))
        self.length = int(config["model_max_length"])
        self.tokenizer = _tokenizer(path)
        pad = config.get("pad_token") or "<|endoftext|>"
        pad = pad["content"] if isinstance(pad, dict) else pad
        self.tokenizer.enable_truncation(self.length)
        self.tokenizer.enable_padding(
            length=self.length, pad_id=self.tokenizer.token_to_id(pad), pad_token=pad
        )

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Tokens of n prompts; what is too long is cut."""
        return torch.tensor([line.ids for line in self.tokenizer.encode_batch(list(prompts))])


def _tokenizer(path: Path) -> Tokenizer:
    """From tokenizer.json where there is one, since importing transformers takes seconds."""
    if (path / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(path / "tokenizer.json"))
    from transformers import CLIPTokenizer

    return Tokenizer.from_str(CLIPTokenizer.from_pretrained(path).backend_tokenizer.to_str())


class Eager:
    """A checkpoint's networks asked directly, in any number at once."""

    compiled = False

    def __init__(self, modules: Modules, batch: int, eta: float = 0.0) -> None:
        self.modules, self.batch = modules, batch
        self.name = modules.folder.name
        self.shape, self.device = modules.shape, modules.device
        self.dtype = modules.kind.precision
        self.own = own_values(modules.folder)
        self.schedule: Callable[[int, int], Schedule] = cache(
            lambda steps, begin: read(modules.scheduler, steps, begin, eta)
        )
        self._tokens = Tokens(modules.folder)

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str]) -> Cond:
        """States [n, L, D] of n prompts, as a conditioning of one part."""
        return (self.modules.text(self._tokens(prompts).to(self.device)),)

    @torch.inference_mode()
    def denoise(self, x: Tensor, timestep: float, cond: Cond) -> Tensor:
        """Model output for scaled latents [B, C, H, W]."""
        times = torch.full((len(x),), timestep, device=x.device)
        out: Tensor = self.modules.denoiser(x, times, cond[0])
        return out

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Pixels:
        """Pictures [B, H, W, 3] of clean latents."""
        pictures: Pixels = self.modules.decoder(latents).cpu().numpy()
        return pictures
