"""A place on the walk: what one frame is made from.

It holds no threads, clocks or files; it knows tensors, but neither models nor schedulers.
"""

import math
from dataclasses import dataclass, field

from torch import Tensor

from lwlive.engine.glide import Glide
from lwlive.engine.keyframe import Cond, Keyframe, mix, slerp
from lwlive.engine.look import Look
from lwlive.modulation import Modulation
from lwlive.params import Params
from lwlive.snapshot import Snapshot

LOOK_S = 0.5  # after a change of look, pictures follow at a limited rate for so long at least
PINNED = 0.5  # share of a segment over which the walk lets go of a pinned keyframe
HALFWAY = 0.4  # share by which a prompt slows down halfway, where pictures change twice as much
SEEN = 0.02  # of a fader's travel: less than that is not seen to be on its way
UNSEEN = ("speed", "synced", "cruise", "sync", "seed", "loop", "transition")  # nor are these

# Phase at `index + i / (len - 1)` -> fraction with even visual speed; () where not measured.
Warp = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Place:
    """One frame's place, and all that is needed to continue from there."""

    snapshot: Snapshot
    shape: tuple[int, int, int]  # latents [C, H, W]
    device: str
    seed: int
    index: int  # of keyframe `a`; a bend towards a new seed starts at -1
    a: Keyframe
    b: Keyframe
    fraction: float  # of the way from a to b, 0 to 1
    cond_a: Cond
    cond_b: Cond
    arrived: float  # of the way from cond_a to cond_b, 0 to 1
    glides: dict[str, Glide]
    look: Look
    looked_s: float = LOOK_S  # time of the walk since the look changed, `look_s` at most
    look_s: float = (
        LOOK_S  # for so long pictures follow the newest look at a limited rate, at least
    )
    warp: Warp = ()
    fresh: bool = False  # the segment has begun and its warp may still be measured
    tied: bool = False  # one track: conditioning and guidance go with the noise
    free: bool = False  # nothing is inherited, since the keyframes' trajectories are not there yet
    lone: bool = False  # that of `a` alone is inherited, since that of `b` is not there yet
    moved: Modulation = field(default_factory=Modulation)  # by routes, when this frame is due
    beats: float = 0.0  # from keyframe to keyframe, 0 where speed tells
    drift: float = 0.0  # share of its rate by which the walk is faster, to be on the beat
    # the newest keyframes by their index: whoever asks again gets the same one, traced once
    known: dict[int, Keyframe] = field(default_factory=dict)

    @property
    def params(self) -> Params:
        """The controls this frame is made with."""
        return self.snapshot.params

    @property
    def phase(self) -> float:
        """Position along the walk, in keyframes."""
        return self.index + self.fraction

    @property
    def way(self) -> float:
        """How far between the two keyframes the picture is: the fraction, paced."""
        if not self.warp:
            return self.fraction
        x = self.fraction * (len(self.warp) - 1)
        i = min(int(x), len(self.warp) - 2)
        even = self.warp[i] + (x - i) * (self.warp[i + 1] - self.warp[i])
        return self.fraction + self.number("pace") * (even - self.fraction)

    @property
    def at(self) -> float:
        """When this frame is due, in seconds of the show's clock."""
        return self.moved.at

    def number(self, name: str) -> float:
        """A number of this frame, as routes move it."""
        gliding = self.glides.get(name)
        value = getattr(self.params, name) if gliding is None else gliding.value
        return float(self.moved.value(name, value))

    @property
    def transition(self) -> float:
        """Seconds that the newest bend of the prompts takes."""
        return float(self.moved.value("transition", self.snapshot.transition))

    def top(self, name: str) -> float:
        """The largest value that a gliding number has from here on, unless hands move."""
        glide = self.glides[name]
        return self.moved.top(name, max(glide.value, glide.target))

    @property
    def rate(self) -> float:
        """Keyframes a second, of this frame."""
        synced = self.glides["synced"].value
        if not synced:
            return self.number("speed")
        locked = self.glides["cruise"].value * (1 + self.drift)
        return (1 - synced) * self.number("speed") + synced * locked

    @property
    def bending(self) -> bool:
        """Whether anything but the speed is on its way to what the controls ask for."""
        moving = (g.value != g.target for name, g in self.glides.items() if name not in UNSEEN)
        easing = self.moved.easing.items()
        eased = (abs(left) > SEEN for name, left in easing if name not in UNSEEN)
        looking = self.looked_s < self.look_s
        on_its_way = self.arrived < 1 or looking or any(moving) or any(eased)
        return not self.tied and on_its_way

    @property
    def blended(self) -> float:
        """How far between the two conditionings the picture is, 0 to 1: slower halfway."""
        if self.tied:
            return self.way
        return self.arrived + HALFWAY * math.sin(math.tau * self.arrived) / math.tau

    @property
    def guidance(self) -> float:
        """Classifier-free guidance of this frame, damped between two conditionings."""
        value = self.glides["guidance"].value
        if self.tied:
            one, other = (value if k.guidance is None else k.guidance for k in (self.a, self.b))
            value = one + (other - one) * self.blended
        value = float(self.moved.value("guidance", value))
        middle = 1 - abs(2 * self.blended - 1)
        return value - max(0.0, value - 1) * self.number("damping") * middle

    def guidance_of(self, keyframe: Keyframe) -> float:
        """Guidance of a keyframe's own trajectory: its own, or the one the walk is heading for.

        Those of a live walk have their own from the beginning: when they are traced depends on the
        machine, and must make no difference.
        """
        own = keyframe.guidance
        return self.glides["guidance"].target if own is None else own

    @property
    def crossfeed(self) -> float:
        """Pull towards the mixed trajectories, of this frame."""
        return self.number("crossfeed")

    def pull(self, i: int, begin: int, total: int) -> float:
        """The pull before step i of `begin` to `total`: full after the first one, then decaying."""
        first, end = begin + 1, round(self.number("crossfeed_range") * total)
        if self.free or not first <= i < end:
            return 0.0
        along = (i - first) / max(1, end - 1 - first)
        return self.crossfeed * (1 + along * (self.number("crossfeed_decay") - 1))

    def pin(self) -> tuple[Keyframe, float] | None:
        """The pinned keyframe that is near, and how firmly it holds: 1 at the keyframe itself."""
        for keyframe, gap in ((self.a, self.way), (self.b, 1 - self.way)):
            if keyframe.pinned and gap < PINNED:
                return keyframe, 1 - gap / PINNED
        return None

    @property
    def lacking(self) -> bool:
        """Whether it does without a trajectory that is not there yet."""
        return self.free or self.lone

    @property
    def inherits(self) -> bool:
        """Whether the keyframes' trajectories have a part in this frame."""
        return not self.free and (self.crossfeed > 0 or self.look.inherited > 0)

    @property
    def inheriting(self) -> bool:
        """Whether they have, or may have in frames to come."""
        if self.free:
            return False
        deepest = int(self.moved.top("depth", self.params.depth) * self.look.steps)
        return max(self.look.inherited, deepest) > 0 or self.top("crossfeed") > 0

    @property
    def drawn(self) -> Look:
        """The look that this frame is sampled in."""
        return Look(self.look.steps, 0) if self.free else self.look

    def noise(self, i: int) -> Tensor:
        """This frame's noise [C, H, W]: the initial one for 0, else that of step i - 1."""
        return slerp(self.a.noise[i], self.b.noise[i], self.way)

    def inherited(self, steps: int, i: int) -> Tensor:
        """The mix of both keyframes' latents before step i of so many, [C, H, W].

        Those of the first one alone are near it, since the walk has only just left that.
        """
        here = self.a.trajectories[steps][i]
        return here if self.lone else slerp(here, self.b.trajectories[steps][i], self.way)

    def cond(self) -> Cond:
        """This frame's conditioning."""
        return mix(self.cond_a, self.cond_b, self.blended)
