"""The producer: walk -> sampler -> ring, ahead of the show and never far ahead of the hands.

Its loop runs in one thread of the engine and may wait for a free slot of the ring. Controls come
as whole snapshots: `inbox()` gives the newest one.

A frame not yet shown can be taken back. Each one is remembered with its Walk, and when a control
changes, the walk goes on from the first frame that can still be replaced in time. The producer
knows nothing of checkpoints or processes.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lwlive.engine.graphs import Timer, waited
from lwlive.engine.keyframe import Cond, Keyframe
from lwlive.engine.loop import FULL_LOAD, Costs, Decision, Situation, decide
from lwlive.engine.pace import live_pace
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Model, Sampler
from lwlive.engine.slew import eased, most
from lwlive.engine.walk import Look, Walk, begin
from lwlive.engine.warming import first_uses
from lwlive.link import Running
from lwlive.params import Snapshot
from lwlive.ring import Frame, Pixels, Ring

Following = tuple[bool, bool]  # whether a frame's change was limited, and whether it is behind


@dataclass(frozen=True)
class Made:
    """A frame put into the ring, and what it takes to go on from it."""

    number: int
    place: int  # how many frames of this walk came before
    walk: Walk
    latents: Tensor  # [C, H, W], clean
    behind: bool  # whether these follow those of the walk, and have not caught up


class Producer:
    """Fills the ring with the walk under the newest controls."""

    def __init__(
        self,
        model: Model,
        ring: Ring,
        fps: float,
        inbox: Callable[[], Snapshot],
        timer: Timer,
        phase: float,
    ) -> None:
        self.ring, self.fps = ring, fps
        self.inbox, self.timer = inbox, waited(timer, model.device)
        self.stride = 1
        self.load = FULL_LOAD
        self.costs = Costs()
        self.epoch = 0
        self._conds = Conds(lambda texts: self.model.encode(texts))
        self._replaced = 0  # pictures that were not good, by models used before
        self._used: Model | None = None
        self._pace = live_pace()
        self._known_ahead: tuple[Keyframe, int, Look] | None = None  # a segment with its pace
        self.use(model)
        snapshot = self._completed(inbox())
        self._made: deque[Made] = deque(maxlen=ring.handle.slots + 1)
        # the walk of the first frame not made yet, and the same without what was steered last:
        # a frame is steered once at most, so that a journal can tell the walk by its frames
        self._next = begin(snapshot, self._cond(snapshot), model.shape, model.device, phase)
        self._unsteered: Walk | None = None

    def use(self, model: Model) -> None:
        """Go on with another model of the same checkpoint."""
        self._replaced += self._used.replaced if self._used is not None else 0
        self._used = self.model = model
        self.sampler = Sampler(model)
        self.costs = Costs()
        self._turn_s = 0.0
        self._first_uses: Iterator[None] | None = None  # those left, once they have begun

    def recover(self, model: Model) -> None:
        """Go on with another model after a turn that failed, from the last frame made."""
        self.use(model)
        if self._made:
            self._follow()

    @property
    def running(self) -> Running:
        """How frames are sampled now."""
        return Running(
            device=self.model.device,
            dtype=self.model.dtype,
            batch=self.model.batch,
            compiled=self.model.compiled,
            sample_ms=self.costs.sample * 1e3,
            decode_ms=self.costs.decode * 1e3,
            stride=self.stride,
            turn_s=self._turn_s,
            replaced=self._replaced + self.model.replaced,
        )

    def advance(self) -> bool:
        """Make the next frames if any are wanted. False where there was nothing to do."""
        self._steer()
        decision = self._decision
        self.stride = decision.stride
        if decision.measure and self._measured_ahead():
            return True
        if decision.make:
            self._make()
            return True
        return decision.idle and self._warm()

    @property
    def _decision(self) -> Decision:
        """What is to be done now."""
        return decide(
            Situation(
                fps=self.fps,
                batch=self.model.batch,
                stride=self.stride,
                costs=self.costs,
                ready=self._ready,
                room=self.ring.room,
                slots=self.ring.handle.slots,
                load=self.load,
            )
        )

    def _warm(self) -> bool:
        """Use the model in one way for the first time. False where that is done."""
        if self._first_uses is None:
            last = self._made[-1]
            self._first_uses = first_uses(self.model, last.walk, last.latents)
        return next(self._first_uses, False) is None

    def _make(self) -> None:
        """Sample one batch of places, decode them and the in-betweens, put all into the ring.

        As many as a batch has are decoded at a time, and can be shown while others are decoded.
        """
        sampled, walks = self._places()
        start = self.timer()
        clean, following = self._eased(self.sampler.latents(sampled), sampled, len(walks))
        between = self.timer()
        latents, stride = self._filled_in(clean, len(walks)), len(walks) // len(sampled)
        following = [each for each in following for _ in range(stride)]
        for i in range(0, len(walks), self.model.batch):
            part = slice(i, i + self.model.batch)
            pictures = self.sampler.pixels(latents[part])
            self._put(walks[part], latents[part], pictures, following[part], i, stride)
        spent = self.timer() - between
        self._turn_s = self.model.batch * (between - start + spent) / len(sampled)
        if len(sampled) == self.model.batch:  # a smaller batch may cost as much as a whole one
            each = (between - start) / len(sampled)
            self.costs = self.costs.learned(each, spent / len(walks))
        self._follow()

    def _put(
        self,
        walks: list[Walk],
        latents: Tensor,
        pictures: list[Pixels],
        following: list[Following],
        before: int,
        stride: int,
    ) -> None:
        """Put some of a turn's frames into the ring, `before` of which are there already."""
        # Frames that the reader overtook meanwhile are not skipped: they are shown later.
        first = max(self._made[-1].number if self._made else -1, self.ring.taken) + 1
        place = self._made[-1].place + 1 if self._made else 0
        rows = zip(walks, latents, pictures, following, strict=True)
        for i, (walk, z, pixels, (limited, behind)) in enumerate(rows):
            between = (before + i + 1) % stride
            frame = Frame(
                pixels=pixels,
                number=first + i,
                version=walk.snapshot.version,
                phase=walk.phase,
                sampled=between == 0,
                epoch=self.epoch,
                place=place + i,
                stride=stride,
                between=between,
                paced=bool(walk.warp),
                eased=limited,
            )
            self.ring.put(frame)
            self._made.append(Made(first + i, place + i, walk, z, behind))

    def _places(self) -> tuple[list[Walk], list[Walk]]:
        """The places to sample, and those of all frames they make: every stride-th is sampled.

        The first frame of all is made alone: nothing comes before it that could be mixed.
        """
        count = self.stride * self.model.batch if self._made else 1
        walks = [self._next]
        while len(walks) < count:
            walks.append(self._settled(walks[-1].after(1 / self.fps)))
        stride = self.stride if self._made else 1
        return walks[stride - 1 :: stride], walks

    def _eased(
        self, clean: Tensor, walks: list[Walk], frames: int
    ) -> tuple[Tensor, list[Following]]:
        """Clean latents [n, C, H, W] that follow at a limited rate while the walk is steered."""
        seconds = frames / len(walks) / self.fps
        last = self._made[-1] if self._made else None
        before, on = (last.latents, last.behind) if last else (clean[0], False)
        result, limited = [], []
        for walk, after in zip(walks, clean, strict=True):
            on = on or (walk.bending and last is not None)
            before = eased(before, after, most(walk, seconds)) if on else after
            result.append(before)
            limited.append(on)
        followed = torch.stack(result)
        behind = (followed != clean).flatten(1).any(1).tolist()
        return followed, list(zip(limited, behind, strict=True))

    def _filled_in(self, clean: Tensor, frames: int) -> Tensor:
        """Clean latents of all frames [frames, C, H, W], those between mixed from [n, C, H, W]."""
        stride = frames // len(clean)
        if stride == 1:
            return clean
        knots = torch.cat([self._made[-1].latents[None], clean])
        shares = [(j + 1) / stride for j in range(stride)]
        return torch.stack(
            [torch.lerp(knots[i], knots[i + 1], f) for i in range(len(clean)) for f in shares]
        )

    def _steer(self) -> None:
        """Take up new controls, from the first frame that can still be replaced in time."""
        snapshot = self._completed(self.inbox())
        if snapshot.version == self._next.snapshot.version:
            return
        soonest = self.ring.taken + 1 + self._decision.keep
        if len(self._made) > 1 and self._made[-1].number >= soonest:
            while len(self._made) > 1 and self._made[-1].number >= soonest:
                self._made.pop()
            self.epoch += 1
            self._follow()
        if not self._made:
            self._next = begin(
                snapshot,
                self._cond(snapshot),
                self.model.shape,
                self.model.device,
                self._next.phase,
            )
            return
        before = self._unsteered or self._next
        self.sampler.trace(before)
        self._unsteered, self._next = before, before.steered(snapshot, self._cond(snapshot))

    def _follow(self) -> None:
        """The next frame follows the last one made."""
        self._next = self._settled(self._made[-1].walk.after(1 / self.fps))
        self._unsteered = None

    @property
    def _ready(self) -> int:
        """Frames still to be shown, less those that were taken back."""
        return self._made[-1].number - self.ring.taken if self._made else 0

    def _completed(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the model's own values where none were chosen."""
        missing = {n: v for n, v in self.model.own.items() if getattr(snapshot.params, n) is None}
        if not missing:
            return snapshot
        return replace(snapshot, params=replace(snapshot.params, **missing))

    def _cond(self, snapshot: Snapshot) -> Cond:
        return self._conds(snapshot.params.prompt, snapshot.params.negative)

    def _settled(self, walk: Walk) -> Walk:
        """The walk with its pace, where a segment has just begun and that could be measured."""
        if not walk.fresh:
            return walk
        while self._decision.measure and self._measured(walk):
            pass
        return self._pace.settled(walk, _frames(walk, self.fps))

    def _measured_ahead(self) -> bool:
        """Measure more of the segment to come. False where that is done: asked at every turn."""
        what = (self._next.b, self._next.snapshot.version, self._next.look)
        if self._known_ahead == what:
            return False
        if self._measured(self._next.next_segment()):
            return True
        self._known_ahead = what
        return False

    def _measured(self, walk: Walk) -> bool:
        return self._pace.measure(self.sampler, walk, _frames(walk, self.fps))


def _frames(walk: Walk, fps: float) -> float:
    """Frames that a walk takes for a segment."""
    return fps / walk.params.speed if walk.params.speed else math.inf
