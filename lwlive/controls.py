"""The one door in: a Command is asked for, validated, and the whole snapshot is swapped.

One vocabulary for whatever steers a show: keys, OSC, MIDI, the page, cues. A change may be due at a
later moment; until then it waits, and the snapshot tells of it, so that the frame due at that
moment is made with it. Used by one thread. This file knows nothing of sources, files or clocks: it
is given the time.
"""

import math
from bisect import insort
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from lwlive.changes import Change, changed, completed, lasting, setting, untimed
from lwlive.commands import Command, Fire, Move, Set
from lwlive.params import SPECS, ControlError, Params, spec
from lwlive.routes import Routes
from lwlive.snapshot import Snapshot
from lwlive.tempo import FINEST, Tempo, multiple

HORIZON_S = 2.0  # what waits for longer than that, the engine need not know yet
NEARLY = 1 / 4  # of a beat: what comes so little after it comes for it
WAITING = 256  # changes at most that wait for their moment


@dataclass(eq=False)
class Waiting:
    """A change that waits for its moment. `due` moves with the tempo where it waits for a beat."""

    due: float
    change: Change
    by: str
    asked: float  # when it was asked for
    every: float | None = None  # it waits for a beat that is a multiple of this, by any tempo
    key: str | None = None  # of two with the same one that wait for one moment, the newer counts


