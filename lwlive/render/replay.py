"""The replay: a performance's walk, made again from its journal.

Frame by frame as the producer made it: one later, then steered where controls took effect. It can
only go forwards; asked for an earlier frame, it begins anew.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lwlive.engine.keyframe import Cond
from lwlive.engine.pace import live_pace
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Sampler
from lwlive.engine.slew import eased, most
from lwlive.engine.walk import Walk, begin
from lwlive.params import Params, Snapshot
from lwlive.render.journal import Tick, read
from lwlive.render.plan import noises
from lwlive.render.settings import Settings
from lwlive.stage.journal import follows
from lwlive.stage.master import Master

TAKEN_BACK = 512  # frames at most


@dataclass(eq=False)
class Mixed:
    """A picture that was mixed: of the one before the in-betweens, and of the one after."""

    before: "Part"
    after: "Part"
    share: float
    clean: Tensor | None = None  # [C, H, W], once it is known


@dataclass(eq=False)
class Eased:
    """A picture that followed the walk at a limited rate."""

    before: "Part | None"  # not kept once it is known
    after: Walk
    most: float
    clean: Tensor | None = None


Part = Walk | Mixed | Eased
Made = tuple[Walk, Part]  # where a frame is, and what its picture was made of


def _unknown(parts: Sequence[Part]) -> list[Part]:
    """These and all that they are made from, as far as that is not known, the first made first."""
    found: list[Part] = []
    seen: set[Part] = set()
    todo: list[tuple[Part, bool]] = [(part, False) for part in reversed(parts)]
    while todo:  # a picture may follow hundreds of others
        part, below = todo.pop()
        if below:
            found.append(part)
        elif part not in seen and (isinstance(part, Walk) or part.clean is None):
            seen.add(part)
            todo.append((part, True))
            if not isinstance(part, Walk):
                todo += [(one, False) for one in (part.after, part.before) if one is not None]
    return found


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
        unknown = _unknown(parts)
        walks = [part for part in unknown if isinstance(part, Walk)]
        sampled = dict(zip(walks, self.sampler.latents(walks), strict=True)) if walks else {}

        def clean(part: Part | None) -> Tensor:
            assert part is not None
            found = sampled[part] if isinstance(part, Walk) else part.clean
            assert found is not None
            return found

        for part in unknown:
            if isinstance(part, Mixed):
                part.clean = torch.lerp(clean(part.before), clean(part.after), part.share)
            elif isinstance(part, Eased):
                part.clean = eased(clean(part.before), clean(part.after), part.most)
                part.before = None
        return torch.stack([clean(part) for part in parts])

    def _rewind(self) -> None:
        self._next = 0  # tick whose walk is not known yet
        self._recent: deque[Made] = deque(maxlen=TAKEN_BACK)  # different frames
        self._version = 0
        self._between, self._paced, self._eased = (0, 1), False, False

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
        self._eased = self._eased if change.eased is None else change.eased
        walk = self._walk(change)
        which, stride = self._between if self.again else (0, 1)
        if not self._recent:
            return walk, walk
        last = self._recent[-1][1]
        if isinstance(last, Mixed) and which > 1:
            return walk, Mixed(last.before, last.after, which / stride)
        if isinstance(last, Mixed) and which == 0 and not change.back and change.params is None:
            return walk, last.after  # what they were mixed with
        after = walk
        for _ in range((stride - which) % stride):
            after = self._settled(after.after(1 / self.fps))
        part = Eased(last, after, most(after, stride / self.fps)) if self._eased else after
        return walk, Mixed(last, part, which / stride) if which else part

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
        return replace(Params(), **{**values, **own, **self.overrides})

    def _cond(self, snapshot: Snapshot) -> Cond:
        return self._conds(snapshot.params.prompt, snapshot.params.negative)

    def _levels(self) -> list[float]:
        """The master's level on every tick."""
        first = self.played.changes[0].master or {}
        params = replace(Params(), **first)
        master, found = Master(params), []
        for tick in range(self.played.ticks):
            change = self.played.changes.get(tick)
            if change is not None and change.master is not None:
                params = replace(params, **change.master)
            found.append(master.step(params, 1 / self.fps))
        return found
