"""The replay: a performance's walk, made again from its journal.

Frame by frame as the producer made it: one later, then steered where controls took effect. It can
only go forwards; asked for an earlier frame, it begins anew.
"""

from collections import deque
from collections.abc import Sequence

from lwlive.engine.keyframe import Cond
from lwlive.engine.pace import Pace
from lwlive.engine.sampler import Sampler
from lwlive.engine.walk import Walk, begin
from lwlive.params import Params, Snapshot
from lwlive.render.journal import Tick, read
from lwlive.render.plan import cond_of, noises
from lwlive.render.settings import Settings
from lwlive.stage.master import Master

TAKEN_BACK = 512  # frames at most


class Replay:
    """The places of a performance's frames, and how bright its master was."""

    def __init__(self, settings: Settings, sampler: Sampler) -> None:
        assert settings.render.journal is not None
        self.played = read(settings.render.journal)
        self.sampler, self.overrides = sampler, settings.overrides
        self.fps = settings.render.fps
        self._cond: dict[tuple[str, str], Cond] = {}
        given = (change.params for change in self.played.changes.values() if change.params)
        most = max(self._params(values).steps or 1 for values in given)
        self._noises = noises(sampler.model, most)
        self._pace = Pace()
        self.levels = self._levels()
        self._rewind()

    def walks(self, numbers: Sequence[int]) -> list[Walk]:
        """Where these frames are."""
        return [self._at(n) for n in numbers]

    def _rewind(self) -> None:
        self._next = 0  # tick whose walk is not known yet
        self._recent: deque[Walk] = deque(maxlen=TAKEN_BACK)  # of different frames
        self._version = 0

    def _at(self, tick: int) -> Walk:
        if tick < self._next - 1:
            self._rewind()
        while self._next <= tick:
            if self._next not in self.played.repeats:
                self._recent.append(self._made(self.played.changes.get(self._next, Tick())))
            self._next += 1
        return self._recent[-1]

    def _made(self, change: Tick) -> Walk:
        """The walk of the next frame."""
        model = self.sampler.model
        if change.begin is not None:
            snapshot = self._snapshot(change)
            return begin(
                snapshot,
                self._conds(snapshot),
                model.shape,
                model.device,
                change.begin,
                self._noises,
            )
        for _ in range(min(change.back, len(self._recent) - 1)):
            self._recent.pop()
        walk = self._settled(self._recent[-1].after(1 / self.fps))
        if change.params is None:
            return walk
        self.sampler.trace(walk)
        snapshot = self._snapshot(change)
        return walk.steered(snapshot, self._conds(snapshot))

    def _settled(self, walk: Walk) -> Walk:
        if not walk.fresh:
            return walk
        frames = self.fps / walk.params.speed if walk.params.speed else float("inf")
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

    def _conds(self, snapshot: Snapshot) -> Cond:
        texts = (snapshot.params.prompt, snapshot.params.negative)
        if texts not in self._cond:
            self._cond[texts] = cond_of(self.sampler.model, *texts)
        return self._cond[texts]

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
