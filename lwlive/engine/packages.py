"""Packages: a checkpoint's networks compiled ahead of time (AOTInductor) and cached on disk.

Building takes a minute and holds the interpreter, so `python -m lwlive.engine.packages` does it
in a child of low priority; the engine loads the finished packages in a tenth of a second, and
needs neither diffusers nor transformers from then on. A package serves one model, size, batch,
dtype, processor and torch version; anything else has a place of its own in the cache.

Where a torch version compiles networks so that they are wrong or slow, that is written into their
place instead, and they are asked uncompiled.
"""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from lwlive.checkpoint import Additions, name_of
from lwlive.engine.attention import SDPA, prepare
from lwlive.engine.graphs import Timer, filled, replayed, waited
from lwlive.engine.keyframe import Cond
from lwlive.engine.measure import seconds
from lwlive.engine.model import PLAIN, Eager, LastGood, Modules, load
from lwlive.engine.networks import Kind
from lwlive.engine.prompt import Encoder
from lwlive.engine.sampler import Model
from lwlive.engine.schedule import MOST_STEPS, Schedule, Step
from lwlive.ring import Pixels

FORMAT = 4  # one up whenever what is written changes
PROMPTS = 2  # prompts encoded at once: wanted and unwanted
COSTS = "costs.json"  # written last
TROUBLE = "trouble.txt"  # written in the place of packages that are of no use
WRONG, DIFFERENT = 0.05, 3.0  # share of an output, and mean levels of 255, that may differ
SLOW = 1.25  # times as long as uncompiled, for which a busy machine may not be to blame
TEMPORARY = ("TMPDIR", "TMP", "TEMP")  # what names the folder for temporary files
ALONE = True  # one thread asks a package; with locks of its own it could be no CUDA graph


@dataclass(frozen=True)
class Build:
    """What a set of packages is made for."""

    folder: str
    size: tuple[int, int]  # width, height
    device: str
    kind: Kind
    batch: int
    threads: int  # compiled loops on a CPU are divided among so many
    additions: Additions = PLAIN

    @classmethod
    def read(cls, row: dict[str, Any]) -> "Build":
        """A build as JSON has it."""
        more = row["additions"]
        pairs = {name: tuple(map(tuple, more[name])) for name in ("loras", "own")}
        changed = {"kind": Kind(**row["kind"]), "size": tuple(row["size"])}
        return cls(**{**row, **changed, "additions": Additions(**{**more, **pairs})})

    def place(self, cache_folder: Path) -> Path:
        """Where these packages lie in the cache."""
        more = (self.kind, self.batch, self.threads)
        made_for = key(self.folder, self.size, self.device, self.additions, *more)
        return cache_folder / "packages" / f"{name_of(Path(self.folder))}-{made_for}"

    def costs(self, cache_folder: Path) -> tuple[float, float] | None:
        """Seconds of one evaluation and one decoding of a batch, None where nothing is built."""
        try:
            one, other = json.loads((self.place(cache_folder) / COSTS).read_text("utf-8"))
            return float(one), float(other)
        except (OSError, ValueError, TypeError):
            return None

    def trouble(self, cache_folder: Path) -> str | None:
        """Why these networks are not to be compiled, None where nothing is known against it."""
        with contextlib.suppress(OSError):
            return (self.place(cache_folder) / TROUBLE).read_text("utf-8")
        return None


@dataclass(frozen=True)
class Trial:
    """What the networks themselves give, to compare compiled ones with."""

    x: Tensor  # [B, C, H, W]
    cond: Cond
    output: Tensor
    pictures: Pixels
    seconds: tuple[float, float]

    @classmethod
    def of(cls, model: Model, cond: Cond, timer: Timer) -> "Trial":
        """Try a model with a batch's conditioning."""
        x = torch.randn(model.batch, *model.shape, device=model.device)
        output, pictures = model.denoise(x, 500.0, cond), model.decode(x)
        return cls(x, cond, output, pictures, seconds(model, cond, timer))

    def against(self, compiled: Model, costs: tuple[float, float]) -> str | None:
        """What is to be said against a compiled model with these costs, None where nothing is."""
        output = compiled.denoise(self.x, 500.0, self.cond)
        scale = float(self.output.norm()) or 1.0
        wrong = not float((output - self.output).norm()) <= WRONG * scale  # true of no numbers, too
        pictures = compiled.decode(self.x).astype(np.int16)
        if wrong or float(np.abs(pictures - self.pictures).mean()) > DIFFERENT:
            return f"torch {torch.__version__} compiles this model wrongly"
        if sum(costs) > SLOW * sum(self.seconds):
            return f"torch {torch.__version__} compiles this model to something slower"
        return None


