"""The sampler: places on the walk in, clean latents and pictures out, in batches.

The loop is plain arithmetic over a `Schedule`; what a checkpoint is like ends in its `Model`.
The sampler holds no threads, clocks or files.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lwlive.engine.keyframe import Cond, Keyframe
from lwlive.engine.look import Look, look_of
from lwlive.engine.model import Model
from lwlive.engine.place import Warp
from lwlive.engine.schedule import Schedule, Terms
from lwlive.engine.walk import Walk
from lwlive.modulation import Modulation
from lwlive.ring import Pixels

Noise = Callable[[int], Tensor]  # step -> its injected noise [B, C, H, W]
Pull = Callable[[int, Tensor], Tensor]  # (step, latents before it) -> latents
Check = Callable[[], None]  # may raise, to break off
Ask = Callable[[Tensor, float], Tensor]  # (scaled latents, timestep) -> model output


def unchecked() -> None:
    """Go on, whatever happens meanwhile."""


@dataclass(frozen=True, eq=False)
class Held:
    """A picture that stays while only the masked part walks."""

    mask: Tensor  # [1, H, W]: 1 where it walks, 0 where the picture stays
    clean: Tensor  # [C, H, W], the picture's latents
    levels: Callable[[int], Sequence[tuple[float, float]]]  # steps -> (signal, noise) of each

    def keep(self, i: int, steps: int, latents: Tensor, noise: Tensor) -> Tensor:
        """Latents before step i of so many, with the picture where it stays. All [B, C, H, W]."""
        signal, sigma = self.levels(steps)[i]
        return torch.lerp(signal * self.clean + sigma * noise, latents, self.mask)


def denoise(ask: Ask, x: Tensor, schedule: Schedule, noise: Noise, pull: Pull) -> Iterator[Tensor]:
    """Run a schedule on latents [B, C, H, W]: yields those before each step, then the clean ones.

    Works for every linear sampler: DDIM (Song 2020), Euler, LMS (Karras 2022), DPM++, LCM ...
    """
    last: dict[tuple[int, int], int] = {}  # what a step needs -> the last step that needs it
    for i, step in enumerate(schedule.steps, start=schedule.begin):
        last |= {(0, j): i for j, _ in step.latents} | {(1, j): i for j, _ in step.outputs}
    latents: dict[int, Tensor] = {schedule.begin: x}
    outputs: dict[int, Tensor] = {}
    for i, step in enumerate(schedule.steps, start=schedule.begin):
        outputs[i] = ask(latents[i] * step.input_scale, step.timestep)
        new = _sum(step.latents, latents, x) + _sum(step.outputs, outputs, x)
        for j, factor in step.noises:
            new = new + factor * noise(j)
        yield latents[i]
        latents[i + 1] = pull(i + 1, new)
        for kept, which in ((latents, 0), (outputs, 1)):
            for j in [j for j in kept if j <= i and last.get((which, j), -1) <= i]:
                del kept[j]
    yield latents[schedule.total]


def _sum(terms: Terms, tensors: dict[int, Tensor], like: Tensor) -> Tensor:
    total = torch.zeros_like(like)
    for i, factor in terms:
        total = total.add(tensors[i], alpha=factor)
    return total


def guided(
    model: Model, cond: Cond, guidance: Tensor, rescale: float, check: Check = unchecked
) -> Ask:
    """Asks the model with classifier-free guidance (Ho 2022).

    cond: each [B, 2, ...]; guidance: [B]. At 1 or below, one evaluation instead of two, and always
    one where guidance is something that the model was taught to know (Meng 2023). A share `rescale`
    of what guidance makes is given the spread of what was wanted, frame by frame (Lin et al. 2024):
    models that begin at pure noise are burnt out by guidance otherwise. `check` is called between
    the two evaluations, and may raise to break off.
    """
    wanted, unwanted = (tuple(part[:, i] for part in cond) for i in (0, 1))
    if model.embeds_guidance:
        return lambda x, timestep: model.denoise(x, timestep, (*wanted, guidance))
    scale = guidance.clamp_min(1).view(-1, 1, 1, 1)
    double = bool((scale > 1).any())

    def ask(x: Tensor, timestep: float) -> Tensor:
        towards = model.denoise(x, timestep, wanted)
        if not double:
            return towards
        check()
        away = model.denoise(x, timestep, unwanted)
        out = away + scale * (towards - away)
        if rescale:
            kept = _spread(towards) / _spread(out).clamp_min(1e-6)
            out = torch.lerp(out, out * kept, rescale)
        return out

    return ask


def _spread(latents: Tensor) -> Tensor:
    """The deviation of each frame's numbers, [B, 1, 1, 1]."""
    return latents.std((1, 2, 3), keepdim=True)


