"""What made pictures have of drawn ones: fine detail, and unlikeness to each other.

This file knows nothing of families or colours.
"""

import torch
from torch import Tensor

FINE = 1 / 16  # cycles a pixel from which energy counts as fine detail


def detail(pictures: Tensor) -> Tensor:
    """Energy of brightness in fine detail, of each picture [B, 3, H, W], 0..1."""
    grey = pictures.mean(1)
    height, width = grey.shape[-2:]
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)
    waves = torch.fft.rfft2((grey - grey.mean((-2, -1), keepdim=True)) * window, norm="ortho")
    frequency = torch.fft.fftfreq(height)[:, None].hypot(torch.fft.rfftfreq(width))
    energy: Tensor = (waves.abs().square() * (frequency >= FINE)).sum((-2, -1))
    return energy


def spread(groups: Tensor) -> float:
    """Mean distance between the pictures of a group, [G, N, 3, H, W]: root mean square."""
    apart = [
        (groups[:, i] - groups[:, j]).square().mean((1, 2, 3)).sqrt()
        for i in range(groups.shape[1])
        for j in range(i)
    ]
    return float(torch.stack(apart).mean())
