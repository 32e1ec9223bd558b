"""Measuring the machine: which precision, memory layout, threads and batch are fastest on it.

Measured once for a model and size with its real networks, then read from the cache; and once more
in a quieter moment, where other programs were at work the first time. This file knows nothing of
walks or processes; the timer is passed in.
"""

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from lwlive import files
from lwlive.checkpoint import Additions, ModelError, Size
from lwlive.engine.attention import SDPA, XFORMERS
from lwlive.engine.cuda import Timer, waited
from lwlive.engine.eager import Eager
from lwlive.engine.governor import LATENCY_S
from lwlive.engine.keyframe import Cond
from lwlive.engine.load import PLAIN, Modules, NotFinite, attending, load
from lwlive.engine.model import Model
from lwlive.engine.networks import Kind
from lwlive.engine.tuning.pieces import Cost, Pieces

BATCHES = (1, 2, 4, 8)
PRECISIONS = ("float32", "bfloat16", "float16")
SPARE = Kind("bfloat16", True)  # for models that float16 is too narrow for
MOST_THREADS, MOST_BATCH = 1024, 64  # that notes may ask for
SMALLER = "choose a smaller --size, a smaller model or --device cpu"
ENOUGH_S = 0.25  # of measuring one candidate
SLOW_S = 2.0  # where a candidate takes so long, twice must do
COMPILED = 0.75  # of the eager seconds, until a package has been timed; 0.6 to 0.8 were seen

Costs = dict[int, Cost]  # by batch


@dataclass(frozen=True)
class Measured:
    """What was found: the fastest kind of numbers and threads, and what batches cost with them."""

    kind: Kind
    threads: int  # torch's own, on the CPU
    costs: Costs
    busy: bool = False  # other programs were at work meanwhile

    @property
    def expected(self) -> Costs:
        """What batches will cost once they are compiled."""
        return {n: Cost(*(COMPILED * spent for spent in cost)) for n, cost in self.costs.items()}


def a_frame(costs: Costs, steps: int) -> dict[int, float]:
    """Batch -> seconds a frame."""
    return {n: (steps * cost.evaluation + cost.decoding) / n for n, cost in costs.items()}


def device_of(wanted: str) -> str:
    """The device named, or the best there is for 'auto'. Raises ModelError for one not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next((name for name, is_there in there.items() if is_there), "cpu")
    if not there.get(wanted, True):
        raise ModelError(f"PyTorch finds no {wanted} device here: leave out --device")
    return wanted


def kinds(device: str) -> list[Kind]:
    """What is worth measuring on a device, the likeliest first."""
    if device != "cpu":
        return [Kind("float16", True)]
    return [Kind("bfloat16", True), Kind("float32", True), Kind("float32", False)]


def measure(
    folder: Path,
    size: Size,
    device: str,
    timer: Timer,
    additions: Additions = PLAIN,
    say: Callable[[str], None] = print,
    ways: Sequence[str] = (SDPA,),
    pieces: Pieces | None = None,
    doing: Callable[[str], None] = lambda _: None,
) -> tuple[Measured, Modules]:
    """Measure; returns what was found, and the networks loaded that way.

    `ways` of attention are tried. A batch too large for the device's memory is said, and those
    up to it are taken. `pieces` known from before are not measured again; doing hears of each piece
    that is loaded or measured.
    """
    timer, crowded = waited(timer, device), busy()
    pieces = pieces or Pieces(None, doing)

    def opened(kind: Kind) -> Modules:
        return load(folder, size, device, kind, additions, doing)

    modules = attended(_quickest(device, opened, timer, pieces, say), ways, timer, say)
    threads = torch.get_num_threads()
    if device == "cpu":
        threads = _threads(modules, timer, pieces)
    torch.set_num_threads(threads)
    costs: Costs = {}
    for n in BATCHES:
        try:
            found = pieces.get(f"batch {n}", partial(_eager, modules, n, timer))
        except torch.OutOfMemoryError:
            if not costs:
                raise _too_little(device) from None
            most = max(costs)
            say(f"too little memory on {device} for {n} frames together, so {most} are the most")
            torch.cuda.empty_cache()
            break
        if found is None:
            break
        costs[n] = found
        if sum(costs[n]) > LATENCY_S:  # larger ones answer controls later still
            break
    if lost := pieces.left_out():
        say(f"measuring ended the engine three times, so these are left out: {', '.join(lost)}")
    if not costs:
        raise _too_little(device)
    return Measured(modules.kind, threads, costs, crowded), modules


def _quickest(
    device: str,
    opened: Callable[[Kind], Modules],
    timer: Timer,
    pieces: Pieces,
    say: Callable[[str], None],
) -> Modules:
    """The networks in the kind of numbers that is fastest. Raises ModelError."""
    best: tuple[float, Kind] | None = None
    kept: Modules | None = None  # the networks of the best kind, where they had to be loaded
    loaded: Modules | None = None
    failed: ModelError | None = None
    candidates = kinds(device)
    for kind in candidates:
        limit = best[0] if best else None

        def spent(kind: Kind = kind, limit: float | None = limit) -> Cost:
            nonlocal loaded
            loaded = opened(kind)
            return _fitting(loaded, timer, limit)

        try:
            found = pieces.get(_named(kind), spent)
        except NotFinite as error:
            failed = error
            say(f"{error}; tried without {kind.precision}")
            if kind == candidates[-1] and best is None and kind.precision == "float16":
                candidates.append(SPARE)
            continue
        if found is not None and (best is None or sum(found) < best[0]):
            best, kept = (sum(found), kind), loaded
        loaded = None  # its memory is needed
    if best is None:
        raise failed or ModelError(f"no precision works on {device} for this model")
    return kept or opened(best[1])


def _named(kind: Kind) -> str:
    return f"{kind.precision}, {'channels last' if kind.channels_last else 'channels first'}"


def guess(device: str) -> Measured:
    """What to take on a machine where nothing is known and a room waits."""
    kind = Kind("float16" if device != "cpu" else "float32", True)
    return Measured(kind, _cores(), {1: Cost(1.0, 1.0)}, busy=True)


def attended(
    modules: Modules, ways: Sequence[str], timer: Timer, say: Callable[[str], None]
) -> Modules:
    """The networks with what attends fastest on their own shapes, and say which.

    Raises ModelError where none of the ways can be gone on this machine.
    """
    if tuple(ways) == (modules.kind.attention,):
        return modules
    spent: dict[str, float] = {}
    for way in ways:
        try:
            spent[way] = _fitting(attending(modules, way), timer).evaluation
        except NotImplementedError as error:  # xformers has no kernel for this GPU or these shapes
            trouble = f"{way} cannot attend here: {str(error).splitlines()[0]}"
            if len(ways) == 1:
                raise ModelError(f"{trouble}; leave out --attention") from None
            say(trouble)
    best = min(spent, key=lambda way: spent[way])
    if len(spent) > 1:
        times = ", ".join(f"{way} {seconds * 1e3:.2f} ms" for way, seconds in spent.items())
        say(f"attention by {best}; an evaluation takes {times}")
    return attending(modules, best)


def _threads(modules: Modules, timer: Timer, pieces: Pieces) -> int:
    """All cores, or one less where that is faster."""
    spent: dict[int, float] = {}
    for n in sorted({max(1, _cores() - 1), _cores()}):
        torch.set_num_threads(n)
        found = pieces.get(f"{n} threads", lambda: _fitting(modules, timer))
        if found is not None:
            spent[n] = sum(found)
    return min(spent, key=lambda n: spent[n], default=_cores())


def busy() -> bool:
    """Whether half of the cores had work in the last minute, as far as the system tells."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5 * _cores()


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _fitting(modules: Modules, timer: Timer, limit: float | None = None) -> Cost:
    """Seconds as below with two frames, or with one where memory does not hold two."""
    for batch in (2, 1):
        try:
            return _eager(modules, batch, timer, limit)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    raise _too_little(modules.device)


