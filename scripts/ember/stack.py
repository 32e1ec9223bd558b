"""Bodies laid on each other: what families of things draw with."""

import torch
from canvas import SIZE, WHOLE, Window
from torch import Tensor


class Stack:
    """Bodies laid on each other, from the back to the front, with soft contact shadows."""

    def __init__(self, hue: float = 0.5) -> None:
        self.mask = torch.zeros(SIZE, SIZE)
        self.tone = torch.full((SIZE, SIZE), 0.3)
        self.hue = torch.full((SIZE, SIZE), hue)

    def lay(
        self,
        cover: Tensor,
        tone: Tensor,
        hue: Tensor | float,
        shadow: Tensor | float,
        at: Window = WHOLE,
    ) -> None:
        """Put one body on top: its cover 0..1, its tone, and what it darkens below it."""
        below = self.tone[at] * (1 - shadow)
        self.tone[at] = below + (tone - below) * cover
        self.hue[at] = torch.where(cover > 0.5, torch.as_tensor(hue), self.hue[at])
        self.mask[at] = torch.maximum(self.mask[at], cover)