def along(walk: Walk, points: int) -> list[Walk]:
    """points + 1 places on a walk's segment, from end to end, as they will look if all is well.

    Conditioning and numbers are those the walk is heading for; the conditioning of a tied walk goes
    along. So the places depend on the controls alone, not on when they are asked for.
    """
    there = {name: glide.arrived() for name, glide in walk.glides.items()}
    still = replace(
        walk,
        warp=(),
        looked_s=walk.look_s,
        glides=there,
        moved=Modulation(),
        look=look_of(walk.params),
    )
    if not walk.tied:
        still = replace(still, cond_a=walk.cond_b, arrived=1.0)
    return [replace(still, fraction=i / points) for i in range(points + 1)]


def evened(latents: Tensor) -> Warp:
    """Fractions of a segment that lie evenly in what is seen, as many as the places measured.

    latents: clean ones [n, C, H, W] of places with even fractions from 0 to 1. What is seen is
    the distance between them; no part is taken to be stiller than a quarter of the mean, so that
    a still part is passed at four times the speed at most. Empty where latents are not finite.
    """
    n = len(latents) - 1
    lengths = torch.linalg.vector_norm((latents[1:] - latents[:-1]).flatten(1), dim=1)
    lengths = lengths.cpu().double()  # MPS has no float64
    if not lengths.isfinite().all():  # frames that cannot be shown; no place of theirs is known
        return ()
    lengths = lengths.clamp_min(float(lengths.mean()) / 4).clamp_min(1e-9)
    arc = torch.cat([torch.zeros(1, dtype=torch.float64), lengths.cumsum(0)])
    goals = torch.linspace(0, float(arc[-1]), n + 1, dtype=torch.float64)
    i = torch.searchsorted(arc, goals).clamp(1, n)
    fractions = (i - 1 + (goals - arc[i - 1]) / (arc[i] - arc[i - 1])) / n
    return (0.0, *fractions[1:-1].tolist(), 1.0)


