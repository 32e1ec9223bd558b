"""Families made of bodies one in front of the other: each a function Canvas -> Layer."""

import math

import torch
from canvas import CELLS, SIZE, Canvas, Layer, bell, blur, ramp, relief, slope
from torch import Tensor


class Stack:
    """Bodies laid on each other, from the back to the front, with soft contact shadows."""

    def __init__(self, hue: float = 0.5) -> None:
        self.mask = torch.zeros(SIZE, SIZE)
        self.tone = torch.full((SIZE, SIZE), 0.3)
        self.hue = torch.full((SIZE, SIZE), hue)

    def lay(self, cover: Tensor, tone: Tensor, hue: Tensor | float, shadow: Tensor) -> None:
        """Put one body on top: its cover 0..1, its tone, and what it darkens below it."""
        below = self.tone * (1 - shadow)
        self.tone = below + (tone - below) * cover
        self.hue = torch.where(cover > 0.5, torch.as_tensor(hue), self.hue)
        self.mask = torch.maximum(self.mask, cover)


def strands(c: Canvas) -> Layer:
    """Bundles of noodles: level lines of warped planes, shaded as tubes, one over another."""
    stack = Stack(c.share(0))
    bundles = c.many(3, 2, 4)
    width = 0.06 * c.scale
    pitch = 2.6 * width
    for k in range(bundles):
        along, across = c.turn(0.5 + k * math.pi * 0.618)
        flow = across + 0.2 * c.noise(2) + 0.04 * c.noise(5)
        dx, dy = slope(flow)
        steep = (dx.square() + dy.square()).sqrt().clamp(0.35, 4)
        place = flow / pitch
        ids = place.floor()
        side = (place - ids - 0.5) * 2 * pitch / steep / width
        d = side.abs() / 2
        present = (torch.remainder(ids, 3) < (3, 1, 1, 1)[k]).float()
        cover = ramp(d, 1.04, 0.9) * present
        round_ = (1 - d.square()).clamp(0).sqrt()
        shine = ramp((side - 0.38).abs(), 0.3, 0.0) * (0.5 + 0.25 * torch.sin(along * 9 + 2 * ids))
        tone = 0.12 + 0.36 * round_ + 0.14 * side * round_ + 0.55 * shine
        tone = tone * (0.72 + 0.28 * (k + 1) / bundles)
        stack.lay(cover, tone, c.shares(ids + k), ramp(d, 2.2, 0.8) * present * 0.6)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def rings(c: Canvas) -> Layer:
    """Big tilted tori over each other, polished."""
    stack = Stack(c.share(0))
    side = c.side(2.6)
    for k, x, y, (right, down, big, lean, tilt) in c.bodies(side, 5):
        size = (0.66 + 0.3 * chance(big)) * 1.9 / (side + 1)
        u, v = c.turn(0.4 + 2.6 * chance(lean), x + 0.35 * right / side, y + 0.35 * down / side)
        flat = 0.5 + 0.45 * chance(tilt)
        r = (u.square() + (v / flat).square()).sqrt()
        thick = size * 0.2
        across = (r - size * 0.8) / thick * (0.75 + 0.25 * flat)
        d = across.abs()
        round_ = (1 - d.square()).clamp(0).sqrt()
        lit = 0.5 + 0.5 * torch.cos(torch.atan2(c.y - y, c.x - x) + 2.2)
        tone = 0.05 + round_ * (0.25 + 0.25 * lit) + 0.1 * across * (lit - 0.5)
        tone = tone + 0.6 * ramp((across + 0.3 - 0.6 * lit).abs(), 0.34, 0.0) * lit**3
        tone = tone + 0.22 * ramp((d - 0.86).abs(), 0.2, 0.0) * (1 - lit)
        edge = 2.2 / SIZE / thick
        stack.lay(ramp(d, 1 + edge, 1 - edge), tone, c.share(k), ramp(d, 1.9, 0.7) * 0.6)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def bubbles(c: Canvas) -> Layer:
    """Glass balls: bright rims, a window's reflection, light gathered on the far side."""
    stack = Stack(c.share(0))
    side = c.side(3.6)
    for k, x, y, (right, down, big) in c.bodies(side, 3):
        size = (0.35 + 0.85 * chance(big)) * 1.1 / side
        u, v = (c.x - x - 0.4 * right / side) / size, (c.y - y - 0.4 * down / side) / size
        r = (u.square() + v.square()).sqrt()
        deep = (1 - r.square()).clamp(0).sqrt()
        tone = 0.20 + 0.42 * r**4 + 0.24 * ramp((u + v) * 0.7, -0.2, 1.0) * r
        tone = tone + 0.12 * (1 - deep) * torch.sin(3 * u - 2 * v + k)
        shine = ((u + 0.42).square() + (v + 0.38).square()).sqrt()
        tone = tone + 0.75 * ramp(shine, 0.26, 0.06) + 0.16 * ramp(shine, 0.6, 0.1)
        edge = 2 / SIZE / size
        stack.lay(ramp(r, 1 + edge, 1 - edge), tone, c.share(k), ramp(r, 1.35, 0.8) * 0.5)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def flowers(c: Canvas) -> Layer:
    """Blossoms of three rounds of petals with veins, around a stippled heart."""
    stack = Stack(c.share(0))
    side = c.side(2)
    for k, x, y, (right, down, big, twist) in c.bodies(side, 4):
        size = (0.9 + 0.35 * chance(big)) / side
        u, v = c.turn(0.6 * twist, x + 0.3 * right / side, y + 0.3 * down / side)
        r = (u.square() + v.square()).sqrt() / size
        angle = torch.atan2(v, u)
        petals, rounds = 6 + 2 * (k % 2), 3
        for ring in range(rounds):
            wave = (angle + ring * math.pi / petals + 0.25 * r) * petals / 2
            groove = torch.cos(wave).abs()
            inside = r / ((1 - 0.8 * ring / rounds) * (0.42 + 0.58 * groove**0.5))
            tone = 0.12 + 0.42 * ramp(inside, 0.1, 1.0) * (0.35 + 0.65 * groove)
            tone = tone + 0.07 * torch.sin(wave * 12) * inside + 0.12 * ramp(inside, 0.8, 1.0)
            hue = c.share(k + (ring % 2 if c.kinds > 1 else 0))
            stack.lay(ramp(inside, 1.02, 0.97), tone, hue, ramp(inside, 1.35, 0.85) * 0.5)
        dots = 0.5 + 0.5 * torch.sin(u * 45 / size) * torch.sin(v * 45 / size)
        tone = 0.28 + 0.35 * (1 - r / 0.2).clamp(0, 1) + 0.25 * dots
        stack.lay(ramp(r, 0.2, 0.15), tone, c.share(k + 1), ramp(r, 0.3, 0.12) * 0.6)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def crystals(c: Canvas) -> Layer:
    """Long prisms with three lit faces and pointed ends, growing out of one ground."""
    stack = Stack(c.share(0))
    count = c.many(9, 4, 14)
    lean, tall, wide = c.source(), c.source(), c.source()
    for k in range(count):
        back = 1 - k / count
        at = 1.7 * (((k * 5) % count + 0.5) / count - 0.5)
        where = int((at + 1) * SIZE / 2)
        lots = [
            float(c.line(6, 0.3 + 0.3 * (k % 2), plane)[0, where]) for plane in (lean, tall, wide)
        ]
        angle = -math.pi / 2 + 0.7 * at + 0.22 * lots[0]
        u, v = c.turn(angle, at * (1.1 - 0.5 * back), 0.85 + 0.25 * (1 - back))
        length = (0.75 + 0.75 * chance(lots[1])) * (0.5 + 0.75 * back) * min(c.scale, 1.2)
        half = (0.08 + 0.07 * chance(lots[2])) * c.scale
        width = half * ((length - u) / (half * 2.2)).clamp(0, 1)
        side = v / width.clamp(min=1e-3)
        split = 0.25 * (-1) ** k
        face = torch.where(side < split, 0.62, torch.where(side < split + 0.5, 0.34, 0.14))
        face = face + 0.16 * torch.sin(u * 6 + k * 2.1) * torch.sin(v * 14 + k)
        face = face + 0.22 * ramp(u / length, 0.35, 1.0)
        edge = ramp((side - split).abs() * half, 0.014, 0.0) * 0.35
        edge = edge + ramp((side.abs() - 0.95).abs() * half, 0.012, 0.0) * 0.22
        cover = ramp(v.abs() - width, 0.008, -0.008) * ramp(u, -0.7, -0.6)
        shadow = ramp(v.abs() - width, 0.09, 0.0) * 0.45
        stack.lay(cover, face + edge, c.share(k), shadow)
    glow = ramp((c.x.square() + (c.y - 0.3).square()).sqrt(), 1.3, 0.0)
    return Layer(stack.mask, stack.tone, stack.hue, dome=glow * 0.9)


