"""Placing: a few pictures sampled where a segment changes fastest, the ones between mixed.

After latent blending: the next picture goes halfway into the widest gap between two neighbours.
A gap is measured on decoded pictures as the difference over several sizes of them, from whole to
a sixteenth, so that a moved edge, a new thing and a new light count alike; it needs no network.
"""

from bisect import bisect_right
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lwlive.engine.sampler import Sampler
from lwlive.engine.walk import Walk
from lwlive.ring import Pixels

SIZES = 5


class Placed:
    """A segment known at a few fractions, evenly spaced in what is seen."""

    def __init__(self, sampler: Sampler, walk: Walk, budget: int) -> None:
        self.at = [0.0, 1.0]
        self._walk = replace(walk, warp=())
        clean = sampler.latents([replace(self._walk, fraction=f) for f in self.at])
        self._clean = list(clean)
        seen = sampler.pixels(clean)
        self.gaps = [distance(*seen)]
        while len(self.at) < budget:
            i = int(np.argmax(self.gaps))
            f = (self.at[i] + self.at[i + 1]) / 2
            one = sampler.latents([replace(self._walk, fraction=f)])
            self._clean.insert(i + 1, one[0])
            seen[i + 1 : i + 1] = sampler.pixels(one)
            self.at.insert(i + 1, f)
            self.gaps[i : i + 1] = [distance(*seen[j : j + 2]) for j in (i, i + 1)]

    def latents(self, fraction: float) -> Tensor:
        """Clean latents [C, H, W] at a fraction of the way that is seen, or of the way itself.

        The walk's pace tells which; in between they are mixed.
        """
        seen = np.cumsum([0.0, *np.maximum(self.gaps, 1e-9)])
        pace = self._walk.glides["pace"].value
        marks = pace * seen / seen[-1] + (1 - pace) * np.array(self.at)
        i = min(bisect_right(marks.tolist(), fraction), len(marks) - 1) - 1
        share = (fraction - marks[i]) / (marks[i + 1] - marks[i])
        return torch.lerp(self._clean[i], self._clean[i + 1], float(share))


def distance(a: Pixels, b: Pixels) -> float:
    """How different two pictures look: RMS of their difference, summed over several sizes."""
    gap: npt.NDArray[np.float32] = a.astype(np.float32) - b.astype(np.float32)
    total = 0.0
    for _ in range(SIZES):
        total += float(np.sqrt(np.mean(gap**2)))
        h, w = gap.shape[0] // 2 * 2, gap.shape[1] // 2 * 2
        if min(h, w) < 2:
            break
        gap = gap[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean((1, 3))
    return total
