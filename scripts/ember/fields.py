"""Families made of flowing matter and of space: each a function Canvas -> Layer."""

import math

import torch
from canvas import SIZE, Canvas, Layer, blur, look, ramp


def marble(c: Canvas) -> Layer:
    """Polished stone: folded bands and thin bright veins in a domain-warped field."""
    a, b = c.fbm(1.6 / c.scale, 4), c.fbm(1.6 / c.scale, 4)
    base = c.fbm(1.8 / c.scale, 5, 0.55)
    folded = look(base, c.x * 0.8 + 0.22 * a, c.y * 0.8 + 0.22 * b)
    flow = folded * 1.9 * c.number + 0.8 * c.turn(c.between(0, 6.28))[0]
    band = 0.5 + 0.5 * torch.sin(flow * 2.4)
    vein = (1 - torch.sin(flow * 2.4 + 1.2 + 0.5 * b).abs()) ** 9
    hair = (1 - torch.sin(flow * 6.1 + a).abs()) ** 12
    mask = ramp(band, 0.12, 0.62)
    tone = 0.26 + 0.3 * band + 0.08 * a + 0.42 * vein + 0.22 * hair - 0.12 * (1 - band)
    mask = (mask + 0.8 * vein + 0.35 * hair).clamp(0, 1)
    hue = (0.5 + 0.5 * torch.sin(flow * 1.2 + 0.7)).clamp(0, 1)
    return Layer(mask, tone, hue)


def clouds(c: Canvas) -> Layer:
    """Cumulus: billows of ridged noise lit from above, open sky between them."""
    s = c.scale
    warp_x, warp_y = c.fbm(2 / s, 3), c.fbm(2 / s, 3)
    billow = 1.3 - look(c.fbm(3 / s, 5, 0.55), c.x + 0.08 * warp_x, c.y + 0.08 * warp_y).abs()
    mass = 0.8 * c.noise(2.6 / s, wide=1.4) + 0.6 * c.noise(4 / s, wide=1.3)
    thick = 0.9 * mass + 0.55 * billow + 0.35 * (c.number - 1) + 0.2 * c.y
    mask = ramp(thick, -0.1, 0.8)
    angle = c.between(-2.4, -0.7)
    puff = blur(thick, 2)
    ahead = look(puff, c.x + 0.05 * math.cos(angle), c.y + 0.05 * math.sin(angle))
    further = look(blur(thick, 9), c.x + 0.2 * math.cos(angle), c.y + 0.2 * math.sin(angle))
    lit = 0.5 + 0.75 * (puff - ahead) + 0.32 * (puff - further)
    tone = 0.1 + 0.6 * lit.clamp(0, 1.35) + 0.1 * billow * mask
    return Layer(mask, tone, c.drift(2), dome=0.35 * c.y + 0.15)


def smoke(c: Canvas) -> Layer:
    """Sheets of smoke: thin bright folds of an often-warped field, rising."""
    angle = c.between(-0.5, 0.5)
    u, v = c.turn(angle)
    a, b = c.noise(2.2 / c.scale), c.noise(2.2 / c.scale)
    x, y = u + 0.3 * a, v * 0.55 + 0.3 * b
    total, hue = torch.zeros(SIZE, SIZE), c.drift(1.5)
    for k in range(c.many(3, 2, 5)):
        sheet = look(c.fbm(1.7 / c.scale, 3, 0.42), x * 0.85, y * 0.85)
        sheet = sheet + 0.25 * (k - 1)
        thin = torch.exp(-sheet.abs() * 7)
        veil = torch.exp(-(sheet.clamp(min=0) * 2.2)) * (sheet > 0)
        total = total + 0.6 * thin + 0.62 * veil * (0.55 + 0.45 * torch.sin(sheet * 9))
        x, y = x + 0.12 * a, y - 0.14 * b
    column = ramp((u + 0.3 * a).abs(), 1.25, 0.25) * (0.7 + 0.3 * c.noise(1.5)).clamp(0.15, 1.2)
    body = total * column
    return Layer(1 - torch.exp(-3.6 * body), 0.17 + 0.5 * body, hue)


