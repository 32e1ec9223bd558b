"""Pace: how visual speed along a segment is evened out, measured on a few places of it.

It knows nothing of rings, clocks or files; whoever asks decides when there is time to measure.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from lwlive.engine import sync
from lwlive.engine.look import look_of
from lwlive.engine.place import Warp
from lwlive.engine.sampler import Check, Sampler, along, evened, unchecked
from lwlive.engine.walk import Walk

REMEMBERED = 128  # segments


class Pace:
    """The paces of segments, measured a batch at a time and remembered.

    At most so many points are measured along a segment, each for at least so many frames of it.
    """

    def __init__(self, points: int, frames_a_point: int) -> None:
        self._most, self._apart = points, frames_a_point
        self._warps: dict[object, Warp] = {}  # by what they depend on
        self._measuring: tuple[object, list[Tensor]] = (None, [])  # one not finished yet

    def measure(
        self, sampler: Sampler, walk: Walk, frames: float, check: Check = unchecked
    ) -> bool:
        """Measure one batch of places on the walk's segment, which is passed in so many frames.

        False where no more is to do. `check` may raise to break off, and nothing is lost by it but
        this batch.
        """
        key, points = self._key(walk, frames), self._points(frames)
        if points < 3 or key in self._warps:
            return False
        if self._measuring[0] != key:
            self._measuring = (key, [])
        parts = self._measuring[1]
        done = sum(map(len, parts))
        some = along(walk, points)[done : done + sampler.model.batch]
        parts.append(sampler.latents(some, check))
        if done + len(parts[-1]) == points + 1:
            if len(self._warps) >= REMEMBERED:
                self._warps.pop(next(iter(self._warps)))
            self._warps[key] = evened(torch.cat(parts))
        return True

    def settled(self, walk: Walk, frames: float) -> Walk:
        """The walk with its segment's pace, as far as that was measured."""
        return replace(walk, warp=self._warps.get(self._key(walk, frames), ()), fresh=False)

    def _points(self, frames: float) -> int:
        return int(min(self._most, frames // self._apart))

    def _key(self, walk: Walk, frames: float) -> object:
        """What the pace of a segment depends on."""
        p = walk.params
        path = (walk.seed, walk.index, walk.a.origin, walk.b.origin, p.prompt, p.negative)
        feed = (p.crossfeed, p.crossfeed_range, p.crossfeed_decay, p.damping)
        guidances = (p.guidance, *map(walk.guidance_of, (walk.a, walk.b)))
        return (*path, walk.free, walk.lone, look_of(p), *guidances, *feed, self._points(frames))


def frames_of(walk: Walk, fps: float) -> float:
    """Frames that a walk takes for a segment, as hands have set it."""
    speed = sync.steady(walk.snapshot)
    return fps / speed if speed else math.inf


def live_pace() -> Pace:
    """Pace as a show measures it: where frames are many, so that it costs little beside them."""
    return Pace(points=12, frames_a_point=8)
