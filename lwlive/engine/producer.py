"""The producer: walk -> sampler -> ring, ahead of the show and never far ahead of the hands.

Its loop runs in one thread of the engine, and nothing in it waits. Controls come as whole
snapshots: `inbox()` gives the newest one.

A frame not yet shown can be taken back. When a control changes, the walk continues from the first
frame that can still be replaced in time: what the next turn takes is known, since its evaluations
are counted. Where a turn comes too late all the same, its first frames are left out, and the others
follow from what is on screen at a limited rate. The producer knows nothing of checkpoints or
processes.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from torch import Tensor

from lwlive.engine.ahead import Ahead, Put
from lwlive.engine.cuda import Timer, waited
from lwlive.engine.governor import FULL_LOAD, SLACK_S, Costs, Decision, Situation, decide, hurry
from lwlive.engine.keyframe import Cond, Keyframe
from lwlive.engine.model import Model
from lwlive.engine.pace import live_pace
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Sampler
from lwlive.engine.turn import Made, made, onward, places, sampled, steered
from lwlive.engine.walk import Look, Walk, begin
from lwlive.engine.warmup import first_uses
from lwlive.messages import Running, Turn
from lwlive.ring import Frame, Pixels, Ring
from lwlive.snapshot import Snapshot

MOTION_S = 1.0  # after a control, another one is expected for so long
FREE_S = 1.0  # frames do without their keyframes' trajectories for no longer than that
LATELY = 100  # turns whose evaluations are remembered


class _Superseded(Exception):  # noqa: N818 - not a fault
    """New controls have come, and what was begun under the old ones is left."""


class Producer:
    """Fills the ring with the walk under the newest controls.

    phase: where on the walk to begin. since: when that place was due, by the ring's reader, where
    the walk has begun before. timer: the reader's clock, in seconds.
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
    ) -> None:
        self.ring, self.fps, self.inbox = ring, fps, inbox
        self.clock, self.timer = timer, waited(timer, model.device)
        self.stride = self.ticks = 1
        self.load = FULL_LOAD
        self.costs = Costs()
        self.ahead = Ahead(ring, since)
        self._moved_at = -math.inf  # when a control changed last
        self._free_at: float | None = None  # since when frames do without trajectories
        self._lately: deque[int] = deque(maxlen=LATELY)  # evaluations of the newest turns
        self._conds = Conds(lambda texts: self.model.encode(texts))
        self._replaced = 0  # pictures that were not good, by models used before
        self._used: Model | None = None
        self._pace = live_pace()
        self._known_ahead: tuple[Keyframe, int, Look] | None = None  # a segment with its pace
        self._paced = False  # whether the last segment begun has its pace
        self.use(model)
        self._snapshot, self._step_s = inbox(), ring.tick_s
        self._next = self._begun(phase)  # the walk of the first frame not made yet

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
        if self.ahead:
            with suppress(_Superseded):  # the next turn aims again
                self._aim()

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
        decision = self._decided()
        if decision.ticks != self.ticks:
            self.ticks = decision.ticks
            if self.ahead:
                self._aim()
        self.stride = decision.stride
        if self._traced():
            return True
        if decision.measure and self._measured_ahead():
            return True
        if decision.make:
            self._make(decision.frames)
            return True
        return decision.idle and self._warm()

    def _decided(self) -> Decision:
        """What is to be done now."""
        now, evaluations = self.clock(), self.sampler.evaluations(self._next)
        tracing = self.sampler.tracing(self._next) if self._next.free else 0
        return decide(
            Situation(
                tick_s=self.ring.tick_s,
                batch=self.model.batch,
                stride=self.stride,
                ticks=self.ticks,
                costs=self.costs,
                evaluations=evaluations,
                most_evaluations=max([evaluations + tracing, *self._lately]),
                measuring=self.sampler.evaluations(self._next.next_segment()),
                ready_s=self.ahead.ready_s(now),
                room=self.ring.room,
                slots=self.ring.handle.slots,
                moving=now - self._moved_at < MOTION_S,
                load=self.load,
            )
        )

    def _warm(self) -> bool:
        """Use the model in one way for the first time. False where that is done."""
        if self._first_uses is None:
            last = self.ahead.last.made
            self._first_uses = first_uses(self.model, last.walk, last.latents)
        return next(self._first_uses, False) is None

    def _steer(self) -> None:
        """Take up new controls, from the first frame that can still be replaced in time."""
        snapshot, old = self.inbox(), self._snapshot
        if snapshot.version == old.version:
            return
        self._snapshot = snapshot
        if not self.ahead:
            self._next = self._begun(self._next.phase)
            return
        now = self._moved_at = self.clock()
        self.ahead.take_back(now + SLACK_S + self.costs.first_s(self._evaluations()), now)
        self._aim()

    def _evaluations(self) -> int:
        """Evaluations of the first batch under the newest controls."""
        return self.sampler.evaluations(self._next.aimed(self._snapshot).freed(True))

    def _aim(self) -> None:
        """The next frame follows the last one made, under the newest controls.

        It goes a step of the show on, and a bit more or less where the walk is late or early.
        """
        self._step_s = self.ring.tick_s * self.ticks * hurry(self.ahead.late_s(self.clock()))
        last = self.ahead.last.made.walk
        self._next = steered(
            onward(last, self._step_s, self._settled), self._snapshot, self._cond, self.sampler
        )
        self._next = self._next.freed(self._free())

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
        turn = Turn(frames, self.stride, self._step_s) if self.ahead else Turn(step_s=self._step_s)
        turn = replace(turn, free=self._next.free)
        walks = places(self._next, turn, self._settled)
        which, before = sampled(walks, turn), self.sampler.evaluated
        start = self.timer()
        clean = self.sampler.latents(which, lambda: self._check(len(which)))
        sampling_s = self.timer() - start
        evaluated = self.sampler.evaluated - before
        self._lately.append(evaluated)
        decoding_s, decoded = self._put(self._placed(turn), walks, clean)
        self._turn_s = sampling_s + decoding_s
        if len(which) == self.model.batch and decoded:  # a smaller one may cost as much
            self.costs = self.costs.learned(sampling_s / evaluated, decoding_s / decoded)
        self._aim()

    def _check(self, frames: int) -> None:
        """Break off a turn where new controls have come and it can be begun again in time."""
        if not self._superseded or not self.ahead:
            return
        first_s = self.costs.first_s(self._evaluations())
        if self.ahead.ready_s(self.clock()) > first_s + SLACK_S and self.ahead.waste(frames):
            raise _Superseded

    @property
    def _superseded(self) -> bool:
        """Whether there are newer controls than those taken up."""
        return self.inbox().version != self._snapshot.version

    def _give_way(self) -> None:
        """Break off what was begun in spare time where new controls have come."""
        if self._superseded:
            raise _Superseded

    def _placed(self, turn: Turn) -> Turn:
        """The turn, told how it follows what is on screen once its first frames are decoded."""
        if not self.ahead:
            return turn
        now, first = self.clock(), self.ahead.next_number
        joining = self.ahead.joining(now + SLACK_S + self.costs.first_s(0), now)
        self.ahead.let_go(min(joining, first + turn.frames))
        behind = self.ahead.last.made.behind
        return replace(turn, joined=joining - first, behind=behind, paced=self._paced)

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

    def _begun(self, phase: float) -> Walk:
        """The beginning of the walk, under the newest controls."""
        model, cond = self.model, self._cond(self._snapshot)
        return begin(self._snapshot, cond, model.shape, model.device, phase)

    def _cond(self, snapshot: Snapshot) -> Cond:
        return self._conds(snapshot.params.prompt, snapshot.params.negative)

    def _settled(self, walk: Walk) -> Walk:
        """The walk with its pace, where a segment has just begun and that could be measured."""
        if not walk.fresh:
            return walk
        while self._decided().measure and self._measured(walk):
            pass
        settled = self._pace.settled(walk, _frames(walk, self.fps))
        self._paced = bool(settled.warp)
        return settled

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
        if not walk.params.pace:
            return False
        return self._pace.measure(self.sampler, walk, _frames(walk, self.fps), self._give_way)


def _frames(walk: Walk, fps: float) -> float:
    """Frames that a walk takes for a segment."""
    return fps / walk.params.speed if walk.params.speed else math.inf
