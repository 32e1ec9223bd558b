"""Families made of bodies and surfaces: each a function Canvas -> Layer."""

import math

import torch
from canvas import SIZE, Canvas, Layer, ramp, relief
from stack import Stack


def strands(c: Canvas) -> Layer:
    """Noodles: two layers of long ridges shaded as tubes, one over the other."""
    stack = Stack()
    for k, angle in enumerate((0.6, -0.75)):
        height = c.stripes(angle, 7.5 / c.scale, 2.6)
        up = height + (0.25, -0.55)[k] + 0.5 * (c.number - 1)
        lit = relief(height, 0.035 * c.scale, angle - 1.57)
        tone = 0.06 + 0.55 * lit * ramp(up, -0.1, 0.6) + 0.4 * ramp(up * lit, 0.7, 1.4)
        hue = k + 0.6 * c.drift()
        stack.lay(ramp(up, -0.12, 0.08), tone, hue, ramp(up, -0.9, 0.0) * 0.65)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def rings(c: Canvas) -> Layer:
    """Tilted tori over each other, polished."""
    stack = Stack(c.share(0))
    for body in c.bodies(20, 2):
        size = 0.27 * body.size * c.scale + 0.01
        at = c.near(body, 1.5 * size)
        u, v = c.around(body, math.pi * body.turn, at)
        flat, thick = 0.55 + 0.45 * body.lean, 0.26 * size
        r = (u.square() + (v / flat).square()).sqrt()
        across = (r - size) / thick * (0.75 + 0.25 * flat)
        d = across.abs()
        round_ = (1 - d.square()).clamp(0).sqrt()
        lit = 0.5 + 0.5 * torch.cos(torch.atan2(*c.around(body, 0, at)[::-1]) + 2.2)
        tone = 0.08 + round_ * (0.25 + 0.25 * lit) + 0.1 * across * (lit - 0.5)
        tone = tone + 0.6 * ramp((across + 0.3 - 0.6 * lit).abs(), 0.34, 0.0) * lit**3
        edge = 2.2 / SIZE / thick
        hue = 0.5 + 0.5 * sum(c.around(body, 0, at)) / (size + thick)
        stack.lay(ramp(d, 1 + edge, 1 - edge), tone, hue, ramp(d, 1.9, 0.7) * 0.6, at)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def bubbles(c: Canvas) -> Layer:
    """Glass balls: bright rims, a window's reflection, light gathered on the far side."""
    stack = Stack(c.share(0))
    for body in c.bodies(42, 3):
        size = 0.22 * body.size * c.scale + 0.01
        at = c.near(body, 1.4 * size)
        u, v = (part / size for part in c.around(body, 0, at))
        r = (u.square() + v.square()).sqrt()
        tone = 0.2 + 0.4 * r**4 + 0.26 * ramp((u + v) * 0.7, -0.2, 1.0) * r
        tone = tone + 0.2 * ramp((r - 0.93).abs(), 0.07, 0.0) + 0.1 * ramp(v, 0.9, -0.6) * r
        shine = ((u + 0.42).square() + (v + 0.38).square()).sqrt()
        tone = tone + 0.75 * ramp(shine, 0.26, 0.06) + 0.16 * ramp(shine, 0.6, 0.1)
        edge = 2 / SIZE / size
        hue = 0.5 + 0.42 * (u + v)
        stack.lay(ramp(r, 1 + edge, 1 - edge), tone, hue, ramp(r, 1.35, 0.8) * 0.5, at)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def flowers(c: Canvas) -> Layer:
    """Blossoms of two rounds of petals with veins, around a bright heart."""
    stack = Stack(c.share(0))
    for body in c.bodies(20, 4):
        size = 0.42 * body.size * c.scale + 0.01
        at = c.near(body, 1.4 * size)
        u, v = c.around(body, 0.4 * body.turn, at)
        far = 0.62 + 0.38 * min(body.size, 1.0)
        r, angle = (u.square() + v.square()).sqrt() / size, torch.atan2(v, u)
        for ring in range(2):
            wave = (angle + ring * math.pi / 6) * 3
            groove = torch.cos(wave).abs()
            inside = r / ((1 - 0.4 * ring) * (0.34 + 0.66 * groove**0.8))
            tone = 0.04 + 0.5 * ramp(inside, 0.0, 0.95) * (0.25 + 0.75 * groove)
            tone = tone + 0.05 * torch.sin(wave * 6) * inside + 0.2 * ramp(inside, 0.72, 1.0)
            tone = tone + 0.2 * ramp(1 - groove, 0.05, 0.0) * ramp(inside, 0.9, 0.3)
            tone = tone * far + 0.12 * ramp(u + v, size, -size) * groove
            hue = c.share(ring if c.kinds > 1 else 0)
            stack.lay(ramp(inside, 1.04, 0.95), tone, hue, ramp(inside, 1.5, 0.8) * 0.6, at)
        seeds = torch.cos(14 * angle) * torch.cos(r * 75)
        tone = 0.26 + 0.3 * (1 - r / 0.2).clamp(0, 1) + 0.1 * seeds
        tone = tone + 0.2 * ramp(u + v, 0.2 * size, -0.2 * size)
        stack.lay(ramp(r, 0.22, 0.17), tone, c.share(c.kinds - 1), ramp(r, 0.45, 0.15) * 0.7, at)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True, apart=True)


