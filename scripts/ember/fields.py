"""Families made of flowing matter and of space: each a function Canvas -> Layer."""

import math

import torch
from canvas import SIZE, Canvas, Layer, blur, look, ramp
from torch import Tensor


def marble(c: Canvas) -> Layer:
    """Polished stone: folded bands and thin bright veins in a domain-warped field."""
    base, a, b = c.fbm(1.8 / c.scale, 4, 0.55), c.fbm(1.6 / c.scale, 3), c.fbm(1.6 / c.scale, 3)
    folded = look(base, c.x + 0.1 * a, c.y + 0.1 * b)
    flow = folded * 1.3 * c.number**0.5 + 0.8 * c.turn(0.7)[0]
    band = 0.5 + 0.5 * torch.sin(flow * 2.4)
    vein = (1 - torch.sin(flow * 2.4 + 1.2 + 0.4 * b).abs()) ** 9
    hair = (1 - torch.sin(flow * 5.2 + a).abs()) ** 11
    mask = ramp(band, 0.12, 0.62)
    tone = 0.26 + 0.3 * band + 0.08 * a + 0.42 * vein + 0.25 * hair - 0.12 * (1 - band)
    mask = (mask + 0.8 * vein + 0.35 * hair).clamp(0, 1)
    hue = (0.5 + 0.5 * torch.sin(flow * 1.2 + 0.7)).clamp(0, 1)
    return Layer(mask, tone, hue)


def clouds(c: Canvas) -> Layer:
    """Cumulus: heaped billows lit from above, open sky between them."""
    s = c.scale
    mass = c.noise(2.4 / s, wide=1.5)
    puffs = (
        0.6 * c.noise(4.5 / s).abs() + 0.42 * c.noise(8 / s).abs() + 0.25 * c.noise(15 / s).abs()
    )
    thick = 0.75 * mass + 1.1 * (puffs - 0.7) + 0.35 * (c.number - 1) + 0.3 + 0.15 * c.y
    mask = ramp(thick, -0.3, 0.6)
    body = blur(thick, 2)
    ahead, further = look(body, c.x - 0.03, c.y - 0.05), look(body, c.x - 0.08, c.y - 0.16)
    lit = 0.52 + 0.5 * (body - ahead) + 0.28 * (body - further)
    tone = 0.16 + 0.55 * lit.clamp(0, 1.35) + 0.12 * puffs
    return Layer(mask, tone, c.drift(2), dome=0.35 * c.y + 0.15)


def smoke(c: Canvas) -> Layer:
    """Veils of smoke: bright folds that fall off slowly to one side, rising in one column."""
    a, b = c.noise(2.2 / c.scale), c.noise(2.2 / c.scale)
    total, hue = torch.zeros(SIZE, SIZE), c.drift(1.5)
    for k in range(c.many(3, 2, 5)):
        sheet = c.fbm(1.8 / c.scale, 3, 0.4, wide=0.7) + 0.3 * (k - 1)
        sheet = look(sheet, c.x + 0.1 * a, c.y + 0.1 * b)
        fold = torch.exp(-sheet.abs() * 5)
        veil = torch.exp(-(sheet.clamp(min=0) * 1.5)) * ramp(sheet, -0.1, 0.05)
        total = total + 0.35 * fold + 0.6 * veil * (0.6 + 0.4 * torch.sin(sheet * 8))
    column = ramp((c.x + 0.25 * a).abs(), 1.1, 0.15)
    body = total * column
    return Layer(1 - torch.exp(-1.7 * body), 0.12 + 0.42 * body, hue)


def spirals(c: Canvas) -> Layer:
    """Polished arms winding into a bright eye, getting finer towards it."""
    u, v = c.x + 0.1 * c.noise(1.2), c.y + 0.1 * c.noise(1.2)
    r = (u.square() + v.square()).sqrt() + 1e-3
    arms = c.many(3 / c.scale, 1, 6)
    angle = torch.atan2(v, u)
    phase = arms * angle + 4.5 / c.scale**0.5 * r.log() * 1.6 + 1.5 * c.noise(1)
    ids = (phase / math.tau).floor()
    place = torch.remainder(phase / math.tau, 1.0) - 0.5
    bump = torch.cos(place * math.pi)
    tone = 0.1 + 0.36 * bump**0.8 + 0.3 * ramp((place + 0.16).abs(), 0.15, 0.0)
    far = ramp(r, 0.0, 0.9)
    tone = (tone + torch.sin(phase * 7) * 0.05) * (0.55 + 0.6 * far) + 0.1 * c.fbm(4, 3) * bump
    eye = torch.exp(-r * 5.5)
    hue = c.shares(ids) if arms % c.kinds == 0 else ramp(r, 0, 1.2)
    mask = ramp(bump, 0.12, 0.42)
    return Layer(torch.maximum(mask, ramp(eye, 0.3, 0.9)), tone + 0.25 * eye, hue, light=0.55 * eye)


