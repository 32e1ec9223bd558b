"""Loading: a diffusers folder in, text encoder, denoiser and decoder out.

What a checkpoint is, is read from its own files. `Modules` holds its networks as plain torch
modules with static signatures, which eager.py calls and compiled/build.py compiles ahead. This
file knows nothing of walks, rings or processes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lwlive.checkpoint import (
    GRID,
    TEXTS,
    Additions,
    ModelError,
    Size,
    factor_of,
    name_of,
    part_of,
    read_json,
)
from lwlive.engine.adapters.embeddings import Words, taught
from lwlive.engine.adapters.lora import fuse
from lwlive.engine.components import (
    autoencoder,
    check_memory,
    check_numbers,
    hush,
    network,
    scheduler,
    sentences,
)
from lwlive.engine.networks import Decoder, Denoiser, Kind, TextEncoder
from lwlive.engine.prompt import Encoder
from lwlive.engine.tokenizer import Word

PLAIN = Additions()


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
    words: tuple[Word, ...] = ()  # that additions bring
    notes: tuple[str, ...] = ()  # sentences for the person at the desk


class NotFinite(ModelError):  # noqa: N818 - what the numbers are
    """A checkpoint gives NaN with this kind of numbers; another kind may serve."""


def load(
    folder: Path,
    size: Size,
    device: str,
    kind: Kind,
    additions: Additions = PLAIN,
    doing: Callable[[str], None] = lambda _: None,
) -> Modules:
    """Load a checkpoint for pictures of (width, height). Raises ModelError with a sentence.

    doing: hears of each piece before it is loaded.
    """
    hush()
    index = read_json(folder / "model_index.json")
    words = torch.float32 if device == "cpu" else kind.dtype
    texts = [part for part in TEXTS if part_of(index, part)[0]]
    pieces = iter(("scheduler", "unet", "vae", *texts, *(Path(p).name for p, _ in additions.loras)))
    count = 3 + len(texts) + len(additions.loras)

    def next_piece(number: int) -> None:
        doing(f"loading {name_of(folder)}: {next(pieces)}, {number} of {count}")

    if device == "cuda":
        check_memory(folder)
    next_piece(1)
    sampler, notes = scheduler(folder, index, additions)
    next_piece(2)
    unet = network(folder, index, "unet", dtype=kind.dtype, low_cpu_mem_usage=False)
    next_piece(3)
    vae = autoencoder(folder, index, additions.decoder, kind.dtype)
    clips = {}
    for number, part in enumerate(texts, 4):
        next_piece(number)
        clips[part] = network(folder, index, part, dtype=words)
    for part, net in {"unet": unet, "vae": vae, **clips}.items():
        check_numbers(part, net.requires_grad_(False).eval(), folder)
    known: Words = {}
    for number, (path, weight) in enumerate(additions.loras, 4 + len(texts)):
        next_piece(number)
        brought, said = fuse(Path(path), weight, {"unet": unet, **clips})
        known, notes = brought | known, notes + said
    learnt = taught(folder, known, clips)
    coded = kind
    if kind.precision == "float16" and vae.config.get("force_upcast"):  # its numbers grow too large
        coded = replace(kind, precision="float32")
    unet.to(device, memory_format=kind.layout)
    vae.to(device, coded.dtype, memory_format=kind.layout)
    for clip in clips.values():
        clip.to(device)
    with sentences("configuration", folder):
        denoiser, decoder = Denoiser(unet, kind, size), Decoder(vae, coded)
    factor = factor_of(folder)
    made = Modules(
        folder=folder,
        text=TextEncoder(list(clips.values())),
        denoiser=denoiser,
        decoder=decoder,
        scheduler=sampler,
        shape=(vae.config.latent_channels, size[1] // factor, size[0] // factor),
        device=device,
        kind=kind,
        additions=additions,
        words=learnt,
        notes=tuple(notes),
    )
    _tried(made)
    return made


@torch.inference_mode()
def _tried(modules: Modules) -> None:
    """Use a checkpoint once, in the smallest size. Raises ModelError where its parts do not fit."""
    with sentences("networks do not fit each other; they", modules.folder):
        encode = Encoder(modules.folder, modules.text, modules.device, modules.words)
        cond = encode([""])
        unet, factor = modules.denoiser.unet, factor_of(modules.folder)
        side = GRID // factor
        x = torch.randn(1, unet.config.in_channels, side, side, device=modules.device)
        one = torch.ones(1, device=modules.device)
        more = (one,) if modules.denoiser.embedding else ()
        out = modules.denoiser(x, 500 * one, *cond, *more)
        pixels, good = modules.decoder(x[:, : modules.shape[0]])
        if pixels.shape[1] != GRID:
            raise ValueError(
                f"a latent stands for {factor} pixels a side, and the decoder makes "
                f"{pixels.shape[1] // side} of it"
            )
    finite = {
        "text encoder": all(bool(part.isfinite().all()) for part in cond),
        "unet": bool(out.isfinite().all()),
        "vae": bool(good.all()),
    }
    if bad := [part for part, fine in finite.items() if not fine]:
        raise NotFinite(
            f"the checkpoint's {bad[0]} in {modules.folder} gives NaN in {modules.kind.precision}: "
            "it is damaged, or made for other numbers"
        )


def attending(modules: Modules, way: str) -> Modules:
    """The same networks, attending another way from now on; the UNet itself is shared."""
    kind, (_, height, width) = replace(modules.kind, attention=way), modules.shape
    factor = factor_of(modules.folder)
    denoiser = Denoiser(modules.denoiser.unet, kind, Size(width * factor, height * factor))
    return replace(modules, kind=kind, denoiser=denoiser)
