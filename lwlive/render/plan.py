"""The plan: for each frame its place on the walk, in any order.

The walk of one prompt, or a blend of several keyframes; `replay.py` has the third kind. It knows
nothing of files or progress.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lwlive.engine.keyframe import Keyframe, noise_of
from lwlive.engine.model import Model
from lwlive.engine.pace import Pace
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Sampler
from lwlive.engine.walk import Walk, begin
from lwlive.modulation import begun
from lwlive.params import SPECS
from lwlive.render import routed, timing
from lwlive.render.settings import Settings
from lwlive.routes import SILENCE
from lwlive.snapshot import Snapshot

POINTS, FRAMES_A_POINT = 24, 3  # measured for the pace: finer than in a show, there is time
KEPT = 3  # keyframes remembered: both ends of a segment, and the one before
Levels = Callable[[int], Sequence[tuple[float, float]]]


def noises(model: Model, steps: int) -> int:
    """How many noise tensors a keyframe needs with so many steps."""
    rows = model.schedule(steps, 0).steps
    return 2 + max((j for row in rows for j, _ in row.noises), default=-1)


class Plan:
    """The walk of one prompt, or a blend from keyframe to keyframe."""

    def __init__(
        self,
        settings: Settings,
        sampler: Sampler,
        pictures: dict[Path, Tensor],
        levels: Levels,
        shares: Sequence[float] = (),
        bands: routed.Bands = (),
    ) -> None:
        """`pictures`: clean latents [C, H, W] by file. `shares`: of a way, for each frame.

        `bands`: what is heard, for each frame; empty where there is no sound.
        """
        self.settings, self.sampler, self.params = settings, sampler, settings.live()
        self.pictures, self.levels, self.shares = pictures, levels, shares
        self._bands = bands
        assert self.params.steps is not None
        self.steps = self.params.steps
        tempo = routed.tempo(self.params.bpm)
        self._snapshot = Snapshot(0, self.params, tempo=tempo, routes=settings.moving)
        moves = any(route.name == "steps" for route in settings.moving)
        most = max(self.steps, int(SPECS["steps"].high)) if moves else self.steps
        self._noises = noises(sampler.model, most)
        self._conds = Conds(sampler.model.encode)
        self._keyframes: dict[int, Keyframe] = {}
        self._pace = Pace(POINTS, FRAMES_A_POINT)
        self._segment: tuple[int, Walk] | None = None

    def latents(self, numbers: Sequence[int]) -> Tensor:
        """Clean latents [n, C, H, W] of these frames.

        Best asked for in their order, since segments are prepared.
        """
        return self.sampler.latents([self._walk(n) for n in numbers])

    def source(self, number: int) -> int:
        """The frame that this one equals: itself, or one of the first round of a loop.

        Where routes move something, no round is like the one before.
        """
        return number % self.round if self.round else number

    @property
    def round(self) -> int:
        """Frames after which a closed loop comes again, 0 where it does not."""
        length = 0 if self.settings.moving else self.params.loop
        return self.settings.joints[length] if length else 0

    def segment(self, number: int) -> tuple[int, float]:
        """The segment of a frame, and its fraction of the way."""
        if self.shares:
            return timing.place(self.settings.joints, number)[0], self.shares[number]
        i, gone, frames = timing.place(self.settings.joints, self.source(number))
        return i, gone / frames

    def along(self, i: int) -> Walk:
        """The beginning of a segment, paced."""
        if self._segment is None or self._segment[0] != i:
            walk = self._begun(i)
            frames = self.settings.joints[i + 1] - self.settings.joints[i]
            evened = self.params.pace > 0 and self.settings.render.budget is None
            while evened and self._pace.measure(self.sampler, walk, frames):
                pass
            self._segment = i, self._pace.settled(walk, frames)
        return self._segment[1]

    def _walk(self, number: int) -> Walk:
        i, fraction = self.segment(number)
        walk = replace(self.along(i), fraction=fraction)
        if not self.settings.moving:
            return walk
        return walk.moved_at(number / self.settings.render.fps, self._heard(number))

    def _heard(self, number: int) -> tuple[float, ...]:
        return self._bands[min(number, len(self._bands) - 1)] if self._bands else SILENCE

    def _begun(self, i: int) -> Walk:
        a, b = self._keyframe(i), self._keyframe(i + 1)
        model = self.sampler.model
        walk = begin(self._snapshot, a.cond, model.shape, model.device, 0, 1)
        return replace(
            walk, index=i, a=a, b=b, cond_a=a.cond, cond_b=b.cond, tied=bool(self.settings.keys)
        )

    def _keyframe(self, i: int) -> Keyframe:
        """The keyframe at joint i; neighbours share it, with its trajectory."""
        count = self.params.loop or len(self.settings.keys)
        i = i % count if count else i
        if i not in self._keyframes:
            while len(self._keyframes) >= KEPT:
                self._keyframes.pop(next(iter(self._keyframes)))
            self._keyframes[i] = self._made(i)
        return self._keyframes[i]

    def _seed(self, i: int) -> int:
        """The seed that keyframe i is of: as routes have it where the way there begins."""
        number = self.settings.joints[max(0, i - 1)]
        at, heard = number / self.settings.render.fps, self._heard(number)
        moved = begun(self._snapshot, self.settings.moving, at, heard)
        return int(moved.value("seed", self.params.seed))

    def _made(self, i: int) -> Keyframe:
        model, params = self.sampler.model, self.params
        shape, device = model.shape, model.device
        if not self.settings.keys:
            noise = noise_of(self._seed(i), i, shape, device, self._noises)
            return Keyframe(noise, self._conds(params.prompt, params.negative))
        key = self.settings.keys[i]
        noise = noise_of(key.seed, key.index, shape, device, self._noises)
        cond = self._conds(key.prompt, key.negative)
        if key.picture is None:
            return Keyframe(noise, cond, guidance=key.guidance)
        clean = self.pictures[key.picture]
        rows = [signal * clean + sigma * noise[0] for signal, sigma in self.levels(self.steps)]
        given = {self.steps: torch.stack(rows)}
        return Keyframe(noise, cond, given, key.guidance, pinned=True)
