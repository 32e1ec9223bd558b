"""Families made of flowing matter and of space: each a function Canvas -> Layer."""

import math

import torch
from canvas import SIZE, Canvas, Layer, blur, look, ramp, relief


def marble(c: Canvas) -> Layer:
    """Polished stone: broad clouded bands with thin bright veins along their levels."""
    base, grain = c.fbm(4.5 / c.scale, 2, 0.4), c.noise(11 / c.scale)
    mist = c.noise(6 / c.scale)
    flow = base + 0.25 * grain
    band = 0.5 + 0.5 * torch.tanh(1.2 * flow)
    deep = torch.exp(-(flow - 0.25).abs() / 0.4)
    vein = ramp((flow - 0.25).abs(), 0.12, 0.0)
    hair = ramp((flow + 0.6).abs(), 0.09, 0.0) + ramp((flow - 1.1).abs(), 0.09, 0.0)
    thread = ramp((flow + 0.45 * mist).abs(), 0.07, 0.0) * ramp(band, 0.2, 0.6)
    sheen = ramp((c.x + 0.6 * c.y + 0.5 + 0.1 * base).abs(), 0.8, 0.0)
    tone = 0.16 + 0.3 * band - 0.14 * deep + 0.12 * mist + 0.08 * grain + 0.1 * sheen
    tone = tone + 0.42 * vein + 0.24 * hair + 0.2 * thread
    mask = (ramp(band, -0.1, 0.32) + 0.8 * vein + 0.5 * hair).clamp(0, 1)
    return Layer(mask, tone, flow)


def clouds(c: Canvas) -> Layer:
    """Cumulus: heaped billows lit from above, shaded below, bright linings, open sky between."""
    thick = c.fbm(5 / c.scale, 3, 0.5, wide=1.5) + 0.35 * (c.number - 1) + 0.25
    billow = c.noise(11 / c.scale, wide=1.2)
    mask = ramp(thick + 0.25 * billow, -0.7, 0.55)
    lit = 0.5 + 0.6 * (thick - look(thick, c.x - 0.03, c.y - 0.08))
    heap = 0.5 * (billow - look(billow, c.x - 0.02, c.y - 0.045))
    tone = 0.1 + 0.46 * lit.clamp(0, 1.25) + 0.26 * heap.clamp(-1, 1)
    tone = tone + 0.1 * ramp(thick, 0.2, 2) - 0.05 * c.y
    order = 0.5 - lit + 0.3 * c.noise(4) - 0.3 * heap
    return Layer(mask, tone, order, light=0.08 * ramp(lit, 0.7, 1.2), dome=0.45 * c.y + 0.15)


def smoke(c: Canvas) -> Layer:
    """Veils of smoke rising: tall soft folds in each other, lit along their edges."""
    veil = c.noise(7 / c.scale, high=3.2) + 0.3 * c.noise(13 / c.scale, high=2.5)
    curl = c.noise(9 / c.scale, high=1.3)
    veil = look(veil, c.x + 0.045 * curl, c.y) + 0.3 * (c.number - 1)
    fold = ramp((veil - 0.6).abs(), 0.6, 0.0) + 0.75 * ramp((veil + 0.25).abs(), 0.4, 0.0)
    fold = fold + 0.7 * ramp((veil + 0.35 * curl - 1.2).abs(), 0.4, 0.0)
    side = 0.5 + 0.4 * (veil - look(veil, c.x - 0.035, c.y - 0.02))
    body = ramp(veil, -1.2, 1.3)
    tone = 0.08 + 0.2 * body + 0.27 * fold * side.clamp(0, 1.3) + 0.12 * side.clamp(0, 1)
    mask = ramp(veil, -1.4, 0.3) * (0.68 + 0.32 * fold.clamp(0, 1))
    return Layer(mask, tone, veil, light=0.1 * fold * side.clamp(0, 1) * mask)


