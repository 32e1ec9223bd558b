"""The walk: where we are between keyframes, now and one frame later.

A Walk is a frozen value and every change makes a new one, so that a frame not yet shown can be
taken back by keeping the Walk it came from. The walk holds no threads, clocks or files; it knows
tensors, but neither models nor schedulers, and asks for nothing while it moves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lwlive.engine import sync
from lwlive.engine.keyframe import NOISES, Cond, Keyframe, mix, noise_of, slerp
from lwlive.modulation import Modulation, begun
from lwlive.params import SPECS, Params
from lwlive.routes import SILENCE
from lwlive.snapshot import Snapshot

PINNED = 0.5  # share of a segment over which the walk lets go of a pinned keyframe
LOOK_S = 0.5  # after a change of look, pictures follow at a limited rate for so long at least
HALFWAY = 0.4  # share by which a prompt slows down halfway, where pictures change twice as much
EASE_S = 0.25  # nothing arrives faster than this
KNOWN = 4  # keyframes remembered beside those of the segment
SEEN = 0.02  # of a fader's travel: less than that is not seen to be on its way
UNSEEN = ("speed", "synced", "cruise", "sync", "seed", "loop", "transition")  # nor are these


@dataclass(frozen=True)
class Look:
    """What cannot glide: pictures follow a new look at a limited rate, as a cross-fade does."""

    steps: int
    inherited: int  # steps taken over from the keyframes' trajectories


@dataclass(frozen=True)
class Glide:
    """A number on its way to a target, at a steady rate per second."""

    value: float
    target: float
    rate: float = 0.0

    def towards(self, target: float, seconds: float, sooner: bool = False) -> "Glide":
        """The same number, to be at `target` in so many seconds.

        One that is on its way there keeps its rate, unless it is to be there sooner.
        """
        if target == self.target and not sooner:
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
    """One frame's place on the walk, and all that is needed to continue from there."""

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
    moved: Modulation = field(default_factory=Modulation)  # by routes, when this frame is due
    beats: float = 0.0  # from keyframe to keyframe, 0 where speed tells
    drift: float = 0.0  # share of its rate by which the walk is faster, to be on the beat
    # the newest keyframes by their index, each with the guidance that its trajectory is made with:
    # whoever asks again gets the same one, so that it is traced once
    known: dict[int, tuple[Keyframe, float]] = field(default_factory=dict)

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
    def steady(self) -> float:
        """Keyframes a second that hands ask for, holding and routes aside."""
        if not self.params.sync:
            return self.params.speed
        tempo = self.snapshot.tempo
        return sync.rate(tempo, sync.beats(tempo, self.params.sync))

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
        """Guidance of a keyframe's own trajectory: its own, or the one the walk is heading for."""
        own = keyframe.guidance
        return self.glides["guidance"].target if own is None else own

    @property
    def crossfeed(self) -> float:
        """Pull towards the mixed trajectories, of this frame."""
        return self.number("crossfeed")

    def pull(self, i: int, look: "Look") -> float:
        """The pull before step i: full after the first step run, decaying over its range."""
        first, end = look.inherited + 1, round(self.number("crossfeed_range") * look.steps)
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

    def freed(self, free: bool) -> "Walk":
        """The same place, inheriting or not. Pictures follow such a change at a limited rate."""
        return self if free == self.free else replace(self, free=free, looked_s=0.0, look_s=LOOK_S)

    def noise(self, i: int) -> Tensor:
        """This frame's noise [C, H, W]: the initial one for 0, else that of step i - 1."""
        return slerp(self.a.noise[i], self.b.noise[i], self.way)

    def inherited(self, steps: int, i: int) -> Tensor:
        """The mix of both keyframes' latents before step i of so many, [C, H, W]."""
        return slerp(self.a.trajectories[steps][i], self.b.trajectories[steps][i], self.way)

    def cond(self) -> Cond:
        """This frame's conditioning."""
        return mix(self.cond_a, self.cond_b, self.blended)

    def after(
        self, seconds: float, at: float | None = None, bands: Sequence[float] = SILENCE
    ) -> "Walk":
        """The walk one frame of so many seconds later, due at a moment, with these bands heard."""
        at = self.at + seconds if at is None else at
        later = replace(
            self,
            glides={name: glide.after(seconds) for name, glide in self.glides.items()},
            moved=self.moved.after(seconds, self.snapshot, at, bands),
            drift=self._drift(seconds),
            looked_s=min(self.look_s, self.looked_s + seconds),
        )
        transition = max(later.transition, EASE_S)
        later = replace(
            later._looking(LOOK_S),
            arrived=min(1.0, self.arrived + seconds / transition),
            fraction=self.fraction + later.rate * seconds,
        )
        while later.fraction >= 1:
            later = later._entered()
        return later

    def moved_at(self, at: float, bands: Sequence[float] = SILENCE) -> "Walk":
        """The same place as routes have it at a moment, as if they had been there for long."""
        moved = begun(self.snapshot, self.snapshot.inner, at, bands)
        walk = replace(self, moved=moved)
        return replace(walk, look=walk._look())

    def _drift(self, seconds: float) -> float:
        """Share of its rate by which the walk is to be faster for so long, to be on the beat."""
        if not self.beats:
            return 0.0
        along = self.snapshot.tempo.beats(self.at) / self.beats
        return sync.drift(self.fraction - along, self.drift, self.glides["cruise"].value, seconds)

    def _looking(self, seconds: float) -> "Walk":
        """The same place in the look that is asked for; a new one is followed for so long."""
        look = self._look()
        return self if look == self.look else replace(self, look=look, looked_s=0.0, look_s=seconds)

    def _look(self) -> Look:
        """The look that the controls and the routes ask for."""
        if not (self.moved.by("steps") or self.moved.by("depth")):
            return look_of(self.params)
        steps = int(self.number("steps"))
        return Look(steps, int(self.number("depth") * steps))

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
            beats=self._beats(),
        )._cruising()

    def _beats(self) -> float:
        """Beats from keyframe to keyframe; what routes make of them is rounded."""
        wanted = self.params.sync
        if wanted and self.moved.by("sync"):
            wanted = max(1.0, round(self.number("sync")))
        return sync.beats(self.snapshot.tempo, wanted) if wanted else 0.0

    def _cruising(self) -> "Walk":
        """The walk on its way to the rate that its beats ask for."""
        hold = self.params.hold or not self.beats
        target = 0.0 if hold else sync.rate(self.snapshot.tempo, self.beats)
        glide = self.glides["cruise"].towards(target, EASE_S)
        return replace(self, glides={**self.glides, "cruise": glide})

    def _following(self, index: int) -> int:
        loop = int(self.number("loop"))
        return (index + 1) % loop if loop and index >= 0 else index + 1

    def _keyframe(self, index: int) -> Keyframe:
        """A keyframe of this walk, the same one where it is asked for again."""
        loop = int(self.number("loop"))
        origin = (int(self.moved.value("seed", self.seed)), index % loop if loop else index)
        guidance = self.glides["guidance"].target
        found, traced = self.known.get(origin[1], (None, guidance))
        if found and (found.origin, traced) == (origin, guidance) and found.cond is self.cond_b:
            return found
        noise = noise_of(*origin, self.shape, self.device, len(self.a.noise))
        found = Keyframe(noise, self.cond_b, origin=origin)
        self.known.pop(origin[1], None)
        self.known[origin[1]] = found, guidance
        while len(self.known) > KNOWN:
            del self.known[next(iter(self.known))]
        return found

    def _here(self) -> Keyframe:
        """The present mix as a keyframe: frames at its place are those of this walk."""
        noise = torch.stack([self.noise(i) for i in range(len(self.a.noise))])
        steps, mixed = self.look.steps, {}
        if self.inherits:
            mixed[steps] = torch.stack([self.inherited(steps, i) for i in range(steps + 1)])
        return Keyframe(noise, self.cond(), mixed)

    def next_segment(self) -> "Walk":
        """The start of the segment after this one, as it will be if nothing is changed."""
        return replace(self, fraction=1.0, cond_a=self.cond_b, arrived=1.0)._entered()

    def steered(self, snapshot: Snapshot, cond: Cond) -> "Walk":
        """The same place under new controls: nothing jumps, targets change.

        `cond` belongs to the snapshot's prompts. Where the walk inherits, its keyframes'
        trajectories must be there.
        """
        new = snapshot.params
        walk = self.aimed(snapshot)
        prompted, reseeded = self._prompted(new), new.seed != self.seed
        skipped = snapshot.nexts - self.snapshot.nexts
        if prompted:
            walk = replace(walk, cond_a=self.cond(), cond_b=cond, arrived=0.0)
        if self.bent(snapshot):
            index = -1 if reseeded else self.index
            for _ in range(0 if reseeded else skipped):
                index = walk._following(index)
            walk = replace(
                walk, seed=new.seed, index=index, a=self._here(), fraction=0.0, warp=(), fresh=False
            )
            walk = replace(walk, b=walk._keyframe(index + 1))
        elif prompted:
            a, b = self.a, self.b
            walk = replace(
                walk,
                a=Keyframe(a.noise, self.cond(), origin=a.origin),
                b=Keyframe(b.noise, cond, origin=b.origin),
            )
        return walk

    def aimed(self, snapshot: Snapshot) -> "Walk":
        """The same place in the look that new controls ask for, with the numbers on their way."""
        targets = {"cruise": self.glides["cruise"].target, **_targets(snapshot.params)}
        glides = {}
        for name, glide in self.glides.items():
            over, before = _over(snapshot, name), _over(self.snapshot, name)
            glides[name] = glide.towards(targets[name], over, sooner=over < before)
        moved = self.moved.steered(snapshot, snapshot.inner)
        said = [snapshot.over[n] for n in ("steps", "depth") if n in snapshot.over]
        walk = replace(self, snapshot=snapshot, glides=glides, moved=moved)
        walk = walk._looking(max([LOOK_S, *said]))
        if snapshot.params.sync != self.params.sync:
            walk = replace(walk, beats=walk._beats())
        return walk._cruising()

    def bent(self, snapshot: Snapshot) -> bool:
        """Whether new controls make a keyframe of the present mix, and of where it goes."""
        reseeded = snapshot.params.seed != self.seed
        prompted = self._prompted(snapshot.params) and self.inherits
        return reseeded or prompted or snapshot.nexts != self.snapshot.nexts

    def _prompted(self, new: Params) -> bool:
        return self.snapshot.prompts != (new.prompt, new.negative)