def crystals(c: Canvas) -> Layer:
    """Shards grown through each other: long facets, each in one shade, with bright edges."""
    angles = (1.15, 1.95, 0.5)
    planes = [
        c.stripes(angle, count / c.scale, 2.6)
        for angle, count in zip(angles, (3.4, 4.2, 2.6), strict=True)
    ]
    edge = torch.stack([plane.abs() for plane in planes]).amin(0)
    sides = [ramp(plane, -0.025, 0.025) for plane in planes]
    shade = 0.46 * sides[0] + 0.3 * (sides[0] - sides[1]).abs() + 0.2 * sides[2]
    tone = 0.05 + 0.72 * shade + 0.1 * planes[0] * (2 * sides[1] - 1)
    tone = tone + 0.3 * ramp(edge, 0.09, 0.0) * (0.3 + sides[0])
    body = torch.maximum(planes[0], planes[1]) + 0.55 + 0.6 * (c.number - 1)
    glint = ramp(edge, 0.05, 0.0) * sides[0] * sides[1]
    hue = 0.55 * sides[0] + 0.3 * sides[1] + 0.15 * sides[2]
    return Layer(ramp(body, -0.05, 0.03), tone, hue, light=0.3 * glint, lifted=True)


def scales(c: Canvas) -> Layer:
    """A hide of overlapping plates, each with a gleaming edge, a ridge, and shade below it."""
    stack = Stack(c.share(0))
    stack.tone = 0.1 + 0.06 * c.y
    for body in sorted(c.bodies(64, 2), key=lambda body: -body.y):
        size = (0.24 * min(body.size, 1.0) + 0.02) * c.scale
        at = c.near(body, 1.5 * size)
        u, v = (p / size for p in c.around(body, 0.5 * (body.turn - 0.5), at))
        r = u.hypot(torch.where(v > 0, 0.72 * v, 1.1 * v))
        tone = 0.34 + 0.2 * ramp(v, -0.8, 0.9) - 0.1 * u + 0.12 * ramp(u.abs(), 0.12, 0.0)
        tone = tone + 0.3 * ramp((r - 0.88).abs(), 0.14, 0.0) * ramp(v, -0.5, 0.6)
        tone = tone - 0.2 * ramp(v, -0.1, -0.9)
        hue = 0.5 + 0.36 * v + 0.3 * (body.lean - 0.5)
        stack.lay(ramp(r, 1.03, 0.95), tone, hue, ramp(r, 1.5, 0.85) * 0.6, at)
    return Layer(0.3 + 0.7 * stack.mask, stack.tone, stack.hue)


def cells(c: Canvas) -> Layer:
    """Living tissue: translucent rounded cells with a lit nucleus each, in glowing membranes."""
    height = c.spots(6 / c.scale) + 0.5 * (c.number - 1)
    lit = relief(height, 0.026 * c.scale, -2.2)
    wall = ramp((height + 0.32).abs(), 0.26, 0.0)
    heart = ramp(height, 0.85, 1.35)
    tone = 0.06 + 0.34 * ramp(height, -0.6, 0.5) * (0.4 + 0.6 * lit)
    tone = tone - 0.1 * ramp((height - 0.72).abs(), 0.26, 0.0) + 0.3 * wall * (0.4 + 0.8 * lit)
    tone = tone + heart * (0.14 + 0.4 * lit**3)
    mask = ramp(height, -0.85, -0.35)
    return Layer(mask, tone, height, light=0.1 * heart + 0.08 * wall)


def glass(c: Canvas) -> Layer:
    """Stained glass: panes between the zero lines of two fields, in dark leads, lit behind."""
    a, b = (c.spots(5 / c.scale * c.number**0.4) for _ in range(2))
    lead = torch.minimum(a.abs(), b.abs())
    pane = ramp(lead, 0.12, 0.24)
    first, second = (a > 0).float(), (b > 0).float()
    behind = torch.exp(-1.1 * c.x.hypot(c.y + 0.3).square())
    streak = c.noise(14, wide=0.6) * 0.045
    tone = 0.14 + 0.13 * first + 0.08 * second + 0.2 * ramp(lead, 0.15, 1.0) + streak
    tone = tone + 0.24 * behind
    rim = 0.3 * ramp((lead - 0.09).abs(), 0.05, 0.0) * relief(lead, 0.03, -2.2)
    mask = 0.12 + 0.88 * pane
    light = 0.16 * behind * pane
    return Layer(
        mask, tone * pane + 0.05 + rim, c.shares(first + 2 * second), light=light, apart=True
    )