def spirals(c: Canvas) -> Layer:
    """Whirls: arms winding into bright eyes, the larger over the smaller."""
    tone, mask = torch.full((SIZE, SIZE), 0.2), torch.zeros(SIZE, SIZE)
    hue, light = torch.full((SIZE, SIZE), c.share(0)), torch.zeros(SIZE, SIZE)
    for body in c.bodies(13, 4):
        u, v = c.around(body)
        r = (u.square() + v.square()).sqrt() / (0.6 * body.size * c.scale + 0.01) + 1e-3
        phase = 2 * torch.atan2(v, u) + 7 * r.sqrt() + math.tau * 0.15 * body.turn
        bump = 0.5 + 0.5 * torch.cos(phase)
        cover, eye = ramp(r, 1.0, 0.75), torch.exp(-8 * r)
        thread = torch.cos(5 * phase) * ramp(r, 0.05, 0.3)
        edge = 0.5 + 0.5 * torch.cos(phase + 0.9)
        here = 0.02 + 0.34 * bump + 0.05 * thread + 0.3 * ramp(edge, 0.8, 1.0) + 0.4 * eye
        here = here + 0.14 * edge - 0.12 * ramp(r, 0.5, 1.0)
        tone = tone + (here - tone) * cover
        mask = mask + (torch.maximum(ramp(bump, 0.12, 0.45), eye) - mask) * cover
        hue = hue + (0.5 + 0.5 * torch.cos(phase - 1.57) - hue) * cover
        light = torch.maximum(light, 0.5 * eye)
    return Layer(mask, tone, hue, light=light)


def waves(c: Canvas) -> Layer:
    """Swell: long crests, dark troughs, light through the thin of the wave, broken foam."""
    swell = c.stripes(0.08, 6 / c.scale, 1.5) + 0.3 * c.noise(16 / c.scale, wide=2.5)
    chop = c.noise(12, wide=1.3)
    lit = relief(swell + 0.12 * chop, 0.038 * c.scale, -1.57)
    foam = ramp(swell + 0.5 * lit + 0.22 * chop, 1.15 - 0.3 * (c.number - 1), 1.75)
    thin = ramp((swell - 0.6).abs(), 0.8, 0.0) * ramp(lit, 0.3, 0.9)
    tone = -0.03 + 0.42 * lit + 0.12 * ramp(swell, -1, 1) + 0.16 * thin + 0.46 * foam
    tone = tone + 0.16 * ramp(lit, 0.85, 1.0)
    mask = ramp(swell + 1.2, -0.3, 0.6)
    return Layer(mask, tone, swell, light=0.07 * thin)


def dunes(c: Canvas) -> Layer:
    """Sand under a low sun: broad ridges, a lit and a dark flank, ripples bent by the slope."""
    height = c.stripes(0.4, 3.2 / c.scale, 1.6)
    drift = c.stripes(-0.5, 7 * c.number**0.3, 3)
    ripple = c.stripes(-0.5, 9, 4)
    lit = relief(height + 0.06 * drift, 0.085 * c.scale, 4.0)
    near = relief(height + 0.06 * drift + 0.055 * ripple, 0.085 * c.scale, 4.0)
    crest = ramp(height, 0.7, 2.0)
    tone = 0.0 + 0.3 * lit + 0.32 * near**1.4 + 0.16 * crest * lit + 0.14 * ramp(lit, 0.8, 1.0)
    return Layer(ramp(lit, 0.0, 0.35), tone, (height + 0.3 * lit))


def tunnel(c: Canvas) -> Layer:
    """A ribbed tube into light; its panels glow as the noise has it."""
    r = (c.x.square() + c.y.square()).sqrt()
    depth = -(r + 0.03).log()
    ribs, count = 1.5 * c.number**0.5 / c.scale**0.5, 8
    ring = torch.remainder(depth * ribs, 1.0)
    turn = torch.atan2(c.y, c.x) / math.tau * count
    panel = torch.remainder(turn, 1.0)
    rib, seam = ramp((ring - 0.5).abs(), 0.5, 0.3), ramp((panel - 0.5).abs(), 0.5, 0.38)
    glow = c.noise(7)
    lamp = ramp((ring - 0.5).abs(), 0.07, 0.02) * ramp((panel - 0.5).abs(), 0.4, 0.3)
    frame = ramp((rib * seam - 0.5).abs(), 0.5, 0.1)
    bevel = ramp(ring, 0.2, 0.85)
    tone = 0.04 + 0.34 * rib * seam * (0.45 + 0.7 * bevel) + 0.15 * glow.clamp(-1, 2.5) * rib
    tone = tone + 0.13 * frame + 0.3 * lamp * (0.6 + 0.4 * glow).clamp(0, 1.5)
    fog = torch.exp(-r * 3.2)
    mask = 0.15 + 0.85 * ramp(rib * (0.4 + 0.6 * seam), 0.05, 0.6)
    hue = c.shares((depth * ribs).floor() + turn.floor())
    return Layer(mask, tone * ramp(r, 1.9, 0.1) + 0.42 * fog, hue, light=1.1 * fog**1.6, apart=True)


