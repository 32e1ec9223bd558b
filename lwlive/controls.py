"""The one door in: a Command is asked for, validated, and the whole snapshot is swapped.

One vocabulary for whatever steers a show: keys, OSC, MIDI, the page, cues. A change may be due at a
later moment; until then it waits, and the snapshot tells of it, so that the frame due at that
moment is made with it. Used by one thread. This file knows nothing of sources, files or clocks: it
is given the time.
"""

import math
from bisect import insort
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from lwlive.params import SPECS, TRIGGERS, ControlError, Params, Value, spec, within
from lwlive.routes import Route, Routes, altered, patched
from lwlive.snapshot import Snapshot
from lwlive.tempo import BAR, Tempo

HORIZON_S = 2.0  # what waits for longer than that, the engine need not know yet
LONGEST_S = 3600.0  # that a recall or a cue takes
WAITING = 256  # changes at most that wait for their moment


@dataclass(frozen=True)
class Set:
    """Set a parameter to a value in its own unit."""

    name: str
    value: object


@dataclass(frozen=True)
class Move:
    """Move a parameter's fader to a position, 0 to 1."""

    name: str
    position: float


@dataclass(frozen=True)
class Nudge:
    """Change a number by so many of its steps, as an arrow key or an encoder does."""

    name: str
    steps: float


@dataclass(frozen=True)
class Toggle:
    """Turn a switch to the opposite of what it is."""

    name: str


@dataclass(frozen=True)
class Fire:
    """Fire a trigger."""

    name: str


@dataclass(frozen=True)
class Recall:
    """Bend to a preset: its name, or its number in the list, from 1; over so many seconds."""

    preset: str | int
    seconds: float | None = None  # None: the transition that the preset or the show has


@dataclass(frozen=True)
class Go:
    """Go to a cue: its name, or its number in the list, from 1."""

    cue: str | int


@dataclass(frozen=True)
class Offer:
    """Offer a tempo. The newest one that is offered counts.

    Its beats run on from where they are (`Tempo.after`); with `jump` they are where it says.
    """

    tempo: Tempo
    jump: bool = False  # a start from the top, a place in the song


@dataclass(frozen=True)
class Patch:
    """Put a route at its number, in place of the one that is there."""

    route: Route


@dataclass(frozen=True)
class Alter:
    """Change one key of a route, as `[[routes]]` has it; `parameter` begins a new one."""

    number: int
    key: str
    value: object


@dataclass(frozen=True)
class Unpatch:
    """Take the route of this number away."""

    number: int


@dataclass(frozen=True)
class Amount:
    """Set how far a route moves its parameter: -1 to 1 of the fader's travel."""

    number: int
    amount: float


@dataclass(frozen=True)
class Learn:
    """Bind the next control that moves to a target; None ends it.

    A target is the name of a parameter or trigger, `preset NAME`, `cue NAME` or `route NUMBER`.
    """

    target: str | None


@dataclass(frozen=True)
class Switch:
    """Turn an output for other programs on or off, or `all` that the show was started with."""

    output: str
    on: bool | None  # None: the opposite of what it is


@dataclass(frozen=True)
class Hear:
    """Take note of the sound that comes in."""

    bands: tuple[float, ...]  # in the order of BANDS


Command = (
    Set
    | Move
    | Nudge
    | Toggle
    | Fire
    | Recall
    | Go
    | Offer
    | Patch
    | Alter
    | Unpatch
    | Amount
    | Learn
    | Switch
    | Hear
)

Change = Callable[[Snapshot], Snapshot]  # of the controls; raises ControlError


