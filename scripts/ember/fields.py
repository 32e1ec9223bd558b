"""Families made of flowing matter and of space: each a function Canvas -> Layer."""

import math

import torch
from canvas import SIZE, Canvas, Layer, blur, look, ramp, relief


def marble(c: Canvas) -> Layer:
    """Polished stone: broad clouded bands with thin bright veins along their levels."""
    base, grain = c.fbm(4.5 / c.scale, 2, 0.4), c.noise(11 / c.scale)
    flow = base + 0.25 * grain
    band = 0.5 + 0.5 * torch.tanh(1.4 * flow)
    vein = ramp((flow - 0.25).abs(), 0.13, 0.0)
    hair = ramp((flow + 0.6).abs(), 0.1, 0.0) + ramp((flow - 1.1).abs(), 0.1, 0.0)
    tone = 0.26 + 0.28 * band + 0.05 * grain + 0.34 * vein + 0.22 * hair
    mask = (ramp(band, 0.02, 0.2) + 0.8 * vein + 0.5 * hair).clamp(0, 1)
    return Layer(mask, tone, ramp(flow, -0.8, 1.2))


def clouds(c: Canvas) -> Layer:
    """Cumulus: heaped billows lit from above, open sky between them."""
    thick = c.fbm(5 / c.scale, 3, 0.55, wide=1.7) + 0.35 * (c.number - 1) + 0.1
    mask = ramp(thick, -0.5, 0.3)
    lit = 0.5 + 0.55 * (thick - look(thick, c.x - 0.03, c.y - 0.07))
    tone = 0.14 + 0.5 * lit.clamp(0, 1.4) + 0.12 * ramp(thick, 0, 2)
    return Layer(mask, tone, ramp(thick, -0.1, 1.5), dome=0.35 * c.y + 0.15)


def smoke(c: Canvas) -> Layer:
    """Veils of smoke rising: tall soft folds with brighter edges."""
    veil = c.noise(7 / c.scale, high=3.2) + 0.3 * c.noise(13 / c.scale, high=2.5)
    body = 0.5 * ramp(veil, -1.2, 1.0) + 0.42 * ramp((veil - 0.6).abs(), 0.55, 0.0)
    mask = ramp(veil + 0.3 * (c.number - 1), -1.0, 0.0)
    return Layer(mask, 0.26 + 0.38 * body, ramp(veil, -0.6, 1.2))


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
        here = 0.1 + 0.36 * bump + 0.26 * ramp(bump, 0.75, 1.0) + 0.3 * eye
        tone = tone + (here - tone) * cover
        mask = mask + (torch.maximum(ramp(bump, 0.12, 0.45), eye) - mask) * cover
        hue = hue + (0.5 + 0.5 * torch.cos(phase - 1.57) - hue) * cover
        light = torch.maximum(light, 0.5 * eye)
    return Layer(mask, tone, hue, light=light)


def waves(c: Canvas) -> Layer:
    """Swell: long crests, dark troughs, foam where the water is steepest and highest."""
    swell = c.stripes(0.08, 6 / c.scale, 1.5) + 0.3 * c.noise(16 / c.scale, wide=2.5)
    lit = relief(swell, 0.035 * c.scale, -1.57)
    foam = ramp(swell + 0.5 * lit, 1.1 - 0.3 * (c.number - 1), 1.9)
    tone = 0.0 + 0.46 * lit + 0.14 * ramp(swell, -1, 1) + 0.55 * foam
    return Layer(ramp(swell + 1.2, -0.3, 0.6), tone, ramp(swell, -1.1, 1.1))


def dunes(c: Canvas) -> Layer:
    """Sand seen from above: broad slanting ridges, a lit and a dark flank, wind ripples."""
    height = c.stripes(0.4, 3.2 / c.scale, 1.6)
    ripple = c.stripes(-0.5, 7 * c.number**0.3, 3)
    lit = relief(height + 0.07 * ripple, 0.09 * c.scale, 4.0)
    tone = 0.04 + 0.55 * lit + 0.2 * ramp(height, 0.9, 2.2)
    return Layer(ramp(lit, 0.1, 0.35), tone, ramp(height, -1.2, 1.2))


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
    tone = 0.16 + 0.3 * rib * seam + 0.16 * glow.clamp(-1, 2.5) * rib
    fog = torch.exp(-r * 3.2)
    mask = 0.15 + 0.85 * ramp(rib * (0.4 + 0.6 * seam), 0.05, 0.6)
    hue = c.shares((depth * ribs).floor() + turn.floor())
    return Layer(mask, tone * ramp(r, 1.9, 0.1) + 0.5 * fog, hue, light=1.1 * fog**1.6)


def nebula(c: Canvas) -> Layer:
    """Gas lit from within, and stars of many sizes with soft halos."""
    gas = c.fbm(4 / c.scale, 3, 0.55)
    body = ramp(gas, -1.0, 1.5)
    least = 1.5 - 0.5 * (c.number - 1)
    bright, small = c.sparks(least + 0.6, 2.0), c.sparks(least, 0.8)
    stars = bright + 0.9 * small + 2.5 * blur(bright, 9)
    tone = 0.14 + 0.46 * body + 0.9 * stars.clamp(0, 1)
    mask = (1.2 * body + stars).clamp(0, 1)
    return Layer(mask, tone, c.drift(), light=0.25 * body**2)


def fire(c: Canvas) -> Layer:
    """Tongues of flame, white-hot inside, with flying sparks."""
    up = 1 - (c.y + 1) / 2  # 0 at the bottom, 1 at the top
    tongues = c.noise(8 / c.scale, high=2.6) + 0.3 * c.noise(16 / c.scale, high=2)
    heat = 0.75 - 1.25 * up + 0.55 * tongues + 0.3 * (c.number - 1)
    flame = ramp(heat, -0.1, 0.45)
    tone = 0.14 + 0.36 * flame + 0.3 * ramp(heat, 0.8, 1.8)
    sparks = c.sparks(1.9 - 0.4 * (c.number - 1), 1.0)
    hue = (0.85 * (heat - 0.1)).clamp(0, 1)
    light = 0.3 * flame**2 * ramp(heat, 0.3, 1.4)
    return Layer((flame + sparks).clamp(0, 1), tone + 0.5 * sparks, hue, light=light)


def aurora(c: Canvas) -> Layer:
    """Curtains of rays, sharp and fine sideways, long upwards, with stars between."""
    curtain = c.noise(5 / c.scale, high=1.6)
    rays = c.noise(20 / c.scale, high=7)
    glow = ramp(curtain + 0.35 * (c.number - 1), -0.7, 1.2) * (0.75 + 0.4 * rays).clamp(0.1, 2)
    stars = c.sparks(1.7, 0.7)
    fall = ramp(c.y, 1.1, -0.2)
    tone = 0.28 + 0.3 * glow * fall + 0.5 * stars
    mask = (1 - torch.exp(-3.5 * glow * fall) + 0.7 * stars).clamp(0, 1)
    hue = ramp(c.y + 0.3 * curtain, -0.8, 0.5) if c.kinds > 1 else torch.full((SIZE, SIZE), 0.5)
    return Layer(mask, tone, hue, light=0.12 * blur(glow * fall, 8))
