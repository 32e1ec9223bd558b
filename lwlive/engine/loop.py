"""The control loop: from what frames cost and how many are ready, what to do next.

Pure arithmetic, asked anew at every turn. It knows no tensors, rings or clocks: what a frame costs
is measured elsewhere and comes in as seconds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lwlive.ring import AHEAD_S

MOST_STRIDE = 8
FULL_LOAD = 0.95  # share of the time that sampling may take
SPARING_LOAD = 0.6  # the same while packages are built beside it
BATCH_LOAD = 0.6  # the same where a batch is chosen: beside it the show is shown and recorded
LATENCY_S = 0.2  # from a control to its picture, wherever the machine allows
SPARE_S = 0.15  # of frames left while a segment's pace is measured
SMOOTH = 0.4  # share of the newest measurement in a running cost


@dataclass(frozen=True)
class Costs:
    """Running costs in seconds a frame."""

    sample: float = 0.0
    decode: float = 0.0
    known: bool = False

    def learned(self, sample: float, decode: float) -> "Costs":
        """The costs with what the last batch took."""
        share = SMOOTH if self.known else 1.0
        return Costs(
            self.sample + (sample - self.sample) * share,
            self.decode + (decode - self.decode) * share,
            known=True,
        )


@dataclass(frozen=True)
class Situation:
    """All that a decision depends on."""

    fps: float
    batch: int  # frames sampled at once
    stride: int  # every how many frames one has been sampled
    costs: Costs
    ready: int  # frames still to be shown, less those that were taken back
    room: int  # frames that can be put without waiting for a slot
    slots: int  # frames that can be kept in all
    load: float = FULL_LOAD


@dataclass(frozen=True)
class Decision:
    """What to do."""

    stride: int  # every how many frames one is to be sampled, the others decoded only
    make: bool  # a batch is wanted now
    idle: bool  # as many frames are ready as are wanted
    keep: int  # so many ready frames stay when a control changes: the next ones take as long
    measure: bool  # there is time to measure a batch of places before the next frames


def decide(now: Situation) -> Decision:
    """What to do now.

    A batch is made only where it has room at once, since controls that arrive while a frame waits
    for a slot would wait with it; what was taken back keeps its slots a while.
    """
    costs, idle = now.costs, now.ready >= AHEAD_S * now.fps
    stride = stride_for(costs, now.fps, now.stride, now.load)
    next_s = now.batch * (costs.sample + costs.decode)  # as many as a batch has are put at a time
    measuring_s = next_s + now.batch * costs.sample
    return Decision(
        stride=stride,
        make=not idle and now.room >= min(stride * now.batch, now.slots // 2),
        idle=idle,
        keep=math.ceil(next_s * now.fps),
        measure=costs.known
        and stride == 1
        and now.ready >= (measuring_s + min(measuring_s, SPARE_S)) * now.fps,
    )


def stride_for(costs: Costs, fps: float, present: int, load: float = FULL_LOAD) -> int:
    """Every how many frames one must be sampled to keep real time, the others decoded only.

    `load` is the share of the time that sampling may take. A smaller stride than the present one
    is taken up only with a fifth of that to spare.
    """
    if not costs.known:
        return present

    def spent(stride: int) -> float:
        return (costs.sample / stride + costs.decode) * fps

    fitting = (s for s in range(1, MOST_STRIDE) if spent(s) <= load * (0.8 if s < present else 1.0))
    return next(fitting, MOST_STRIDE)


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
