"""The governor: from what calls of the model take and what is ready, what to do next.

Pure arithmetic, asked again at every turn. It knows no tensors, rings or clocks: what the model
takes is measured elsewhere and comes in as seconds a call, and how many calls a batch needs is
counted before it is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median_low

from lwlive.ring import AHEAD_S

MOST_STRIDE = 8
MOST_TICKS = 8  # of the display for one frame: a machine that is slower still falls behind
FULL_LOAD = 0.95  # share of the time that sampling may take
SPARING_LOAD = 0.6  # the same while packages are built beside it
BATCH_LOAD = 0.6  # the same where a batch is chosen: beside it the show is shown and recorded
LATENCY_S = 0.2  # from a control to its picture, wherever the machine allows
SPARE_S = 0.15  # of frames left while a segment's pace is measured
SLACK_S = 0.004  # between a frame's arrival in the ring and the tick that shows it
RECENT = 7  # turns that costs are learned from
CATCH_UP = 0.05  # share of its speed by which a walk that is late goes faster
CATCH_UP_S = 0.4  # a walk this late catches up so much faster; one less late, in proportion
FORGIVEN_S = 60.0  # a walk that is later than that, after a laptop's sleep, is not later


@dataclass(frozen=True)
class Costs:
    """Seconds that a call of the model took in each of the newest turns, waiting not counted."""

    evaluations: tuple[float, ...] = ()
    decodes: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether a turn was measured."""
        return bool(self.evaluations)

    @property
    def warm(self) -> bool:
        """Whether a turn was measured after the first one, which may take many times as long."""
        return len(self.evaluations) > 1

    def learned(self, evaluation_s: float, decode_s: float) -> "Costs":
        """The costs with what a call took in the last turn."""
        return Costs(
            (*self.evaluations, evaluation_s)[-RECENT:], (*self.decodes, decode_s)[-RECENT:]
        )

    @property
    def evaluation(self) -> float:
        """Seconds an evaluation usually takes: one outlier does not count."""
        return median_low(self.evaluations) if self.known else 0.0

    @property
    def decode(self) -> float:
        """Seconds a call of the decoder usually takes."""
        return median_low(self.decodes) if self.known else 0.0

    def first_s(self, evaluations: int) -> float:
        """Seconds until the first frames of a turn with so many evaluations are there.

        Prudent: as slow as the newest turns were but for one of them.
        """
        slow = (_but_one(self.evaluations), _but_one(self.decodes))
        return evaluations * slow[0] + slow[1]


def _but_one(seconds: tuple[float, ...]) -> float:
    """The largest but for one; the only one; 0 where nothing is known."""
    return sorted(seconds)[-2 if len(seconds) > 1 else -1] if seconds else 0.0


@dataclass(frozen=True)
class Situation:
    """All that a decision depends on."""

    tick_s: float  # from one tick of the display to the next
    batch: int  # frames sampled together
    stride: int  # every how many frames one has been sampled
    ticks: int  # that a frame has stood for
    costs: Costs
    evaluations: int  # that the next batch needs
    tracing: int  # evaluations that a keyframe takes which is still to be traced beside the frames
    measuring: int  # evaluations that measuring a batch of the coming segment needs
    ready_s: float  # until the last frame made has had its time on the screen
    room: int  # frames that can be put without waiting for a slot
    slots: int  # frames that can be kept in all
    moving: bool = False  # controls are moving: what is made far ahead would be made in vain
    sounding: bool = False  # sound moves the walk: what is made far ahead goes with an old one
    prompting: bool = False  # prompts are moving: a pace that is measured would be that of none
    load: float = FULL_LOAD


@dataclass(frozen=True)
class Decision:
    """What to do."""

    stride: int  # every how many frames one is to be sampled, the others decoded only
    ticks: int  # that each frame is to stand for
    frames: int  # to make in the next turn
    make: bool  # a turn is wanted now
    idle: bool  # as many frames are ready as a calm show wants
    measure: bool  # there is time to measure a batch of places before the next frames


def decide(now: Situation) -> Decision:
    """What to do now.

    A turn is made only where its frames have room, since a frame that waits for a slot would keep
    controls waiting; what was taken back keeps its slots a while.
    """
    stride, ticks = strides_for(now)
    frames = stride * _rows(now, stride)
    first_s = now.costs.first_s(now.evaluations)
    wanted_s = AHEAD_S
    if now.moving or now.sounding:  # what the next turn needs, and one batch more, or a frame
        longest_s = now.costs.first_s(now.evaluations + now.tracing)
        more = 1 / min(2, frames) if now.sounding else frames
        wanted_s = min(AHEAD_S, longest_s + SLACK_S + more * ticks * now.tick_s)
    measuring_s = first_s + now.costs.first_s(now.measuring)
    return Decision(
        stride=stride,
        ticks=ticks,
        frames=frames,
        make=now.ready_s < wanted_s and now.room >= frames,
        idle=now.ready_s >= AHEAD_S,
        measure=now.costs.known
        and not now.prompting
        and stride == 1
        and now.ready_s >= measuring_s + min(measuring_s, SPARE_S),
    )


def strides_for(now: Situation) -> tuple[int, int]:
    """Every how many frames one must be sampled to keep real time, and the ticks of each frame.

    Frames stand for more than one tick only where decoding alone is too slow, or the machine. Less
    of either than at present is taken up only with a fifth of the time to spare.
    """
    costs = now.costs
    if not costs.warm:
        return now.stride, now.ticks

    def fits(stride: int, ticks: int) -> bool:
        easier = (ticks, stride) < (now.ticks, now.stride)
        frames = stride * _rows(now, stride)
        spent_s = now.evaluations * costs.evaluation + frames / now.batch * costs.decode
        return spent_s <= now.load * (0.8 if easier else 1.0) * frames * ticks * now.tick_s

    choices = ((s, t) for t in range(1, MOST_TICKS + 1) for s in range(1, MOST_STRIDE + 1))
    return next((choice for choice in choices if fits(*choice)), (MOST_STRIDE, MOST_TICKS))


def _rows(now: Situation, stride: int) -> int:
    """How many places are sampled together: fewer than a batch where the ring is too short."""
    return max(1, min(now.batch, now.slots // 2 // stride))


def hurry(late_s: float) -> float:
    """How many times its speed a walk goes that is so many seconds late, in whole per cent.

    Less than 1 where it is early; 1 where that is less than a tenth of CATCH_UP_S.
    """
    share = max(-1.0, min(1.0, late_s / CATCH_UP_S))
    return 1 + round(100 * CATCH_UP * share) / 100


def batch_for(costs: Mapping[int, float], fps: float) -> int:
    """The smallest batch that samples every frame in time, so that controls feel direct.

    costs: batch -> seconds a frame. Where none does: the largest one that still answers controls
    in LATENCY_S, since large batches cost less per frame. A control waits for the batch in work,
    for its own and for two frames.
    """
    longest_s = (LATENCY_S - 2 / fps) / 2
    prompt = [n for n in costs if n * costs[n] <= longest_s]
    enough = [n for n in prompt if costs[n] * fps <= BATCH_LOAD]
    return min(enough) if enough else max(prompt, default=min(costs))
