"""From a family's layer to a picture: colour, shade, shadow, glow and vignette.

This file knows nothing of families or words beyond colours and modifiers.
"""

import math

import numpy as np
import torch
from canvas import UNIT, Canvas, Layer, blur, ramp
from torch import Tensor
from torch.nn import functional
from words import COLOURS

PROBE = (slice(2 * UNIT, None, 4 * UNIT),) * 2  # the pixels that an order is ranked by


def grade(canvas: Canvas, layer: Layer, colours: tuple[str, ...], ground: str | None) -> Tensor:
    """The finished picture, [3, H, W], 0..1."""
    kinds = canvas.modifiers
    paints = [paint(canvas, name) for name in colours]
    floor = under(canvas, paints, ground, layer.paper)
    layer = finish(canvas, layer)
    tone, mask, light = layer.tone, layer.mask, layer.light
    hue = layer.hue
    if not layer.apart:
        hue = dealt(paints, even(hue, ramp(mask, 0.25, 0.95) * middling(tone)))
    colour = mingle(paints, hue)
    front = shade(colour, tone)
    back = backdrop(canvas, floor) * (1 + layer.dome)
    if layer.lifted:
        fall = torch.roll(mask, (9 * UNIT, 6 * UNIT), (0, 1))
        back = back * (1 - 0.55 * blur(fall, 7))
    picture = back + (front - back) * mask
    strength = 0.85 if "glowing" in kinds else 0.22
    halo = blur((front * mask).clamp(0, 1) ** 2, 9) + blur(front * mask, 24)
    picture = picture + halo * strength * 0.5 * (1 - picture.clamp(0, 1))
    picture = picture + light * (0.35 * colour + 0.65 * colour.clamp(0.12) ** 0.5)
    if "misty" in kinds:
        picture = fog(canvas, picture, mask, paints)
    edge = 0.55 if "dark" in kinds else 0.28
    if ground in ("white", "ice", "cream") or "pale" in kinds:
        edge = 0.08
    radius = canvas.x.square() + canvas.y.square()
    return roll_off(picture * (1 - edge * (radius / 2) ** 1.5))


def finish(canvas: Canvas, layer: Layer) -> Layer:
    """What the modifiers do to a layer's forms and tones."""
    kinds = canvas.modifiers
    light = torch.as_tensor(layer.light).expand_as(layer.tone)
    tone, mask, hue, light = torch.stack((layer.tone, layer.mask, layer.hue, light))
    if "swirling" in kinds:
        tone, mask, hue, light = swirl(canvas, torch.stack((tone, mask, hue, light)))
    if "soft" in kinds:
        tone, mask, hue = blur(torch.stack((tone, mask, hue)), 4)
        tone = 0.5 + (tone - 0.5) * 0.85
    if "calm" in kinds:
        tone, mask = blur(torch.stack((tone, mask)), 2)
        tone = 0.45 + (tone - 0.45) * 0.72
    if "sharp" in kinds:
        tone = tone + 1.1 * (tone - blur(tone, 5))
        mask = ramp(mask, 0.18, 0.7)
    if "metallic" in kinds:
        tone = 0.34 * tone + 0.6 * torch.sin(1.5 * math.pi * tone).square() + 0.05
    if "dark" in kinds:
        tone = tone * 0.88 - 0.03
    return Layer(mask, tone, hue, light, layer.lifted, layer.dome, layer.apart, layer.paper)


def swirl(canvas: Canvas, fields: Tensor) -> Tensor:
    """Fields [N, H, W] stirred around the heights and hollows of a noise, each a small whirl."""
    down, right = torch.gradient(canvas.noise(5))
    grid = torch.stack((canvas.x + 2.0 * UNIT * down, canvas.y - 2.0 * UNIT * right), -1)[None]
    return functional.grid_sample(
        fields[None], grid, padding_mode="reflection", align_corners=False
    )[0]


def fog(canvas: Canvas, picture: Tensor, mask: Tensor, paints: list[Tensor]) -> Tensor:
    """Banks of pale mist between and over the forms, thickest at the picture's foot."""
    bank = 0.7 * ramp(canvas.y, 0.1, 1.2) + 0.12 * canvas.noise(5, wide=1.8) + 0.05
    deep = bank * (1 - 0.35 * mask) + 0.4 * (1 - mask)
    pale = 0.35 * torch.stack(paints).mean(0) + 0.5
    return picture + (pale - picture) * deep.clamp(0, 0.85)


