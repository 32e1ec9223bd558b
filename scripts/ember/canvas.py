"""The sheet every family draws on: coordinates, noise, and a generator of its own.

All fields are float32 [SIZE, SIZE]; x grows to the right and y downwards, both -1..1.
This file knows nothing of families or colours.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SIZE = 256  # pixels a side
SPREAD = {"large": 1.55, "fine": 0.62}
NUMBER = {"dense": 1.6, "sparse": 0.5}


@dataclass
class Layer:
    """What a family draws, before colour."""

    mask: Tensor  # 0 background .. 1 foreground
    tone: Tensor  # 0 deepest shade, 0.5 the colour itself, 1 highlight
    hue: Tensor  # 0..1: which of the asked colours, in their order
    light: Tensor | float = 0.0  # added light, in the hue's colour
    lifted: bool = False  # stands above the background and casts a shadow on it
    dome: Tensor | float = 0.0  # brightening of the background itself


@dataclass
class Canvas:
    """Coordinates and noise from one seed, for `kinds` colours and some modifiers."""

    rng: np.random.Generator
    kinds: int = 1
    modifiers: tuple[str, ...] = ()
    x: Tensor = field(init=False)
    y: Tensor = field(init=False)
    scale: float = field(init=False)
    number: float = field(init=False)
    first: int = field(init=False)
    spin: float = field(init=False)

    def __post_init__(self) -> None:
        line = (torch.arange(SIZE) + 0.5) * (2 / SIZE) - 1
        self.y, self.x = torch.meshgrid(line, line, indexing="ij")
        self.scale = self.between(0.88, 1.15)
        self.number = self.between(0.85, 1.15)
        for kind in self.modifiers:
            self.scale *= SPREAD.get(kind, 1.0)
            self.number *= NUMBER.get(kind, 1.0)
        self.spin = self.between(0, 6.28)
        self.first = int(self.rng.integers(self.kinds))

    def between(self, low: float, high: float) -> float:
        """A number from low to high."""
        return float(self.rng.uniform(low, high))

    def many(self, count: float, low: int, high: int) -> int:
        """About `count` objects, times the wish's density, within bounds."""
        return int(np.clip(round(count * self.number), low, high))

    def normal(self, *shape: int) -> Tensor:
        """Unit normal numbers."""
        return torch.from_numpy(self.rng.standard_normal(shape, dtype=np.float32))

    def noise(self, cells: float, wide: float = 1.0, high: float = 1.0) -> Tensor:
        """Smooth noise of unit variance, about `cells` bumps a side, stretched wide or high."""
        rows, columns = cubic(self, cells / high), cubic(self, cells / wide)
        return 1.35 * rows @ self.normal(rows.shape[1], columns.shape[1]) @ columns.T

    def line(self, cells: float) -> Tensor:
        """Smooth noise along x alone, [1, SIZE]."""
        columns = cubic(self, cells)
        return 1.2 * self.normal(1, columns.shape[1]) @ columns.T

    def fbm(self, cells: float, octaves: int = 4, gain: float = 0.5, wide: float = 1.0) -> Tensor:
        """Fractal noise (Perlin 1985) of unit variance: each octave finer and weaker."""
        total, power = torch.zeros(SIZE, SIZE), 0.0
        for k in range(octaves):
            total = total + gain**k * self.noise(min(cells * 2**k, 96), wide)
            power += gain ** (2 * k)
        return total * (1 / math.sqrt(power))

    def turn(self, angle: float, x: float = 0.0, y: float = 0.0) -> tuple[Tensor, Tensor]:
        """Coordinates along and across a direction, around a point."""
        c, s = float(np.cos(angle)), float(np.sin(angle))
        return (self.x - x) * c + (self.y - y) * s, (self.y - y) * c - (self.x - x) * s

    def spot(self, k: int, count: int, reach: float) -> tuple[float, float]:
        """Where body k of `count` goes: a sunflower's even spread (Vogel 1979), shaken."""
        far = reach * ((k * 7 % count + 0.5) / count) ** 0.5
        angle = self.spin + k * 2.39996
        x, y = far * float(np.cos(angle)), far * float(np.sin(angle))
        return x + self.between(-0.16, 0.16), y + self.between(-0.16, 0.16)

    def share(self, k: int) -> float:
        """The hue of object k: the asked colours take turns."""
        return ((k + self.first) % self.kinds + 0.5) / self.kinds

    def shares(self, ids: Tensor) -> Tensor:
        """The same for whole numbers in a field."""
        return (torch.remainder(ids + self.first, self.kinds) + 0.5) / self.kinds

    def drift(self, cells: float = 1.6) -> Tensor:
        """A hue that wanders smoothly through all asked colours."""
        wave = self.noise(cells)
        low, high = wave.amin(), wave.amax()
        return ((wave - low) / (high - low) * 1.3 - 0.15).clamp(0, 1)


def cubic(canvas: Canvas, cells: float) -> Tensor:
    """Weights of cubic convolution (Keys 1981) from about `cells` random numbers to a line."""
    place = torch.linspace(1, 1 + cells, SIZE) + canvas.between(0, 1)
    d = (place[:, None] - torch.arange(int(cells + 2) + 3)).abs()
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return torch.where(d < 1, near, torch.where(d < 2, far, 0.0))


def look(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The values of a field at other coordinates, mirrored beyond the edge."""
    grid = torch.stack((x, y), -1)[None]
    field = image[None, None]
    return functional.grid_sample(field, grid, padding_mode="reflection", align_corners=False)[0, 0]


def ramp(value: Tensor, low: float, high: float) -> Tensor:
    """Smooth step from 0 at low to 1 at high; low may be the larger."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def blur(image: Tensor, pixels: float) -> Tensor:
    """About a Gaussian blur of [..., H, W], done on a smaller copy where it is wide."""
    small = max(1, int(pixels // 2))
    flat = image.reshape(1, -1, *image.shape[-2:])
    size = flat.shape[-2:]
    if small > 1:
        flat = functional.interpolate(flat, scale_factor=1 / small, mode="area")
    reach = max(1, round(pixels / small))
    for _ in range(2):
        flat = functional.pad(flat, (reach,) * 4, mode="replicate")
        flat = functional.avg_pool2d(flat, 2 * reach + 1, 1)
    if small > 1:
        flat = functional.interpolate(flat, size=size, mode="bilinear", align_corners=False)
    return flat.reshape(image.shape)


def slope(image: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives along x and y, per unit of coordinate."""
    dy, dx = torch.gradient(image)
    return dx * (SIZE / 2), dy * (SIZE / 2)


def relief(height: Tensor, steep: float, angle: float) -> Tensor:
    """Lambert shading, 0..1, of a height field lit from an angle above."""
    dx, dy = slope(height)
    dx, dy = dx * steep, dy * steep
    lit = (1.1 - dx * float(np.cos(angle)) - dy * float(np.sin(angle))) / 1.49
    return (lit / (1 + dx * dx + dy * dy).sqrt()).clamp(0, 1)
