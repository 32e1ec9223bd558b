"""The cues of a show: which one is on, what comes next, by hand, by itself or by the clock.

A step (go, back, a jump) that waits for its beat or its moment is already in the controls, so that
the frame due then is made with it; what it leads to is found again where another step comes first.
What a cue leaves out stays as it is. Where cues are left out or gone back over, or where a look
came from elsewhere meanwhile, what the list has set up to there is set again: the same cue looks
the same whichever way leads to it. Used by the show's thread; time and date are given.
"""

import math
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lwlive.controls import NEARLY, Controls, Waiting
from lwlive.cuelist import Cue, CueList
from lwlive.params import ControlError
from lwlive.routes import Routes
from lwlive.stage.daily import Daily
from lwlive.tempo import FINEST, multiple

AHEAD_S = 2.0  # the engine hears of the next cue so long before it comes
NEARLY_S = 0.02  # a cue that would come so soon after a beat comes on it
LATER_S = 0.001  # a tempo that moves a beat by less moves no cue


@dataclass(frozen=True)
class Standing:
    """How a cue list stands, for whoever shows it."""

    number: int | None  # of the cue that is on, from 1
    name: str | None
    next_number: int | None  # of the one that `go` leads to
    next_name: str | None
    note: str  # of that one
    until_s: float | None  # seconds until it comes by itself or its beat falls
    count: int  # of all


@dataclass
class _Step:
    """Where to go, and when."""

    due: float
    asked: float  # when it was asked for
    every: float | None = None  # it waits for a beat that is a multiple of this, by any tempo
    by: int = 0  # places from where the list is by then
    to: int | None = None  # a place
    follows: bool = False  # the cue that is on asked for it
    target: int = 0  # the place it leads to
    waiting: Waiting | None = None  # in the controls


@dataclass
class _Following:
    """Since when the cue that is on has been, as its `follow` counts it."""

    at: float
    beat: float  # as the controls count them
    passed: float = -math.inf  # the newest beat that is known to be before its time is over
    over: float | None = None  # the beat at which its time was over