class Sampler:
    """Samples walks with one model."""

    def __init__(self, model: Model, held: Held | None = None) -> None:
        self.model, self.held = model, held
        self.evaluated = 0  # evaluations of the model so far, each of a batch or less

    def evaluations(self, walk: Walk) -> int:
        """Most evaluations that a batch of places from this one on takes, its traces included."""
        steps = len(self.model.schedule(walk.drawn.steps, walk.drawn.inherited).steps)
        traces = sum(self.tracing(walk, keyframe) for keyframe in self.untraced(walk))
        return steps * self._each([walk.top("guidance")]) + traces

    def tracing(self, walk: Walk, keyframe: Keyframe) -> int:
        """Evaluations that the trajectory of one of its keyframes takes."""
        steps = self.model.schedule(walk.look.steps, 0).total
        return steps * self._each([walk.guidance_of(keyframe)])

    def untraced(self, walk: Walk) -> list[Keyframe]:
        """The keyframes whose trajectories are missing for this place or those that follow it."""
        if not walk.inheriting:
            return []
        wanted = (walk.a,) if walk.lone else (walk.a, walk.b)
        return [k for k in wanted if walk.look.steps not in k.trajectories]

    def _each(self, guidances: Sequence[float]) -> int:
        """Evaluations of a step of places with such guidance."""
        return 2 if max(guidances) > 1 and not self.model.embeds_guidance else 1

    @torch.inference_mode()
    def latents(self, walks: Sequence[Walk], check: Check = unchecked) -> Tensor:
        """Clean latents [n, C, H, W] of so many places on the walk, those of one look together.

        `check` is called before each evaluation, and may raise to break off.
        """
        result: dict[int, Tensor] = {}
        for look in dict.fromkeys(walk.drawn for walk in walks):
            members = [i for i, walk in enumerate(walks) if walk.drawn == look]
            for start in range(0, len(members), self.model.batch):
                part = members[start : start + self.model.batch]
                found = self._run([walks[i] for i in part], look, check)
                result |= zip(part, found, strict=True)
        return torch.stack([result[i] for i in range(len(walks))])

    @torch.inference_mode()
    def pixels(self, latents: Sequence[Tensor] | Tensor) -> list[Pixels]:
        """One picture [H, W, 3] for each of n clean latents [C, H, W]."""
        return list(self.model.decode(torch.stack(list(latents))))

    @torch.inference_mode()
    def trace(self, walk: Walk) -> None:
        """Fill in the trajectories of a walk's keyframes, where the walk inherits from them."""
        for keyframe in self.untraced(walk) if walk.inherits else ():
            self.trace_one(keyframe, walk)

    @torch.inference_mode()
    def trace_one(self, keyframe: Keyframe, walk: Walk, check: Check = unchecked) -> None:
        """Fill in the trajectory of one of a walk's keyframes. For `check`, see `latents`."""
        steps = walk.look.steps
        keyframe.trajectories[steps] = self._trajectory(keyframe, walk, steps, check)

    def _run(self, walks: Sequence[Walk], look: Look, check: Check) -> Tensor:
        """Clean latents [n, C, H, W] of a batch, all of one look."""
        for walk in walks:
            self.trace(walk)
        steps, schedule = look.steps, self.model.schedule(look.steps, look.inherited)
        first, total = schedule.begin, schedule.total
        if first:
            x = torch.stack([walk.inherited(steps, first) for walk in walks])
        else:
            x = torch.stack([walk.noise(0) for walk in walks]) * schedule.noise_scale
        cond = tuple(torch.stack(part) for part in zip(*(w.cond() for w in walks), strict=True))
        pins = [walk.pin() for walk in walks] if first else [None] * len(walks)
        noise = torch.stack([walk.noise(0) for walk in walks]) if self.held else x
        guidances = [walk.guidance for walk in walks]

        def pull(i: int, latents: Tensor) -> Tensor:
            shares = [walk.pull(i, first, total) if i < total else 0.0 for walk in walks]
            if any(shares):
                rows = [
                    walk.inherited(steps, i) if share else z
                    for walk, share, z in zip(walks, shares, latents, strict=True)
                ]
                weights = self._numbers(shares).view(-1, 1, 1, 1)
                latents = torch.lerp(latents, torch.stack(rows), weights)
            for row, pin in enumerate(pins):
                if pin is not None:
                    keyframe, firm = pin
                    given = keyframe.trajectories[steps][i]
                    latents[row] = torch.lerp(latents[row], given, firm)
            return self.held.keep(i, steps, latents, noise) if self.held else latents

        found = denoise(
            guided(
                self.model,
                cond,
                self._numbers(guidances),
                schedule.rescale,
                check,
            ),
            self.held.keep(first, steps, x, noise) if self.held else x,
            schedule,
            lambda i: torch.stack([walk.noise(i + 1) for walk in walks]),
            pull,
        )
        each = self._each(guidances)
        for _ in schedule.steps:
            check()
            next(found)
            self.evaluated += each
        return next(found)

    def _numbers(self, values: Iterable[float]) -> Tensor:
        """One number for each frame of a batch, beside the latents: [n]."""
        return torch.tensor(list(values), device=self.model.device)

    def _trajectory(self, keyframe: Keyframe, walk: Walk, steps: int, check: Check) -> Tensor:
        """A keyframe's own latents before each step, and the clean ones, [n, C, H, W]."""
        schedule, held, noise = self.model.schedule(steps, 0), self.held, keyframe.noise[:1]
        x, guidance = noise * schedule.noise_scale, walk.guidance_of(keyframe)
        self.evaluated += schedule.total * self._each([guidance])
        found = denoise(
            guided(
                self.model,
                tuple(part[None] for part in keyframe.cond),
                self._numbers([guidance]),
                schedule.rescale,
                check,
            ),
            held.keep(0, steps, x, noise) if held else x,
            schedule,
            lambda i: keyframe.noise[i + 1 : i + 2],
            lambda i, latents: held.keep(i, steps, latents, noise) if held else latents,
        )
        rows = []
        for latents in found:
            check()
            rows.append(latents)
        return torch.cat(rows)