class Range:
    """Ridges one behind the other, each hiding what is behind it."""

    def __init__(self, hue: float) -> None:
        self.mask = torch.zeros(SIZE, SIZE)
        self.tone = torch.full((SIZE, SIZE), 0.4)
        self.hue = torch.full((SIZE, SIZE), hue)

    def stand(self, cover: Tensor, tone: Tensor, hue: float) -> None:
        """Put one ridge in front: where it is, 0..1, and its tone."""
        self.tone = self.tone + (tone - self.tone) * cover
        self.hue = self.hue + (hue - self.hue) * cover
        self.mask = torch.maximum(self.mask, cover)


def waves(c: Canvas) -> Layer:
    """Swells one behind the other: sharp crests, foam, light through the thin water."""
    rows = c.many(5 / c.scale, 3, 8)
    sea, horizon = Range(c.share(0)), -0.5
    swell, streaks = c.source(), c.fbm(7, 3, 0.55, wide=2.5)
    for k in range(rows):
        t = (k + 1) / rows
        level = horizon + (1.35 - horizon) * t**1.25 - 0.3
        length = (1.2 + 3.5 * (1 - t)) / c.scale**0.5
        phase = c.x * length * math.pi + 2.4 * k + 1.3 * c.line(1.5, level, swell)
        crest = 1 - (torch.sin(phase * 0.5).abs()) ** 0.75 * 1.3
        top = level + 0.18 - 0.26 * t * crest + 0.02 * t * streaks
        depth = (c.y - top) / (0.12 + 0.4 * t)
        thin = ramp(depth, 0.7, 0.0)
        lines = torch.sin(depth * 13 + phase * 1.2 + streaks) * 0.06 * ramp(depth, 0, 0.3)
        foam = ramp(depth, 0.16, 0.02) * ramp(crest + 0.3 * streaks, 0.25, 0.8)
        body = 0.1 + 0.42 * thin + lines + 0.06 * streaks + 0.6 * foam + 0.12 * (1 - t)
        sea.stand(ramp(depth, -0.015, 0.015), body, c.share(k))
    return Layer(sea.mask, sea.tone, sea.hue, dome=0.7 * ramp((c.y - horizon).abs(), 0.9, 0.0))


def dunes(c: Canvas) -> Layer:
    """Sand ridges into the distance: a lit flank, a dark flank, wind ripples, haze."""
    rows = c.many(4.4 / c.scale, 2, 7)
    sand, horizon = Range(c.share(0)), -0.45
    ridge, turn, wind = c.source(), c.source(), 3 * c.noise(3)
    for k in range(rows):
        t = (k + 1) / rows
        level = horizon + (0.95 - horizon) * (t**1.5) - 0.1
        line = c.line(2.2 / c.scale, level, ridge)
        depth = c.y - level - 0.17 * (0.4 + t) * line
        front = c.x - 0.45 * (-1) ** k - 0.6 * c.line(1.5, level, turn) - depth * 1.2
        lit = ramp(front + 0.3 * line, -0.12, 0.12)
        rise = torch.gradient(line[0])[0][None] * 12
        grain = torch.sin((depth * 45 + wind + c.x * 10) / (0.5 + 0.7 * t) / c.scale)
        body = 0.17 + 0.36 * lit * (1 - 0.4 * ramp(depth, 0, 0.8)) + 0.1 * rise
        body = body + grain * 0.05 * (0.4 + 0.6 * t) * (0.4 + lit)
        body = body + 0.28 * ramp(depth, 0.05, 0.0) * lit + 0.17 * (1 - t)
        sand.stand(ramp(depth, -0.01, 0.01), body, c.share(k))
    disc = ((c.x - 0.25).square() + (c.y - horizon + 0.2).square()).sqrt()
    return Layer(sand.mask, sand.tone, sand.hue, dome=1.1 * torch.exp(-disc * 2.2))


def tunnel(c: Canvas) -> Layer:
    """A ribbed tube bending away into light."""
    r0 = (c.x.square() + c.y.square()).sqrt()
    pull = torch.exp(-r0 * 1.6) * 0.3
    u, v = c.x - pull * c.noise(1), c.y - pull * c.noise(1)
    r = (u.square() + v.square()).sqrt()
    depth = -(r + 0.02).log() + 0.35 * c.noise(1)
    angle = torch.atan2(v, u)
    ribs, count = 1.8 / c.scale**0.5, c.many(8, 4, 16)
    around = (angle + 0.3 * depth) / math.tau * count
    ring, panel = torch.remainder(depth * ribs, 1.0), torch.remainder(around, 1.0)
    rib = ramp((ring - 0.5).abs(), 0.5, 0.3)
    seam = ramp((panel - 0.5).abs(), 0.5, 0.36)
    lit = 0.5 + 0.5 * torch.cos(angle + 2.2)
    tone = 0.08 + 0.34 * rib * seam + 0.16 * lit + 0.2 * ramp((ring - 0.24).abs(), 0.1, 0.0)
    tone = tone + 0.05 * c.fbm(8, 2)
    fog = torch.exp(-r * 3.0)
    mask = 0.12 + 0.88 * ramp(rib * (0.35 + 0.65 * seam), 0.05, 0.6)
    hue = c.shares((depth * ribs).floor())
    return Layer(mask, tone * ramp(r, 1.9, 0.1) + 0.5 * fog, hue, light=1.1 * fog**1.6)