def nebula(c: Canvas) -> Layer:
    """Gas lit from within behind lanes of dust, and stars of many sizes with soft halos."""
    gas = c.fbm(4 / c.scale, 3, 0.5)
    least = 1.5 - 0.5 * (c.number - 1)
    bright, small = c.sparks(least + 0.6, 2.0), c.sparks(least, 0.8)
    dust, veil = c.fbm(6 / c.scale, 2, 0.5), c.noise(9 / c.scale)
    lane = ramp(dust, 1.3, -0.5)
    body = ramp(gas + 0.12 * veil, -2.0, 1.2)
    lit = 0.5 + 0.5 * (gas - look(gas, c.x - 0.035, c.y - 0.045))
    wisp = ramp((gas + 0.3 * veil - 0.35).abs(), 0.55, 0.0) * ramp(dust, 1.0, -0.4)
    stars = bright + 0.9 * small + 2.5 * blur(bright, 9)
    glow = body * (0.35 + 0.65 * lane)
    tone = 0.06 + 0.36 * glow + 0.2 * lit.clamp(0, 1.4) * glow + 0.12 * wisp
    tone = tone + 0.2 * ramp(gas, 0.7, 2.2) * lane + 0.9 * stars.clamp(0, 1)
    mask = (1.3 * glow + 0.2 * wisp + stars).clamp(0, 1)
    order = 1.1 * c.noise(3) + 0.35 * gas + 0.3 * dust
    return Layer(mask, tone, order, light=0.2 * glow**2 + 0.12 * ramp(gas, 0.9, 2.2) * lane)


def fire(c: Canvas) -> Layer:
    """Tongues of flame in folds, white-hot at their roots, with flying sparks."""
    up = 1 - (c.y + 1) / 2  # 0 at the bottom, 1 at the top
    tongues = c.noise(8 / c.scale, high=2.6) + 0.3 * c.noise(16 / c.scale, high=2)
    sparks = c.sparks(1.9 - 0.4 * (c.number - 1), 1.0)
    lick = c.noise(13 / c.scale, high=2.4)
    heat = 0.8 - 1.25 * up + 0.55 * tongues + 0.3 * (c.number - 1)
    flame = ramp(heat, -0.2, 0.5)
    fold = ramp((heat + 0.22 * lick - 0.55).abs(), 0.3, 0.0) + ramp((heat - 0.12).abs(), 0.2, 0.0)
    fold = fold + 0.8 * ramp((heat + 0.3 * lick - 1.05).abs(), 0.3, 0.0)
    tone = 0.1 + 0.26 * flame + 0.17 * fold + 0.13 * lick * flame + 0.26 * ramp(heat, 0.9, 1.9)
    mask = (flame + sparks).clamp(0, 1)
    light = 0.26 * flame**2 * ramp(heat, 0.3, 1.4) + 0.3 * blur(sparks, 7) + 0.05 * fold
    return Layer(mask, tone + 0.5 * sparks, heat, light=light)


def aurora(c: Canvas) -> Layer:
    """Curtains of rays, sharp and fine sideways, long upwards, with stars between."""
    curtain = c.noise(5 / c.scale, high=1.6)
    rays = c.noise(20 / c.scale, high=7)
    glow = ramp(curtain + 0.35 * (c.number - 1), -0.7, 1.2) * (0.75 + 0.4 * rays).clamp(0.1, 2)
    stars = c.sparks(1.7, 0.7)
    fall = ramp(c.y, 1.1, -0.2)
    hem = torch.exp(-((curtain - 0.5) / 0.5).square())
    tone = 0.3 + 0.26 * glow * fall + 0.5 * stars + 0.14 * hem * fall * (0.7 + 0.5 * rays)
    mask = (1 - torch.exp(-4.2 * glow * fall) + 0.7 * stars).clamp(0, 1)
    hue = c.y + 0.35 * curtain
    return Layer(mask, tone, hue, light=0.14 * blur(glow * fall, 8) + 0.06 * hem * fall)
