"""A saved model of another architecture as today's: what fits is kept, and draws as it did.

So a model with fewer latent channels, whose decoder ends at half the size, can be trained on. What
is new begins as nothing, at random, or as what enlarges a picture smoothly. This file knows nothing
of words or training.
"""

from dataclasses import replace

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from folder import FACTOR, LATENTS, Ember, blank
from head_start import SOFT
from torch import Tensor
from torch.nn import functional


def grown(ember: Ember, pictures: Tensor) -> Ember:
    """A model with today's channels and levels.

    pictures: some drawn ones [B, 3, H, W], -1..1, by which the decoder's new level is set.
    """
    if ember.unet.config.in_channels == LATENTS:
        return ember
    fresh = blank()
    widen(ember.unet, fresh.unet)
    heighten(ember.vae, fresh.vae, pictures)
    return replace(ember, unet=fresh.unet.eval(), vae=fresh.vae.eval())


@torch.no_grad()
def widen(old: UNet2DConditionModel, new: UNet2DConditionModel) -> None:
    """Copy a denoiser into one with more latents, which it does not look at before it learns to."""
    before, table = old.state_dict(), new.state_dict()
    for name, weight in before.items():
        if weight.shape == table[name].shape:
            table[name].copy_(weight)
    known = len(before["conv_out.bias"])
    table["conv_in.weight"].zero_()[:, :known] = before["conv_in.weight"]
    out = table["conv_out.weight"]
    out.mul_(before["conv_out.weight"].std() / out.std())[:known] = before["conv_out.weight"]
    table["conv_out.bias"].zero_()[:known] = before["conv_out.bias"]


@torch.no_grad()
def heighten(old: AutoencoderTiny, new: AutoencoderTiny, pictures: Tensor) -> None:
    """Copy a decoder into one with more latents and a level more; the encoder begins again.

    The last block of the new one keeps nothing below zero, so what comes to it is pushed above.
    """
    before, after = list(old.decoder.layers), list(new.decoder.layers)
    shared, known = len(before) - 1, old.config.latent_channels
    share = float(old.config.scaling_factor)
    after[0].weight.mul_(0.3)[:, :known] = before[0].weight / share
    after[0].bias.copy_(before[0].bias)
    for source, goal in zip(before[1:shared], after[1:shared], strict=True):
        goal.load_state_dict(source.state_dict())
    block, _, enlarge, last = after[shared:]
    smaller = functional.avg_pool2d(pictures, FACTOR // 8)
    found = torch.tanh(old.encoder(smaller) / 3) * 3
    for layer in before[:shared]:
        found = layer(found)
    push = -found.amin((0, 2, 3)).clamp(max=0)
    block.conv[-1].weight.mul_(0.2)
    block.conv[-1].bias.copy_(push)
    enlarge.weight.copy_(torch.eye(len(push))[:, :, None, None] * SOFT)
    sums = before[shared].weight.sum((2, 3))
    last.weight.zero_()[:, :, 1, 1] = sums
    last.bias.copy_(before[shared].bias - sums @ push)
