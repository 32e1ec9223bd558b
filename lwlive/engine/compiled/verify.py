"""Verifying: compiled networks held against the same ones uncompiled, before they are used.

Some torch versions compile some networks so that they are wrong, or slower than before.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lwlive.engine.cuda import Timer
from lwlive.engine.keyframe import Cond
from lwlive.engine.model import Model
from lwlive.engine.tuning.measure import seconds
from lwlive.engine.tuning.pieces import Cost
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
    cost: Cost

    @classmethod
    def of(cls, model: Model, cond: Cond, timer: Timer) -> "Trial":
        """Try a model with a batch's conditioning."""
        x = torch.randn(model.batch, *model.shape, device=model.device)
        output, pictures = model.denoise(x, 500.0, cond), model.decode(x)
        return cls(x, cond, output, pictures, seconds(model, cond, timer))

    def wrong(self, compiled: Model) -> str | None:
        """What is to be said of a compiled model that gives something else, else None."""
        output = compiled.denoise(self.x, 500.0, self.cond)
        scale = float(self.output.norm()) or 1.0
        wrong = not float((output - self.output).norm()) <= WRONG * scale  # true of NaN, too
        pictures = compiled.decode(self.x).astype(np.int16)
        if wrong or float(np.abs(pictures - self.pictures).mean()) > DIFFERENT:
            return f"torch {torch.__version__} compiles this model wrongly"
        return None

    def slow(self, cost: Cost) -> str | None:
        """What is to be said of compiled networks that take so long, None where that is well."""
        times = sum(cost) / max(sum(self.cost), 1e-9)
        if times <= SLOW:
            return None
        return (
            f"what torch {torch.__version__} compiles takes {times:.1f} times as long as before, "
            "or the machine is busy with something else just now"
        )