def scales(c: Canvas) -> Layer:
    """Rows of overlapping plates on a swelling body, each rounded, ribbed and rimmed."""
    half = 0.14 * c.scale / c.number**0.4
    swell = c.noise(2)
    u, v = (c.x + 0.08 * swell) / half, (c.y + 0.08 * c.noise(2)) / half
    step_v = 0.85
    tone, hue = torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE)
    free = torch.ones(SIZE, SIZE)  # 1 where no plate nearer to the eye was found yet
    gloom = torch.ones(SIZE, SIZE)
    rim = torch.zeros(SIZE, SIZE)
    for step in (-1, 0, 1):  # an upper row lies on the next one
        row = (v / step_v).floor() + step
        shift = torch.remainder(row, 2)
        column = ((u + shift) / 2).floor()
        px = u + shift - 2 * column - 1
        py = v - row * step_v
        d = (px.square() + py.square()).sqrt()
        own = free * (d < 1) if step < 1 else free
        lit = 0.06 + 0.26 * ramp(py, -0.7, 0.8) + 0.16 * (1 - d.square()).clamp(0).sqrt()
        lit = lit + 0.35 * ramp((d - 0.84).abs(), 0.1, 0.0) * ramp(py, 0, 1)
        lit = lit + 0.05 * torch.sin(torch.atan2(px, py + 1.2) * 22) * ramp(d, 1, 0.5)
        lit = lit + 0.3 * ramp(((px + 0.25).square() + (py - 0.3).square()).sqrt(), 0.4, 0.0)
        tone = tone + own * lit * gloom
        hue = hue + own * c.shares(row + (column if c.kinds == 2 else 0))
        rim = rim + own * ramp(d, 1.0, 0.93)
        gloom = gloom * (1 - 0.65 * ramp(d, 1.4, 0.95))
        free = free - own
    body = relief(blur(swell, 6), 0.3, 3.9)
    return Layer(0.3 + 0.7 * rim.clamp(0, 1), tone * (0.5 + 1.0 * body), hue)


