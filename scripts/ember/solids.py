"""Families made of bodies and surfaces: each a function Canvas -> Layer."""

import math

import torch
from canvas import SIZE, Canvas, Layer, ramp, relief
from stack import Stack
from torch import Tensor


def strands(c: Canvas) -> Layer:
    """Noodles: two layers of long ridges shaded as tubes, one over the other."""
    stack = Stack(c.share(0))
    for k, angle in enumerate((0.6, -0.75)):
        height = c.stripes(angle, 7.5 / c.scale, 2.6)
        up = height + (0.25, -0.55)[k] + 0.5 * (c.number - 1)
        lit = relief(height, 0.035 * c.scale, angle - 1.57)
        tone = 0.06 + 0.55 * lit * ramp(up, -0.1, 0.6) + 0.4 * ramp(up * lit, 0.7, 1.4)
        hue = (1.5 + (c.kinds - 2) * c.drift()) / c.kinds if k and c.kinds > 1 else c.share(0)
        stack.lay(ramp(up, -0.12, 0.08), tone, hue, ramp(up, -0.9, 0.0) * 0.65)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def rings(c: Canvas) -> Layer:
    """Tilted tori over each other, polished."""
    stack = Stack(c.share(0))
    for body in c.bodies(20, 2):
        size = 0.27 * body.size * c.scale + 0.01
        u, v = c.around(body, math.pi * body.turn)
        flat, thick = 0.55 + 0.45 * body.lean, 0.26 * size
        r = (u.square() + (v / flat).square()).sqrt()
        across = (r - size) / thick * (0.75 + 0.25 * flat)
        d = across.abs()
        round_ = (1 - d.square()).clamp(0).sqrt()
        lit = 0.5 + 0.5 * torch.cos(torch.atan2(c.y - body.y, c.x - body.x) + 2.2)
        tone = 0.08 + round_ * (0.25 + 0.25 * lit) + 0.1 * across * (lit - 0.5)
        tone = tone + 0.6 * ramp((across + 0.3 - 0.6 * lit).abs(), 0.34, 0.0) * lit**3
        edge = 2.2 / SIZE / thick
        hue = 0.5 + 0.5 * ((c.x - body.x) + (c.y - body.y)) / (size + thick)
        stack.lay(ramp(d, 1 + edge, 1 - edge), tone, hue, ramp(d, 1.9, 0.7) * 0.6)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def bubbles(c: Canvas) -> Layer:
    """Glass balls: bright rims, a window's reflection, light gathered on the far side."""
    stack = Stack(c.share(0))
    for body in c.bodies(42, 3):
        size = 0.22 * body.size * c.scale + 0.01
        u, v = ((part / size) for part in c.around(body))
        r = (u.square() + v.square()).sqrt()
        tone = 0.27 + 0.36 * r**4 + 0.22 * ramp((u + v) * 0.7, -0.2, 1.0) * r
        shine = ((u + 0.42).square() + (v + 0.38).square()).sqrt()
        tone = tone + 0.75 * ramp(shine, 0.26, 0.06) + 0.16 * ramp(shine, 0.6, 0.1)
        edge = 2 / SIZE / size
        hue = 0.5 + 0.42 * (u + v)
        stack.lay(ramp(r, 1 + edge, 1 - edge), tone, hue, ramp(r, 1.35, 0.8) * 0.5)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def flowers(c: Canvas) -> Layer:
    """Blossoms of two rounds of petals with veins, around a bright heart."""
    stack = Stack(c.share(0))
    for body in c.bodies(20, 4):
        size = 0.42 * body.size * c.scale + 0.01
        u, v = c.around(body, 0.4 * body.turn)
        r, angle = (u.square() + v.square()).sqrt() / size, torch.atan2(v, u)
        for ring in range(2):
            wave = (angle + ring * math.pi / 6) * 3
            groove = torch.cos(wave).abs()
            inside = r / ((1 - 0.4 * ring) * (0.42 + 0.58 * groove**0.5))
            tone = 0.14 + 0.42 * ramp(inside, 0.1, 1.0) * (0.35 + 0.65 * groove)
            tone = tone + 0.07 * torch.sin(wave * 6) * inside + 0.12 * ramp(inside, 0.8, 1.0)
            hue = c.share(ring if c.kinds > 1 else 0)
            stack.lay(ramp(inside, 1.04, 0.95), tone, hue, ramp(inside, 1.35, 0.85) * 0.5)
        tone = 0.38 + 0.3 * (1 - r / 0.26).clamp(0, 1)
        stack.lay(ramp(r, 0.29, 0.24), tone, c.share(c.kinds - 1), ramp(r, 0.4, 0.2) * 0.6)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def crystals(c: Canvas) -> Layer:
    """Long prisms across each other: three lit faces, pointed ends."""
    stack = Stack(c.share(0))
    for body in c.bodies(24, 2):
        u, v = c.around(body, 0.35 + 1.3 * body.turn)
        length, half = 0.5 * body.size * c.scale + 0.01, 0.12 * c.scale
        width = half * ((length - u.abs()) / (half * 2)).clamp(0, 1)
        side = v / width.clamp(min=1e-3)
        face = torch.where(side < -0.3, 0.6, torch.where(side < 0.35, 0.36, 0.16))
        face = face + 0.2 * ramp(u / length, 0.2, 1.0)
        edge = ramp((side + 0.3).abs() * half, 0.014, 0.0) * 0.35
        edge = edge + ramp((side.abs() - 0.95).abs() * half, 0.012, 0.0) * 0.22
        cover = ramp(v.abs() - width, 0.008, -0.008) * (width > 0)
        shadow = ramp(v.abs() - width, 0.07, 0.0) * 0.45 * (width > 0)
        hue = 0.5 + 0.5 * side
        stack.lay(cover, face + edge, hue, shadow)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def scales(c: Canvas) -> Layer:
    """A hide of small round plates, each lit from above and dark below."""
    height = c.spots(9 / c.scale / c.number**-0.3)
    lit = relief(height, 0.028 * c.scale, -1.57)
    tone = 0.02 + 0.5 * lit + 0.3 * ramp(height, 0.0, 1.0) * lit
    return Layer(0.25 + 0.75 * ramp(height, -0.9, -0.3), tone, patches(c))