@cache
def key(
    folder: str, size: tuple[int, int], device: str, additions: Additions = PLAIN, *more: object
) -> str:
    """A name for whatever holds for a checkpoint and size on this machine and torch version."""
    parts = [FORMAT, torch.__version__, _processor(device), _contents(folder), size, device]
    files = [path for path, _ in additions.loras] + [additions.decoder or folder]
    parts += [additions, *map(_contents, files)]
    return hashlib.sha256(repr([*parts, *more]).encode()).hexdigest()[:20]


def _processor(device: str) -> str:
    """The processor the code is made for, down to its instruction sets."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
        wanted = (line for line in lines if line.startswith(("model name", "flags", "Features")))
        return "".join(sorted(set(wanted)))
    return platform.processor() + platform.machine()


@cache
def _contents(folder: str) -> str:
    """A folder's files, or one file: small ones by what is in them, huge ones by size and time."""
    digest = hashlib.sha256()
    root = Path(folder)
    for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
        if path.suffix in (".json", ".safetensors", ".txt"):
            stat = path.stat()
            digest.update(f"{path.relative_to(root)} {stat.st_size}".encode())
            small = stat.st_size < 2**26
            digest.update(path.read_bytes() if small else str(stat.st_mtime_ns).encode())
    return digest.hexdigest()


def build(want: Build, to: Path) -> None:
    """Compile a checkpoint into the folder `to`, which is there whole or not at all.

    Raises RuntimeError where what comes of it is of no use, and leaves that in the folder.
    """
    torch.set_num_threads(want.threads)
    making = to.with_name(f"{to.name}.{os.getpid()}")
    for left in to.parent.glob(f"{to.name}.*"):  # by a build that was killed
        if not psutil.pid_exists(int(left.suffix[1:])):
            shutil.rmtree(left, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        trial = _compile_any(want, making)
        packaged = Packaged(making)
        found = seconds(packaged, trial.cond, waited(time.perf_counter, want.device))
        trouble = trial.against(packaged, found)
        if trouble is None:
            (making / COSTS).write_text(json.dumps(found), "utf-8")
        else:
            _emptied(making)
            (making / TROUBLE).write_text(trouble, "utf-8")
        shutil.rmtree(to, ignore_errors=True)
        making.rename(to)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    if trouble is not None:
        raise RuntimeError(trouble)


def _compile_any(want: Build, making: Path) -> Trial:
    """Compile; networks that attend another way than PyTorch's, which cannot be, attend as that."""
    try:
        return _compile(want, making)
    except Exception:  # whatever the compiler makes of somebody else's code
        if want.kind.attention == SDPA:
            raise
        _emptied(making)
        note = f"{want.kind.attention} cannot be compiled here, so what is compiled uses {SDPA}"
        return _compile(replace(want, kind=replace(want.kind, attention=SDPA)), making, note)


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _compile(want: Build, making: Path, note: str | None = None) -> Trial:
    """Write all but the costs, and what is to be said whenever the packages are opened.

    Returns what to hold them against. Frees the networks.
    """
    folder = Path(want.folder)
    modules = load(folder, want.size, want.device, want.kind, want.additions)
    eager = Eager(modules, want.batch)
    trial = Trial.of(eager, eager.blank(), waited(time.perf_counter, want.device))
    for name, (module, inputs) in _parts(modules, eager, want.batch).items():
        with torch.inference_mode(False), torch.no_grad():
            program = torch.export.export(module, inputs)
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(making / f"{name}.pt2")
            )
    eager.encode.save(making, folder)
    steps = range(1, MOST_STEPS + 1)
    schedules = [asdict(eager.schedule(n, begin)) for n in steps for begin in range(n)]
    about = {"name": eager.name, "shape": eager.shape, "own": eager.own, **asdict(want)}
    about |= {"embeds_guidance": eager.embeds_guidance, "note": note}
    text = json.dumps({"about": about, "schedules": schedules})
    (making / "about.json").write_text(text, "utf-8")
    return trial


def _parts(modules: Modules, eager: Eager, batch: int) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Each network with inputs of the shapes it will be asked with."""
    device = modules.device
    tokens = eager.encode.inputs([""] * PROMPTS)
    x = torch.randn(batch, *modules.shape, device=device)
    cond = [part.clone() for part in eager.blank()]
    times = torch.full((batch,), 500.0, device=device)
    return {
        "text": (modules.text, tokens),
        "denoiser": (modules.denoiser, (x, times, *cond)),
        "decoder": (modules.decoder, (x,)),
    }


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
        return Schedule(row["noise_scale"], row["begin"], made)

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


def _end_with_parent() -> None:
    """Ends this process when the other end of standard input is gone."""
    while os.read(0, 4096):  # not through sys.stdin, which may not be in use at exit
        pass
    os._exit(1)


def _give_way() -> None:
    """Run only when nothing else wants to; even a low priority would make the show wait."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif hasattr(os, "nice"):
        os.nice(19)


def main() -> None:
    """Build what one line of JSON asks for: a Build and where it goes."""
    want, to = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _give_way()
    build(Build.read(want), Path(to))


if __name__ == "__main__":
    main()