@dataclass(frozen=True)
class Waiting:
    """A change that waits for its moment."""

    due: float
    change: Change
    by: str
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
        if command == Fire("panic"):
            self._waiting.clear()
        by = by if isinstance(command, Set | Move) else ""  # others do not know the value
        key = command.name if isinstance(command, Set | Move) else None
        change = self._change(command, by, at if due is None else due)
        self._do(change, at, Waiting(at if due is None else due, change, by, every, key))

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
        change = _setting(values, self._since(at if due is None else due), routes)
        if over is not None:
            change = _over(change, over, values)
        return self._do(change, at, Waiting(at if due is None else due, change, by, every))

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
        for each, later in zip(done, before.later, strict=False):
            self._note(reached, later, each.by)
            reached = later
        self.snapshot = replace(reached, due=None, later=before.later[len(done) :])
        if reached.tempo != before.tempo and self._timed_again():
            self._tell(now, again=True)

    def changed(self, since: int) -> dict[str, str]:
        """The parameters changed after version `since`, each with who set it to what it is.

        That one knows the value. It is "" where nobody does: after a preset, a panic, a step.
        """
        return {name: by for name, (version, by) in self._changed.items() if version > since}

    def adopt(self, own: Mapping[str, object]) -> None:
        """Fill in the model's own values where none was chosen yet. Raises ControlError."""
        good = {name: spec(name).checked(value) for name, value in own.items()}
        self._start = _completed(self._start, good)
        own_values = Waiting(-math.inf, lambda old: _own(old, good), "")
        self._do(own_values.change, -math.inf, own_values)

    def _do(self, change: Change, at: float, asked: Waiting) -> Waiting | None:
        """Carry out a change, or let it wait for its moment. Raises ControlError."""
        change = _untimed(change)
        before, after = self.snapshot, change(self.snapshot)
        if asked.due > at:
            return self._wait(replace(asked, change=change), at)
        if after != before:
            self.snapshot = replace(after, version=next(self._versions))
            self._note(before, self.snapshot, asked.by)
            if after.tempo != before.tempo:
                self._timed_again()
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

    def _timed_again(self) -> bool:
        """What waits for a beat follows a new tempo. Whether anything did."""
        tempo, now = self.snapshot.tempo, self._now
        moved = [
            each if each.every is None else replace(each, due=tempo.next(each.every, now))
            for each in self._waiting
        ]
        if moved == self._waiting:
            return False
        self._waiting = sorted(moved, key=lambda each: each.due)
        return True

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
        """What a command does to the controls at that moment. Raises ControlError."""
        since = self._since(when)
        if isinstance(command, Set):
            return _setting({command.name: command.value}, since)
        if isinstance(command, Move):
            return _setting({command.name: spec(command.name).value(command.position)}, since)
        if isinstance(command, Nudge):
            return lambda old: _setting({command.name: nudged(old.params, command)}, since)(old)
        if isinstance(command, Toggle):
            name = command.name
            if spec(name).kind is not bool:
                raise ControlError(f"{name} is not a switch that could be toggled")
            return lambda old: _setting({name: not getattr(old.params, name)}, since)(old)
        if isinstance(command, Offer):
            return _offered(command, since)
        if isinstance(command, Patch):
            return lambda old: replace(old, routes=patched(old.routes, command.route))
        if isinstance(command, Alter):
            number, key, value = command.number, command.key, command.value
            return lambda old: replace(
                old, routes=patched(old.routes, altered(old.routes, number, key, value))
            )
        if isinstance(command, Unpatch | Amount):
            return lambda old: replace(old, routes=_rerouted(old.routes, command))
        if command == Fire("next"):
            return lambda old: replace(old, nexts=old.nexts + 1)
        if command == Fire("beat"):
            return lambda old: replace(
                old, tempo=old.tempo.struck(when, by, BAR).after(old.tempo, since)
            )
        if command == Fire("panic"):
            return self._panicked
        if isinstance(command, Fire) and command.name not in TRIGGERS:
            known = ", ".join(TRIGGERS)
            raise ControlError(f"there is no trigger {command.name!r}; known are {known}")
        raise ControlError(f"this cannot be done here: {command!r:.80}")

    def _panicked(self, old: Snapshot) -> Snapshot:
        """Where the show started. Recording, figures and the room's tempo stay as they are."""
        kept: dict[str, Any] = {n: getattr(old.params, n) for n in ("record", "hud", "bpm")}
        return replace(old, params=replace(self._start, **kept), routes=self._routes, over={})


def seconds(value: object) -> float:
    """The seconds that a recall or a cue takes. Raises ControlError."""
    if not within(value, 0, LONGEST_S):
        expected = f"a number from 0 to {LONGEST_S:g} s"
        raise ControlError(f"a transition takes {expected}, not {value!r:.60}")
    return float(value)


