"""The walk: where we are between keyframes, now and one frame later.

A Walk is a frozen value and every change makes a new one, so that a frame not yet shown can be
taken back by keeping the Walk it came from. The walk holds no threads, clocks or files; it knows
tensors, but neither models nor schedulers, and asks for nothing while it moves.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lwlive.engine.keyframe import NOISES, Cond, Keyframe, mix, noise_of, slerp
from lwlive.params import SPECS, Params, Snapshot

PINNED = 0.5  # share of a segment over which the walk lets go of a pinned keyframe
LOOK_S = 1.5  # seconds to cross-fade between looks, such as numbers of steps
HALFWAY = 0.4  # share by which a prompt slows down halfway, where pictures change twice as much
EASE_S = 0.25  # nothing arrives faster than this


@dataclass(frozen=True)
class Look:
    """What cannot glide: frames of two looks are cross-faded."""

    steps: int
    inherited: int  # steps taken over from the keyframes' trajectories


@dataclass(frozen=True)
class Glide:
    """A number on its way to a target, at a steady rate per second."""

    value: float
    target: float
    rate: float = 0.0

    def towards(self, target: float, seconds: float) -> "Glide":
        """The same number, to be at `target` in so many seconds."""
        if target == self.target:
            return self
        return Glide(self.value, target, abs(target - self.value) / max(seconds, 1e-6))

    def arrived(self) -> "Glide":
        """The number at its target."""
        return Glide(self.target, self.target)

    def after(self, seconds: float) -> "Glide":
        """The number so many seconds later."""
        step, gap = self.rate * seconds, self.target - self.value
        if abs(gap) <= step:
            return replace(self, value=self.target)
        return replace(self, value=self.value + (step if gap > 0 else -step))


# Phase at `index + i / (len - 1)` -> fraction with even visual speed; () where not measured.
Warp = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Walk:
    """One frame's place on the walk, and all that is needed to go on from there."""

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
    old_look: Look | None = None  # while cross-fading
    faded: float = 1.0  # of the way from old_look to look
    warp: Warp = ()
    fresh: bool = False  # the segment has begun and its warp may still be measured
    tied: bool = False  # one track: conditioning and guidance go with the noise

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
        return self.fraction + self.glides["pace"].value * (even - self.fraction)

    @property
    def bending(self) -> bool:
        """Whether anything but the speed is on its way to what the controls ask for."""
        moving = (g.value != g.target for name, g in self.glides.items() if name != "speed")
        on_its_way = self.arrived < 1 or self.old_look is not None or any(moving)
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
        middle = 1 - abs(2 * self.blended - 1)
        return value - max(0.0, value - 1) * self.glides["damping"].value * middle

    def guidance_of(self, keyframe: Keyframe) -> float:
        """Guidance of a keyframe's own trajectory: its own, or the one the walk is heading for."""
        own = keyframe.guidance
        return self.glides["guidance"].target if own is None else own

    @property
    def crossfeed(self) -> float:
        """Pull towards the mixed trajectories, of this frame."""
        return self.glides["crossfeed"].value

    def pull(self, i: int, look: "Look") -> float:
        """The pull before step i: full after the first step run, decaying over its range."""
        first, end = look.inherited + 1, round(self.glides["crossfeed_range"].value * look.steps)
        if not first <= i < end:
            return 0.0
        along = (i - first) / max(1, end - 1 - first)
        return self.crossfeed * (1 + along * (self.glides["crossfeed_decay"].value - 1))

    def pin(self) -> tuple[Keyframe, float] | None:
        """The pinned keyframe that is near, and how firmly it holds: 1 at the keyframe itself."""
        for keyframe, gap in ((self.a, self.way), (self.b, 1 - self.way)):
            if keyframe.pinned and gap < PINNED:
                return keyframe, 1 - gap / PINNED
        return None

    @property
    def looks(self) -> tuple[Look, ...]:
        """The look, or old and new look while they cross-fade."""
        return (self.look,) if self.old_look is None else (self.old_look, self.look)

    @property
    def inherits(self) -> bool:
        """Whether the keyframes' trajectories have a part in this frame."""
        return self.crossfeed > 0 or any(look.inherited for look in self.looks)

    def noise(self, i: int) -> Tensor:
        """This frame's noise [C, H, W]: the initial one for 0, else that of step i - 1."""
        return slerp(self.a.noise[i], self.b.noise[i], self.way)

    def inherited(self, steps: int, i: int) -> Tensor:
        """The mix of both keyframes' latents before step i of so many, [C, H, W]."""
        return slerp(self.a.trajectories[steps][i], self.b.trajectories[steps][i], self.way)

    def cond(self) -> Cond:
        """This frame's conditioning."""
        return mix(self.cond_a, self.cond_b, self.blended)

    def after(self, seconds: float) -> "Walk":
        """The walk one frame of so many seconds later."""
        glides = {name: glide.after(seconds) for name, glide in self.glides.items()}
        transition = max(self.params.transition, EASE_S)
        arrived = min(1.0, self.arrived + seconds / transition)
        faded, old_look, look = min(1.0, self.faded + seconds / LOOK_S), self.old_look, self.look
        if faded >= 1.0:
            wanted = look_of(self.params)
            old_look = look if wanted != look else None
            look, faded = wanted, 0.0 if wanted != look else 1.0
        fraction = self.fraction + glides["speed"].value * seconds
        later = replace(
            self,
            glides=glides,
            arrived=arrived,
            faded=faded,
            look=look,
            old_look=old_look,
            fraction=fraction,
        )
        while later.fraction >= 1:
            later = later._entered()
        return later

    def _entered(self) -> "Walk":
        """The next segment, with the way already gone into it."""
        return replace(
            self,
            index=self._following(self.index),
            a=self.b,
            b=self._keyframe(self._following(self.index) + 1),
            fraction=self.fraction - 1,
            warp=(),
            fresh=True,
        )

    def _following(self, index: int) -> int:
        loop = self.params.loop
        return (index + 1) % loop if loop and index >= 0 else index + 1

    def _keyframe(self, index: int) -> Keyframe:
        loop = self.params.loop
        index = index % loop if loop else index
        noise = noise_of(self.seed, index, self.shape, self.device, len(self.a.noise))
        return Keyframe(noise, self.cond_b)

    def _here(self) -> Keyframe:
        """The present mix as a keyframe: frames at its place are those of this walk."""
        noise = torch.stack([self.noise(i) for i in range(len(self.a.noise))])
        steps = {look.steps for look in self.looks} if self.inherits else set()
        mixed = {
            n: torch.stack([self.inherited(n, i) for i in range(len(self.a.trajectories[n]))])
            for n in steps
        }
        return Keyframe(noise, self.cond(), mixed)

    def next_segment(self) -> "Walk":
        """The start of the segment after this one, as it will be if nothing is changed."""
        return replace(self, fraction=1.0, cond_a=self.cond_b, arrived=1.0)._entered()

    def steered(self, snapshot: Snapshot, cond: Cond) -> "Walk":
        """The same place under new controls: nothing jumps, targets change.

        `cond` belongs to the snapshot's prompts. Where the walk inherits, its keyframes'
        trajectories must be there.
        """
        old, new = self.params, snapshot.params
        targets = _targets(new)
        glides = {n: g.towards(targets[n], SPECS[n].glide) for n, g in self.glides.items()}
        walk = replace(self, snapshot=snapshot, glides=glides)
        prompted = (old.prompt, old.negative) != (new.prompt, new.negative)
        reseeded = new.seed != walk.seed
        skipped = snapshot.nexts != self.snapshot.nexts
        if prompted:
            walk = replace(walk, cond_a=self.cond(), cond_b=cond, arrived=0.0)
        if reseeded or skipped or (prompted and self.inherits):
            index = -1 if reseeded else self._following(self.index) if skipped else self.index
            walk = replace(
                walk, seed=new.seed, index=index, a=self._here(), fraction=0.0, warp=(), fresh=False
            )
            walk = replace(walk, b=walk._keyframe(index + 1))
        elif prompted:
            walk = replace(
                walk, a=Keyframe(self.a.noise, self.cond()), b=Keyframe(self.b.noise, cond)
            )
        return walk


