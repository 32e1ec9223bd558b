"""Families made of figures that stay where they are while chance bends and lights them."""

import math
from functools import cache

import torch
from canvas import CELLS, SIZE, Canvas, Layer, blur, look, ramp, relief
from torch import Tensor
from torch.nn import functional


def mandala(c: Canvas) -> Layer:
    """Rounds of petals about a bright heart, filigree between them, lit as chance has it."""
    a, b = c.noise(7), c.noise(7)
    x, y = c.x + 0.02 * a, c.y + 0.02 * b
    r, angle = x.hypot(y), torch.atan2(y, x)
    tone, hue = 0.14 + 0.05 * torch.cos(40 * r), torch.zeros(SIZE, SIZE)
    mask = torch.full((SIZE, SIZE), 0.35)
    count = 8 if c.scale > 1 else 16 if c.scale < 1 else 12
    for k, (outer, wide) in enumerate(((1.3, 0.5), (0.98, 0.42), (0.68, 0.34), (0.4, 0.26))):
        turn = torch.cos(count * angle / 2 + (k % 2) * math.pi / 2).abs()
        edge = outer - wide * (1 - turn**0.6)
        inside = (edge - r) / wide
        cover = ramp(inside, 0.0, 0.05)
        petal = 0.34 + 0.3 * ramp(inside, 0.75, 0.0) * turn + 0.1 * (a if k % 2 else b)
        petal = petal - 0.14 * ramp((inside - 0.28).abs(), 0.09, 0.0)
        petal = petal + 0.3 * ramp((inside - 0.07).abs(), 0.07, 0.0)
        petal = petal + 0.22 * ramp(1 - turn, 0.02, 0.0) * ramp(inside, 0, 0.6)
        petal = petal - 0.26 * ramp(inside, 0.7, 1.3)
        tone, mask = tone + (petal - tone) * cover, torch.maximum(mask, cover)
        hue = hue + (k + 1 - hue) * cover
        hue = hue + 0.6 * ramp(inside, 0.4, 0.25) * cover
    heart = torch.exp(-((r / 0.11).square()))
    return Layer(mask, tone + 0.3 * heart, (hue + 0.1 * a), light=0.7 * heart)


def moire(c: Canvas) -> Layer:
    """Two sets of fine luminous rings through each other, their beats wandering as light."""
    a, b = c.noise(5), c.noise(5)
    wave = (44 if c.scale == 1 else 34 if c.scale > 1 else 52) * (1 + 0.1 * (c.number - 1))
    left, right = (c.x + 0.42).hypot(c.y + 0.2), (c.x - 0.42).hypot(c.y - 0.2)
    p, q = torch.cos(wave * left + 1.3 * a), torch.cos(wave * right + 1.3 * b)
    beat = torch.cos(wave * (left - right) + 1.3 * (a - b))
    both = 0.5 + 0.25 * (p + q)
    tone = 0.06 + 0.4 * both + 0.28 * ramp(beat, -0.2, 1.0) * both + 0.2 * ramp(both, 0.75, 1.0)
    mask = ramp(both, 0.12, 0.5)
    return Layer(mask, tone, (beat + 0.5 * a), light=0.2 * ramp(both, 0.6, 1.0) * (beat > 0))


def checks(c: Canvas) -> Layer:
    """A chequered cloth in the wind: squares bent over soft folds, sheen on the ridges."""
    fold, bend = c.stripes(1.2, 3.2, 1.3), c.noise(5)
    count = 5.0 / c.scale * c.number**0.3
    u, v = c.x + 0.05 * fold + 0.02 * bend, c.y + 0.03 * fold - 0.03 * bend
    wave = torch.sin(math.pi * count * u) * torch.sin(math.pi * count * v)
    square = ramp(wave, -0.05, 0.05)
    lit = relief(fold, 0.06, 3.7)
    shine = ramp(lit, 0.8, 1.0)
    edge = ramp(wave.abs(), 0.1, 0.0)
    tone = 0.02 + 0.54 * lit + 0.26 * shine - 0.08 * edge
    if c.kinds == 1:
        return Layer(0.06 + 0.94 * square, tone, torch.full((SIZE, SIZE), 0.5), apart=True)
    other = (c.kinds - 1) * ramp(c.noise(5), -0.05, 0.05) if c.kinds > 2 else 1.0
    hue = (0.5 + (1 - square) * (1 + (other if c.kinds == 2 else 0.5 * other))) / c.kinds
    if c.kinds == 2:
        hue = 0.25 + 0.5 * (1 - square)
    return Layer(torch.ones(SIZE, SIZE), tone, hue, apart=True)


@cache
def julia() -> Tensor:
    """How soon a point of the plane escapes under z*z + p, smoothly counted (Julia 1918)."""
    line = (torch.arange(SIZE) + 0.5) * (2 / SIZE) - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    z = torch.complex(0.92 * (0.94 * x - 0.34 * y), 0.92 * (0.34 * x + 0.94 * y))
    fled, count = torch.zeros(SIZE, SIZE, dtype=torch.bool), torch.zeros(SIZE, SIZE)
    for _ in range(90):
        z = torch.where(fled, z, z * z + torch.complex(torch.tensor(0.37), torch.tensor(0.1)))
        fresh = (z.abs() > 12) & ~fled
        fled |= fresh
        count += (~fled).float()
        count[fresh] += 2.0 - z.abs()[fresh].log().log2()
    return count.clamp(min=0).log1p()


