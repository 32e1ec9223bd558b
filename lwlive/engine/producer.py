"""The producer: walk -> sampler -> ring, ahead of the show and never far ahead of the hands.

Its loop runs in one thread of the engine, and nothing in it waits. It decides how many frames are
made next, makes them and puts them into the ring; which ones these are is for `Aim` to say. Where a
turn comes too late, its first frames are left out, and the others follow from what is on screen at
a limited rate. The producer knows nothing of checkpoints or processes.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from lwlive.engine.ahead import Ahead, Put
from lwlive.engine.aim import MOTION_S, Aim
from lwlive.engine.cuda import Timer, waited
from lwlive.engine.governor import FULL_LOAD, SLACK_S, Costs, Decision, Situation, decide
from lwlive.engine.keyframe import Keyframe
from lwlive.engine.model import Model
from lwlive.engine.sampler import Sampler, unchecked
from lwlive.engine.spare import Spare
from lwlive.engine.threads import Threads
from lwlive.engine.turn import Made, cut, made, places, sampled
from lwlive.engine.walk import Walk
from lwlive.messages import Running, Turn
from lwlive.ring import Frame, Pixels, Ring
from lwlive.snapshot import Snapshot

PROMPTS_S = 0.3  # after a prompt, another one may come for so long: a fader on its weights


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
        self.ring = ring
        self.clock, self.timer = timer, waited(timer, model.device)
        self.stride = 1
        self.load = FULL_LOAD
        self._most = threads
        self.ahead = Ahead(ring, since)
        self.aim = Aim(ring, self.ahead, inbox, timer, delay_s, self._settled)
        self._replaced = 0  # pictures that were not good, by models used before
        self._used: Model | None = None
        self._turn_s = 0.0
        self._spare = Spare(fps)
        self.use(model)
        self.aim.begin(phase)
        self._seen_until = math.inf  # when the last frame of the turn being made has been seen

    def use(self, model: Model) -> None:
        """Go on with another model of the same checkpoint."""
        self._replaced += self._used.replaced if self._used is not None else 0
        self._used = self.model = model
        self.sampler = Sampler(model)
        self.threads = Threads(self._most)
        self.aim.use(model, self.sampler, self.threads)
        self._spare.use()

    def recover(self, model: Model) -> None:
        """Go on with another model after a turn that failed, from the last frame made."""
        self.use(model)
        if self.ahead:
            with suppress(_Superseded):  # the next turn aims again
                self.aim.follow()

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
            sample_ms=self.costs.evaluation * self.sampler.evaluations(self.aim.next) / batch * 1e3,
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
        if self.ahead.sync():
            self.aim.follow()
        self.aim.steer()
        self.aim.listen()
        decision = self._decided()
        if decision.ticks != self.aim.ticks:
            self.aim.ticks = decision.ticks
            if self.ahead:
                self.aim.follow()
        self.stride = decision.stride
        if self._traced():
            return True
        spare = self._spare
        if decision.measure and spare.measure_coming(self.sampler, self.aim.next, self._give_way):
            return True
        if decision.make:
            self._make(decision.frames)
            return True
        return decision.idle and spare.warm(self.model, self.ahead.last.made)

    def _decided(self) -> Decision:
        """What is to be done now."""
        now, evaluations = self.clock(), self.sampler.evaluations(self.aim.next)
        missing = self._missing()
        coming = self._spare.coming(self.aim.next)
        return decide(
            Situation(
                tick_s=self.ring.tick_s,
                batch=self.model.batch,
                stride=self.stride,
                ticks=self.aim.ticks,
                costs=self.costs,
                evaluations=evaluations,
                tracing=self.sampler.tracing(self.aim.next, missing) if missing else 0,
                measuring=self.sampler.evaluations(coming) if coming is not None else 0,
                ready_s=self.ahead.ready_s(now),
                room=self.ring.room,
                slots=self.ring.handle.slots,
                moving=now - self.aim.moved_at < MOTION_S,
                sounding=now - self.aim.sound.moved_at < MOTION_S,
                prompting=now - self.aim.prompted_at < PROMPTS_S,
                load=self.load,
            )
        )

    def _traced(self) -> bool:
        """Trace a keyframe that the next frame does without, where there is time or it is overdue.

        One at a time, and the next frames after each: so hands never wait for all of them.
        """
        missing = self._missing()
        if missing is None:
            return False
        overdue = self.aim.overdue
        first_s = self.costs.first_s(self.sampler.evaluations(self.aim.next))
        tracing_s = self.costs.first_s(self.sampler.tracing(self.aim.next, missing))
        if not overdue and self.ahead.ready_s(self.clock()) < first_s + tracing_s + SLACK_S:
            return False
        self.sampler.trace_one(missing, self.aim.next, unchecked if overdue else self._give_way)
        self.aim.traced()
        return True

    def _missing(self) -> Keyframe | None:
        """The keyframe to be traced next, where the next frame does without."""
        walk = self.aim.next
        return next(iter(self.sampler.untraced(walk.freed(False))), None) if walk.lacking else None

    def _make(self, frames: int) -> None:
        """Sample the places of one turn, decode them and the in-betweens, put all into the ring.

        The first frame of all is made alone: nothing comes before it.
        """
        turn = self.aim.turn
        if self.ahead:
            if self.aim.planned() != turn:
                self.aim.follow()
            turn = cut(replace(self.aim.turn, frames=frames, stride=self.stride), self.aim.snapshot)
        turn = replace(turn, free=self.aim.next.free, lone=self.aim.next.lone)
        self._seen_until = turn.due + turn.frames * turn.every_s
        walks = places(self.aim.next, turn, self._settled)
        which, before = sampled(walks, turn), self.sampler.evaluated
        self._thread()
        start = self.timer()
        clean = self.sampler.latents(which, lambda: self._check(len(which)))
        sampling_s = self.timer() - start
        evaluated = self.sampler.evaluated - before
        decoding_s, decoded = self._put(self._placed(turn), walks, clean)
        self._turn_s = sampling_s + decoding_s
        if len(which) == self.model.batch and decoded:  # a smaller one may cost as much
            self.threads.learned(sampling_s / evaluated, decoding_s / decoded, self.clock())
        self.aim.follow()

    def _thread(self) -> None:
        """Let torch use as many threads as suit the machine now."""
        now = self.clock()
        count = self.threads.choose(self.ahead.ready_s(now) if self.ahead else 0.0, now)
        if self._most > 1 and count != torch.get_num_threads():
            torch.set_num_threads(count)

    def _check(self, frames: int) -> None:
        """Break off a turn where new controls have come and it can be begun again in time."""
        if not self.ahead or not self.aim.superseded(self._seen_until):
            return
        first_s = self.costs.first_s(self.aim.evaluations())
        if self.ahead.ready_s(self.clock()) > first_s + SLACK_S and self.ahead.waste(frames):
            raise _Superseded

    def _give_way(self) -> None:
        """Break off what was begun in spare time where new controls have come."""
        if self.aim.superseded(math.inf):
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
            ticks=self.aim.ticks,
            at=at,
            turn=turn,
        )
        if not self.ring.put(put, wait=False):
            return False
        walked_s = self.ahead.last.walked_s + turn.step_s if self.ahead else 0.0
        self.ahead.put(Put(number, epoch, self.aim.ticks, walked_s, drawn, frame))
        return True

    def _settled(self, walk: Walk) -> Walk:
        """The walk with its pace, where a segment has just begun and that could be measured."""
        if not walk.fresh:
            return walk
        spare = self._spare
        while self._decided().measure and spare.measure(self.sampler, walk, self._give_way):
            pass
        return spare.settled(walk)