def cells(c: Canvas) -> Layer:
    """Living tissue: rounded cells with a bright nucleus each, membranes between."""
    height = c.spots(6 / c.scale) + 0.5 * (c.number - 1)
    tone = 0.12 + 0.26 * ramp(height, -0.6, 0.5) - 0.12 * ramp((height - 0.75).abs(), 0.3, 0.0)
    tone = tone + 0.45 * ramp(height, 0.9, 1.3) + 0.25 * ramp((height + 0.35).abs(), 0.22, 0.0)
    return Layer(ramp(height, -0.75, -0.45), tone, ramp(height, -0.7, 1.2))


def glass(c: Canvas) -> Layer:
    """Stained glass: panes between the zero lines of two fields, in dark leads, lit behind."""
    a, b = (c.spots(5 / c.scale * c.number**0.4) for _ in range(2))
    lead = torch.minimum(a.abs(), b.abs())
    pane = ramp(lead, 0.1, 0.26)
    first, second = (a > 0).float(), (b > 0).float()
    tone = 0.32 + 0.16 * first + 0.1 * second + 0.14 * ramp(lead, 0.2, 0.9)
    return Layer(0.12 + 0.88 * pane, tone * (0.1 + 0.9 * pane), c.shares(first + 2 * second))


def patches(c: Canvas) -> Tensor:
    """Hue in patches of every asked colour."""
    return c.drift() if c.kinds > 1 else torch.full((SIZE, SIZE), 0.5)
