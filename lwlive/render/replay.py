"""The replay: a performance's walk, made again from its journal.

Frame by frame as the producer made it: one later, then steered where controls took effect. It can
only go forwards; asked for an earlier frame, it begins anew.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lwlive.engine.keyframe import Cond
from lwlive.engine.pace import live_pace
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Sampler
from lwlive.engine.walk import Walk, begin
from lwlive.params import Params, Snapshot
from lwlive.render.journal import Tick, read
from lwlive.render.plan import noises
from lwlive.render.settings import Settings
from lwlive.stage.journal import follows
from lwlive.stage.master import Master

TAKEN_BACK = 512  # frames at most


@dataclass(frozen=True, eq=False)
class Mixed:
    """A picture that was mixed: of the one before the in-betweens, and of one sampled after."""

    before: "Mixed | Walk"
    after: Walk
    share: float


Made = tuple[Walk, Mixed | Walk]  # where a frame is, and what its picture was made of


def _walks(part: Mixed | Walk) -> Iterator[Walk]:
    """What has to be sampled for a picture."""
    if isinstance(part, Mixed):
        yield from _walks(part.before)
        yield part.after
    else:
        yield part


def _clean(part: Mixed | Walk, sampled: dict[Walk, Tensor]) -> Tensor:
    """Clean latents [C, H, W] of a picture, from those sampled."""
    if isinstance(part, Walk):
        return sampled[part]
    return torch.lerp(_clean(part.before, sampled), sampled[part.after], part.share)


class Replay:
    """The places of a performance's frames, and how bright its master was."""

    def __init__(self, settings: Settings, sampler: Sampler) -> None:
        assert settings.render.journal is not None
        self.played = read(settings.render.journal)
        self.sampler, self.overrides, self.again = sampler, settings.overrides, settings.again
        self.fps = settings.render.fps
        self._conds = Conds(sampler.model.encode)
        given = (change.params for change in self.played.changes.values() if change.params)
        most = max(self._params(values).steps or 1 for values in given)
        self._noises = noises(sampler.model, most)
        self._pace = live_pace()
        self.levels = self._levels()
        self._rewind()

    def latents(self, numbers: Sequence[int]) -> Tensor:
        """Clean latents [n, C, H, W] of these frames."""
        parts = [self._at(n)[1] for n in numbers]
        walks = list(dict.fromkeys(walk for part in parts for walk in _walks(part)))
        sampled = dict(zip(walks, self.sampler.latents(walks), strict=True))
        return torch.stack([_clean(part, sampled) for part in parts])

    def _rewind(self) -> None:
        self._next = 0  # tick whose walk is not known yet
        self._recent: deque[Made] = deque(maxlen=TAKEN_BACK)  # different frames
        self._version = 0
        self._between, self._paced = (0, 1), False

    def _at(self, tick: int) -> Made:
        if tick < self._next - 1:
            self._rewind()
        while self._next <= tick:
            if self._next not in self.played.repeats:
                self._recent.append(self._made(self.played.changes.get(self._next, Tick())))
            self._next += 1
        return self._recent[-1]

    def _made(self, change: Tick) -> Made:
        """The next frame."""
        if change.begin is not None:
            self._between = (0, 1)
        self._between = change.between or follows(self._between)
        self._paced = self._paced if change.paced is None else change.paced
        walk = self._walk(change)
        which, stride = self._between
        if not (self.again and which and self._recent):
            return walk, walk
        last = self._recent[-1][1]
        if which > 1 and isinstance(last, Mixed):
            return walk, Mixed(last.before, last.after, which / stride)
        after = walk
        for _ in range(stride - which):
            after = self._settled(after.after(1 / self.fps))
        return walk, Mixed(last, after, which / stride)

    def _walk(self, change: Tick) -> Walk:
        """Where the next frame is."""
        model = self.sampler.model
        if change.begin is not None:
            snapshot = self._snapshot(change)
            return begin(
                snapshot,
                self._cond(snapshot),
                model.shape,
                model.device,
                change.begin,
                self._noises,
            )
        for _ in range(min(change.back, len(self._recent) - 1)):
            self._recent.pop()
        walk = self._settled(self._recent[-1][0].after(1 / self.fps))
        if change.params is None:
            return walk
        self.sampler.trace(walk)
        snapshot = self._snapshot(change)
        return walk.steered(snapshot, self._cond(snapshot))

    def _settled(self, walk: Walk) -> Walk:
        if not walk.fresh:
            return walk
        frames = self.fps / walk.params.speed if walk.params.speed else float("inf")
        if self.again and not self._paced:
            return replace(walk, fresh=False)
        while self._pace.measure(self.sampler, walk, frames):
            pass
        return self._pace.settled(walk, frames)

    def _snapshot(self, change: Tick) -> Snapshot:
        assert change.params is not None
        self._version += 1
        return Snapshot(self._version, self._params(change.params), change.nexts)

    def _params(self, values: dict[str, object]) -> Params:
        own = {n: v for n, v in self.sampler.model.own.items() if values.get(n) is None}
        return Params().model_copy(update={**values, **own, **self.overrides})

    def _cond(self, snapshot: Snapshot) -> Cond:
        return self._conds(snapshot.params.prompt, snapshot.params.negative)

    def _levels(self) -> list[float]:
        """The master's level on every tick."""
        first = self.played.changes[0].master or {}
        params = Params().model_copy(update=first)
        master, found = Master(params), []
        for tick in range(self.played.ticks):
            change = self.played.changes.get(tick)
            if change is not None and change.master is not None:
                params = params.model_copy(update=change.master)
            found.append(master.step(params, 1 / self.fps))
        return found
