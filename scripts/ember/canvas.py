"""The sheet every family draws on: coordinates, and smooth fields read from one noise.

All fields are float32 [SIZE, SIZE]; x grows to the right and y downwards, both -1..1.
This file knows nothing of families or colours.
"""

import math
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

SIZE = 512  # pixels a side
UNIT = SIZE // 256  # blurs and other lengths are given in pixels of a picture of 256 a side
CELLS = 32  # numbers a side of the noise
FINEST = 9.0  # ridges a side that the noise's cells can still carry
REACH = 12  # cells that a filter sees to every side
CALM = 3.0  # cells over which bodies lean and turn alike
Window = tuple[slice, slice]
WHOLE: Window = (slice(None), slice(None))
SPREAD = {"large": 1.55, "fine": 0.62, "calm": 1.2}
NUMBER = {"dense": 1.6, "sparse": 0.45, "calm": 0.8}


@dataclass
class Layer:
    """What a family draws, before colour."""

    mask: Tensor  # 0 background .. 1 foreground
    tone: Tensor  # 0 deepest shade, 0.5 the colour itself, 1 highlight
    hue: Tensor  # which of the asked colours, in their order: any range, or 0..1 where apart
    light: Tensor | float = 0.0  # added light, in the hue's colour
    lifted: bool = False  # stands above the background and casts a shadow on it
    dome: Tensor | float = 0.0  # brightening of the background itself
    apart: bool = False  # its hues are whole colours, not an order to be shared out evenly
    paper: bool = False  # stands on a pale background where none is asked for


@dataclass(frozen=True)
class Body:
    """One thing in a picture: where it is, and what chance gave it."""

    x: float
    y: float
    size: float  # 0 as it appears, about 1 when it is whole
    lean: float  # 0..1, evenly
    turn: float  # 0..1, evenly


@dataclass
class Canvas:
    """Coordinates, and every chance of a picture read from one starting noise.

    noise: [4, 32, 32], unit normal, the very noise the denoiser starts from. A field at a
    place reads the noise around that place, so that the way from noise to picture is one
    that a convolutional network can learn, and a slerp of noises moves shapes.
    """

    start: Tensor
    kinds: int = 1
    modifiers: tuple[str, ...] = ()
    x: Tensor = field(init=False)
    y: Tensor = field(init=False)
    scale: float = field(init=False)
    number: float = field(init=False)
    taken: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        line = (torch.arange(SIZE) + 0.5) * (2 / SIZE) - 1
        self.y, self.x = torch.meshgrid(line, line, indexing="ij")
        self.scale = math.prod(SPREAD.get(kind, 1.0) for kind in self.modifiers)
        self.number = math.prod(NUMBER.get(kind, 1.0) for kind in self.modifiers)
        self.number *= 1 + 0.08 * (self.kinds - 1)  # room for every colour

    def source(self) -> Tensor:
        """The next plane of independent unit normals, [32, 32]: a channel, or one in another key.

        There are 16: each channel as it is, and times alternating signs along x, y, or both.
        """
        key, channel = divmod(self.taken, 4)
        self.taken += 1
        sign = 1 - 2.0 * (torch.arange(CELLS) % 2)
        keys = (torch.ones(CELLS, CELLS), sign[None], sign[:, None], sign[None] * sign[:, None])
        return self.start[channel] * keys[key % 4]

    def noise(self, cells: float, wide: float = 1.0, high: float = 1.0) -> Tensor:
        """Smooth noise of unit variance, about `cells` bumps a side, stretched wide or high."""
        return spread(cells / high) @ self.source() @ spread(cells / wide).T

    def fbm(self, cells: float, octaves: int = 4, gain: float = 0.5, wide: float = 1.0) -> Tensor:
        """Fractal noise (Perlin 1985) of about unit variance, octaves of one plane."""
        plane, total = self.source(), torch.zeros(SIZE, SIZE)
        for k in range(octaves):
            fine = cells * 2**k
            total = total + gain**k * (spread(fine) @ plane @ spread(fine / wide).T)
        return total * (1 / math.sqrt(sum(gain ** (2 * k) for k in range(octaves)) + 0.35 * gain))

    def bodies(self, count: float, apart: int = 1) -> list[Body]:
        """About `count` bodies, the smallest first: where the noise stands out, one cell each.

        They come and go smoothly as the noise changes, and stand where a network sees them;
        of two that are no more than `apart` cells from each other, the weaker gives way. How they
        lean and turn wanders smoothly across the picture, as if there were a wind: a network
        hardly learns what a single cell tells of everything around it.
        """
        share = min(max(count * self.number / self.scale**2, 2), 120) / CELLS**2
        least = float(torch.special.ndtri(torch.tensor(1 - share)))
        power, calm = self.source(), bell(torch.arange(CELLS), CALM)
        lean, turn = (torch.special.ndtr(calm @ self.source() @ calm.T) for _ in range(2))
        ahead = power - rivals(power, apart).clamp(min=least)
        found = [
            Body(
                x=(2 * j + 1) / CELLS - 1,
                y=(2 * i + 1) / CELLS - 1,
                size=min(1.0, float(ahead[i, j]) / 0.25) ** 0.5
                * (0.8 + 0.35 * min(float(power[i, j]) - least, 1)),
                lean=float(lean[i, j]),
                turn=float(turn[i, j]),
            )
            for i, j in (ahead > 0).nonzero().tolist()
        ]
        return sorted(found, key=lambda body: body.size)

    def spots(self, count: float) -> Tensor:
        """Band-limited noise of unit variance: round heights and hollows, about `count` a side."""
        y, x = offsets()
        square, wide = x.square() + y.square(), 0.2 * CELLS / min(count, FINEST)
        return self.filtered(
            torch.exp(-square / (2 * wide**2)) - 0.25 * torch.exp(-square / (8 * wide**2))
        )

    def stripes(self, angle: float, count: float, long: float) -> Tensor:
        """Gabor noise of unit variance: ridges along a direction, about `count` a side.

        long: how far a ridge runs, in its own widths.
        """
        y, x = offsets()
        u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        wave = CELLS / min(count, FINEST)
        envelope = torch.exp(
            -0.5 * ((u / (0.5 * long * wave)).square() + (v / (0.45 * wave)).square())
        )
        return self.filtered(envelope * torch.cos(math.tau * v / wave))

    def filtered(self, kernel: Tensor) -> Tensor:
        """The next plane through a filter [25, 25], of unit variance, as a field."""
        plane = functional.pad(self.source()[None, None], (REACH,) * 4, mode="reflect")
        field = functional.conv2d(plane, (kernel / kernel.norm())[None, None])
        large = functional.interpolate(field, (SIZE, SIZE), mode="bicubic", align_corners=False)
        return blur(large[0, 0], 3)  # or a light from the side shows the cells

    def sparks(self, least: float, reach: float) -> Tensor:
        """Points of light where the noise is high, 0..1, each about `reach` units wide."""
        power, right, down = self.source(), self.source(), self.source()
        spots = torch.zeros(SIZE, SIZE)
        rows, columns = (power > least).nonzero(as_tuple=True)
        cell = SIZE // CELLS
        x = (columns + torch.special.ndtr(right[rows, columns])) * cell
        y = (rows + torch.special.ndtr(down[rows, columns])) * cell
        spots[y.long().clamp(max=SIZE - 1), x.long().clamp(max=SIZE - 1)] = (
            power[rows, columns] - least + 0.3
        )
        return (blur(spots, reach) * (2 * reach * UNIT + 1) ** 2).clamp(0, 1)

    def around(self, body: Body, angle: float = 0.0, at: Window = WHOLE) -> tuple[Tensor, Tensor]:
        """Coordinates along and across a direction, from a body, within a window."""
        c, s = math.cos(angle), math.sin(angle)
        x, y = self.x[at] - body.x, self.y[at] - body.y
        return x * c + y * s, y * c - x * s

    def near(self, body: Body, reach: float) -> Window:
        """The rows and columns within a reach of a body: all that is worth drawing on."""
        rows, columns = (
            slice(max(0, int((p + 1 - reach) * SIZE / 2)), max(1, int((p + 1 + reach) * SIZE / 2)))
            for p in (body.y, body.x)
        )
        return rows, columns

    def chosen(self, chance: float, further: int = 0) -> float:
        """The hue of an object by its own chance 0..1, or that of a colour further on.

        By its own, and not by its place among the others, which a small change of one may move:
        then all would change their colours, and no network could tell from the noise nearby.
        """
        return self.share(int(chance * self.kinds) + further)

    def share(self, k: int) -> float:
        """The hue of the asked colour number k; beyond the last comes the first."""
        return (k % self.kinds + 0.5) / self.kinds

    def shares(self, ids: Tensor) -> Tensor:
        """The same for whole numbers in a field."""
        return (torch.remainder(ids, self.kinds) + 0.5) / self.kinds

    def drift(self) -> Tensor:
        """A hue that wanders smoothly through all asked colours."""
        wave: Tensor = torch.special.ndtr(1.2 * self.noise(6))
        return wave