def spirals(c: Canvas) -> Layer:
    """Polished arms winding into a bright eye, getting finer towards it."""
    x0, y0 = c.between(-0.35, 0.35), c.between(-0.35, 0.35)
    u, v = c.turn(c.between(0, 6.28), x0, y0)
    v = v / c.between(0.72, 1)
    warp = 0.06 * c.noise(2)
    r = (u.square() + v.square()).sqrt() * (1 + warp) + 1e-3
    way = 1.0 if c.rng.random() < 0.5 else -1.0
    arms = c.many(3.4 / c.scale, 1, 8)
    tight = c.between(2.6, 5.2) / c.scale**0.5
    phase = arms * torch.atan2(v, u) * way + tight * r.log() * 2
    ids = ((phase / math.tau) % max(arms, 1)).floor()
    place = torch.remainder(phase / math.tau, 1.0) - 0.5
    bump = torch.cos(place * math.pi)
    tone = 0.1 + 0.36 * bump**0.8 + 0.3 * ramp((place + 0.16).abs(), 0.15, 0.0)
    fine = torch.sin(phase * 7) * 0.05 + torch.sin(14 * torch.atan2(v, u) - 9 * r) * 0.025
    far = ramp(r, 0.0, 0.9)
    tone = (tone + fine) * (0.55 + 0.6 * far) + 0.1 * c.fbm(3, 3) * bump
    eye = torch.exp(-r * 5.5)
    hue = c.shares(ids) if arms >= c.kinds else ramp(r, 0, 1.2)
    mask = ramp(bump, 0.12, 0.42)
    return Layer(torch.maximum(mask, ramp(eye, 0.3, 0.9)), tone + 0.25 * eye, hue, light=0.55 * eye)


def waves(c: Canvas) -> Layer:
    """Swells one behind the other: sharp crests, foam, light through the thin water."""
    rows = c.many(6.5 / c.scale, 3, 10)
    mask, tone = torch.zeros(SIZE, SIZE), torch.full((SIZE, SIZE), 0.4)
    hue = torch.full((SIZE, SIZE), c.share(0))
    horizon = c.between(-0.75, -0.3)
    streaks = c.fbm(5, 3, 0.55, wide=2.5)
    for k in range(rows):
        t = (k + 1) / rows
        length = (1.2 + 3.5 * (1 - t)) / c.scale**0.5
        phase = c.x * length * math.pi + c.between(0, 6.28) + 0.5 * c.noise(2)
        crest = 1 - (torch.sin(phase * 0.5).abs()) ** 0.75 * 1.3
        top = horizon + (1.35 - horizon) * t**1.25 - 0.12 - 0.26 * t * crest
        top = top + 0.02 * t * streaks
        depth = (c.y - top) / (0.12 + 0.4 * t)
        cover = ramp(depth, -0.015, 0.015)
        thin = ramp(depth, 0.7, 0.0)
        lines = torch.sin(depth * 13 + phase * 1.2 + streaks) * 0.06 * ramp(depth, 0, 0.3)
        foam = ramp(depth, 0.16, 0.02) * ramp(crest + 0.3 * streaks, 0.25, 0.8)
        body = 0.1 + 0.42 * thin + lines + 0.06 * streaks + 0.6 * foam + 0.12 * (1 - t)
        tone = tone + (body - tone) * cover
        hue = hue + (c.share(k) - hue) * cover
        mask = torch.maximum(mask, cover)
    return Layer(mask, tone, hue, dome=0.7 * ramp((c.y - horizon).abs(), 0.9, 0.0))


def dunes(c: Canvas) -> Layer:
    """Sand ridges into the distance: a lit flank, a dark flank, wind ripples, haze."""
    rows = c.many(4.6 / c.scale, 2, 8)
    mask, tone = torch.zeros(SIZE, SIZE), torch.full((SIZE, SIZE), 0.4)
    hue = torch.full((SIZE, SIZE), c.share(0))
    horizon = c.between(-0.7, -0.15)
    sun = 1.0 if c.rng.random() < 0.5 else -1.0
    for k in range(rows):
        t = (k + 1) / rows
        line = c.line(2.2 / c.scale)  # one row: the ridge
        edge = horizon + (0.95 - horizon) * (t**1.5) - 0.1 + 0.17 * (0.4 + t) * line
        depth = c.y - edge
        cover = ramp(depth, -0.01, 0.01)
        bend = 0.55 * c.line(2) + c.between(-0.6, 0.6)
        front = c.x * sun - bend - depth * 1.4 * c.line(1.5)
        lit = ramp(front + 0.3 * line, -0.12, 0.12)
        rise = torch.gradient(line[0])[0][None] * 12 * sun
        grain = torch.sin((depth * 55 + 3 * c.noise(3) + c.x * 12) / (0.5 + 0.7 * t) / c.scale)
        body = 0.17 + 0.36 * lit * (1 - 0.4 * ramp(depth, 0, 0.8)) + 0.1 * rise
        body = body + grain * 0.05 * (0.4 + 0.6 * t) * (0.4 + lit)
        body = body + 0.28 * ramp(depth, 0.05, 0.0) * lit + 0.17 * (1 - t)
        tone = tone + (body - tone) * cover
        hue = hue + (c.share(k) - hue) * cover
        mask = torch.maximum(mask, cover)
    x = c.between(-0.5, 0.5)
    disc = ((c.x - x).square() + (c.y - horizon + 0.2).square()).sqrt()
    return Layer(mask, tone, hue, dome=1.1 * torch.exp(-disc * 2.2))