def look_of(params: Params) -> Look:
    """The look that the controls ask for. `steps` must be known by now."""
    assert params.steps is not None
    return Look(params.steps, int(params.depth * params.steps))


def _over(snapshot: Snapshot, name: str) -> float:
    """Seconds that a number's newest glide takes: a cue may give it more than its own."""
    own = SPECS[name].glide if name in SPECS else EASE_S
    return max(own, snapshot.over.get(name, 0.0))


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
        "synced": 1.0 if params.sync else 0.0,
    }


def begin(
    snapshot: Snapshot,
    cond: Cond,
    shape: tuple[int, int, int],
    device: str,
    phase: float = 0.0,
    noises: int = NOISES,
    at: float = 0.0,
    bands: Sequence[float] = SILENCE,
) -> Walk:
    """The walk at `phase` under these controls, as if it had always been on its way.

    `noises`: how many noise tensors its keyframes have, one more than the most steps. `at`: when
    this place is due; `bands`: what is heard.
    """
    params = snapshot.params
    index, loop = int(phase // 1), params.loop
    first, second = (
        Keyframe(noise_of(*origin, shape, device, noises), cond, origin=origin)
        for origin in ((params.seed, i % loop if loop else i) for i in (index, index + 1))
    )
    targets = {"cruise": 0.0, **_targets(params)}
    walk = Walk(
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
        glides={name: Glide(value, value) for name, value in targets.items()},
        look=look_of(params),
        moved=begun(snapshot, snapshot.inner, at, bands),
    )
    walk = replace(walk, look=walk._look(), beats=walk._beats())._cruising()
    cruise = walk.glides["cruise"].arrived()
    return replace(walk, glides={**walk.glides, "cruise": cruise})
