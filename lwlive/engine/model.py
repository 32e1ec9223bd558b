"""Checkpoints: a diffusers folder in, text encoder, denoiser and decoder out.

What a checkpoint is, is read from its own files. `Modules` holds its networks as plain torch
modules with static signatures, which eager code calls and `packages.py` compiles ahead; `Eager`
asks them directly. This file knows nothing of walks, rings or processes.
"""

import importlib
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lwlive.checkpoint import TEXTS, Additions, ModelError, factor_of, name_of, own_values
from lwlive.engine.graphs import filled, records, replayed, to_host
from lwlive.engine.keyframe import Cond
from lwlive.engine.lora import fuse
from lwlive.engine.networks import Decoder, Denoiser, Kind, TextEncoder
from lwlive.engine.prompt import Encoder
from lwlive.engine.schedule import Schedule, named, read
from lwlive.ring import Pixels

PLAIN = Additions()


class LastGood:
    """Puts the last good picture in the place of each that is not good, and counts those."""

    def __init__(self) -> None:
        self.replaced = 0
        self._last: Pixels | None = None

    def __call__(self, parts: Iterable[tuple[Tensor, Tensor]]) -> Pixels:
        """Pictures [n, H, W, 3] as they can be shown, before the first good one black.

        Each part has some of them and which are good, [n] bool. All are asked for before the
        first is waited for, so that a device works on while pictures leave it.
        """
        leaving = [to_host(pictures, good) for pictures, good in parts]
        shown = [self._mended(*arrived()) for arrived in leaving]
        return shown[0] if len(shown) == 1 else np.concatenate(shown)

    def decoded(self, decoder: Any, latents: Tensor, batch: int, rows: int) -> Pixels:
        """Pictures of clean latents [n, C, H, W], a batch at a time, filled up to so many rows."""

        def pictures(part: Tensor) -> tuple[Tensor, Tensor]:
            found, good = decoder(filled(part, rows))
            return found[: len(part)], good[: len(part)]

        return self(pictures(part) for part in latents.split(batch))

    def _mended(self, pictures: Tensor, good: Tensor) -> Pixels:
        found: Pixels = pictures.numpy()
        sound = good.tolist()
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
        scheduler = _scheduler(folder, index, additions)
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
    factor = factor_of(folder)
    return Modules(
        folder=folder,
        text=TextEncoder(clips),
        denoiser=Denoiser(unet, kind, size),
        decoder=Decoder(vae, coded),
        scheduler=scheduler,
        shape=(vae.config.latent_channels, size[1] // factor, size[0] // factor),
        device=device,
        kind=kind,
        additions=additions,
    )


def attending(modules: Modules, way: str) -> Modules:
    """The same networks, attending another way from now on; the UNet itself is shared."""
    kind, (_, height, width) = replace(modules.kind, attention=way), modules.shape
    factor = factor_of(modules.folder)
    denoiser = Denoiser(modules.denoiser.unet, kind, (width * factor, height * factor))
    return replace(modules, kind=kind, denoiser=denoiser)


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


def _scheduler(folder: Path, index: dict[str, Any], additions: Additions) -> Any:
    """The checkpoint's own scheduler, or another one with its numbers. Raises ScheduleError."""
    library, name = index["scheduler"]
    own = getattr(importlib.import_module(library), name).from_pretrained(folder / "scheduler")
    if additions.scheduler is None:
        return own
    return named(additions.scheduler, own, additions.spaced)


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

    def __init__(self, modules: Modules, batch: int, eta: float = 0.0) -> None:
        self.modules, self.batch = modules, batch
        self.name = name_of(modules.folder)
        self.shape, self.device = modules.shape, modules.device
        self.dtype = modules.kind.precision
        self.own = own_values(modules.folder, modules.additions)
        self.schedule: Callable[[int, int], Schedule] = cache(
            lambda steps, begin: read(modules.scheduler, steps, begin, eta)
        )
        self.encode = Encoder(modules.folder, modules.text, modules.device)
        self.notes = self.encode.notes
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
