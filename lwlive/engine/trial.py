"""The trial: compiled networks held against the same ones uncompiled, before they are used.

Some torch versions compile some networks so that they are wrong, or slower than before.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lwlive.engine.graphs import Timer
from lwlive.engine.keyframe import Cond
from lwlive.engine.measure import seconds
from lwlive.engine.sampler import Model
from lwlive.ring import Pixels

WRONG, DIFFERENT = 0.05, 3.0  # share of an output, and mean levels of 255, that may differ
SLOW = 2.0  # times as long as uncompiled: a show beside it is not to blame for so much


@dataclass(frozen=True)
class Trial:
    """What the networks themselves give, to compare compiled ones with."""

    x: Tensor  # [B, C, H, W]
    cond: Cond
    output: Tensor
    pictures: Pixels
    seconds: tuple[float, float]

    @classmethod
    def of(cls, model: Model, cond: Cond, timer: Timer) -> "Trial":
        """Try a model with a batch's conditioning."""
        x = torch.randn(model.batch, *model.shape, device=model.device)
        output, pictures = model.denoise(x, 500.0, cond), model.decode(x)
        return cls(x, cond, output, pictures, seconds(model, cond, timer))

    def against(self, compiled: Model, costs: tuple[float, float]) -> str | None:
        """What is to be said against a compiled model with these costs, None where nothing is."""
        output = compiled.denoise(self.x, 500.0, self.cond)
        scale = float(self.output.norm()) or 1.0
        wrong = not float((output - self.output).norm()) <= WRONG * scale  # true of no numbers, too
        pictures = compiled.decode(self.x).astype(np.int16)
        if wrong or float(np.abs(pictures - self.pictures).mean()) > DIFFERENT:
            return f"torch {torch.__version__} compiles this model wrongly"
        if sum(costs) > SLOW * sum(self.seconds):
            return f"torch {torch.__version__} compiles this model to something slower"
        return None
