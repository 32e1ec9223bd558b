"""The keyframe: noise from a seed with a conditioning from a prompt, and what lies between two.

It knows tensors, but neither models nor schedulers.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lwlive.seeds import seed_of

Cond = tuple[Tensor, ...]  # each [2, ...]: row 0 from the prompt, row 1 from the negative prompt

NOISES = 9  # noise tensors of a keyframe: the initial one, and one for each of up to 8 steps


def slerp(a: Tensor, b: Tensor, f: float) -> Tensor:
    """Spherical interpolation (Shoemake 1985) of two tensors seen as vectors, f from 0 to 1.

    Exact at both ends; the norm goes evenly from that of `a` to that of `b`. Nearly parallel or
    nearly opposite vectors, where the arc is not defined, are mixed in a straight line.
    """
    if f <= 0:
        return a
    if f >= 1:
        return b
    norm_a, norm_b = torch.linalg.vector_norm(a), torch.linalg.vector_norm(b)
    cos = torch.sum(a * b) / (norm_a * norm_b).clamp_min(1e-12)
    if abs(float(cos)) > 0.9995:
        return torch.lerp(a, b, f)
    angle = torch.acos(cos)
    mixed = torch.sin((1 - f) * angle) * (a / norm_a) + torch.sin(f * angle) * (b / norm_b)
    result: Tensor = mixed * (torch.lerp(norm_a, norm_b, f) / torch.sin(angle))
    return result


def mix(a: Cond, b: Cond, f: float) -> Cond:
    """Straight mix of two conditionings, exact at both ends."""
    if f <= 0:
        return a
    if f >= 1:
        return b
    return tuple(torch.lerp(x, y, f) for x, y in zip(a, b, strict=True))


def noise_of(
    seed: int, index: int, shape: tuple[int, int, int], device: str, count: int = NOISES
) -> Tensor:
    """Noise of keyframe `index` on the walk of `seed`: [count, C, H, W], unit normal, float32.

    Keyframe 0 is what torch draws first from this very seed, as stock pipelines do. Drawn on the
    CPU, so that a seed looks the same on every device.
    """
    generator = torch.Generator().manual_seed(seed_of(seed, index))
    noise = torch.stack([torch.randn(shape, generator=generator) for _ in range(count)])
    return noise.to(device)


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A point of the walk: noise, and the conditioning its trajectory is made with."""

    noise: Tensor  # [n, C, H, W]: the initial one, and one for each step that injects noise
    cond: Cond
    # steps -> trajectory [n, C, H, W]: latents each time the model is asked, and the clean ones.
    # Filled by the sampler when depth or crossfeed first ask for it, and never changed.
    trajectories: dict[int, Tensor] = field(default_factory=dict)
    guidance: float | None = None  # of its trajectory; None: that of the walk which traces it
    pinned: bool = False  # its trajectory is given (a picture's), and the walk passes through it
    origin: tuple[int, int] | None = None  # seed and index, where its noise is nothing but theirs
