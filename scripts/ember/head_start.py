"""First weights of the tiny autoencoder: it begins by passing blurred colours through.

Three of its channels carry red, green and blue from end to end, as brightness and two
colour differences in the latents; the others start at random and learn the detail. From
random weights alone so narrow a network first learns grey shapes, and colours very late.
"""

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

# latent channels 0..2 from r, g, b: (brightness - 0.35) / 0.25, (r - b) / 0.3, greenness / 0.2
TO_LATENT = torch.tensor([[4 / 3, 4 / 3, 4 / 3], [10 / 3, 0, -10 / 3], [-2.5, 5, -2.5]])
MIDDLE = torch.tensor([-1.4, 0.0, 0.0])
SOFT = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])) / 16
POINT = torch.zeros(3, 3).index_put((torch.tensor(1), torch.tensor(1)), torch.tensor(1.0))


@torch.no_grad()
def head_start(vae: AutoencoderTiny) -> None:
    """Set every weight of a fresh autoencoder."""
    for net in (vae.encoder, vae.decoder):
        for conv in (m for m in net.modules() if isinstance(m, nn.Conv2d)):
            nn.init.kaiming_normal_(conv.weight)
            if conv.bias is not None:
                conv.bias.zero_()
        for block in net.layers:
            if hasattr(block, "conv"):
                block.conv[-1].weight.mul_(0.2)
                block.conv[-1].weight[:3] = 0
        plain = [layer for layer in net.layers if isinstance(layer, nn.Conv2d)]
        for conv in plain[1:-1]:
            carry(conv, torch.eye(3), SOFT)
        if net is vae.encoder:
            carry(plain[0], torch.eye(3), POINT)
            plain[-1].weight.mul_(0.3)
            carry(plain[-1], TO_LATENT, POINT)
            shift(plain[-1], MIDDLE)
        else:
            back = torch.linalg.inv(TO_LATENT)
            carry(plain[0], back, POINT)
            shift(plain[0], -back @ MIDDLE)
            plain[-1].weight.mul_(0.05)
            carry(plain[-1], torch.eye(3), POINT)


def carry(conv: nn.Conv2d, mix: Tensor, kernel: Tensor) -> None:
    """Let outputs 0..2 be a mix of inputs 0..2, filtered, and of nothing else at first."""
    keep = conv.weight[:3, 3:] * (0.0 if conv.out_channels > 3 else 1.0)
    conv.weight[:3, 3:] = keep
    conv.weight[:3, :3] = mix[:, :, None, None] * kernel


def shift(conv: nn.Conv2d, amount: Tensor) -> None:
    """Set the biases of outputs 0..2."""
    if conv.bias is None:
        raise ValueError("This convolution was expected to have a bias.")
    conv.bias[:3] = amount
