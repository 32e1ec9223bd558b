"""The replay: a performance's walk, made again from its journal.

Turn by turn as the producer made it, with the same functions. It can only go forwards; asked for an
earlier frame, it begins again.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, stack

from lwlive.engine.keyframe import Cond
from lwlive.engine.pace import frames_of, live_pace
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Sampler
from lwlive.engine.steps import Steps
from lwlive.engine.turn import Made, made, onward, places, sampled, steered
from lwlive.engine.walk import Walk, begin
from lwlive.journalfile import following
from lwlive.messages import Turn
from lwlive.params import SPECS, Params
from lwlive.render.performance import Tick, read
from lwlive.render.plan import noises
from lwlive.render.settings import RenderError, Settings
from lwlive.snapshot import Snapshot
from lwlive.stage.master import Master

log = logging.getLogger("lwlive")

TAKEN_BACK = 512  # frames at most


@dataclass(eq=False)
class Played:
    """A turn of the performance."""

    turn: Turn
    before: "Shown | None"  # the picture that it follows; let go of once its frames are made
    walks: list[Walk]  # all of its places
    frames: list[Made] | None = None  # those that came in time, once they are made


@dataclass(frozen=True)
class Shown:
    """A picture of the performance."""

    played: Played
    at: int  # which frame of its turn, from 0

    @property
    def walk(self) -> Walk:
        """Its place."""
        return self.played.walks[self.at]

    @property
    def made(self) -> Made:
        """The frame, which must be made by now."""
        assert self.played.frames is not None
        return self.played.frames[self.at - self.played.turn.joined]


def _unmade(shown: Sequence[Shown]) -> list[Played]:
    """The turns of these pictures and of those that they follow, not made yet, the first first."""
    found: dict[Played, None] = {}
    for one in shown:
        row = []
        turn: Played | None = one.played
        while turn is not None and turn.frames is None and turn not in found:
            row.append(turn)
            turn = turn.before.played if turn.before is not None else None
        found |= dict.fromkeys(reversed(row))
    return list(found)


class Replay:
    """The places of a performance's frames, and how bright its master was."""

    def __init__(self, settings: Settings, sampler: Sampler) -> None:
        assert settings.render.journal is not None
        self.played = read(settings.render.journal)
        self.sampler, self.overrides, self.again = sampler, settings.overrides, settings.again
        self.file, self.fps = settings.render.journal, settings.render.fps
        self._conds = Conds(sampler.model.encode)
        self._steps = Steps(sampler.model, log.warning)
        changes = self.played.changes.values()
        given = (change.params for change in changes if change.params)
        most = max(self._steps.nearest(self._params(values).steps) for values in given)
        routed = any(route.name == "steps" for change in changes for route in change.routes)
        if routed and not self._steps.refused:
            most = max(most, int(SPECS["steps"].high))
        self._noises = noises(sampler.model, most)
        self._pace = live_pace()
        self.levels = self._levels()
        self._rewind()

    def latents(self, numbers: Sequence[int]) -> Tensor:
        """Clean latents [n, C, H, W] of these frames."""
        shown = [self._at(n) for n in numbers]
        turns = _unmade(shown)
        walks = [sampled(each.walks, each.turn) for each in turns]
        if walks:
            clean = self.sampler.latents([walk for row in walks for walk in row])
        for each, row in zip(turns, walks, strict=True):
            before = each.before.made if each.before is not None else None
            each.frames, each.before = made(before, each.walks, clean[: len(row)], each.turn), None
            clean = clean[len(row) :]
        return stack([one.made.latents for one in shown])

    def _rewind(self) -> None:
        self._next = 0  # tick whose picture is not known yet
        self._recent: deque[Shown] = deque(maxlen=TAKEN_BACK)  # different pictures
        self._version = 0
        self._turn = Turn()

    def _at(self, tick: int) -> Shown:
        if tick < self._next - 1:
            self._rewind()
        while self._next <= tick:
            if self._next not in self.played.repeats:
                self._recent.append(self._shown(self.played.changes.get(self._next, Tick())))
            self._next += 1
        return self._recent[-1]

    def _shown(self, change: Tick) -> Shown:
        """The next picture: of a turn that begins, or of the one before."""
        if change.at is None:
            last = self._recent[-1]
            if last.at + 1 < last.played.turn.frames:
                return Shown(last.played, last.at + 1)
        self._turn = change.turn or following(self._turn)
        at = change.at or 0
        turn = self._turn if self.again else replace(self._turn, stride=1, free=False, lone=False)
        if change.begin is not None:
            self._recent.clear()
            snapshot = self._snapshot(change)
            model, cond = self.sampler.model, self._cond(snapshot)
            first = begin(
                snapshot,
                cond,
                model.shape,
                model.device,
                change.begin,
                self._noises,
                turn.due,
                turn.bands,
            )
            return Shown(Played(turn, None, places(first, turn, self._settled)), at)
        if at >= len(self._recent):
            raise RenderError(f"{self.file} takes back more pictures than it has shown")
        first = onward(self._recent[-1 - at].walk, turn, 0, self._settled)
        if change.params is not None:
            first = steered(first, self._snapshot(change), self._cond, self.sampler)
        before = self._recent[-1 - at + turn.joined]
        return Shown(Played(turn, before, places(first, turn, self._settled)), at)

    def _settled(self, walk: Walk) -> Walk:
        if not walk.fresh:
            return walk
        frames = frames_of(walk, self.fps)
        if self.again and not self._turn.paced:
            return replace(walk, fresh=False)
        while self._pace.measure(self.sampler, walk, frames):
            pass
        return self._pace.settled(walk, frames)

    def _snapshot(self, change: Tick) -> Snapshot:
        assert change.params is not None
        self._version += 1
        params = self._params(change.params)
        known = change.nexts, change.tempo, change.routes, change.over
        return self._steps.allowed(Snapshot(self._version, params, *known))

    def _params(self, values: dict[str, object]) -> Params:
        own = {n: v for n, v in self.sampler.model.own.items() if values.get(n) is None}
        return replace(Params(), **{**values, **own, **self.overrides})

    def _cond(self, snapshot: Snapshot) -> Cond:
        return self._conds(snapshot.params.prompt, snapshot.params.negative)

    def _levels(self) -> list[float]:
        """The master's level on every tick."""
        first = self.played.changes[0].master or {}
        params, told = replace(Params(), **first), None
        controls = Snapshot(0, params, over=self.played.changes[0].master_over)
        master, found = Master(controls), []
        for tick in range(self.played.ticks):
            change = self.played.changes.get(tick, Tick())
            if change.master is not None:
                params = replace(params, **change.master)
                controls = Snapshot(0, params, over=change.master_over)
            if change.levelled:
                told = change.level
            alone = master.step(controls, 1 / self.fps)
            found.append(alone if told is None else told)
        return found
