"""What a show makes of a checkpoint on this machine: measured once, then read from the cache.

Knows no processes, walks or rings; the engine asks before a show, `lwlive models build` ahead.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from lwlive.checkpoint import Opened, knows_guidance, own_values
from lwlive.config import Config
from lwlive.engine import attention
from lwlive.engine.compiled.build import Build, key
from lwlive.engine.compiled.child import compiler
from lwlive.engine.governor import batch_for
from lwlive.engine.load import Modules
from lwlive.engine.tuning import measure
from lwlive.engine.tuning.pieces import Pieces
from lwlive.params import Params


def plan(
    config: Config,
    opened: Opened,
    params: Params,
    say: Callable[[str], None],
    thorough: bool = False,
    waiting: bool = False,
    doing: Callable[[str], None] = lambda _: None,
) -> tuple[Build, Modules | None]:
    """The packages that suit, and the networks where they had to be loaded for measuring.

    Where some are built, a show takes the best of those, so as to be at full speed soon;
    `thorough` also hopes for what is not built yet. `waiting`: a room waits for pictures, so
    nothing is measured; what was measured earlier is taken as it is, or a guess. Sets torch's
    threads to what was found best. Raises ModelError.
    """
    folder, additions, size = opened.folder, opened.additions, opened.size
    device = measure.device_of(config.device)
    ways = attention.ways(config.attention, device)
    notes = _notes(config, opened)
    measured, modules = measure.recall(notes), None
    if measured is None and waiting:
        say("nothing is known about this machine yet, and it is not measured during a show")
        measured = measure.guess(device)
    elif measured is None and notes.exists():
        say(f"what was measured earlier cannot be used, so this machine is measured again: {notes}")
    elif measured and measured.busy and not measure.busy() and not waiting:
        say("this machine is quieter than when it was measured, so it is measured again")
        measured = None
    if measured is None:
        pieces = Pieces(_pieces(notes), doing)
        measured, modules = measure.measure(
            folder, size, device, time.perf_counter, additions, say, ways, pieces, doing
        )
        try:
            measure.remember(notes, measured)
            pieces.forget()
        except OSError as error:
            say(f"what was measured cannot be kept in {notes}: {error}")
    torch.set_num_threads(measured.threads)
    builds = {
        n: Build(str(folder), size, device, measured.kind, n, measured.threads, additions)
        for n in {*measured.costs, config.batch or 1}
    }
    if config.batch:
        return builds[config.batch], modules
    costs = measured.costs
    if config.compile:
        built = {n: found for n, want in builds.items() if (found := want.costs(opened.cache))}
        if thorough or not built:
            in_vain = {n: costs[n] for n in costs if builds[n].trouble(opened.cache)}
            costs = (measured.expected if compiler() else costs) | in_vain | built
        else:
            costs = built
    each = measure.a_frame(costs, evaluations(params, opened))
    return builds[batch_for(each, config.fps)], modules


def forget(config: Config, opened: Opened) -> None:
    """Measure again at the next plan: the machine may have been busy when it was measured."""
    notes = _notes(config, opened)
    for path in (notes, _pieces(notes)):
        path.unlink(missing_ok=True)


def _pieces(notes: Path) -> Path:
    """Where a measurement that is not complete is kept."""
    return notes.with_suffix(".part.json")


def _notes(config: Config, opened: Opened) -> Path:
    """Where it is kept what was measured."""
    device = measure.device_of(config.device)
    ways = attention.ways(config.attention, device)
    made_for = key(str(opened.folder), opened.size, device, opened.additions, *ways)
    return opened.cache / "measured" / f"{made_for}.json"


def evaluations(params: Params, opened: Opened) -> int:
    """How often a frame asks the UNet: twice a step under guidance, unless the UNet knows it."""
    own = own_values(opened.folder, opened.additions)
    steps, guidance = (
        own[name] if (given := getattr(params, name)) is None else given
        for name in ("steps", "guidance")
    )
    return int(steps) * (2 if guidance > 1 and not knows_guidance(opened.folder) else 1)
