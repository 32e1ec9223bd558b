"""The producer: walk -> sampler -> ring, ahead of the show and never far ahead of the hands.

Its loop runs in one thread of the engine, and nothing in it waits. Controls come as whole
snapshots: `inbox()` gives the newest one.

A frame not yet shown can be taken back. When a control changes, the walk continues from the first
frame that can still be replaced in time: what the next turn takes is known, since its evaluations
are counted. A change that waits for its moment begins with the frame that is due then. Where a turn
comes too late all the same, its first frames are left out, and the others follow from what is on
screen at a limited rate. The producer knows nothing of checkpoints or processes.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from lwlive.engine.ahead import Ahead, Put
from lwlive.engine.cuda import Timer, waited
from lwlive.engine.governor import FULL_LOAD, SLACK_S, Costs, Decision, Situation, decide, hurry
from lwlive.engine.keyframe import Cond
from lwlive.engine.model import Model
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Sampler
from lwlive.engine.sound import Sound
from lwlive.engine.spare import Spare
from lwlive.engine.threads import Threads
from lwlive.engine.turn import Made, cut, made, onward, places, sampled, steered
from lwlive.engine.walk import Walk, begin
from lwlive.messages import Running, Turn
from lwlive.ring import Frame, Pixels, Ring
from lwlive.routes import SILENCE, Band
from lwlive.snapshot import Snapshot

MOTION_S = 1.0  # after a control, another one is expected for so long
PROMPTS_S = 0.3  # after a prompt, another one may come for so long: a fader on its weights
FREE_S = 1.0  # frames do without their keyframes' trajectories for no longer than that
LATELY = 100  # turns whose evaluations are remembered
STEADY = 0.25  # of a tick: a frame is due as many ticks after another as it is, give or take that


class _Superseded(Exception):  # noqa: N818 - not a fault
    """New controls have come, and what was begun under the old ones is left."""


class Producer:
    """Fills the ring with the walk under the newest controls.

    phase: where on the walk to begin. since: when that place was due, by the ring's reader, where
    the walk has begun before. timer: the reader's clock, in seconds. delay_s: from there to the
    audience's eyes; what depends on the tempo is on the beat there. threads: that suit the model on
    a quiet machine; with 1, it is left to torch how many there are.
    """

    def __init__(
        self,
        model: Model,
        ring: Ring,
        fps: float,
        inbox: Callable[[], Snapshot],
        timer: Timer,
        phase: float,
        since: float | None = None,
        delay_s: float = 0.0,
        threads: int = 1,
    ) -> None:
        self.ring, self.inbox = ring, inbox
        self.clock, self.timer = timer, waited(timer, model.device)
        self.delay_s = delay_s
        self.stride = self.ticks = 1
        self.load = FULL_LOAD
        self._most = threads
        self.ahead = Ahead(ring, since)
        self._moved_at = -math.inf  # when a control changed last
        self._prompted_at = -math.inf  # when a prompt changed last
        self._sound = Sound()
        self._free_at: float | None = None  # since when frames do without trajectories
        self._lately: deque[int] = deque(maxlen=LATELY)  # evaluations of the newest turns
        self._conds = Conds(lambda texts: self.model.encode(texts))
        self._replaced = 0  # pictures that were not good, by models used before
        self._used: Model | None = None
        self._spare = Spare(fps)
        self.use(model)
        self._snapshot = inbox()
        self._turn, self._next = self._begun(phase)  # the walk of the first frame not made yet
        self._seen_until = math.inf  # when the last frame of the turn being made has been seen

    def use(self, model: Model) -> None:
        """Go on with another model of the same checkpoint."""
        self._replaced += self._used.replaced if self._used is not None else 0
        self._used = self.model = model
        self.sampler = Sampler(model)
        self.threads = Threads(self._most)
        self._turn_s = 0.0
        self._spare.use()

    def recover(self, model: Model) -> None:
        """Go on with another model after a turn that failed, from the last frame made."""
        self.use(model)
        if self.ahead:
            with suppress(_Superseded):  # the next turn aims again
                self._aim()

    @property
    def costs(self) -> Costs:
        """What calls of the model take at present."""
        return self.threads.costs

    @property
    def running(self) -> Running:
        """How frames are sampled now."""
        batch = self.model.batch
        return Running(
            device=self.model.device,
            dtype=self.model.dtype,
            batch=batch,
            compiled=self.model.compiled,
            sample_ms=self.costs.evaluation * self.sampler.evaluations(self._next) / batch * 1e3,
            decode_ms=self.costs.decode / batch * 1e3,
            stride=self.stride,
            turn_s=self._turn_s,
            replaced=self._replaced + self.model.replaced,
        )

    def advance(self) -> bool:
        """Make the next frames if any are wanted. False where there was nothing to do."""
        try:
            return self._advance()
        except _Superseded:
            return True

    def _advance(self) -> bool:
        self.ahead.sync()
        self._steer()
        self._listen()
        decision = self._decided()
        if decision.ticks != self.ticks:
            self.ticks = decision.ticks
            if self.ahead:
                self._aim()
        self.stride = decision.stride
        if self._traced():
            return True
        spare = self._spare
        if decision.measure and spare.measure_coming(self.sampler, self._next, self._give_way):
            return True
        if decision.make:
            self._make(decision.frames)
            return True
        return decision.idle and spare.warm(self.model, self.ahead.last.made)

    def _decided(self) -> Decision:
        """What is to be done now."""
        now, evaluations = self.clock(), self.sampler.evaluations(self._next)
        tracing = self.sampler.tracing(self._next) if self._next.free else 0
        coming = self._spare.coming(self._next)
        return decide(
            Situation(
                tick_s=self.ring.tick_s,
                batch=self.model.batch,
                stride=self.stride,
                ticks=self.ticks,
                costs=self.costs,
                evaluations=evaluations,
                most_evaluations=max([evaluations + tracing, *self._lately]),
                measuring=self.sampler.evaluations(coming) if coming is not None else 0,
                ready_s=self.ahead.ready_s(now),
                room=self.ring.room,
                slots=self.ring.handle.slots,
                moving=now - max(self._moved_at, self._sound.moved_at) < MOTION_S,
                prompting=now - self._prompted_at < PROMPTS_S,
                load=self.load,
            )
        )

    def _steer(self) -> None:
        """Take up new controls, from the first frame that can still be replaced in time.

        Frames due before they take effect stay.
        """
        snapshot, old = self.inbox(), self._snapshot
        if snapshot is old:
            return
        self._snapshot = snapshot
        if not self.ahead:
            self._turn, self._next = self._begun(self._next.phase)
            return
        now = self.clock()
        if snapshot.prompts != old.prompts:
            self._prompted_at = now
        since = self._parting(snapshot, old) - self.delay_s
        if since < self.ahead.due(self.ahead.next_number, now):
            if since <= now:
                self._moved_at = now
            soonest = now + SLACK_S + self.costs.first_s(self._evaluations())
            self.ahead.take_back(max(soonest, since - STEADY * self.ring.tick_s), now)
        self._aim()

    def _listen(self) -> None:
        """Where routes follow the sound, and it begins after a rest, what was made ahead is old."""
        now = self.clock()
        rested = now - self._sound.moved_at > MOTION_S
        if not self._sound.moves(self._snapshot.at(now).inner, self.ring.bands, now):
            return
        if rested and self.ahead:
            self.ahead.take_back(now + SLACK_S + self.costs.first_s(self._evaluations()), now)
            self._aim()

    def _parting(self, snapshot: Snapshot, old: Snapshot) -> float:
        """From which second on other controls make other pictures, as these are seen."""
        return snapshot.parts(old, self.clock() + self.delay_s, self.ring.tick_s)

    def _evaluations(self) -> int:
        """Evaluations of the first batch under the newest controls."""
        newest = self._snapshot.at(self._turn.due)
        return self.sampler.evaluations(self._next.aimed(newest).freed(True))

    def _aim(self) -> None:
        """The next frame follows the last one made, under the controls that it is due under."""
        self._turn = self._planned()
        first = onward(self.ahead.last.made.walk, self._turn, 0, self._settled)
        newest = self._snapshot.at(self._turn.due)
        self._next = steered(first, newest, self._cond, self.sampler)
        self._next = self._next.freed(self._free())

    def _planned(self) -> Turn:
        """The next turn, as far as that is known before it is decided upon.

        It goes a step of the show on, and a bit more or less where the walk is late or early; on
        the beat it is in time by itself.
        """
        now, last = self.clock(), self.ahead.last
        every_s = self.ring.tick_s * self.ticks
        due = self.ahead.due(self.ahead.next_number, now) + self.delay_s
        steady = last.made.walk.at + last.ticks * self.ring.tick_s
        if abs(due - steady) < STEADY * self.ring.tick_s:
            due = steady
        due = max(due, last.made.walk.at)
        newest = self._snapshot.at(due)
        if newest.params.sync:
            self.ahead.forgive(now)
        heard = any(isinstance(route.source, Band) for route in newest.inner)
        return Turn(
            step_s=every_s * hurry(self.ahead.late_s(now)),
            due=due,
            every_s=every_s,
            bands=self.ring.bands if heard else SILENCE,
        )

    def _free(self) -> bool:
        """Whether the next frame does without its keyframes' trajectories: some are missing.

        They are made beside the frames, where there is time, so that hands need not wait for them.
        """
        if not self.sampler.untraced(self._next.freed(False)):
            self._free_at = None
            return False
        now = self.clock()
        if self._free_at is None:
            self._free_at = now
        return now - self._free_at < FREE_S

    def _traced(self) -> bool:
        """Trace a keyframe that the next frame does without, where there is time for it."""
        if not self._next.free:
            return False
        first_s = self.costs.first_s(self.sampler.evaluations(self._next))
        tracing_s = self.costs.first_s(self.sampler.tracing(self._next))
        if self.ahead.ready_s(self.clock()) < first_s + tracing_s + SLACK_S:
            return False
        missing = self.sampler.untraced(self._next.freed(False))
        self.sampler.trace_one(missing[0], self._next, self._give_way)
        if len(missing) == 1:
            self._aim()
        return True

    def _make(self, frames: int) -> None:
        """Sample the places of one turn, decode them and the in-betweens, put all into the ring.

        The first frame of all is made alone: nothing comes before it.
        """
        turn = self._turn
        if self.ahead:
            if self._planned() != turn:
                self._aim()
            turn = cut(replace(self._turn, frames=frames, stride=self.stride), self._snapshot)
        turn = replace(turn, free=self._next.free)
        self._seen_until = turn.due + turn.frames * turn.every_s
        walks = places(self._next, turn, self._settled)
        which, before = sampled(walks, turn), self.sampler.evaluated
        self._thread()
        start = self.timer()
        clean = self.sampler.latents(which, lambda: self._check(len(which)))
        sampling_s = self.timer() - start
        evaluated = self.sampler.evaluated - before
        self._lately.append(evaluated)
        decoding_s, decoded = self._put(self._placed(turn), walks, clean)
        self._turn_s = sampling_s + decoding_s
        if len(which) == self.model.batch and decoded:  # a smaller one may cost as much
            self.threads.learned(sampling_s / evaluated, decoding_s / decoded, self.clock())
        self._aim()

    def _thread(self) -> None:
        """Let torch use as many threads as suit the machine now."""
        now = self.clock()
        count = self.threads.choose(self.ahead.ready_s(now) if self.ahead else 0.0, now)
        if self._most > 1 and count != torch.get_num_threads():
            torch.set_num_threads(count)

    def _check(self, frames: int) -> None:
        """Break off a turn where new controls have come and it can be begun again in time."""
        if not self.ahead or not self._superseded(self._seen_until):
            return
        first_s = self.costs.first_s(self._evaluations())
        if self.ahead.ready_s(self.clock()) > first_s + SLACK_S and self.ahead.waste(frames):
            raise _Superseded

    def _superseded(self, until: float) -> bool:
        """Whether newer controls make other pictures of what is seen until then."""
        newest = self.inbox()
        return newest is not self._snapshot and self._parting(newest, self._snapshot) < until

    def _give_way(self) -> None:
        """Break off what was begun in spare time where new controls have come."""
        if self._superseded(math.inf):
            raise _Superseded

    def _placed(self, turn: Turn) -> Turn:
        """The turn, told how it follows what is on screen once its first frames are decoded."""
        if not self.ahead:
            return turn
        now, first = self.clock(), self.ahead.next_number
        joining = self.ahead.joining(now + SLACK_S + self.costs.first_s(0), now)
        self.ahead.let_go(min(joining, first + turn.frames))
        behind = self.ahead.last.made.behind
        return replace(turn, joined=joining - first, behind=behind, paced=self._spare.paced)

    def _put(self, turn: Turn, walks: Sequence[Walk], clean: Tensor) -> tuple[float, int]:
        """Decode a turn's frames and put them into the ring, as far as that has room.

        As many as a batch has are decoded at a time, and can be shown while others are decoded.
        Returns the seconds that decoding whole batches took, and how many there were.
        """
        frames = made(self.ahead.last.made if self.ahead else None, walks, clean, turn)
        batch, spent, whole = self.model.batch, 0.0, 0
        for i in range(0, len(frames), batch):
            part = frames[i : i + batch]
            start = self.timer()
            pictures = self.sampler.pixels([frame.latents for frame in part])
            if len(part) == batch:
                spent, whole = spent + self.timer() - start, whole + 1
            for at, (frame, pixels) in enumerate(zip(part, pictures, strict=True), turn.joined + i):
                if not self._shown(turn, at, frame, pixels):
                    return spent, whole
        return spent, whole

    def _shown(self, turn: Turn, at: int, frame: Made, pixels: Pixels) -> bool:
        """Put one frame into the ring, number `at` of its turn. False where it has no room."""
        number, epoch, drawn = self.ahead.next_number, self.ahead.epoch, (at + 1) % turn.stride == 0
        put = Frame(
            pixels=pixels,
            number=number,
            version=frame.walk.snapshot.version,
            phase=frame.walk.phase,
            sampled=drawn,
            epoch=epoch,
            ticks=self.ticks,
            at=at,
            turn=turn,
        )
        if not self.ring.put(put, wait=False):
            return False
        walked_s = self.ahead.last.walked_s + turn.step_s if self.ahead else 0.0
        self.ahead.put(Put(number, epoch, self.ticks, walked_s, drawn, frame))
        return True

    def _begun(self, phase: float) -> tuple[Turn, Walk]:
        """The first turn and the beginning of the walk, under the newest controls."""
        model, tick_s = self.model, self.ring.tick_s
        due = self.clock() + self.delay_s
        snapshot = self._snapshot.at(due)
        turn = Turn(step_s=tick_s, due=due, every_s=tick_s, bands=self.ring.bands)
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

    def _settled(self, walk: Walk) -> Walk:
        """The walk with its pace, where a segment has just begun and that could be measured."""
        if not walk.fresh:
            return walk
        spare = self._spare
        while self._decided().measure and spare.measure(self.sampler, walk, self._give_way):
            pass
        return spare.settled(walk)