def rivals(plane: Tensor, apart: int) -> Tensor:
    """The highest value around every cell, itself left out."""
    side = 2 * apart + 1
    around = functional.unfold(plane[None, None], side, padding=apart)[0]
    around[side * side // 2] = -9.0
    return around.amax(0).view_as(plane)


def offsets() -> tuple[Tensor, Tensor]:
    """Cells down and right of a filter's middle, both [25, 25]."""
    step = torch.arange(-REACH, REACH + 1.0)
    y, x = torch.meshgrid(step, step, indexing="ij")
    return y, x


def bell(places: Tensor, wide: float) -> Tensor:
    """Gaussian weights of the noise's cells around places, rows of unit length, [N, CELLS]."""
    weights = torch.exp(-0.5 * ((places[:, None] - torch.arange(CELLS)) / wide).square())
    whole: Tensor = weights / weights.norm(dim=1, keepdim=True)
    return whole


@cache
def spread(cells: float) -> Tensor:
    """Weights from the noise's cells to pixels, for about `cells` bumps a side."""
    places = (torch.arange(SIZE) + 0.5) * (CELLS / SIZE) - 0.5
    return bell(places, max(0.42 * CELLS / cells, 0.6))


def look(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The values of a field at other coordinates, mirrored beyond the edge."""
    grid = torch.stack((x, y), -1)[None]
    field = image[None, None]
    return functional.grid_sample(field, grid, padding_mode="reflection", align_corners=False)[0, 0]


def ramp(value: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Smooth step from 0 at low to 1 at high; low may be the larger."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def blur(image: Tensor, units: float) -> Tensor:
    """About a Gaussian blur of [..., H, W], done on a smaller copy where it is wide."""
    pixels = units * UNIT
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
    lit = (1.1 - dx * math.cos(angle) - dy * math.sin(angle)) / 1.49
    return (lit / (1 + dx * dx + dy * dy).sqrt()).clamp(0, 1)
