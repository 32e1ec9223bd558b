"""A turn: some frames of the walk made together, as a pure function of what came before.

The producer and the replay of a journal both make their frames with it, so that a performance comes
out as it was. It knows no rings, clocks or files.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lwlive.engine.keyframe import Cond
from lwlive.engine.sampler import Sampler
from lwlive.engine.slew import eased, most
from lwlive.engine.walk import Walk
from lwlive.messages import Turn
from lwlive.snapshot import ROUNDING_S, Snapshot

Settle = Callable[[Walk], Walk]  # gives a segment that has just begun its pace


@dataclass(frozen=True, eq=False)
class Made:
    """A frame, and what it takes to continue from it."""

    walk: Walk
    latents: Tensor  # [C, H, W], clean
    behind: bool  # whether these follow those of the walk, and have not caught up


def onward(walk: Walk, turn: Turn, i: int, settle: Settle) -> Walk:
    """The walk one frame later, as frame i of a turn."""
    return settle(walk.after(turn.step_s, turn.due + i * turn.every_s, turn.bands))


def steered(
    walk: Walk, snapshot: Snapshot, cond: Callable[[Snapshot], Cond], sampler: Sampler
) -> Walk:
    """The same place under these controls, where they are not its own already.

    What it inherits is traced, since the present mix is a part of where it goes from here.
    """
    if snapshot.version == walk.snapshot.version:
        return walk
    sampler.trace(walk)
    return walk.steered(snapshot, cond(snapshot))


def cut(turn: Turn, snapshot: Snapshot) -> Turn:
    """The turn, ended where the next of the changes that wait takes effect."""
    gap = snapshot.changes(turn.due) - ROUNDING_S - turn.due
    if gap > (turn.frames - 1) * turn.every_s:
        return turn
    left = math.ceil(gap / turn.every_s)
    if left >= turn.stride:
        return replace(turn, frames=left // turn.stride * turn.stride)
    return replace(turn, frames=left, stride=left)


def places(first: Walk, turn: Turn, settle: Settle) -> list[Walk]:
    """The places of all frames of a turn. The last one of each stride is sampled."""
    walks = [first.freed(turn.free, turn.lone)]
    while len(walks) < turn.frames:
        walks.append(onward(walks[-1], turn, len(walks), settle))
    return walks


def sampled(walks: Sequence[Walk], turn: Turn) -> list[Walk]:
    """Those places of a turn that go through the model: the others lie between their latents."""
    return list(walks[turn.stride - 1 :: turn.stride])


def made(before: Made | None, walks: Sequence[Walk], clean: Tensor, turn: Turn) -> list[Made]:
    """The frames of a turn that follow `before`, those past over left out.

    walks: all of its places; clean: latents [n, C, H, W] of the sampled ones. While the walk is
    steered, and where frames came too late, they follow at a limited rate from what was shown. The
    first frame of all follows nothing.
    """
    found: list[Made] = []
    on = turn.behind or turn.joined > 0
    start = turn.joined
    for after, end in zip(clean, range(turn.stride, turn.frames + 1, turn.stride), strict=True):
        if end <= start:
            continue
        walk, count, there = walks[end - 1], end - start, after
        if before is not None:
            on = on or walk.bending
            if on:
                there = eased(before.latents, after, most(walk, count * turn.step_s))
        behind = on and bool((there != after).any())
        for i in range(1, count):
            assert before is not None, "nothing comes before the first frame of all"
            latents = torch.lerp(before.latents, there, i / count)
            found.append(Made(walks[start + i - 1], latents, behind))
        before = Made(walk, there, behind)
        found.append(before)
        start = end
    return found
