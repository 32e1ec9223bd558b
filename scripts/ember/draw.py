"""Procedural pictures without end: a seed gives a wish, its caption and its picture."""

from dataclasses import replace

import fields
import numpy as np
import patterns
import scenes
import solids
import things
import torch
from canvas import CELLS, Canvas, Layer
from caption import Wish, say, wish
from grade import grade
from torch import Tensor

DRAW = {
    "strands": solids.strands,
    "marble": fields.marble,
    "clouds": fields.clouds,
    "smoke": fields.smoke,
    "rings": solids.rings,
    "spirals": fields.spirals,
    "cells": solids.cells,
    "glass": solids.glass,
    "waves": fields.waves,
    "tunnel": fields.tunnel,
    "flowers": solids.flowers,
    "nebula": fields.nebula,
    "fire": fields.fire,
    "aurora": fields.aurora,
    "bubbles": solids.bubbles,
    "scales": solids.scales,
    "dunes": fields.dunes,
    "crystals": solids.crystals,
    "ink": scenes.ink,
    "silk": scenes.silk,
    "lava": scenes.lava,
    "lightning": scenes.lightning,
    "ripples": scenes.ripples,
    "hills": scenes.hills,
    "trees": scenes.trees,
    "lights": things.lights,
    "feathers": things.feathers,
    "leaves": things.leaves,
    "jellyfish": things.jellyfish,
    "mandala": patterns.mandala,
    "moire": patterns.moire,
    "checks": patterns.checks,
    "fractal": patterns.fractal,
    "coral": patterns.coral,
    "lace": patterns.lace,
    "circuits": patterns.circuits,
}


def draw(asked: Wish, noise: Tensor) -> Tensor:
    """The picture of a wish that belongs to a noise [4, 32, 32]: [3, SIZE, SIZE], 0..1."""
    canvas = Canvas(noise, len(asked.colours), asked.modifiers)
    layer: Layer = DRAW[asked.family](canvas)
    if asked.second:
        layer = mix(layer, DRAW[asked.second](canvas))
    if "symmetric" in asked.modifiers:
        layer = rosette(patterns.mandala(canvas), layer)
    return grade(canvas, layer, asked.colours, asked.ground)


def mix(form: Layer, matter: Layer) -> Layer:
    """The first layer's shapes made of the second's matter: its tones in them, and its hues."""
    inside = 0.25 + matter.mask * (matter.tone - 0.25)
    tone = 0.5 * form.tone + 0.75 * inside - 0.05
    mask = form.mask * (0.45 + 0.55 * matter.mask)
    return Layer(
        mask, tone, matter.hue, form.light, form.lifted, form.dome, matter.apart, form.paper
    )


def rosette(figure: Layer, matter: Layer) -> Layer:
    """A layer's matter in a symmetric figure, whose colours are those of its parts.

    The matter itself is not mirrored: a network that looks nearby could not read it off the
    noise across the picture.
    """
    return replace(mix(figure, matter), hue=figure.hue, apart=False)


def starting(seed: int) -> Tensor:
    """The noise that example `seed` is drawn from, [4, 32, 32]."""
    values = np.random.default_rng((seed, 1)).standard_normal((4, CELLS, CELLS), np.float32)
    return torch.from_numpy(values)


def example(seed: int, family: str | None = None) -> tuple[Tensor, str, Wish]:
    """Picture, caption and wish number `seed`; the same number gives the same three."""
    rng = np.random.default_rng(seed)
    asked = wish(rng, family)
    caption = say(rng, asked)
    with torch.inference_mode():
        return draw(asked, starting(seed)), caption, asked
