"""A checkpoint asked through its packages, which compiled code lies in.

Neither diffusers nor transformers is needed here, nor the compiler. How packages come to be is in
build.py. Code that is damaged would end the process, so what was written is known by its
checksums, and whatever ends a process all the same leaves a trace beside the packages.
"""

import contextlib
import faulthandler
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from lwlive.checkpoint import why
from lwlive.engine.attention import prepare
from lwlive.engine.cuda import filled, replayed
from lwlive.engine.folders import sweep
from lwlive.engine.keyframe import Cond
from lwlive.engine.lastgood import LastGood
from lwlive.engine.prompt import Encoder
from lwlive.engine.schedule import Schedule, ScheduleError, Step
from lwlive.ring import Pixels

PROMPTS = 2  # prompts encoded together: wanted and unwanted
TEMPORARY = ("TMPDIR", "TMP", "TEMP")  # what names the folder for temporary files
ALONE = True  # one thread asks a package; with locks of its own it could be no CUDA graph
SUMS = "sums.json"  # of every other file, written last
FATAL = "Fatal Python error"  # what a process that is ended by its own code leaves
LATELY_S = 86_400.0  # what ended processes longer ago says little of the packages


class Damaged(RuntimeError):  # noqa: N818 - what the packages are
    """Packages are not what was written; built again, they may serve."""


def seal(folder: Path) -> None:
    """Write down the checksums of a folder's files."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    sums = {path.relative_to(folder).as_posix(): _sum(path) for path in files}
    (folder / SUMS).write_text(json.dumps(sums), "utf-8")


def check_seal(folder: Path) -> None:
    """Raises Damaged where a folder's files are not those that were written."""
    try:
        sums = dict(json.loads((folder / SUMS).read_bytes()))
        bad = [name for name, told in sums.items() if _sum(folder / name) != told]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise Damaged(f"it cannot be read: {why(error)}") from error
    if bad or "denoiser.pt2" not in sums:
        raise Damaged(f"{bad[0] if bad else SUMS} is not what was written")


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def faults(place: Path) -> int:
    """How many processes were ended by their own code with these packages open, of late."""
    found = 0
    for path in filter(_recent, _traces(place)):
        with contextlib.suppress(OSError):
            found += path.read_text("utf-8", "replace").count(FATAL)
    return found


def watch(place: Path) -> None:
    """From now on, let this process leave a trace where its own code ends it. Old ones go."""
    for path in _traces(place):
        with contextlib.suppress(OSError):
            file = path.open("a")  # stays open as long as the process lives
            if not _recent(path):
                file.truncate(0)
            faulthandler.enable(file)
            return


def _recent(path: Path) -> bool:
    """Whether the last trace is of today, as far as the clock knows: it may have been wrong."""
    with contextlib.suppress(OSError):
        return abs(time.time() - path.stat().st_mtime) < LATELY_S
    return False


def _traces(place: Path) -> tuple[Path, Path]:
    """Where traces lie: beside the packages, or where that cannot be written to."""
    name = f"{place.name}.fault"
    return place.with_name(name), Path(tempfile.gettempdir()) / f"lwlive-{name}"


@contextlib.contextmanager
def _unpacking(folder: Path) -> Iterator[Path]:
    """Packages are unpacked into a subfolder of this process; those of ended ones are removed.

    torch unpacks them where temporary files go, and removes that when the package is let go of,
    which a process that is killed or ends abruptly never does.
    """
    mine, before = folder / str(os.getpid()), {name: os.environ.get(name) for name in TEMPORARY}
    try:
        sweep(folder)
        mine.mkdir(parents=True, exist_ok=True)
    except OSError:  # a cache that is only read from
        elsewhere = Path(tempfile.gettempdir()) / "lwlive-unpacked"
        sweep(elsewhere)
        mine = elsewhere / str(os.getpid())
        mine.mkdir(parents=True, exist_ok=True)
    os.environ.update(dict.fromkeys(TEMPORARY, str(mine)))
    try:
        yield mine
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
        if (place / SUMS).exists():  # not yet while they are built
            check_seal(place)
        text = json.loads((place / "about.json").read_bytes())
        about = text["about"]
        self.name, self.own = str(about["name"]), dict(about["own"])
        c, h, w = about["shape"]
        self.shape = (int(c), int(h), int(w))
        self.device, self.dtype = str(about["device"]), str(about["kind"]["precision"])
        prepare(about["kind"]["attention"])
        self.batch = int(about["batch"])
        self._schedules = {(row["of"], row["without"]): row for row in text["schedules"]}
        self._refused = {int(steps): str(said) for steps, said in text["refused"].items()}
        self.embeds_guidance = bool(about["embeds_guidance"])
        self.encode = Encoder(place, self._asked, self.device)
        self.notes = self.encode.notes
        self.notes.extend(map(str, about["notes"]))
        self.good = LastGood()
        with _unpacking(place.parent.with_name("unpacked")) as self._unpacked:
            self._text, denoiser, decoder = (
                _loaded(place / f"{name}.pt2") for name in ("text", "denoiser", "decoder")
            )
        self._denoiser, self._decoder = (
            replayed(net, self.device, self.notes.append) for net in (denoiser, decoder)
        )
        self.schedule = cache(self._schedule)

    def tidy(self) -> None:
        """Remove what was unpacked, once it has been used: the process has it in memory.

        Not on Windows, where a file that is open cannot be removed; the next start does it there.
        """
        shutil.rmtree(self._unpacked, ignore_errors=True)

    def _schedule(self, steps: int, begin: int) -> Schedule:
        if steps in self._refused:
            raise ScheduleError(self._refused[steps])
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
        """Conditioning of tokens [n, L] of each tokenizer, so many prompts together."""
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
    """Packages that work here: they are used once. Raises Damaged, or RuntimeError and OSError."""
    if not (place / SUMS).exists():
        raise Damaged("its checksums are missing")
    try:
        model = Packaged(place)
        cond = tuple(part[:1] for part in model.encode([""]))
        if model.embeds_guidance:
            cond = (*cond, torch.ones(1, device=model.device))
        x = torch.zeros(1, *model.shape, device=model.device)
        model.denoise(x, 500.0, cond)
        model.decode(x)
    except (RuntimeError, OSError):
        raise
    except Exception as error:  # whatever a file holds that another program has written
        raise Damaged(why(error)) from error
    model.tidy()
    return model