def look_of(params: Params) -> Look:
    """The look that the controls ask for. `steps` must be known by now."""
    assert params.steps is not None
    return Look(params.steps, int(params.depth * params.steps))


def _targets(params: Params) -> dict[str, float]:
    """The gliding numbers the controls ask for. `guidance` must be known by now."""
    assert params.guidance is not None
    return {
        "speed": 0.0 if params.hold else params.speed,
        "guidance": params.guidance,
        "crossfeed": params.crossfeed,
        "crossfeed_range": params.crossfeed_range,
        "crossfeed_decay": params.crossfeed_decay,
        "damping": params.damping,
        "pace": params.pace,
    }


def begin(
    snapshot: Snapshot,
    cond: Cond,
    shape: tuple[int, int, int],
    device: str,
    phase: float = 0.0,
    noises: int = NOISES,
) -> Walk:
    """The walk at `phase` under these controls, as if it had always been on its way.

    `noises`: how many noise tensors its keyframes have, one more than the most steps.
    """
    params = snapshot.params
    index, loop = int(phase // 1), params.loop
    first, second = (
        Keyframe(noise_of(params.seed, i % loop if loop else i, shape, device, noises), cond)
        for i in (index, index + 1)
    )
    return Walk(
        snapshot=snapshot,
        shape=shape,
        device=device,
        seed=params.seed,
        index=index % loop if loop else index,
        a=first,
        b=second,
        fraction=phase - index,
        cond_a=cond,
        cond_b=cond,
        arrived=1.0,
        glides={name: Glide(value, value) for name, value in _targets(params).items()},
        look=look_of(params),
    )
