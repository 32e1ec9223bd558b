"""A network that tells drawn pictures from made ones, so that made ones become as crisp.

The mean of what is in doubt is a blur, and a blur is what an error to the drawn picture alone
asks for. The critic (Goodfellow et al. 2014) looks at patches (Isola et al. 2017) and compares
what was made with what was drawn from the same noise (relativistic: Jolicoeur-Martineau 2019).
This file knows nothing of the networks that make.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, softplus
from torch.nn.utils.parametrizations import spectral_norm

RATE = 6e-4  # of learning
SHARES = (0.4, 0.6)  # of what is seen close by and from afar
Place = tuple[slice, slice]  # rows and columns of a picture


class Critic(nn.Sequential):
    """Scores of the patches of pictures [B, 3, H, W], [B, 1, H/8, W/8]; higher is drawn.

    Every layer's spectral norm is 1 (Miyato et al. 2018), which keeps its slopes small.
    """

    def __init__(self, width: int = 20) -> None:
        def layer(before: int, after: int, side: int, stride: int = 1) -> list[nn.Module]:
            conv = nn.Conv2d(before, after, side, stride, 1)
            return [spectral_norm(conv), nn.LeakyReLU(0.2)]

        super().__init__(
            *layer(3, width, 4, 2),
            *layer(width, 2 * width, 4, 2),
            *layer(2 * width, 2 * width, 3),
            *layer(2 * width, 4 * width, 4, 2),
            *layer(4 * width, 4 * width, 3),
            spectral_norm(nn.Conv2d(4 * width, 1, 3, 1, 1)),
        )

    def lesson(self, made: Tensor, drawn: Tensor) -> Tensor:
        """What it has to learn: to score each drawn patch above the made one in its place."""
        score_made, score_drawn = self(torch.cat((made.detach(), drawn))).float().chunk(2)
        return softplus(score_made - score_drawn).mean()

    def complaint(self, made: Tensor, drawn: Tensor) -> Tensor:
        """Gradient [B, 3, H, W], towards `made`, of how far it is scored below what was drawn."""
        self.requires_grad_(False)
        with torch.no_grad():
            goal = self(drawn).float()
        made = made.detach().requires_grad_()
        (slope,) = torch.autograd.grad(softplus(goal - self(made).float()).mean(), made)
        self.requires_grad_(True)
        return slope


class Critics(nn.Module):
    """Two: one sees a place of a picture close by, the other all of it, half as large."""

    def __init__(self, width: int = 20) -> None:
        super().__init__()
        self.close, self.far = Critic(width), Critic(width)

    def lesson(self, made: Tensor, drawn: Tensor, near: Place) -> Tensor:
        """What both have to learn."""
        close = self.close.lesson(made[..., *near], drawn[..., *near])
        return close + self.far.lesson(avg_pool2d(made, 2), avg_pool2d(drawn, 2))

    def complaint(self, made: Tensor, drawn: Tensor, near: Place) -> Tensor:
        """Where made pictures should not go, [B, 3, H, W]; each critic's part is as its share."""
        far = self.far.complaint(avg_pool2d(made, 2), avg_pool2d(drawn, 2))
        close = self.close.complaint(made[..., *near], drawn[..., *near])
        whole = interpolate(far, scale_factor=2)
        found: Tensor = whole * (SHARES[1] / (whole.norm() + 1e-12))
        found[..., *near] += close * (SHARES[0] / (close.norm() + 1e-12))
        return found
