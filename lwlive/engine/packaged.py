"""A checkpoint asked through its packages, which compiled code lies in.

Neither diffusers nor transformers is needed here, nor the compiler. How packages come to be is in
packages.py.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import psutil
import torch
from torch import Tensor

from lwlive.engine.attention import prepare
from lwlive.engine.graphs import filled, replayed
from lwlive.engine.keyframe import Cond
from lwlive.engine.model import LastGood
from lwlive.engine.prompt import Encoder
from lwlive.engine.schedule import Schedule, Step
from lwlive.ring import Pixels

PROMPTS = 2  # prompts encoded at once: wanted and unwanted
TEMPORARY = ("TMPDIR", "TMP", "TEMP")  # what names the folder for temporary files
ALONE = True  # one thread asks a package; with locks of its own it could be no CUDA graph


@contextlib.contextmanager
def _unpacking(folder: Path) -> Iterator[None]:
    """Packages are unpacked into a subfolder of this process; those of ended ones are removed.

    torch unpacks them where temporary files go, and removes that when the package is let go of,
    which a process that is killed or ends at once never does.
    """
    for left in folder.glob("*"):
        if left.name.isdecimal() and not psutil.pid_exists(int(left.name)):
            shutil.rmtree(left, ignore_errors=True)
    mine, before = folder / str(os.getpid()), {name: os.environ.get(name) for name in TEMPORARY}
    mine.mkdir(parents=True, exist_ok=True)
    os.environ.update(dict.fromkeys(TEMPORARY, str(mine)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _loaded(path: Path) -> Callable[..., Cond]:
    """The compiled function in a package, tensors in, tensors out. Raises RuntimeError.

    As `torch._inductor.aoti_load_package`, without importing the compiler, which takes longer than
    anything else before the first picture.
    """
    package = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", ALONE, 1, -1)

    def call(*inputs: Tensor) -> Cond:
        return tuple(package.boxed_run(list(inputs)))

    return call


class Packaged:
    """A checkpoint asked through its packages. Smaller batches are filled up."""

    compiled = True

    def __init__(self, place: Path) -> None:
        text = json.loads((place / "about.json").read_text("utf-8"))
        about = text["about"]
        self.name, self.own = str(about["name"]), dict(about["own"])
        c, h, w = about["shape"]
        self.shape = (int(c), int(h), int(w))
        self.device, self.dtype = str(about["device"]), str(about["kind"]["precision"])
        prepare(about["kind"]["attention"])
        self.batch = int(about["batch"])
        self._schedules = {
            (len(row["steps"]) + row["begin"], row["begin"]): row for row in text["schedules"]
        }
        self.embeds_guidance = bool(about["embeds_guidance"])
        self.encode = Encoder(place, self._asked, self.device)
        self.notes = self.encode.notes
        if about["note"]:
            self.notes.append(str(about["note"]))
        self.good = LastGood()
        with _unpacking(place.parent.with_name("unpacked")):
            self._text, denoiser, decoder = (
                _loaded(place / f"{name}.pt2") for name in ("text", "denoiser", "decoder")
            )
        self._denoiser, self._decoder = (
            replayed(net, self.device, self.notes.append) for net in (denoiser, decoder)
        )
        self.schedule = cache(self._schedule)

    def _schedule(self, steps: int, begin: int) -> Schedule:
        row = self._schedules[steps, begin]
        made = tuple(
            Step(
                step["timestep"],
                step["input_scale"],
                *(tuple((i, f) for i, f in step[k]) for k in ("latents", "outputs", "noises")),
            )
            for step in row["steps"]
        )
        return Schedule(row["noise_scale"], row["begin"], made, row["rescale"])

    @torch.inference_mode()
    def _asked(self, *tokens: Tensor) -> Cond:
        """Conditioning of tokens [n, L] of each tokenizer, so many prompts at once."""
        found = []
        for i in range(0, len(tokens[0]), PROMPTS):
            some = [rows[i : i + PROMPTS] for rows in tokens]
            parts = self._text(*(filled(rows, PROMPTS) for rows in some))
            found.append([part[: len(some[0])] for part in parts])
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    @property
    def replaced(self) -> int:
        """Pictures that were not good, so far."""
        return self.good.replaced

    @torch.inference_mode()
    def denoise(self, x: Tensor, timestep: float, cond: Cond) -> Tensor:
        """Model output for scaled latents [B, C, H, W], B up to the batch."""
        times = torch.full((self.batch,), timestep, device=x.device)
        parts = (filled(part, self.batch) for part in cond)
        found: Cond = self._denoiser(filled(x, self.batch), times, *parts)
        return found[0][: len(x)]

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Pixels:
        """Pictures [n, H, W, 3] of clean latents, a batch at a time."""
        return self.good.decoded(self._decoder, latents, self.batch, self.batch)


def opened(place: Path) -> Packaged:
    """Packages that work here: they are used once. Raises RuntimeError and others where not."""
    model = Packaged(place)
    cond = tuple(part[:1] for part in model.encode([""]))
    if model.embeds_guidance:
        cond = (*cond, torch.ones(1, device=model.device))
    x = torch.zeros(1, *model.shape, device=model.device)
    model.denoise(x, 500.0, cond)
    model.decode(x)
    return model