@dataclass
class Cues:
    """A cue list being played. `now_there`: the date and time where the show is."""

    cues: CueList
    controls: Controls
    say: Callable[[str], object]
    now_there: Callable[[], datetime] = datetime.now
    taken: int = 0  # how many cues have come
    _place: int | None = None  # in the list
    _astray: bool = False  # the look is not the list's: after a panic, a recall
    _on: bool = False  # the cue at the place is on: not after a panic
    _following: _Following | None = None
    _steps: list[_Step] = field(default_factory=list)
    _begun: bool = False

    def __post_init__(self) -> None:
        times = {n: cue.at for n, cue in enumerate(self.cues.cues) if cue.at is not None}
        self._daily = Daily(times, lambda: self.now_there())

    def go(self, by: int, now: float, due: float | None, every: float | None) -> None:
        """The next cue, or the one before; time as `Controls.do` has it. Raises ControlError."""
        self._step(_Step(now if due is None else due, now, every, by=by), now)

    def jump(self, which: str | int, now: float, due: float | None, every: float | None) -> None:
        """The cue of this name or number. Raises ControlError."""
        self._step(_Step(now if due is None else due, now, every, to=self.cues.found(which)), now)

    def resume(self, name: str, now: float, since: float) -> None:
        """Stand at a cue whose values are there already, as a show before this one did.

        It follows from now on. A cue that the list does not have begins the list. since: when that
        show was last heard of, in seconds since 1970: a time of day that has passed since then
        starts its cue with the first poll.
        """
        try:
            self._place = self.cues.found(name)
        except ControlError as error:
            self.say(f"the cue list begins from its start: {error}")
            return
        self._on, self._begun = True, True
        self._following = self._followed(self._place, now)
        self._daily.since(datetime.fromtimestamp(since))

    def leave(self, now: float) -> None:
        """The look comes from elsewhere: the next cue sets all that the list has set by then."""
        if not self._astray:
            self._astray = True
            self._stage(now)  # one that waits for its moment is the next

    def panic(self) -> None:
        """Stop following, and forget what waits. The controls have forgotten it already."""
        self._steps, self._following = [], None
        self._on, self._astray = False, True

    def poll(self, now: float, pictures: bool = True) -> None:
        """Do what is due by now. `pictures`: whether the show has begun for those who watch it."""
        if not self._begun:
            self._begun = True
            if self.cues.loop:  # a playlist begins with what the clock started last
                self._step(_Step(now, now, to=self._daily.newest() or 0), now)
        if self._following is not None and not pictures:
            self._following = self._since(now)
        if self._moved():
            self._stage(now)
        self._follow(now)
        self._take_due(now)
        self._look_at_the_clock(now)

    def standing(self, now: float) -> Standing:
        """How the list stands."""
        on = self._place if self._on else None
        step = self._steps[0] if self._steps else None
        try:
            to = step.target if step is not None else self._led(self._place, _Step(now, now, by=1))
        except ControlError:
            to = None
        due = step.due if step is not None else self._follows_at(now)
        rows = self.cues.cues
        return Standing(
            number=None if on is None else on + 1,
            name=None if on is None else rows[on].name,
            next_number=None if to is None else to + 1,
            next_name=None if to is None else rows[to].name,
            note="" if to is None else rows[to].note,
            until_s=None if due is None or to is None else max(0.0, due - now),
            count=len(rows),
        )

    def _step(self, step: _Step, now: float) -> None:
        """Take a step, now or when it is due. Raises ControlError."""
        self._moved()
        self._take_due(now)  # what is due goes before what is asked for after it
        place = self._place
        for each in self._steps:
            if each.due <= step.due and not each.follows:
                place = each.target
        self._led(place, step)
        self._withdraw(lambda each: each.follows)
        self._following = None
        if step.due <= now:
            step.target = self._led(self._place, step)
            self._set(step, self._place, now)
            self._take(step, now)
        else:
            insort(self._steps, step, key=lambda each: each.due)
        self._stage(now)

    def _led(self, place: int | None, step: _Step) -> int:
        """Where a step leads from a place. Raises ControlError."""
        last = len(self.cues.cues) - 1
        if step.to is not None:
            return step.to
        if step.by < 0 and place == self._place and place is not None and not self._on:
            return place  # after a panic, to what was on
        to = (-1 if place is None else place) + step.by
        if 0 <= to <= last:
            return to
        if self.cues.loop and place is not None:
            return to % (last + 1)
        raise ControlError(
            f"that was the last cue, {self.cues.cues[last].name}"
            if to > last
            else "there is no cue before this one"
        )

    def _stage(self, now: float) -> None:
        """What waits, into the controls, each as it leads on from the one before."""
        self._moved()
        self._withdraw(lambda _: False)
        place, kept = self._place, []
        for step in self._steps:
            try:
                step.target = self._led(place, step)
                self._set(step, place, now)
            except ControlError as error:
                self.say(str(error))
                continue
            place = step.target
            kept.append(step)
        self._steps = kept

    def _moved(self) -> bool:
        """Take over where the controls have put what waits for a beat. Whether anything moved."""
        moved = False
        for step in self._steps:
            if step.every is not None and step.waiting is not None:
                moved |= step.due != step.waiting.due
                step.due = step.waiting.due
        self._steps.sort(key=lambda each: each.due)
        return moved

    def _withdraw(self, gone: Callable[[_Step], bool]) -> None:
        """Take what waits out of the controls, and some steps out of what waits."""
        for step in self._steps:
            if step.waiting is not None:
                self.controls.withdraw(step.waiting)
                step.waiting = None
        self._steps = [step for step in self._steps if not gone(step)]

    def _set(self, step: _Step, place: int | None, now: float) -> None:
        """Load a step's cue into the controls. Raises ControlError."""
        cue = self.cues.cues[step.target]
        in_order = step.target == (0 if place is None else place + 1) and not self._astray
        values, routes = (dict(cue.values), cue.routes) if in_order else self._whole(step.target)
        at, over = now if step.due <= now else step.asked, self._seconds(cue, values)
        step.waiting = self.controls.load(values, "", at, step.due, routes, over, step.every)

    def _whole(self, place: int) -> tuple[dict[str, Any], Routes | None]:
        """All that the list has set at a place; what it sets later is where the show started."""
        start = self.controls.start
        values = {name: v for name in self.cues.names if (v := getattr(start, name)) is not None}
        reached, routes = self.cues.reached(place)
        if routes is None and self.cues.routed:
            routes = self.controls.start_routes
        return values | reached, routes

    def _seconds(self, cue: Cue, values: dict[str, Any]) -> float:
        """How long a cue's transition takes."""
        if cue.seconds is not None:
            return cue.seconds
        if cue.beats is not None:
            return cue.beats * 60 / self.controls.snapshot.tempo.bpm
        seconds: float = values.get("transition", self.controls.params.transition)
        return seconds

    def _take_due(self, now: float) -> None:
        while self._steps and self._steps[0].due <= now:
            self._take(self._steps.pop(0), now)

    def _take(self, step: _Step, now: float) -> None:
        """A cue is on. After a stall it counts from now, so that no row of cues follows."""
        self._place, self._on, self._astray = step.target, True, False
        self.taken += 1
        began = step.due if now - step.due <= AHEAD_S else now
        self._following = self._followed(step.target, began)
        self.say(f"cue {step.target + 1}: {self.cues.cues[step.target].name}")

    def _followed(self, place: int, at: float) -> _Following | None:
        """Since when a cue is on, where another one is to follow it."""
        cue = self.cues.cues[place]
        follows = cue.follow is not None or cue.follow_beats is not None
        goes_on = self.cues.loop or place + 1 < len(self.cues.cues)
        return self._since(at) if follows and goes_on else None

    def _follow(self, now: float) -> None:
        """Let the next cue wait for its moment, where the one that is on is followed."""
        at = self._follows_at(now)
        if at is None:
            return
        if not self._steps:
            if at - now <= AHEAD_S:
                self._steps.append(_Step(at, now, by=1, follows=True))
                self._stage(now)
        elif (step := self._steps[0]).follows and step.due > now and abs(step.due - at) > LATER_S:
            step.due = at  # in another tempo
            self._stage(now)

    def _since(self, at: float) -> _Following:
        return _Following(at, self.controls.count(at))

    def _follows_at(self, now: float) -> float | None:
        """When the next cue comes by itself."""
        if self._following is None or self._place is None:
            return None
        cue = self.cues.cues[self._place]
        if cue.follow is not None:
            at = self._following.at + cue.follow
        else:
            assert cue.follow_beats is not None
            at = self.controls.counted(self._following.beat + cue.follow_beats)
        every = self.controls.params.quantise
        return at if every < FINEST else self._beat_after(self._following, at, every, now)

    def _beat_after(self, following: _Following, at: float, every: float, now: float) -> float:
        """The moment of the first beat, of those waited for, when the time of a cue is over."""
        tempo, over, counted = self.controls.snapshot.tempo, at - NEARLY_S, self.controls.count(now)
        if over > now:
            following.passed = max(following.passed, counted)
            return tempo.next(every, over)
        if following.over is None:  # once and for all: a later tempo knows nothing of this moment
            known = max(over, min(now, tempo.at) - NEARLY * 60 / tempo.bpm)
            following.over = max(following.passed, self.controls.count(known))
        return tempo.when(multiple(following.over + tempo.line(now) - counted, every))

    def _look_at_the_clock(self, now: float) -> None:
        """Start the cue whose time of day has passed since the last poll."""
        place = self._daily.passed(now)
        if place is not None:
            every = self.controls.params.quantise or None
            due = None if every is None else self.controls.snapshot.tempo.next(every, now)
            self.jump(place + 1, now, due, every)
