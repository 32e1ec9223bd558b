"""Spare time: what a producer does where frames leave time, one piece after the other.

Paces of segments are measured and a model's first uses are made. Whoever asks decides when there is
time. This file knows no rings or clocks.
"""

from collections.abc import Iterator

from lwlive.engine.keyframe import Keyframe
from lwlive.engine.model import Model
from lwlive.engine.pace import frames_of, live_pace
from lwlive.engine.sampler import Check, Sampler
from lwlive.engine.turn import Made
from lwlive.engine.walk import Walk
from lwlive.engine.warmup import first_uses


class Spare:
    """The work of one producer in its spare time. `fps`: of the show."""

    def __init__(self, fps: float) -> None:
        self._fps, self._pace = fps, live_pace()
        self._known: tuple[Keyframe, int] | None = None  # a segment's end and version: has its pace
        self._first_uses: Iterator[None] | None = None  # those left, once they have begun
        self.paced = False  # whether the last segment begun has its pace

    def use(self) -> None:
        """Another model is used from now on."""
        self._first_uses = None

    def warm(self, model: Model, last: Made) -> bool:
        """Use the model in one way for the first time. False where that is done."""
        if self._first_uses is None:
            self._first_uses = first_uses(model, last.walk, last.latents)
        return next(self._first_uses, False) is None

    def coming(self, walk: Walk) -> Walk | None:
        """The segment after this one, where its pace may still be measured. Asked at every turn."""
        if walk.lone or self._known == (walk.b, walk.snapshot.version):
            return None
        return walk.next_segment()

    def measure_coming(self, sampler: Sampler, walk: Walk, check: Check) -> bool:
        """Measure more of the segment to come. False where that is done."""
        coming = self.coming(walk)
        if coming is None:
            return False
        if self.measure(sampler, coming, check):
            return True
        self._known = walk.b, walk.snapshot.version
        return False

    def measure(self, sampler: Sampler, walk: Walk, check: Check) -> bool:
        """Measure more of the walk's segment. False where that is done."""
        if walk.lone or not (walk.params.pace or walk.moved.by("pace")):
            return False
        return self._pace.measure(sampler, walk, frames_of(walk, self._fps), check)

    def settled(self, walk: Walk) -> Walk:
        """The walk with its segment's pace, as far as that was measured."""
        settled = self._pace.settled(walk, frames_of(walk, self._fps))
        self.paced = bool(settled.warp)
        return settled