def tunnel(c: Canvas) -> Layer:
    """A ribbed tube bending away into light."""
    bend, turn = c.between(0.1, 0.45), c.between(0, 6.28)
    r0 = (c.x.square() + c.y.square()).sqrt()
    pull = torch.exp(-r0 * 1.6) * bend * 1.5
    u, v = c.x - pull * math.cos(turn), c.y - pull * math.sin(turn)
    square = c.between(0, 1) < 0.3
    r = (u**4 + v**4) ** 0.25 if square else (u.square() + v.square()).sqrt()
    depth = -(r + 0.02).log()
    angle = torch.atan2(v, u)
    ribs = c.between(1.5, 2.3) / c.scale**0.5
    twist = c.between(-0.5, 0.5)
    ring = torch.remainder(depth * ribs, 1.0)
    count = c.many(9, 4, 18)
    panel = torch.remainder((angle + twist * depth) / math.tau * count, 1.0)
    ids = (depth * ribs).floor() + ((angle + twist * depth) / math.tau * count).floor()
    rib = ramp((ring - 0.5).abs(), 0.5, 0.3)
    seam = ramp((panel - 0.5).abs(), 0.5, 0.36)
    lit = 0.5 + 0.5 * torch.cos(angle - turn)
    tone = 0.08 + 0.34 * rib * seam + 0.16 * lit + 0.2 * ramp((ring - 0.24).abs(), 0.1, 0.0)
    tone = tone + 0.05 * c.fbm(6, 3)
    fog = torch.exp(-r * 3.0)
    mask = 0.12 + 0.88 * ramp(rib * (0.35 + 0.65 * seam), 0.05, 0.6)
    hue = c.shares((depth * ribs).floor() if c.rng.random() < 0.7 else ids)
    return Layer(mask, tone * ramp(r, 1.9, 0.1) + 0.5 * fog, hue, light=1.1 * fog**1.6)


def nebula(c: Canvas) -> Layer:
    """Gas lit from within, dust lanes, and stars of many sizes with soft halos."""
    s = c.scale
    a, b = c.fbm(1.7 / s, 3), c.fbm(1.7 / s, 3)
    gas = look(c.fbm(2 / s, 5, 0.58), c.x + 0.18 * a, c.y + 0.18 * b)
    arm = ramp(c.turn(c.between(0, 3.14))[1].abs() + 0.22 * a, 1.15, 0.0)
    body = (ramp(gas + 1.1 * arm, -0.9, 2.1) * (0.3 + 0.7 * arm)).clamp(0, 1)
    dust = ramp(look(c.fbm(3 / s, 4, 0.6), c.x + 0.1 * b, c.y + 0.1 * a).abs(), 0.45, 0.0)
    body = body * (1 - 0.5 * dust)
    stars = torch.zeros(SIZE, SIZE)
    for power, count, reach in ((2.5, 150, 0.0), (16.0, 26, 1.3), (110.0, 6, 3.0)):
        spots = torch.zeros(SIZE, SIZE)
        place = torch.from_numpy(c.rng.integers(0, SIZE, (2, max(1, int(count * c.number)))))
        spots[place[0], place[1]] = (
            power * torch.from_numpy(c.rng.uniform(0.3, 1, place.shape[1])).float()
        )
        stars = stars + (blur(spots, reach) if reach else blur(spots, 0.6))
        if reach == 3.0:
            stars = stars + 0.3 * blur(spots, 9)
    tone = 0.12 + 0.62 * body + 0.08 * gas * body + 0.9 * stars.clamp(0, 1)
    mask = (1.25 * body + stars).clamp(0, 1)
    return Layer(mask, tone, (0.5 + 0.33 * b + 0.1 * gas).clamp(0, 1), light=0.35 * body**2)


