"""The walk: where we are between keyframes, now and one frame later.

A Walk is a frozen value and every change makes a new one, so that a frame not yet shown can be
taken back by keeping the Walk it came from. The walk holds no threads, clocks or files; it knows
tensors, but neither models nor schedulers, and asks for nothing while it moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from lwlive.engine import sync
from lwlive.engine.glide import EASE_S, Glide, asked_for, glide_s
from lwlive.engine.keyframe import NOISES, Cond, Keyframe, noise_of
from lwlive.engine.look import Look, look_of
from lwlive.engine.place import LOOK_S, Place
from lwlive.modulation import begun
from lwlive.params import Params
from lwlive.routes import SILENCE
from lwlive.snapshot import Snapshot

KNOWN = 4  # keyframes remembered beside those of the segment


@dataclass(frozen=True, eq=False)
class Walk(Place):
    """A place that moves: on to the next frame, and towards what new controls ask for."""

    def freed(self, free: bool, lone: bool = False) -> "Walk":
        """The same place, inheriting nothing, from its first keyframe alone or from both.

        Pictures follow such a change at a limited rate.
        """
        if (free, lone) == (self.free, self.lone):
            return self
        return replace(self, free=free, lone=lone, looked_s=0.0, look_s=LOOK_S)

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

    def _following(self, index: int, count: int = 1) -> int:
        """The index of the keyframe that is so many after this one."""
        loop = int(self.number("loop"))
        return (index + count) % loop if loop and count else index + count

    def _keyframe(self, index: int) -> Keyframe:
        """A keyframe of this walk, the same one where it is asked for again."""
        loop = int(self.number("loop"))
        origin = (int(self.moved.value("seed", self.seed)), index % loop if loop else index)
        guidance = self.glides["guidance"].target
        found, wanted = self.known.get(origin[1]), (origin, guidance)
        if found and found.cond is self.cond_b and (found.origin, found.guidance) == wanted:
            return found
        noise = noise_of(*origin, self.shape, self.device, len(self.a.noise))
        found = Keyframe(noise, self.cond_b, guidance=guidance, origin=origin)
        self.known.pop(origin[1], None)
        self.known[origin[1]] = found
        while len(self.known) > KNOWN:
            del self.known[next(iter(self.known))]
        return found

    def _here(self, guidance: float) -> Keyframe:
        """The present mix as a keyframe: frames at its place are those of this walk.

        `guidance`: of what is not there of its trajectories yet.
        """
        noise = torch.stack([self.noise(i) for i in range(len(self.a.noise))])
        steps, mixed = self.look.steps, {}
        if self.inherits:
            rows = range(len(self.a.trajectories[steps]))
            mixed[steps] = torch.stack([self.inherited(steps, i) for i in rows])
        return Keyframe(noise, self.cond(), mixed, guidance)

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
        guidance = walk.glides["guidance"].target
        prompted, reseeded = self._prompted(new), new.seed != self.seed
        skipped = snapshot.nexts - self.snapshot.nexts
        if prompted:
            walk = replace(walk, cond_a=self.cond(), cond_b=cond, arrived=0.0)
        if self.bent(snapshot):
            index = -1 if reseeded else walk._following(self.index, max(0, skipped))
            here = self._here(guidance)
            walk = replace(
                walk, seed=new.seed, index=index, a=here, fraction=0.0, warp=(), fresh=False
            )
            walk = replace(walk, b=walk._keyframe(index + 1))
        elif prompted:
            a, b = self.a, self.b
            walk = replace(
                walk,
                a=Keyframe(a.noise, self.cond(), guidance=guidance, origin=a.origin),
                b=Keyframe(b.noise, cond, guidance=guidance, origin=b.origin),
            )
        return walk

    def aimed(self, snapshot: Snapshot) -> "Walk":
        """The same place in the look that new controls ask for, with the numbers on their way."""
        targets = {"cruise": self.glides["cruise"].target, **asked_for(snapshot.params)}
        glides = {}
        for name, glide in self.glides.items():
            over, before = glide_s(snapshot, name), glide_s(self.snapshot, name)
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
    guidance = params.guidance
    first, second = (
        Keyframe(noise_of(*origin, shape, device, noises), cond, guidance=guidance, origin=origin)
        for origin in ((params.seed, i % loop if loop else i) for i in (index, index + 1))
    )
    targets = {"cruise": 0.0, **asked_for(params)}
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
