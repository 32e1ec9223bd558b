"""A small classifier of families, and the share of asked colours in a picture.

Both are trained or set on drawn pictures alone and are never trained against.
"""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from gather import SHARD, paths, ready
from keep import numbers
from torch import Tensor, nn
from torch.nn import functional
from words import COLOURS, FAMILIES

SIDE = 64  # pixels the classifier sees, averaged
NEAR = 26.0  # CIELAB distance at which a pixel counts as of a colour
ENOUGH = 0.05  # share of such pixels at which the colour is there


def shrink(pictures: Tensor) -> Tensor:
    """Pictures 0..1 as the classifier sees them, [B, 3, SIDE, SIDE]."""
    return functional.adaptive_avg_pool2d(pictures, SIDE) * 2 - 1


def network() -> nn.Sequential:
    """Four strided convolutions, each with a plain one, and a mean."""
    layers: list[nn.Module] = []
    for wide, out in ((3, 16), (16, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(wide, out, 3, 2, 1), nn.BatchNorm2d(out), nn.ReLU()]
        layers += [nn.Conv2d(out, out, 3, 1, 1), nn.BatchNorm2d(out), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(128, len(FAMILIES)))


def collect(data: Path, shards: int) -> tuple[Tensor, Tensor]:
    """The first drawn shards as the classifier sees them, and families' numbers; no mixes."""
    small, kinds = [], []
    for number in islice(ready(data), shards):
        pictures, notes = paths(data, number)
        drawn = np.load(pictures, mmap_mode="r")
        for start in range(0, SHARD, 50):
            part = torch.from_numpy(drawn[start : start + 50].astype(np.float32)) / 255
            small.append(shrink(part).half())
        rows = json.loads(notes.read_text())
        kinds += [-1 if row["second"] else list(FAMILIES).index(row["family"]) for row in rows]
    seen, known = torch.cat(small), torch.tensor(kinds)
    return seen[known >= 0], known[known >= 0]


def teach(pictures: Tensor, kinds: Tensor, steps: int, say: Callable[[str], None]) -> nn.Sequential:
    """A classifier trained on drawn pictures, some mirrored, softened, or of another hue."""
    torch.manual_seed(0)
    model = network()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps)
    for step in range(steps):
        rng = numbers(3, step)
        rows = torch.from_numpy(rng.integers(0, len(pictures), 48))
        batch = pictures[rows].float()
        if rng.random() < 0.5:
            batch = batch.flip(-1)
        if rng.random() < 0.4:
            batch = functional.avg_pool2d(batch, 3, 1, 1)
        batch = batch[:, torch.randperm(3)] + 0.03 * torch.randn_like(batch)
        loss = functional.cross_entropy(model(batch), kinds[rows], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            say(f"judge {step + 1}/{steps} loss {float(loss.detach()):.3f}")
    return model.eval()


@torch.inference_mode()
def guess(model: nn.Sequential, pictures: Tensor) -> Tensor:
    """The most likely family's number of each picture 0..1."""
    scores: Tensor = model(shrink(pictures))
    return scores.argmax(1)


def lab(rgb: Tensor) -> Tensor:
    """sRGB 0..1 to CIELAB (D65), last dimension 3."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = torch.tensor(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ matrix.T / torch.tensor([0.9505, 1.0, 1.089])
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-8) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(-1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), -1)


def share(picture: Tensor, colour: str) -> float:
    """Share of pixels near a colour; brightness counts half, as shading changes it."""
    pixels = lab(functional.adaptive_avg_pool2d(picture, 128).flatten(1).T)
    middle = lab(torch.tensor(COLOURS[colour][0]))
    weights = torch.tensor([0.5, 1.0, 1.0])
    return float((((pixels - middle) * weights).norm(dim=1) < NEAR).float().mean())


def present(picture: Tensor, colours: tuple[str, ...]) -> bool:
    """Whether every asked colour fills enough of a picture 0..1."""
    return all(share(picture, colour) >= ENOUGH for colour in colours)
