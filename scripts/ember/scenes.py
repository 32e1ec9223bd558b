"""Families made of weather, water, light and land: each a function Canvas -> Layer."""

import math

import torch
from canvas import SIZE, UNIT, Canvas, Layer, blur, look, ramp, relief


def ink(c: Canvas) -> Layer:
    """Ink let into clear water: billowing plumes, folded veils thinning out at their edges."""
    cloud, bend = c.fbm(4.2 / c.scale, 3, 0.5), c.noise(7 / c.scale)
    curl = c.noise(10 / c.scale)
    plume = look(cloud, c.x + 0.05 * bend, c.y - 0.07 * bend) + 0.5 * (c.number - 1) + 0.35
    body = ramp(plume, -1.0, 1.1)
    fold = ramp((plume + 0.3 * curl + 0.1).abs(), 0.5, 0.0)
    fold = fold + ramp((plume + 0.45 * curl - 0.8).abs(), 0.5, 0.0)
    lit = relief(plume + 0.15 * curl, 0.05 * c.scale, -2.2)
    tone = 0.54 - 0.16 * body + 0.46 * (lit - 0.62) + 0.1 * fold
    mask = (1.15 * body * (0.7 + 0.3 * fold) + 0.2 * fold * ramp(plume, -0.7, 0)).clamp(0, 1)
    return Layer(mask, tone, 0.8 * c.noise(3.5) + 0.6 * plume + 0.3 * curl, paper=True)


def silk(c: Canvas) -> Layer:
    """Cloth let fall in folds: broad soft slopes, a sheen along every ridge."""
    drop = 1.15 * c.stripes(1.05, 3.4 / c.scale, 1.5) + 0.5 * c.noise(5 / c.scale)
    fold = torch.sin((1.5 + 0.5 * c.number) * drop)
    lit = relief(fold, 0.055 * c.scale, 3.9)
    sheen = ramp(lit, 0.78, 1.0)
    tone = 0.02 + 0.56 * lit * ramp(fold, -1.3, 0.4) + 0.34 * sheen + 0.07 * c.noise(8) * lit
    return Layer(torch.ones(SIZE, SIZE), tone, drop)


def lava(c: Canvas) -> Layer:
    """A crust of cooled plates, molten light in the cracks between them."""
    a, b = c.spots(4.2 / c.scale * c.number**0.3), c.spots(6 / c.scale)
    grain = c.noise(16)
    gap = (a + 0.1 * grain).abs()
    gap = torch.minimum(gap, 0.3 + b.abs())
    heat, core = torch.exp(-gap / 0.42), ramp(gap, 0.26, 0.02)
    crust = relief(1.2 * a.abs() + 0.25 * b + 0.12 * grain, 0.045 * c.scale, -2.0)
    tone = 0.0 + 0.26 * crust**1.5 * ramp(gap, 0.1, 0.5)
    tone = tone + 0.5 * ramp(heat, 0.25, 0.75) + 0.3 * core**2 + 0.04 * grain * core
    order = heat + 0.12 * b
    return Layer((0.4 + heat).clamp(0, 1), tone, order, light=0.2 * heat**2 + 0.12 * blur(core, 14))


def lightning(c: Canvas) -> Layer:
    """Bolts through a storm at night, the clouds around them lit from within."""
    way = c.noise(5 / c.scale, high=2.2) + 0.14 * c.noise(15 / c.scale)
    side = c.noise(8 / c.scale, high=1.4)
    storm = c.fbm(4, 2, 0.5, wide=1.6)
    near = torch.exp(-way.abs() / 0.55)
    bolt = torch.exp(-((way / 0.09).square())) + torch.exp(-way.abs() / 0.2) * 0.4
    fork = (torch.exp(-((side / 0.12).square())) + 0.3 * torch.exp(-side.abs() / 0.25)) * near
    strike = (bolt + 0.7 * c.number * fork).clamp(0, 1.3)
    cloud = 0.55 + 0.45 * (storm - look(storm, c.x - 0.02, c.y - 0.06)) + 0.2 * storm
    tone = 0.1 + 0.42 * cloud.clamp(0, 1.4) * (0.4 + 0.8 * near) + 0.5 * strike
    mask = (0.5 + 0.5 * near + strike).clamp(0, 1)
    hue = near + 0.5 * storm
    return Layer(mask, tone, hue, light=0.4 * strike.clamp(0, 1) + 0.22 * near**2)


