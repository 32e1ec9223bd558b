"""Placing: a few pictures sampled where a segment changes fastest, the ones between mixed.

After latent blending: the next picture goes halfway into the widest gap between two neighbours. How
wide a gap is, decoded pictures tell; distance.py has the measures.
"""

from bisect import bisect_right
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lwlive.engine.sampler import Sampler
from lwlive.engine.walk import Walk
from lwlive.render.distance import Distance


class Placed:
    """A segment known at a few fractions, evenly spaced in what is seen."""

    def __init__(self, sampler: Sampler, walk: Walk, budget: int, distance: Distance) -> None:
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