class Controls:
    """The present values, who set them, and what waits for its moment. Used by one thread."""

    def __init__(self, start: Params, routes: Routes = ()) -> None:
        self._start = start
        self._versions = count(1)
        self.snapshot = Snapshot(0, start, tempo=Tempo(start.bpm), routes=routes)
        self._changed: dict[str, tuple[int, str]] = {}  # name -> version, who set it
        self._routes = routes  # that the show started with
        self._now = -math.inf  # beats up to then may have been shown
        self._waiting: list[Waiting] = []  # the earliest first
        self._renumbered = 0  # how many more beats the tempo counts than the first one would
        self._horizon = -math.inf  # what is due before it is in `snapshot.later`

    @property
    def params(self) -> Params:
        """The present values; take them once and pass them down."""
        return self.snapshot.params

    @property
    def start(self) -> Params:
        """The values that the show started with; `start_routes`: its routes."""
        return self._start

    @property
    def start_routes(self) -> Routes:
        """See `start`."""
        return self._routes

    def do(
        self,
        command: Command,
        by: str = "",
        at: float = 0.0,
        due: float | None = None,
        every: float | None = None,
    ) -> None:
        """Do what is asked. Raises ControlError and changes nothing where it is wrong.

        at: when it was asked for; due: when it is to take effect, if not now; both in seconds of
        the show's clock. every: `due` is that of the next beat that is a multiple of this, and
        follows the tempo. What needs files, sources or outputs is not done here: see `Desk`.
        """
        self.turn(at)  # what was due before it goes first
        if command == Fire("panic") and self._waiting:
            self._waiting.clear()
            self._tell(at, again=True)
        by = by if isinstance(command, Set | Move) else ""  # others do not know the value
        key = command.name if isinstance(command, Set | Move) else None
        when = at if due is None else due
        change = self._change(command, by, when)
        self._do(change, at, Waiting(when, change, by, at, every, key))

    def load(
        self,
        values: Mapping[str, object],
        by: str = "",
        at: float = 0.0,
        due: float | None = None,
        routes: Routes | None = None,
        over: float | None = None,
        every: float | None = None,
    ) -> Waiting | None:
        """Set several parameters as one change, all or none. Raises ControlError.

        routes: these take the place of all that there are; None leaves them. over: all that
        changes takes so many seconds; None: each as its own glide and `transition` say. every: see
        `do`. Returns what waits, if it does: see `withdraw`.
        """
        self.turn(at)
        when = at if due is None else due
        change = setting(values, self._since(when), routes)
        if over is not None:
            change = lasting(change, over, values)
        return self._do(change, at, Waiting(when, change, by, at, every))

    def withdraw(self, waiting: Waiting) -> None:
        """Forget a change that waits. Nothing where it has taken effect already."""
        left = [each for each in self._waiting if each is not waiting]
        if len(left) < len(self._waiting):
            self._waiting = left
            self._tell(-math.inf, again=True)

    def turn(self, now: float) -> None:
        """Let what is due by now take effect, and tell the snapshot what will be due soon."""
        self._now = max(self._now, now)
        self._tell(now)
        before, done = self.snapshot, [each for each in self._waiting if each.due <= now]
        if not done:
            return
        reached, self._waiting = before, self._waiting[len(done) :]
        again = False
        for each, later in zip(done, before.later, strict=False):
            self._note(reached, later, each.by)
            again |= self._timed_again(reached.tempo, later.tempo, each.due)
            reached = later
        self.snapshot = replace(reached, due=None, later=before.later[len(done) :])
        if again:
            self._tell(now, again=True)

    def changed(self, since: int) -> dict[str, str]:
        """The parameters changed after version `since`, each with who set it to what it is.

        That one knows the value. It is "" where nobody does: after a preset, a panic, a step.
        """
        return {name: by for name, (version, by) in self._changed.items() if version > since}

    def count(self, now: float) -> float:
        """The beat at a moment, in numbers that no tempo changes."""
        return self.snapshot.tempo.line(now) - self._renumbered

    def counted(self, beat: float) -> float:
        """The moment of a beat that has been counted so."""
        return self.snapshot.tempo.when(beat + self._renumbered)

    def adopt(self, own: Mapping[str, object]) -> None:
        """Fill in the model's own values where none was chosen yet. Raises ControlError."""
        good = {name: spec(name).checked(value) for name, value in own.items()}
        self._start = completed(self._start, good)
        own_values = Waiting(-math.inf, lambda old: _own(old, good), "", -math.inf)
        self._do(own_values.change, -math.inf, own_values)

    def _do(self, change: Change, at: float, asked: Waiting) -> Waiting | None:
        """Carry out a change, or let it wait for its moment. Raises ControlError."""
        change = untimed(change)
        before, after = self.snapshot, change(self.snapshot)
        if asked.due > at:
            return self._wait(replace(asked, change=change), at)
        if after != before:
            self.snapshot = replace(after, version=next(self._versions))
            self._note(before, self.snapshot, asked.by)
            self._timed_again(before.tempo, after.tempo, at)
            self._tell(at, again=True)
        return None

    def _wait(self, asked: Waiting, at: float) -> Waiting:
        """Keep a change until its moment, in place of an older one for the same thing then."""
        left = [each for each in self._waiting if not _replaces(asked, each)]
        if len(left) >= WAITING:
            raise ControlError(f"{WAITING} changes wait for their moment; no more can")
        last = len(left) == len(self._waiting) and (not left or left[-1].due <= asked.due)
        self._waiting = left
        insort(self._waiting, asked, key=lambda each: each.due)
        self._tell(at, again=not last)
        return asked

    def _timed_again(self, before: Tempo, tempo: Tempo, at: float) -> bool:
        """What waits for a beat follows a tempo that was told at a moment. Whether anything did.

        The awaited beat may have fallen a little before that, by the new tempo: a poll is later
        than a hand, and a clock is some ticks late to tell of a new tempo. A beat that had passed
        before, or fell before the change was asked for, is not the awaited one. What is due by now
        comes no later.
        """
        if tempo == before:
            return False
        further = tempo.renumbered(before, self._now)
        self._renumbered += further
        at, nearly_s = min(self._now, max(at, tempo.at)), NEARLY * 60 / tempo.bpm

        def due(each: Waiting) -> float:
            if each.every is None:
                return each.due
            since, until = (tempo.beats(max(each.asked, t)) for t in (at - nearly_s, at))
            passed = before.line(each.due) - each.every + further
            beat = multiple(min(max(since, passed + FINEST / 2), until), each.every)
            latest = each.due if each.due <= self._now else math.inf
            return min(latest, tempo.when(beat))

        moved = False
        for each in self._waiting:
            moved |= each.due != (new := due(each))
            each.due = new
        self._waiting.sort(key=lambda each: each.due)
        return moved

    def _tell(self, now: float, again: bool = False) -> None:
        """Write what is due soon into the snapshot, on top of what is now."""
        self._horizon = max(self._horizon, now + HORIZON_S)
        soon = [each for each in self._waiting if each.due < self._horizon]
        if not again and len(soon) == len(self.snapshot.later):
            return
        later = [] if again else list(self.snapshot.later)
        reached = later[-1] if later else replace(self.snapshot, later=())
        told = {each.due: each for each in self.snapshot.later} if again else {}
        for each in soon[len(later) :]:
            with suppress(ControlError):  # it could be done when it was asked for
                reached = each.change(reached)
            reached = replace(reached, due=each.due)
            known = told.get(each.due)  # what was told before keeps its version
            if known is not None and known == replace(reached, version=known.version):
                fresh = known.version > (later[-1] if later else self.snapshot).version
                reached = known if fresh else replace(reached, version=next(self._versions))
            else:
                reached = replace(reached, version=next(self._versions))
            later.append(reached)
        self.snapshot = replace(self.snapshot, later=tuple(later))

    def _note(self, old: Snapshot, new: Snapshot, by: str) -> None:
        names = [n for n in SPECS if getattr(new.params, n) != getattr(old.params, n)]
        self._changed |= dict.fromkeys(names, (new.version, by))

    def _since(self, when: float) -> float:
        """From when on a change of tempo counts: what has been shown already keeps its beat."""
        return max(when, self._now)

    def _change(self, command: Command, by: str, when: float) -> Change:
        if command == Fire("panic"):
            return self._panicked
        return changed(command, by, when, self._since(when))

    def _panicked(self, old: Snapshot) -> Snapshot:
        """Where the show started. Recording, figures and the room's tempo stay as they are."""
        kept: dict[str, Any] = {n: getattr(old.params, n) for n in ("record", "hud", "bpm")}
        return replace(old, params=replace(self._start, **kept), routes=self._routes, over={})


def _own(old: Snapshot, own: Mapping[str, object]) -> Snapshot:
    return replace(old, params=completed(old.params, own))


def _replaces(newer: Waiting, older: Waiting) -> bool:
    """Whether both set the same thing at the same moment."""
    same = newer.key is not None and newer.key == older.key
    return same and math.isclose(newer.due, older.due, abs_tol=1e-6)
