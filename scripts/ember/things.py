"""Families made of living and shining things: each a function Canvas -> Layer."""

import torch
from canvas import SIZE, Canvas, Layer, blur, ramp
from stack import Stack


def lights(c: Canvas) -> Layer:
    """City lights far out of focus: translucent discs with brighter rims, over dim haze."""
    stack, found = Stack(c.share(0)), c.bodies(36, 2)
    haze = ramp(c.noise(4), -0.5, 2.0)
    stack.tone = 0.12 + 0.2 * haze
    for body in found:
        size = 0.17 * (0.55 + 0.75 * body.lean) * body.size * c.scale + 0.01
        at = c.near(body, 1.1 * size)
        r = (c.x[at] - body.x).hypot(c.y[at] - body.y) / size
        disc = ramp(r, 1.0 + 0.01 / size, 1.0 - 0.01 / size)
        tone = 0.4 + 0.2 * r.square() + 0.22 * ramp((r - 0.9).abs(), 0.14, 0.0) + 0.15 * body.turn
        stack.lay(disc * 0.78, tone + 0.35 * (stack.tone[at] - 0.2), c.chosen(body.turn), 0.0, at)
    glow = blur(stack.mask * stack.tone, 16)
    mask = torch.maximum(stack.mask, 0.4 * haze + 0.5 * glow)
    return Layer(mask.clamp(0, 1), stack.tone, stack.hue, light=0.3 * glow, apart=True)


def feathers(c: Canvas) -> Layer:
    """Plumes over each other: a pale shaft, slanting barbs, an eye of colour near the tip."""
    stack = Stack(c.share(0))
    for body in c.bodies(18, 3):
        length = 0.46 * body.size * c.scale + 0.02
        at = c.near(body, 1.15 * length)
        u, v = (p / length for p in c.around(body, -1.35 + 0.9 * body.turn, at))
        v = v - 0.22 * (u.square() - 0.3) * (body.lean - 0.5)
        half = 0.36 * (1 - u.square()).clamp(0).sqrt() * (0.75 - 0.35 * u)
        across = v / half.clamp(min=1e-3)
        barb = torch.cos(26 * (u - 0.75 * v.abs()))
        tone = 0.5 - 0.3 * across.abs() + 0.08 * barb + 0.16 * ramp(across, 1, -1) * (1 + 0.3 * u)
        eye = ((u - 0.45) / 0.42).square() + (v / 0.22).square()
        tone = tone + 0.18 * ramp((eye - 0.75).abs(), 0.3, 0.0) - 0.14 * ramp(eye, 0.5, 0.1)
        tone = tone + 0.4 * ramp(v.abs(), 0.035, 0.0) * ramp(u, 0.6, -0.6)
        cover = ramp(across.abs() + 0.05 * barb, 1.04, 0.9) * (half > 0)
        hue = (0.99 - 0.42 * eye).clamp(0, 1)
        stack.lay(cover, tone, hue, ramp(across.abs(), 1.7, 0.7) * 0.6 * (half > 0), at)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True)


def leaves(c: Canvas) -> Layer:
    """Foliage with the sun behind it: a midrib, side veins, one half of each leaf in shade."""
    stack = Stack(c.share(0))
    for body in c.bodies(22, 3):
        length = 0.4 * body.size * c.scale + 0.02
        at = c.near(body, 1.15 * length)
        u, v = (p / length for p in c.around(body, -0.6 + 0.9 * body.turn, at))
        v = v - 0.25 * (body.lean - 0.5) * (1 - u.square())
        half = 0.44 * (1 - u.square()).clamp(0) ** 0.8 * (1 - 0.4 * u)
        across = v / half.clamp(min=1e-3)
        vein = torch.cos(15 * (u - 0.9 * v.abs())) ** 2
        tone = 0.36 + 0.16 * ramp(v, 0.03, -0.03) + 0.16 * (vein**3) * (1 - across.abs())
        tone = tone - 0.14 * across.square() + 0.2 * ramp(u, -1, 1) - 0.1
        tone = tone + 0.3 * ramp(v.abs(), 0.035, 0.0) + 0.12 * ramp((across + 0.92).abs(), 0.12, 0)
        cover = ramp(across.abs(), 1.03, 0.94) * (half > 0)
        shadow = ramp(across.abs(), 1.9, 0.6) * 0.65 * (half > 0)
        stack.lay(cover, tone, c.chosen(body.lean), shadow, at)
    return Layer(stack.mask, stack.tone, stack.hue, lifted=True, apart=True)


def jellyfish(c: Canvas) -> Layer:
    """Glowing bells adrift in the deep, frilled rims, arms and threads trailing below."""
    stack, glow = Stack(c.share(0)), torch.zeros(SIZE, SIZE)
    for body in c.bodies(9, 4):
        size = 0.3 * body.size * c.scale + 0.02
        at = c.near(body, 2.6 * size)
        u, v = (p / size for p in c.around(body, 0.5 * (body.turn - 0.5), at))
        r = u.hypot(torch.where(v < 0, v, 1.9 * v))
        rib = torch.cos(9 * u / (1.05 - 0.5 * v.clamp(-1, 0).square()))
        sway = u + 0.12 * torch.sin(3.4 * v + 6 * body.lean) * v.clamp(0, 3)
        thread = torch.cos(10.5 * sway) ** 6 * ramp(sway.abs(), 0.95, 0.8)
        arm = ramp(sway.abs() + 0.12 * torch.cos(9 * v), 0.42, 0.1) * ramp(v, 1.5, 0.3)
        tail = ramp(v, 0.1, 0.3) * ramp(v, 2.5, 0.4)
        veil = (0.75 * thread + 0.85 * arm).clamp(0, 1) * tail
        stack.lay(0.85 * veil, 0.3 + 0.3 * arm + 0.14 * thread, c.chosen(body.turn, 1), 0.0, at)
        bell = ramp(r, 1.03, 0.95) * ramp(v + 0.06 * rib, 0.42, 0.3)
        inner = torch.exp(-3.5 * (u.square() + (v + 0.3).square()))
        tone = 0.26 + 0.28 * r**3 + 0.07 * rib * r + 0.3 * inner
        tone = tone + 0.3 * ramp((v + 0.06 * rib - 0.26).abs(), 0.11, 0.0)
        tone = tone + 0.14 * ramp(v + 0.4 * u, -0.3, -1.1)
        stack.lay(bell, tone, c.chosen(body.turn), 0.35 * ramp(r, 1.5, 0.9) * (v < 0.4), at)
        glow[at] = torch.maximum(glow[at], torch.exp(-1.6 * u.hypot(v - 0.1)))
    mask = torch.maximum(stack.mask, 0.5 * glow)
    light = 0.3 * glow**2
    return Layer(
        mask, stack.tone, stack.hue, light=light, apart=True, dome=0.4 * ramp(c.y, 1, -1) - 0.1
    )