def _too_little(device: str) -> ModelError:
    return ModelError(f"too little memory on {device} for pictures: {SMALLER}")


def _eager(modules: Modules, batch: int, timer: Timer, limit: float | None = None) -> Cost:
    eager = Eager(modules, batch)
    return seconds(eager, eager.blank(), timer, limit)


def seconds(model: Model, cond: Cond, timer: Timer, limit: float | None = None) -> Cost:
    """Seconds of one evaluation and of one decoding of a batch: the best, since noise only adds.

    cond: of a whole batch. The first run does not count, unless it takes five times the limit.
    """
    x = torch.randn(model.batch, *model.shape, device=model.device)
    spent: list[Cost] = []
    while not _enough(spent):
        start = timer()
        model.denoise(x, 500.0, cond)
        between = timer()
        model.decode(x)
        spent.append(Cost(between - start, timer() - between))
        if limit is not None and sum(spent[0]) > 5 * limit:
            return spent[0]
    ones, decodings = zip(*spent[1:], strict=True)
    return Cost(min(ones), min(decodings))


def _enough(spent: list[Cost]) -> bool:
    """Whether more runs would tell little more, or take long."""
    least = 4 if sum(map(sum, spent)) < SLOW_S else 2
    known = len(spent) >= 12 or sum(map(sum, spent[1:])) >= ENOUGH_S
    return known and len(spent) >= least


def recall(path: Path) -> Measured | None:
    """What was measured earlier, None where there is nothing that can be used."""
    try:
        found = json.loads(path.read_bytes())
        costs = {
            int(n): Cost(float(one), float(other)) for n, (one, other) in found["costs"].items()
        }
        kind, threads = Kind(**found["kind"]), int(found["threads"])
        crowded = bool(found["busy"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    usable = (
        kind.precision in PRECISIONS
        and kind.attention in (SDPA, XFORMERS)
        and isinstance(kind.channels_last, bool)
        and 1 <= threads <= MOST_THREADS
        and costs
        and all(1 <= n <= MOST_BATCH for n in costs)
        and all(0 < x < math.inf for cost in costs.values() for x in cost)
    )
    return Measured(kind, threads, costs, crowded) if usable else None


def remember(path: Path, measured: Measured) -> None:
    """Write down what was measured. Raises OSError where that cannot be done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, json.dumps(asdict(measured)).encode())