def _over(change: Change, seconds: float, names: Collection[str]) -> Change:
    """The same change, over so many seconds. What is on its way there already is no later."""

    def over(old: Snapshot) -> Snapshot:
        new = change(old)
        said = {n: min(s, seconds) if n in names else s for n, s in old.over.items()}
        said |= dict.fromkeys(_moved(old, new), seconds)
        if new.routes != old.routes:
            said["routes"] = seconds
        return replace(new, over=said)

    return over


def _untimed(change: Change) -> Change:
    """The same change, where what it moves without a word on time takes the time it always does."""

    def untimed(old: Snapshot) -> Snapshot:
        new = change(old)
        if new.over is not old.over:
            return new
        names = _moved(old, new) | ({"routes"} if new.routes != old.routes else set())
        if "transition" in names:  # a hand on it takes the bend that is under way
            names |= {"prompt", "negative"}
        return replace(new, over={n: s for n, s in old.over.items() if n not in names})

    return untimed


def _moved(old: Snapshot, new: Snapshot) -> set[str]:
    """The parameters that a change moves: `hold` stops what `speed` moves."""
    names = {n for n in SPECS if getattr(new.params, n) != getattr(old.params, n)}
    return names | {"speed"} if "hold" in names else names


def _own(old: Snapshot, own: Mapping[str, object]) -> Snapshot:
    return replace(old, params=_completed(old.params, own))


def _replaces(newer: Waiting, older: Waiting) -> bool:
    """Whether both set the same thing at the same moment."""
    same = newer.key is not None and newer.key == older.key
    return same and math.isclose(newer.due, older.due, abs_tol=1e-6)


def _setting(values: Mapping[str, object], when: float, routes: Routes | None = None) -> Change:
    """Several parameters set to values. Raises ControlError."""
    good = {name: spec(name).checked(value) for name, value in values.items()}

    def change(old: Snapshot) -> Snapshot:
        params = replace(old.params, **good)
        same = params.bpm == old.params.bpm
        tempo = old.tempo if same else old.tempo.turned(params.bpm, when)
        return replace(
            old, params=params, tempo=tempo, routes=old.routes if routes is None else routes
        )

    return change


def _offered(offer: Offer, when: float) -> Change:
    """A tempo in place of the one there is. Raises ControlError."""
    bpm = spec("bpm").checked(round(offer.tempo.bpm, 2))

    def change(old: Snapshot) -> Snapshot:
        tempo = offer.tempo if offer.jump else offer.tempo.after(old.tempo, when)
        return replace(old, params=replace(old.params, bpm=bpm), tempo=tempo)

    return change


def _rerouted(routes: Routes, command: Unpatch | Amount) -> Routes:
    """The routes without one, or with another amount. Raises ControlError."""
    found = next((each for each in routes if each.number == command.number), None)
    if found is None:
        there_are = ", ".join(str(each.number) for each in routes) or "none"
        raise ControlError(f"there is no route {command.number!r:.40}; there are {there_are}")
    if isinstance(command, Unpatch):
        return tuple(each for each in routes if each is not found)
    amount = command.amount
    number = isinstance(amount, int | float) and not isinstance(amount, bool)
    if not number or not -1 <= amount <= 1:
        raise ControlError(f"the amount of a route is a number from -1 to 1, not {amount!r:.40}")
    return patched(routes, replace(found, amount=float(amount)))


def nudged(params: Params, command: Nudge) -> Value:
    """The value that a step leads to. Raises ControlError."""
    row = spec(command.name)
    value: float | None = getattr(params, command.name)
    if row.kind not in (int, float):
        raise ControlError(f"{row.name} is not a number that could be stepped")
    if value is None:
        raise ControlError(f"{row.name} is the model's own, which is not loaded yet")
    if not abs(command.steps) < float("inf"):
        raise ControlError(f"{row.name} moves by a number of steps, not {command.steps!r}")
    if row.kind is int:  # however fine, a step moves it
        by = round(command.steps) or (command.steps > 0) - (command.steps < 0)
        return min(int(row.high), max(int(row.low), int(value + by)))
    step = row.step or (row.high - row.low) / 50
    return min(row.high, max(row.low, round(value + command.steps * step, 4)))


def _completed(params: Params, own: Mapping[str, object]) -> Params:
    missing = {name: value for name, value in own.items() if getattr(params, name) is None}
    return replace(params, **missing)  # type: ignore[arg-type] # `adopt` has checked them