def fractal(c: Canvas) -> Layer:
    """A Julia set whose arms sway: bands of escape, a burning coast, chance in its light."""
    a, b = c.noise(6), c.noise(6)
    zoom = 1 / c.scale**0.6
    soon = look(julia(), zoom * c.x + 0.035 * a, zoom * c.y + 0.035 * b)
    lit = relief(soon, 0.12, -2.2)
    coast = ramp(soon, 2.0, 3.6)
    band = 0.5 + 0.5 * torch.cos(8 * soon)
    tone = 0.02 + 0.34 * lit + 0.2 * coast * lit + 0.1 * band + 0.09 * a * lit
    tone = tone * (0.3 + 0.7 * ramp(soon, 1.1, 2.3)) + 0.3 * ramp(soon, 3.2, 4.3)
    mask = ramp(soon, 0.9, 2.0)
    return Layer(mask, tone, soon + 0.15 * b, light=0.3 * coast**2)


def coral(c: Canvas) -> Layer:
    """Brain coral: rounded walls winding through grooves, dotted with polyps."""
    f = c.spots(4.6 / c.scale * c.number**0.3)
    wall = torch.cos(3.1 * f)
    lit = relief(wall, 0.022 * c.scale, -2.1)
    dots = c.noise(30)
    tone = 0.02 + 0.5 * lit * ramp(wall, -1.2, 0.3) + 0.22 * ramp(wall, 0.3, 1.0) * lit
    tone = tone + 0.05 * dots * ramp(wall, -0.2, 0.6)
    mask = 0.15 + 0.85 * ramp(wall, -0.95, -0.45)
    return Layer(mask, tone, f, lifted=True)


def lace(c: Canvas) -> Layer:
    """Lace on its cloth: threads in rosettes and stars, thicker where chance has it."""
    a, b = c.noise(6), c.noise(6)
    x, y = c.x + 0.02 * a, c.y + 0.02 * b
    k = math.pi * 3.4 / c.scale * c.number**0.2
    turns = (0.0, math.tau / 3, 2 * math.tau / 3)
    net, star, fine = (
        torch.stack(
            [torch.cos(n * k * (x * math.cos(t + d) + y * math.sin(t + d))) for t in turns]
        ).sum(0)
        for n, d in ((1.0, 0.0), (3**0.5, math.pi / 6), (2.0, 0.0))
    )
    petal = net - 0.6 * star
    cords = [ramp((petal - at).abs(), 0.34, 0.1) for at in (-0.9, 0.45 + 0.15 * a, 1.5)]
    cords += [
        ramp((star + 1.2).abs(), 0.2, 0.05),
        0.85 * ramp((net - 0.4 * fine - 2).abs(), 0.3, 0.1),
    ]
    thread = torch.stack(cords).amax(0)
    gauze = 0.22 * ramp((fine + 0.4).abs(), 0.7, 0.1)
    lit = relief(blur(thread, 1.5), 0.022, -2.2)
    tone = 0.12 + 0.44 * lit + 0.1 * b * thread + 0.14 * ramp(net, 0.8, 3)
    return Layer(torch.maximum(thread, gauze), tone, net + 0.3 * b, lifted=True)


def circuits(c: Canvas) -> Layer:
    """Traces on a board from pad to pad, current glowing in them."""
    pool = 4 if c.scale > 1.3 else 2
    right, down, power = (functional.avg_pool2d(c.source()[None], pool)[0] * pool for _ in range(3))
    share = 0.15 + 0.5 * (c.number - 1)
    links = [(right > -share).float(), (down > -share).float()]
    sides = [links[0], torch.roll(links[0], 1, 1), links[1], torch.roll(links[1], 1, 0)]
    side = SIZE // (CELLS // pool)

    def whole(plane: Tensor) -> Tensor:
        return plane.repeat_interleave(side, 0).repeat_interleave(side, 1)

    line = (torch.arange(SIZE) % side + 0.5) / side - 0.5
    y, x = line[:, None].expand(SIZE, SIZE), line[None].expand(SIZE, SIZE)
    arms = ((x, y), (-x, y), (y, x), (-y, x))
    far = [
        (-u).clamp(min=0).hypot(v) + 9 * (1 - whole(s))
        for s, (u, v) in zip(sides, arms, strict=True)
    ]
    way = torch.stack(far).amin(0)
    ends = whole((torch.stack(sides).sum(0) <= 1).float() + (power > 1.0).float()).clamp(0, 1)
    pad = x.hypot(y) + 9 * (1 - ends)
    wide = 0.1 if c.scale < 1 else 0.13
    trace = torch.maximum(ramp(way, wide + 0.05, wide - 0.04), ramp((pad - 0.24).abs(), 0.14, 0.06))
    glow, charge = blur(trace, 7), 0.5 + 0.5 * torch.tanh(1.2 * c.noise(6))
    tone = 0.12 + 0.24 * trace + trace * 0.34 * charge + 0.16 * ramp(way, 0.06, 0.0) * charge
    hue = c.noise(6) + 0.15 * charge
    mask = (0.12 + trace + 0.5 * glow * charge).clamp(0, 1)
    return Layer(mask, tone, hue, light=0.45 * glow * charge**2)
