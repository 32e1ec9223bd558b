"""Measuring the machine: which precision, memory layout, threads and batch are fastest on it.

Measured once for a model and size with its real networks, then read from the cache. This file
knows nothing of walks or processes; the timer is passed in.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from lwlive.engine.model import Eager, Kind, Modules, load

Timer = Callable[[], float]  # seconds

BATCHES = (1, 2, 4, 8)
NEAR = 1.15  # a batch within this factor of the best is past the knee
ENOUGH_S = 0.25  # of measuring one candidate
LONGEST_S = 0.15  # a batch should not take longer, or controls feel slow


@dataclass(frozen=True)
class Choice:
    """What was found fastest."""

    kind: Kind
    threads: int  # torch's own, on the CPU
    batch: int

    def apply(self) -> None:
        """Set torch's number of threads."""
        torch.set_num_threads(self.threads)


def device_of(wanted: str) -> str:
    """The device named, or the best there is for 'auto'."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def kinds(device: str) -> list[Kind]:
    """What is worth measuring on a device, the likeliest first."""
    if device != "cpu":
        return [Kind("float16", True)]
    return [Kind("bfloat16", True), Kind("float32", True), Kind("float32", False)]


def choose(folder: Path, size: tuple[int, int], device: str, timer: Timer) -> tuple[Choice, Eager]:
    """Measure; returns the choice and the networks loaded that way."""
    threads = torch.get_num_threads()
    best: tuple[float, Modules] | None = None
    for kind in kinds(device):
        modules = load(folder, size, device, kind)
        spent = _seconds(modules, 1, timer, best[0] if best else None)
        if best is None or spent < best[0]:
            best = spent, modules
    assert best is not None
    modules = best[1]
    if device == "cpu":
        threads = _threads(modules, timer)
        torch.set_num_threads(threads)
    batch = knee({n: _seconds(modules, n, timer) for n in BATCHES})
    choice = Choice(modules.kind, threads, batch)
    return choice, Eager(modules, batch)


def knee(seconds: dict[int, float]) -> int:
    """The smallest batch nearly as fast per frame as the best, short enough to feel direct."""
    best = min(spent / n for n, spent in seconds.items())
    past = [n for n, spent in seconds.items() if spent / n <= NEAR * best]
    short = [n for n, spent in seconds.items() if spent <= LONGEST_S]
    return min(past) if not short else min(min(past), max(short))


def _threads(modules: Modules, timer: Timer) -> int:
    """All cores, or one less where that is no slower: the stage needs one too."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    spent = {}
    for n in {max(1, (cores or 1) - 1), max(1, cores or 1)}:
        torch.set_num_threads(n)
        spent[n] = _seconds(modules, 2, timer)
    return min(spent, key=lambda n: spent[n])


def _seconds(modules: Modules, batch: int, timer: Timer, limit: float | None = None) -> float:
    """Seconds for one evaluation and decoding of a batch: the best, since noise only adds.

    The first one does not count, unless it takes five times the limit.
    """
    eager = Eager(modules, batch)
    x = torch.randn(batch, *modules.shape, device=modules.device)
    cond = eager.encode([""] * batch)
    spent: list[float] = []
    while len(spent) < 4 or (len(spent) < 12 and sum(spent[1:]) < ENOUGH_S):
        start = timer()
        eager.denoise(x, 500.0, cond)
        eager.decode(x)
        spent.append(timer() - start)
        if limit is not None and spent[0] > 5 * limit:
            return spent[0]
    return min(spent[1:])


def recall(path: Path) -> Choice | None:
    """A choice written down earlier, None where there is none that can be read."""
    try:
        found = json.loads(path.read_text("utf-8"))
        choice = Choice(**found)
        return replace(choice, kind=Kind(**found["kind"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remember(path: Path, choice: Choice) -> None:
    """Write a choice down. Raises OSError where that cannot be done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_suffix(f".{os.getpid()}")
    making.write_text(json.dumps(asdict(choice)), "utf-8")
    making.replace(path)
