"""Pictures asked for, and sentences that say so: a small grammar with varied order.

A Wish is what the drawing receives; `say` writes one of the many captions that are
true of it. This file knows nothing of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from words import COLOURS, FAMILIES, MODIFIERS, PAIRS


@dataclass(frozen=True)
class Wish:
    """One picture before it is drawn: canonical names only."""

    family: str
    colours: tuple[str, ...]  # 1..3, all of them visible in the foreground
    ground: str | None  # the background colour where one was asked for
    modifiers: tuple[str, ...]
    named: bool  # whether the caption tells the colours


def pick(rng: np.random.Generator, row: Sequence[str]) -> str:
    """One entry of a row, evenly."""
    return row[int(rng.integers(len(row)))]


def wish(rng: np.random.Generator, family: str | None = None) -> Wish:
    """A random wish: 1 to 3 colours, sometimes a background, 0 to 2 modifiers."""
    family = family or pick(rng, list(FAMILIES))
    named = bool(rng.random() < 0.86)
    if not named:
        colours = FAMILIES[family][1]
    else:
        count = int(rng.choice([1, 2, 3], p=[0.5, 0.36, 0.14]))
        colours = tuple(str(c) for c in rng.choice(list(COLOURS), count, replace=False))
    ground = None
    if rng.random() < 0.38:
        likely = ["black", "white", "black", "indigo", "grey", pick(rng, list(COLOURS))]
        ground = pick(rng, [c for c in likely if c not in colours] or ["black", "white"])
        ground = None if ground in colours else ground
    count = int(rng.choice([0, 1, 2], p=[0.52, 0.36, 0.12]))
    pairs = [PAIRS[int(i)] for i in rng.choice(len(PAIRS), count, replace=False)]
    return Wish(family, colours, ground, tuple(pick(rng, pair) for pair in pairs), named)


def join(words: list[str]) -> str:
    """'red', 'red and blue', 'red, blue and gold'."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def say(rng: np.random.Generator, asked: Wish, plain: bool = False) -> str:
    """A caption of 1 to 12 words that is true of the wish; `plain` uses no synonyms."""
    noun = FAMILIES[asked.family][0][0] if plain else pick(rng, FAMILIES[asked.family][0])
    tones = [c if plain else pick(rng, COLOURS[c][1]) for c in asked.colours]
    kinds = [m if plain else pick(rng, MODIFIERS[m]) for m in asked.modifiers]
    ground = ""
    if asked.ground:
        name = asked.ground if plain else pick(rng, COLOURS[asked.ground][1])
        ground = pick(rng, ["on {}", "on {}", "over {}", "on a {} background"]).format(name)
    if not asked.named:
        return " ".join([*kinds, noun, ground]).strip()
    form = 0 if plain else int(rng.integers(6))
    if form <= 2:
        words = [*kinds, join(tones), noun]
    elif form == 3:
        words = [noun, "in", join(tones), *kinds]
    elif form == 4 and len(tones) > 1:
        words = [*kinds, tones[0], noun, "with", join(tones[1:])]
    else:
        words = [join(tones), *kinds, noun]
    lead = "" if plain else pick(rng, ["", "", "", "", "a picture of", "some", "abstract"])
    sentence = " ".join(part for part in [lead, *words, ground] if part)
    if ground and not plain and rng.random() < 0.12:
        sentence = " ".join([ground, *words])
    return sentence
