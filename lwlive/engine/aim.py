"""The aim of a producer: which frame comes next, under which controls, and when it is due.

Controls come as whole snapshots: `inbox()` gives the newest one. When one changes, the walk
continues from the first frame that can still be replaced in time: what the next turn takes is
known, since its evaluations are counted. A change that waits for its moment begins with the frame
that is due then. It runs in the producer's thread, and makes no frames itself.
"""

import math
from collections.abc import Callable

from lwlive.engine.ahead import Ahead
from lwlive.engine.governor import SLACK_S, hurry
from lwlive.engine.keyframe import Cond
from lwlive.engine.model import Model
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Sampler
from lwlive.engine.sound import Sound
from lwlive.engine.threads import Threads
from lwlive.engine.turn import Settle, onward, steered
from lwlive.engine.walk import Walk, begin
from lwlive.messages import Turn
from lwlive.ring import Ring
from lwlive.routes import SILENCE, Band
from lwlive.snapshot import Snapshot

MOTION_S = 1.0  # after a control, another one is expected for so long
NEAR = 0.5  # of the way: up to here the first keyframe's trajectory may stand for both
FREE_S = 0.5  # frames do without a keyframe's trajectory for so long, until it is made regardless
LONE_S = 1.0  # the same where that of the first one is there: those frames are near
STEADY = 0.25  # of a tick: a frame is due as many ticks after another as it is, give or take that