def paint(canvas: Canvas, name: str) -> Tensor:
    """One pot of a named colour, [3, 1, 1]."""
    rgb = torch.tensor(COLOURS[name][0])
    if "pale" in canvas.modifiers and name != "black":
        rgb = rgb + (0.96 - rgb) * 0.14
    return rgb[:, None, None]


def under(canvas: Canvas, paints: list[Tensor], ground: str | None, paper: bool) -> Tensor:
    """The background's colour: as asked, else whatever lets the foreground stand out."""
    if ground:
        return paint(canvas, ground)
    lead = paints[-1]
    light = float(torch.stack(paints).mean())
    if "pale" in canvas.modifiers or light < 0.16 or (paper and light < 0.62):
        return lead * 0.15 + 0.80
    if "dark" in canvas.modifiers or "glowing" in canvas.modifiers:
        return lead * 0.09 + 0.012
    return lead * 0.17 + 0.016


def backdrop(canvas: Canvas, colour: Tensor) -> Tensor:
    """A background with a slow fall of light, [3, H, W]."""
    far = ((canvas.x + 0.3).square() + (canvas.y + 0.3).square()).sqrt()
    swing = 0.16 if float(colour.mean()) > 0.6 else 0.5
    wave = canvas.noise(2.5) * 0.06
    return (colour * (1.0 + swing * (0.45 - 0.5 * far + wave))).clamp(0, 1)


def middling(tone: Tensor) -> Tensor:
    """How well a tone shows its colour: least in deep shade and in highlights."""
    return 0.04 + ramp(tone, 0.28, 0.48) * ramp(tone, 0.8, 0.62)


def even(order: Tensor, weight: Tensor) -> Tensor:
    """An order as a hue 0..1 of which every stretch covers an equal part of the weight."""
    values, rank = order[PROBE].flatten().sort()
    sums = (weight[PROBE].flatten()[rank] + 0.002).cumsum(0)
    places = torch.searchsorted(values, order.contiguous()).clamp(max=len(values) - 1)
    hue: Tensor = (sums / sums[-1])[places]
    return hue


def dealt(paints: list[Tensor], hue: Tensor) -> Tensor:
    """An even hue with more room for vivid colours, which shade and light soon make others."""
    need = torch.stack([0.6 + paint.max() - paint.min() for paint in paints])
    ends = need.cumsum(0) / need.sum()
    steps = [
        ((hue - end + part) / part).clamp(0, 1)
        for end, part in zip(ends, need / need.sum(), strict=True)
    ]
    return torch.stack(steps).mean(0)


def mingle(paints: list[Tensor], hue: Tensor) -> Tensor:
    """Colours side by side along hue, each with an equal share, [3, H, W]."""
    count = len(paints)
    place = (hue * count - 0.5).clamp(0, count - 1)
    colour = paints[0].expand(3, *hue.shape)
    for k in range(1, count):
        step = ((place - k + 1 - 0.5) * 4.0 + 0.5).clamp(0, 1)
        colour = colour + (paints[k] - colour) * (step * step * (3 - 2 * step))
    return colour


def shade(colour: Tensor, tone: Tensor) -> Tensor:
    """Deep shade, the colour itself at tone 0.5, towards white at 1."""
    low = (tone * 2).clamp(0, 1)
    low = low * (0.3 + 0.7 * low * (3 - 2 * low))
    cool = torch.tensor([0.92, 0.96, 1.1])[:, None, None]
    deep = colour * (0.06 + 0.94 * low) * (cool + (1 - cool) * low)
    high = ((tone - 0.5) * 2).clamp(0, 1)
    return deep + (1.0 - deep) * (0.82 * high**1.6)


def roll_off(picture: Tensor) -> Tensor:
    """Soft shoulder above 0.85, so that lights keep their colour."""
    over = (picture - 0.85).clamp(min=0)
    return (picture - over + 0.15 * (1 - torch.exp(-over / 0.15))).clamp(0, 1)


def as_bytes(picture: Tensor) -> np.ndarray:
    """[3, H, W] 0..1 to uint8 [3, H, W]."""
    return (picture * 255 + 0.5).to(torch.uint8).numpy()