def ripples(c: Canvas) -> Layer:
    """Rain on still water: rings running out from every drop, light on their slopes."""
    found = c.bodies(14, 3)
    height = 0.6 * c.noise(5, wide=1.6)
    for body in found:
        reach = 0.56 * body.size * c.scale + 0.02
        at = c.near(body, reach)
        r = (c.x[at] - body.x).hypot(1.35 * (c.y[at] - body.y)) / reach
        ring = torch.cos(12.5 * r) * ramp(r, 1.0, 0.35)
        height[at] += 0.9 * body.size * ring
    lit = relief(height, 0.045 * c.scale, -1.2)
    glint = ramp(lit, 0.86, 1.0)
    tone = -0.03 + 0.56 * lit + 0.5 * glint + 0.08 * ramp(c.y, 0.9, -1)
    order = c.y + 1.3 * (lit - 0.7) + 0.15 * height
    return Layer(0.3 + 0.7 * ramp(lit, 0.15, 0.5), tone, order)


def hills(c: Canvas) -> Layer:
    """Ridges behind ridges at dusk, mist in the valleys, a low sun over the farthest."""
    wide = 1.2 * c.scale
    level = c.noise(6 / wide, high=1.4) + 0.3 * c.noise(14 / wide, high=1.3)
    slope = ramp(torch.gradient(level)[1] * UNIT, -0.06, 0.06)
    sun = (c.x - 0.22).hypot(c.y + 0.34)
    haze = torch.exp(-1.8 * sun)
    band = c.fbm(6, 2, 0.5, wide=2.5)
    sky = ramp(c.y, -1.3, 0.1)
    tone = 0.1 + 0.34 * sky + 0.3 * haze + 0.08 * band * sky
    depth = 0.3 * sky + 0.06 * band
    for k, base in enumerate((-0.12, 0.1, 0.34, 0.58, 0.84)):
        below = c.y - base - (0.1 + 0.022 * k) * level
        cover = ramp(below, -0.012, 0.008)
        rock = (0.5 - 0.1 * k) * (0.72 + 0.36 * slope)
        rim = ramp(below, 0.07, 0.0) * (0.12 + 0.5 * haze) * (1 - 0.12 * k)
        here = rock + 0.28 * ramp(below, 0.02, 0.34) * (1 - 0.16 * k) + 0.6 * rim
        tone = tone + (here - tone) * cover
        depth = depth + (0.32 + 0.16 * k - 0.2 * ramp(below, 0.0, 0.3) - depth) * cover
    disc = ramp(sun, 0.115, 0.095) * ramp(c.y, 0.2, -0.2)
    light = 0.75 * disc + 0.3 * haze**2
    mask = ramp(c.y + 0.4 * haze, -1.5, -0.3)
    return Layer(mask, tone + 0.25 * disc, depth, light=light)


def trees(c: Canvas) -> Layer:
    """Trunks in rows of depth, fog between them, light from beyond the clearing."""
    rows = [c.stripes(math.pi / 2, n / c.scale**0.5, 5) for n in (7, 4.5)]
    gleam = torch.exp(-1.9 * (c.x + 0.1).hypot(0.7 * (c.y + 0.2)))
    leaf = c.fbm(7 / c.scale, 2, 0.6)
    tone, depth = 0.4 + 0.42 * gleam + 0.05 * leaf, 0.12 * leaf
    for k, row in enumerate(rows):
        wood = row + 0.4 * (c.number - 1)
        cover = ramp(wood, 0.5 + 0.2 * k, 0.75 + 0.15 * k)
        side = ramp(wood - look(wood, c.x + (0.03 + 0.01 * k), c.y), -0.7, 0.9)
        here = 0.26 - 0.16 * k + 0.38 * side**1.5 * (0.4 + gleam)
        tone = tone + (here - tone) * cover
        depth = depth + (1.2 + 0.9 * k - depth) * cover
        veil = 0.3 * ramp(c.y, -0.4, 0.7) * (0.4 + gleam) * (1 - 0.6 * k)
        tone = tone + (0.52 + 0.2 * gleam - tone) * veil
    lit = 0.5 + 0.4 * (leaf - look(leaf, c.x - 0.03, c.y - 0.05))
    crown = ramp(0.7 * leaf - 2.6 * (c.y + 0.75), -1.5, 1.6)
    tone = tone + (0.02 + 0.3 * lit.clamp(0, 1.4) + 0.4 * gleam - tone) * crown * 0.9
    floor = ramp(c.y + 0.06 * leaf, 0.6, 1.0)
    tone = tone + (0.08 + 0.26 * lit.clamp(0, 1.4) + 0.25 * gleam - tone) * floor
    depth = depth + (2.8 + 0.2 * leaf - depth) * torch.maximum(crown, floor)
    return Layer(torch.ones(SIZE, SIZE), tone, 0.5 * depth - 1.2 * gleam, light=0.26 * gleam**2)