def nebula(c: Canvas) -> Layer:
    """Gas lit from within, dust lanes, and stars of many sizes with soft halos."""
    s = c.scale
    a, b = c.fbm(1.7 / s, 3), c.fbm(1.7 / s, 3)
    gas = look(c.fbm(2 / s, 4, 0.58), c.x + 0.1 * a, c.y + 0.1 * b)
    arm = ramp(c.turn(0.6)[1].abs() + 0.22 * a, 1.15, 0.0)
    body = (ramp(gas + 1.1 * arm, -0.9, 2.1) * (0.3 + 0.7 * arm)).clamp(0, 1)
    dust = ramp(c.fbm(3 / s, 4, 0.6).abs(), 0.45, 0.0)
    body = body * (1 - 0.5 * dust)
    least = 1.3 - 0.5 * (c.number - 1)
    bright, small = c.sparks(least + 0.9, 2.0), c.sparks(least, 0.8)
    stars = bright + 0.9 * small + 2.5 * blur(bright, 9)
    tone = 0.12 + 0.62 * body + 0.08 * gas * body + 0.9 * stars.clamp(0, 1)
    mask = (1.25 * body + stars).clamp(0, 1)
    return Layer(mask, tone, torch.special.ndtr(1.3 * b + 0.3 * gas), light=0.35 * body**2)


def fire(c: Canvas) -> Layer:
    """Tongues of flame, white-hot inside, with flying sparks."""
    s = c.scale
    up = 1 - (c.y + 1) / 2  # 0 at the bottom, 1 at the top
    sway = 0.1 * c.noise(2.4 / s) * (0.3 + up)
    tongues = look(c.fbm(3.4 / s, 4, 0.5, wide=0.45), c.x + sway, c.y)
    lick = c.noise(7 / s, wide=0.45)
    height = 0.66 * (0.75 + 0.25 * c.number)
    heat = 1.5 * (height - up) + 0.42 * tongues + 0.14 * lick + 0.25 * ramp(c.x.abs(), 1, 0)
    flame = ramp(heat, 0.0, 0.55)
    rim = ramp((heat - 0.22).abs(), 0.22, 0.0)
    sheet = 0.5 + 0.5 * torch.sin(heat * 6.5 + tongues * 1.4)
    tone = 0.14 + 0.26 * flame + 0.2 * rim * sheet + 0.4 * ramp(heat, 0.75, 1.9) * (0.4 + sheet)
    sparks = c.sparks(1.7 - 0.4 * (c.number - 1), 1.2) * ramp(up, 1.05, 0.2)
    hue = (0.04 + 0.55 * heat.clamp(0, 1.8)).clamp(0, 1)
    light = 0.3 * flame**2 * ramp(heat, 0.3, 1.4)
    return Layer((flame + sparks).clamp(0, 1), tone + 0.5 * sparks, hue, light=light)


def aurora(c: Canvas) -> Layer:
    """Curtains of rays hanging over dark hills, sharp below and fading upwards, with stars."""
    glow, above = torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE)
    sway, ray = c.source(), c.source()
    for k in range(c.many(3, 1, 5)):
        level = (-0.1, 0.35, 0.1, 0.5, -0.35)[k]
        base = level + 0.2 * c.line(1.8 / c.scale, level - 0.2, sway)
        rise = base - c.y
        rays = 0.55 + 0.4 * c.line(20 / c.scale, level - 0.2, ray)
        tall = (0.3 + 0.25 * rays.clamp(0.05, 2)) * c.scale
        sheet = torch.exp(-rise.clamp(min=0) / tall) * ramp(rise, -0.03, 0.05)
        sheet = sheet * rays.clamp(0.06, 2) * (1 - 0.18 * k)
        up = (rise / (tall * 2.2)).clamp(0, 1)
        glow, above = glow + sheet, above + sheet * (0.1 + 0.9 * up)
    hue = above / glow.clamp(min=1e-4) if c.kinds > 1 else torch.full((SIZE, SIZE), 0.5)
    stars = c.sparks(1.7, 0.7)
    hills = ramp(c.y - 0.78 + 0.12 * c.line(2.5, 0.8, c.source()), 0.01, -0.01)
    glow = (glow + 0.1 * blur(glow, 16)).clamp(0, 2)
    mask = (1 - torch.exp(-1.9 * glow) + 0.7 * stars).clamp(0, 1)
    tone = 0.16 + 0.42 * glow + 0.5 * stars
    light = 0.22 * blur(glow, 10) * hills
    return Layer(mask * hills, tone, hue, light=light, dome=-0.8 * (1 - hills))
