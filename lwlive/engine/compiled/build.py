"""Packages: a checkpoint's networks compiled ahead of time (AOTInductor) and cached on disk.

Building takes a minute and holds the interpreter, so `python -m lwlive.engine.compiled.build` does
it in a child of low priority; the engine loads the finished packages in a tenth of a second, and
needs neither diffusers nor transformers from then on. A package serves one model, size, batch,
dtype, processor and torch version; anything else has a place of its own in the cache.

Where a torch version compiles networks so that they are wrong, that is written into their place
instead, and they are asked uncompiled.
"""

import contextlib
import hashlib
import json
import math
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lwlive.checkpoint import Additions, Size, name_of
from lwlive.engine.attention import SDPA
from lwlive.engine.compiled.package import PROMPTS, TEMPORARY, Packaged, seal
from lwlive.engine.compiled.verify import Trial
from lwlive.engine.cuda import waited
from lwlive.engine.eager import Eager
from lwlive.engine.folders import keep, sweep
from lwlive.engine.load import PLAIN, Modules, load
from lwlive.engine.networks import Kind
from lwlive.engine.schedule import MOST_STEPS, ScheduleError
from lwlive.engine.tuning.measure import seconds
from lwlive.engine.tuning.pieces import Cost
from lwlive.parent import end_with

FORMAT = 8  # one up whenever what is written changes
CPU = {"freezing": True, "cpp.dynamic_threads": True}  # how code for a CPU is compiled
COSTS = "costs.json"  # written last
COMPILERS = "TORCHINDUCTOR_CACHE_DIR"  # what names the folder of the compiler; the user may
TROUBLE = "trouble.txt"  # written in the place of packages that are of no use


@dataclass(frozen=True)
class Build:
    """What a set of packages is made for."""

    folder: str
    size: Size
    device: str
    kind: Kind
    batch: int
    threads: int  # that suit this machine; what is compiled can be asked with any number
    additions: Additions = PLAIN

    @classmethod
    def read(cls, row: dict[str, Any]) -> "Build":
        """A build as JSON has it."""
        more = row["additions"]
        pairs = {name: tuple(map(tuple, more[name])) for name in ("loras", "own")}
        changed = {"kind": Kind(**row["kind"]), "size": Size(*row["size"])}
        return cls(**{**row, **changed, "additions": Additions(**{**more, **pairs})})

    def place(self, cache_folder: Path) -> Path:
        """Where these packages lie in the cache."""
        more = (self.kind, self.batch, self.threads)
        made_for = key(self.folder, self.size, self.device, self.additions, *more)
        return cache_folder / "packages" / f"{name_of(Path(self.folder))}-{made_for}"

    def costs(self, cache_folder: Path) -> Cost | None:
        """What a batch takes, None where nothing is built."""
        try:
            found = json.loads((self.place(cache_folder) / COSTS).read_bytes())
            cost = Cost(*map(float, found))
        except (OSError, ValueError, TypeError):
            return None
        usable = 0 < cost.evaluation < math.inf and 0 <= cost.decoding < math.inf
        return cost if usable else None

    def trouble(self, cache_folder: Path) -> str | None:
        """Why these networks are not to be compiled, None where nothing is known against it."""
        with contextlib.suppress(OSError):
            return (self.place(cache_folder) / TROUBLE).read_text("utf-8", "replace")
        return None


@cache
def key(folder: str, size: Size, device: str, additions: Additions = PLAIN, *more: object) -> str:
    """A name for whatever holds for a checkpoint and size on this machine and torch version."""
    parts = [FORMAT, torch.__version__, _processor(device), _contents(folder)]
    parts += [tuple(size), device]  # a plain tuple: what is in the cache was named after its repr
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

    Raises RuntimeError where what comes of it is of no use. That it is wrong is left in the folder;
    that it is slow is not, since other work on the machine can make it so for a while.
    """
    torch.set_num_threads(want.threads)
    making = to.with_name(f"{to.name}.{os.getpid()}")
    sweep(to.parent)  # of builds that were killed
    making.mkdir(parents=True)
    try:
        with _compiler_in(to.with_name(f"{to.name}.work.{os.getpid()}")):
            trial = _compile_any(want, making)
        packaged = Packaged(making)
        found = seconds(packaged, trial.cond, waited(time.perf_counter, want.device))
        packaged.tidy()
        if trouble := trial.wrong(packaged):
            _emptied(making)
            (making / TROUBLE).write_text(trouble, "utf-8")
        elif slow := trial.slow(found):
            raise RuntimeError(slow)
        else:
            (making / COSTS).write_text(json.dumps(found), "utf-8")
            seal(making)
        keep(making, to)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    if trouble:
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


@contextlib.contextmanager
def _compiler_in(folder: Path) -> Iterator[None]:
    """What the compiler writes meanwhile goes into a folder of its own, removed at the end.

    It keeps all of it in the system's folder for temporary files otherwise, for ever.
    """
    names = [
        name for name in (COMPILERS, *TEMPORARY) if name not in os.environ or name != COMPILERS
    ]
    before = {name: os.environ.get(name) for name in names}
    folder.mkdir(exist_ok=True)
    os.environ.update(dict.fromkeys(names, str(folder)))
    tempfile.tempdir = None  # where it was found before
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)


def _compile(want: Build, making: Path, note: str | None = None) -> Trial:
    """Write all but the costs, and what is to be said whenever the packages are opened.

    Returns what to hold them against. Frees the networks. On a CPU, weights are folded in as its
    kernels like them (freezing), which makes a step of ember a quarter faster, and loops are
    divided among the threads there are when they run, not when they were compiled (see threads.py).
    """
    folder = Path(want.folder)
    modules = load(folder, want.size, want.device, want.kind, want.additions)
    eager = Eager(modules, want.batch)
    trial = Trial.of(eager, eager.blank(), waited(time.perf_counter, want.device))
    for name, (module, inputs) in _parts(modules, eager, want.batch).items():
        with torch.inference_mode(False), torch.no_grad():
            program = torch.export.export(module, inputs)
            torch._inductor.aoti_compile_and_package(
                program,
                package_path=str(making / f"{name}.pt2"),
                inductor_configs=CPU if want.device == "cpu" else {},
            )
    eager.encode.save(making, folder)
    schedules, refused = [], {}
    for steps in range(1, MOST_STEPS + 1):
        try:
            made = [eager.schedule(steps, begin) for begin in range(steps)]
        except ScheduleError as error:
            refused[steps] = str(error)
        else:
            schedules += [{"of": steps, "without": n, **asdict(one)} for n, one in enumerate(made)]
    about = {"name": eager.name, "shape": eager.shape, "own": eager.own, **asdict(want)}
    notes = [*modules.notes, *([note] if note else [])]
    about |= {"embeds_guidance": eager.embeds_guidance, "notes": notes, "torch": version("torch")}
    text = json.dumps({"about": about, "schedules": schedules, "refused": refused})
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


def _give_way() -> None:
    """Run only when nothing else wants to; even a low priority would make the show wait."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif hasattr(os, "nice"):
        os.nice(39)  # the last, from wherever it stands


def main() -> None:
    """Build what one line of JSON asks for: a Build and where it goes, until the parent ends.

    The argument is the parent's number.
    """
    end_with(int(sys.argv[1]))
    want, to = json.loads(sys.stdin.buffer.readline())
    _give_way()
    build(Build.read(want), Path(to))


if __name__ == "__main__":
    main()
