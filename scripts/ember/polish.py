"""Polish of the decoder: it learns to show what one step makes, beside what was drawn.

What one step is in doubt of comes out soft. The picture that was drawn from the same noise is
known, so the decoder learns to give it back its edges, and a small critic of patches, which is
shown drawn and decoded ones (Isola et al. 2017), its texture. The encoder and its latents stay.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from autoencoder import difference
from diffusers import AutoencoderTiny
from folder import Ember
from gather import SHARD, paths, ready
from keep import numbers, rate, restore, store
from latents import Store
from muon import advance, optimisers
from torch import Tensor, nn
from torch.nn import functional

PICTURES = 3000  # drawn ones it learns from
CELLS = 16  # of a crop of latents, a side
BATCH = 6
PEAK = 6e-4
CRITIC = 2e-4  # its learning rate
VOICE = 0.03  # what the critic's word counts beside the difference
EYE = 0.5  # and what it sees


class Critic(nn.Module):
    """Tells drawn patches from decoded ones."""

    def __init__(self) -> None:
        super().__init__()
        widths = ((3, 24, 2), (24, 48, 2), (48, 64, 1))
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, s, 1) for a, b, s in widths)
        self.last = nn.Conv2d(64, 1, 3, 1, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """How drawn each patch looks, and all that was seen on the way."""
        seen = []
        for layer in self.layers:
            pictures = functional.leaky_relu(layer(pictures), 0.2)
            seen.append(pictures)
        return self.last(pictures), seen


@torch.inference_mode()
def made(ember: Ember, data: Store, count: int) -> Tensor:
    """Latents that one step makes of the first so many noises, as pipelines decode them."""
    found = []
    for some in torch.arange(count).split(16):
        condition = ember.text(data.tokens[some, 0].long()).last_hidden_state
        noise = data.noise[some].float()
        found.append((-ember.unet(noise, 999, condition).sample).half())
    return torch.cat(found) / ember.vae.config.scaling_factor


def crops(
    folder: Path, latents: tuple[Tensor, Tensor], rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Crops of drawn and of made latents, and of the picture: the same place of the same one."""
    shards, side = list(ready(folder)), 8 * CELLS
    rows = rng.integers(0, len(latents[0]), BATCH)
    parts: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
    for row in rows.tolist():
        drawn = np.load(paths(folder, shards[row // SHARD])[0], mmap_mode="r")[row % SHARD]
        top, left = (int(n) for n in rng.integers(0, 32 - CELLS + 1, 2))
        for part, some in zip(parts, latents, strict=False):
            part.append(some[row, :, top : top + CELLS, left : left + CELLS].float())
        place = drawn[:, 8 * top : 8 * top + side, 8 * left : 8 * left + side]
        parts[2].append(torch.from_numpy(place.astype(np.float32)) / 127.5 - 1)
    one, other, pictures = (torch.stack(part) for part in parts)
    return one, other, pictures


def polish(
    ember: Ember,
    data: Store,
    folder: Path,
    checkpoint: Path,
    steps: int,
    say: Callable[[str], None],
) -> None:
    """Train the decoder for `steps` in all, from the checkpoint where there is one."""
    vae: AutoencoderTiny = ember.vae
    count = min(PICTURES, len(data.latents))
    latents = (data.latents[:count], made(ember, data, count))
    vae.encoder.requires_grad_(False)
    critic = Critic()
    tools = optimisers(vae.decoder, decay=0.0)
    sharpen = torch.optim.Adam(critic.parameters(), CRITIC, betas=(0.5, 0.99))
    start = restore(checkpoint, vae=vae, critic=critic, sharpen=sharpen, **tools)
    began, totals = time.monotonic(), torch.zeros(4)
    for step in range(start, steps):
        drawn, guess, wanted = crops(folder, latents, numbers(4, step))
        both = vae.decoder(torch.cat((drawn + 0.04 * torch.randn_like(drawn), guess)))
        plain, shown = both.chunk(2)
        voice, seen = critic(shown)
        with torch.no_grad():
            real = critic(wanted)[1]
        looks = sum(functional.l1_loss(a, b) for a, b in zip(seen, real, strict=True))
        losses = difference(plain, wanted), difference(shown, wanted), looks, -voice.mean()
        weights = (1.0, 0.5, EYE, VOICE * min(1.0, step / 200))
        loss = sum(weight * part for weight, part in zip(weights, losses, strict=True))
        loss.backward()
        advance(tools, rate(step, steps, PEAK, 50))
        sharpen.zero_grad(set_to_none=True)
        judged = critic(torch.cat((wanted, shown.detach())))[0]
        true, false = judged.chunk(2)
        (functional.relu(1 - true).mean() + functional.relu(1 + false).mean()).backward()
        sharpen.step()
        totals += torch.tensor([float(part) for part in losses])
        if (step + 1) % 50 == 0:
            each = (time.monotonic() - began) / (step + 1 - start)
            listed = " ".join(f"{float(total) / 50:.4f}" for total in totals)
            say(f"polish {step + 1}/{steps} losses {listed} {each:.3f} s/step")
            totals.zero_()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            store(checkpoint, step + 1, vae=vae, critic=critic, sharpen=sharpen, **tools)
    vae.eval()
