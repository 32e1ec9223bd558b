"""A network that tells drawn latents from made ones, so that made ones become as crisp.

The mean of what is in doubt is a blur, and a blur is what an error to the drawn picture alone
asks for. The critic (Goodfellow et al. 2014) looks at patches (Isola et al. 2017) and compares
what was made with what was drawn from the same noise (relativistic: Jolicoeur-Martineau 2019).
This file knows nothing of the networks that make.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

RATE = 4e-4  # of learning


class Critic(nn.Sequential):
    """Scores of the patches of latents [B, 4, h, w], [B, 1, h/4, w/4]; higher is drawn.

    Every layer's spectral norm is 1 (Miyato et al. 2018), which keeps its slopes small.
    """

    def __init__(self, width: int = 32) -> None:
        def layer(before: int, after: int, side: int, stride: int = 1) -> list[nn.Module]:
            conv = nn.Conv2d(before, after, side, stride, 1)
            return [spectral_norm(conv), nn.LeakyReLU(0.2)]

        super().__init__(
            *layer(4, width, 3),
            *layer(width, 2 * width, 4, 2),
            *layer(2 * width, 2 * width, 3),
            *layer(2 * width, 4 * width, 4, 2),
            *layer(4 * width, 4 * width, 3),
            spectral_norm(nn.Conv2d(4 * width, 1, 3, 1, 1)),
        )

    def lesson(self, made: Tensor, drawn: Tensor) -> Tensor:
        """What it has to learn: to score each drawn patch above the made one in its place."""
        score_made, score_drawn = self(torch.cat((made.detach(), drawn))).chunk(2)
        return softplus(score_made - score_drawn).mean()

    def complaint(self, made: Tensor, drawn: Tensor) -> Tensor:
        """Gradient [B, 4, h, w], towards `made`, of how far it is scored below what was drawn."""
        self.requires_grad_(False)
        with torch.no_grad():
            goal = self(drawn)
        made = made.detach().requires_grad_()
        (slope,) = torch.autograd.grad(softplus(goal - self(made)).mean(), made)
        self.requires_grad_(True)
        return slope
