"""Families made of figures that stay where they are while chance bends and lights them."""

import math

import torch
from canvas import SIZE, Canvas, Layer, blur, ramp, relief
from stack import Stack


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
    """Two sets of luminous lines through each other at a small angle, light where they meet."""
    p, q = (c.stripes(angle, 8.5 / c.scale, 3.5) for angle in (0.68, 0.96))
    both, beat = p + q, p * q
    line = ramp(p, 0.2, 1.1) + ramp(q, 0.2, 1.1)
    tone = 0.05 + 0.27 * line + 0.3 * ramp(both, 1.2, 2.6) + 0.1 * ramp(both, -1, 1)
    mask = ramp(torch.maximum(p, q) + 0.4 * (c.number - 1), -0.35, 0.5)
    return Layer(mask, tone, p - q, light=0.2 * ramp(beat, 0.8, 2.5) * ramp(both, 0, 1))


def checks(c: Canvas) -> Layer:
    """Chequered cloth: a warp and a weft of broad stripes, palest where they cross, in soft folds.

    Their sum, and not their product, which would tell a network nothing of either before it
    has found both.
    """
    warp, weft = (ramp(c.stripes(angle, 6.5 / c.scale, 3.5), -0.25, 0.25) for angle in (0.25, 1.82))
    lit = relief(c.noise(4), 0.12, 3.7)
    weave = 0.5 * (warp + weft) + 0.12 * (c.number - 1)
    tone = (0.12 + 0.5 * weave) * (0.4 + 0.75 * lit) + 0.3 * ramp(warp * weft, 0.5, 1.0) * lit
    return Layer(0.25 + 0.75 * ramp(weave, 0.05, 0.4), tone, warp - weft)


def fractal(c: Canvas) -> Layer:
    """Islands, smaller ones off every shore, rings ever closer to a burning coast."""
    high = c.fbm(3.4 / c.scale * c.number**0.3, 4, 0.55)
    near = high.abs() + 0.012
    halo = torch.cos(math.tau * 1.25 * near.log2())
    lit = relief(high, 0.05 * c.scale, -2.2)
    coast = ramp(near, 0.12, 0.012)
    inside = ramp(high, -0.02, 0.02)
    tone = 0.05 + 0.3 * lit * (0.35 + 0.65 * inside) + 0.13 * halo * ramp(near, 0.03, 0.12)
    tone = tone + 0.1 * inside + 0.55 * coast
    mask = (0.2 + 0.8 * inside) * (0.75 + 0.25 * halo)
    return Layer(torch.maximum(mask, coast), tone, near.log2() * 0.6, light=0.3 * coast**2)


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
    """Doilies over a net: a flower's heart, rounds of loops about it, a scalloped hem."""
    found = c.bodies(13, 4)
    net = torch.maximum(*(c.stripes(a, 8.5 / c.scale, 3) for a in (0.5, 0.5 + math.pi / 2)))
    stack = Stack(0.4)
    stack.lay(ramp(net, 0.7, 1.1) * 0.7, 0.24 + 0.1 * c.noise(6), 0.9, 0.0)
    for body in found:
        size = 0.42 * body.size * c.scale + 0.02
        at = c.near(body, 1.15 * size)
        u, v = c.around(body, 0.5 * body.turn, at)
        r, angle = u.hypot(v) / size, torch.atan2(v, u)
        loop = torch.cos(4 * angle).abs()
        hem = 0.88 + 0.12 * loop
        cords = (
            ramp((r - hem + 0.08).abs(), 0.13, 0.05),
            ramp((r - 0.4).abs(), 0.11, 0.04),
            ramp((r - 0.46 - 0.38 * loop).abs(), 0.14, 0.05) * ramp(r, 0.36, 0.46),
            ramp(r, 0.2, 0.12),
        )
        thread = torch.stack(cords).amax(0)
        inside = ramp(r, hem + 0.02, hem - 0.02)
        tone = 0.2 + 0.34 * thread + 0.12 * ramp(u + v, size, -size)
        cover = inside * (0.35 + 0.65 * thread)
        stack.lay(cover, tone, 0.15 + 0.5 * r, 0.5 * ramp(r, 1.12, 0.9), at)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def circuits(c: Canvas) -> Layer:
    """Traces on a board, along it and across, from pad to pad, current glowing in them."""
    charge = 0.5 + 0.5 * torch.tanh(1.2 * c.noise(6))
    way = torch.full((SIZE, SIZE), -9.0)
    for angle in (0.0, math.pi / 2):
        way = torch.maximum(way, c.stripes(angle, 8 / c.scale, 5) - 0.95 + 0.6 * (c.number - 1))
    trace, core = ramp(way, -0.15, 0.2), ramp(way, 0.15, 0.6)
    for body in c.bodies(26, 2):
        at = c.near(body, 0.16)
        r = (c.x[at] - body.x).hypot(c.y[at] - body.y) / (0.085 * body.size * c.scale**0.5 + 0.01)
        pad = ramp(r, 1.1, 0.9)
        trace[at] = torch.maximum(trace[at], pad) * ramp(r, 0.3, 0.5)
        core[at] = core[at] * (1 - pad) + pad * ramp(r, 0.4, 0.8)
    glow = blur(trace, 7)
    tone = 0.12 + 0.24 * trace + trace * 0.3 * charge + 0.2 * core * charge
    hue = c.noise(6) + 0.15 * charge
    mask = (0.12 + trace + 0.5 * glow * charge).clamp(0, 1)
    return Layer(mask, tone, hue, light=0.4 * glow * charge**2)