def fire(c: Canvas) -> Layer:
    """Tongues of flame leaning in one wind, white-hot inside, with flying sparks."""
    s = c.scale
    lean = c.between(-0.3, 0.3)
    up = 1 - (c.y + 1) / 2  # 0 at the bottom, 1 at the top
    x = c.x + lean * up + 0.16 * c.noise(2.4 / s) * (0.3 + up)
    tongues = look(c.fbm(3.2 / s, 4, 0.5, wide=0.55), x, c.y * 0.42 + 0.1 * c.noise(3))
    lick = look(c.noise(6 / s, wide=0.5), x + 0.05 * tongues, c.y * 0.5)
    height = c.between(0.5, 0.8) * (0.75 + 0.25 * c.number)
    heat = 1.5 * (height - up) + 0.42 * tongues + 0.14 * lick + 0.25 * ramp(c.x.abs(), 1, 0)
    flame = ramp(heat, 0.0, 0.55)
    rim = ramp((heat - 0.22).abs(), 0.22, 0.0)
    sheet = 0.5 + 0.5 * torch.sin(heat * 6.5 + tongues * 1.4)
    tone = 0.14 + 0.26 * flame + 0.2 * rim * sheet + 0.4 * ramp(heat, 0.75, 1.9) * (0.4 + sheet)
    spots = torch.zeros(SIZE, SIZE)
    place = torch.from_numpy(c.rng.integers(0, SIZE, (2, int(60 * c.number))))
    spots[place[0], place[1]] = 14.0
    sparks = blur(spots, 1.2) * ramp(up, 1.05, 0.2)
    hue = (0.04 + 0.55 * heat.clamp(0, 1.8)).clamp(0, 1)
    tone = tone + 0.5 * sparks.clamp(0, 1)
    return Layer(
        (flame + sparks).clamp(0, 1), tone, hue, light=0.3 * flame**2 * ramp(heat, 0.3, 1.4)
    )


def aurora(c: Canvas) -> Layer:
    """Curtains of rays hanging over dark hills, sharp below and fading upwards, with stars."""
    glow, hue_sum = torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE)
    count = c.many(3, 1, 5)
    for k in range(count):
        sway = 0.55 * c.line(1.6 / c.scale) + 0.12 * c.line(5)
        base = c.between(-0.15, 0.5) + 0.42 * sway + c.between(-0.3, 0.3) * c.x[:1]
        rise = base - c.y
        rays = 0.55 + 0.3 * c.line(26 / c.scale) + 0.25 * c.line(9)
        tall = (0.3 + 0.25 * rays.clamp(0.05, 2)) * c.scale
        fall = torch.exp(-rise.clamp(min=0) / tall) * ramp(rise, -0.03, 0.05)
        sheet = fall * rays.clamp(0.06, 2) * (1 - 0.18 * k)
        up = (rise / (tall * 2.2)).clamp(0, 1)
        local = c.shares(torch.tensor(float(k))) if c.kinds == 1 else (0.1 + 0.9 * up)
        glow, hue_sum = glow + sheet, hue_sum + sheet * local
    hue = hue_sum / glow.clamp(min=1e-4)
    spots = torch.zeros(SIZE, SIZE)
    place = torch.from_numpy(c.rng.integers(0, SIZE, (2, 110)))
    spots[place[0], place[1]] = torch.from_numpy(c.rng.uniform(1, 9, place.shape[1])).float()
    stars = blur(spots, 0.6).clamp(0, 1)
    hills = ramp(c.y - 0.78 + 0.14 * (c.line(2) + 0.3 * c.line(8)), 0.01, -0.01)
    glow = (glow + 0.1 * blur(glow, 16)).clamp(0, 2)
    mask = (1 - torch.exp(-1.9 * glow) + 0.7 * stars).clamp(0, 1)
    tone = 0.16 + 0.42 * glow + 0.5 * stars
    return Layer(
        mask * hills, tone, hue, light=0.22 * blur(glow, 10) * hills, dome=-0.8 * (1 - hills)
    )