class Aim:
    """The next turn and the walk of its first frame.

    clock: the ring's reader's, in seconds. settle: gives a segment that has just begun its pace;
    it may raise where newer controls have come.
    """

    snapshot: Snapshot  # the controls taken up last
    turn: Turn  # as far as it is known
    next: Walk  # of the first frame not made yet

    def __init__(
        self,
        ring: Ring,
        ahead: Ahead,
        inbox: Callable[[], Snapshot],
        clock: Callable[[], float],
        delay_s: float,
        settle: Settle,
    ) -> None:
        self._ring, self._ahead, self._inbox = ring, ahead, inbox
        self._clock, self._settle = clock, settle
        self.delay_s = delay_s  # from the ring's reader to the audience's eyes
        self.ticks = 1  # of the display that a frame stands for
        self.moved_at = -math.inf  # when a control changed last
        self.prompted_at = -math.inf  # when a prompt changed last
        self.sound = Sound()
        self._free_at: float | None = None  # since when frames do without trajectories
        self._conds = Conds(lambda texts: self._model.encode(texts))

    def use(self, model: Model, sampler: Sampler, threads: Threads) -> None:
        """Frames are made with these from now on."""
        self._model, self._sampler, self._threads = model, sampler, threads

    def begin(self, phase: float) -> None:
        """Take up the newest controls, for a first frame at this place."""
        self.snapshot = self._inbox()
        self.turn, self.next = self._begun(phase)

    def steer(self) -> None:
        """Take up new controls, from the first frame that can still be replaced in time.

        Frames due before they take effect stay.
        """
        snapshot, old = self._inbox(), self.snapshot
        if snapshot is old:
            return
        self.snapshot = snapshot
        if not self._ahead:
            self.turn, self.next = self._begun(self.next.phase)
            return
        now = self._clock()
        if snapshot.prompts != old.prompts:
            self.prompted_at = now
        seen = now + self.delay_s
        since = self._parting(snapshot, old, seen)
        if since < self._ahead.due(self._ahead.next_number, now) + self.delay_s:
            if since <= seen:
                self.moved_at = now
            soonest = now + SLACK_S + self._threads.costs.first_s(self.evaluations())
            early = since - self.delay_s - STEADY * self._ring.tick_s
            self._ahead.take_back(max(soonest, early), now)
        self.follow()

    def listen(self) -> None:
        """Where routes follow the sound, and it begins after a rest, what was made ahead is old."""
        now = self._clock()
        rested = now - self.sound.moved_at > MOTION_S
        if not self.sound.moves(self.snapshot.at(now).inner, self._ring.bands, now):
            return
        if rested and self._ahead:
            soonest = now + SLACK_S + self._threads.costs.first_s(self.evaluations())
            self._ahead.take_back(soonest, now)
            self.follow()

    def _parting(self, snapshot: Snapshot, old: Snapshot, seen: float) -> float:
        """From which second on, `seen` at the earliest, other controls make other pictures."""
        return snapshot.parts(old, seen, self._ring.tick_s)

    def evaluations(self) -> int:
        """Evaluations of the first batch under the newest controls."""
        newest = self.snapshot.at(self.turn.due)
        walk, bent = self.next.aimed(newest), self.next.bent(newest)
        near = not self.next.free if bent else walk.way < NEAR
        lone = near and walk.look.steps in walk.a.trajectories
        return self._sampler.evaluations(walk.freed(not lone, lone))

    def follow(self) -> None:
        """The next frame follows the last one made, under the controls that it is due under."""
        self.turn = self.planned()
        first = onward(self._ahead.last.made.walk, self.turn, 0, self._settle)
        newest = self.snapshot.at(self.turn.due)
        self.next = steered(first, newest, self._cond, self._sampler)
        self.next = self.next.freed(*self._doing_without(self.next))

    def traced(self) -> None:
        """A trajectory that was missing has been made; others may wait for theirs as long again."""
        self._free_at = self._clock()
        if not self._sampler.untraced(self.next.freed(False)):
            self.follow()

    @property
    def overdue(self) -> bool:
        """Whether frames have done without a trajectory for long enough."""
        if self._free_at is None:
            return False
        return self._clock() - self._free_at >= (LONE_S if self.next.lone else FREE_S)

    def planned(self) -> Turn:
        """The next turn, as far as that is known before it is decided upon.

        It goes a step of the show on, and a bit more or less where the walk is late or early; on
        the beat it is in time by itself.
        """
        now, last = self._clock(), self._ahead.last
        every_s = self._ring.tick_s * self.ticks
        due = self._ahead.due(self._ahead.next_number, now) + self.delay_s
        steady = last.made.walk.at + last.ticks * self._ring.tick_s
        if abs(due - steady) < STEADY * self._ring.tick_s:
            due = steady
        due = max(due, last.made.walk.at)
        newest = self.snapshot.at(due)
        if newest.params.sync:
            self._ahead.forgive(now)
        heard = any(isinstance(route.source, Band) for route in newest.inner)
        return Turn(
            step_s=every_s * hurry(self._ahead.late_s(now)),
            due=due,
            every_s=every_s,
            bands=self._ring.bands if heard else SILENCE,
        )

    def _doing_without(self, walk: Walk) -> tuple[bool, bool]:
        """Whether the next frame does without both trajectories, and without the second one alone.

        Those missing are made beside the frames, where there is time, so that hands need not wait
        for them. A bend has the first one from its beginning: it is the mix that was there.
        """
        missing = self._sampler.untraced(walk.freed(False))
        if not missing:
            self._free_at = None
            return False, False
        if self._free_at is None:
            self._free_at = self._clock()
        lone = walk.a not in missing and walk.way < NEAR
        return not lone, lone

    def superseded(self, until: float) -> bool:
        """Whether newer controls make other pictures of what is seen until then."""
        newest, seen = self._inbox(), self._clock() + self.delay_s
        return newest is not self.snapshot and self._parting(newest, self.snapshot, seen) < until

    def _begun(self, phase: float) -> tuple[Turn, Walk]:
        """The first turn and the beginning of the walk, under the newest controls."""
        model, tick_s = self._model, self._ring.tick_s
        due = self._clock() + self.delay_s
        snapshot = self.snapshot.at(due)
        turn = Turn(step_s=tick_s, due=due, every_s=tick_s, bands=self._ring.bands)
        walk = begin(
            snapshot,
            self._cond(snapshot),
            model.shape,
            model.device,
            phase,
            at=turn.due,
            bands=turn.bands,
        )
        return turn, walk

    def _cond(self, snapshot: Snapshot) -> Cond:
        return self._conds(snapshot.params.prompt, snapshot.params.negative)