def cells(c: Canvas) -> Layer:
    """Living tissue: rounded cells with a nucleus each, membranes between (Worley 1996)."""
    near, second, ids, lot, px, py = voronoi(c, c.side(4.6), 0.03)
    gap = second - near
    reach = (near + gap * 0.5).clamp(min=1e-3)
    inside = near / reach
    dome = (1 - inside.clamp(0, 1) ** 2.2).clamp(0).sqrt()
    tone = 0.08 + 0.34 * dome + 0.16 * ramp((px + py) / reach * -0.5, -0.8, 0.9) * dome
    tone = tone + 0.06 * (lot - 0.5) + 0.2 * ramp((inside - 0.8).abs(), 0.16, 0)
    core = ((px + 0.1 * reach).square() + (py + 0.1 * reach).square()).sqrt() / reach
    tone = tone - 0.2 * ramp(core, 0.46, 0.36) + 0.5 * ramp(core, 0.26, 0.05)
    return Layer(ramp(gap, 0.012, 0.05), tone, c.shares(ids))


def glass(c: Canvas) -> Layer:
    """Stained glass: panes of streaky glass lit from behind, in leads that catch light."""
    near, second, ids, lot, px, py = voronoi(c, c.side(4.2), 0.0)
    gap = second - near
    streak = c.fbm(7, 3)
    sun = ramp(((c.x - 0.2) ** 2 + (c.y + 0.3) ** 2).sqrt(), 1.7, 0.0)
    tone = 0.22 + 0.26 * lot + 0.07 * streak + 0.3 * sun + 0.1 * (px - py) / (near + gap)
    pane = ramp(gap, 0.022, 0.045)
    lead = 0.02 + 0.4 * ramp((gap - 0.008).abs(), 0.012, 0.0) * (0.4 + 0.6 * sun)
    glow = 0.14 * blur(pane * sun, 8)
    tone = lead + (tone - lead) * pane - 0.12 * ramp(gap, 0.12, 0.03) * pane
    return Layer(0.25 + 0.75 * pane, tone, c.shares(ids), light=glow)


def chance(normal: float) -> float:
    """A unit normal as an even number from 0 to 1."""
    return 0.5 + 0.5 * math.erf(normal * math.sqrt(0.5))


def voronoi(c: Canvas, side: int, wobble: float) -> tuple[Tensor, ...]:
    """Distances to the nearest and second site, its number and lot 0..1, and the way from it."""
    middles = (torch.arange(-1, side + 1) + 0.5) * (CELLS / side) - 0.5
    near_by = bell(middles.clamp(0, CELLS - 1), 0.25 * CELLS / side)
    spots, lots = (
        torch.stack([near_by @ c.source() @ near_by.T for _ in range(2)]),
        torch.special.ndtr(near_by @ c.source() @ near_by.T),
    )
    spots = 0.5 + 0.28 * spots.clamp(-1.5, 1.5)
    x = (c.x + 1 + wobble * c.noise(6)) * side / 2 + 1
    y = (c.y + 1 + wobble * c.noise(6)) * side / 2 + 1
    column, row = x.floor(), y.floor()
    near = torch.full((SIZE, SIZE), 9.0)
    second, ids, lot, px, py = (near.clone() for _ in range(5))
    for step in range(9):  # a site and its eight neighbours
        i = (row + step // 3 - 1).clamp(0, side + 1)
        j = (column + step % 3 - 1).clamp(0, side + 1)
        at = (i * (side + 2) + j).long()
        dx, dy = x - j - spots[0].take(at), y - i - spots[1].take(at)
        d = (dx.square() + dy.square()).sqrt()
        best = d < near
        second = torch.where(best, near, torch.minimum(second, d))
        near = torch.where(best, d, near)
        ids, lot = torch.where(best, i + 2 * j, ids), torch.where(best, lots.take(at), lot)
        px, py = torch.where(best, dx, px), torch.where(best, dy, py)
    unit = 2 / side
    return near * unit, second * unit, ids, lot, px * unit, py * unit
