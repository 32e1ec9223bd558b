"""Pictures asked for, and sentences that say so: a small grammar with varied order.

A Wish is what the drawing receives; `say` writes one of the many captions that are
true of it. This file knows nothing of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from words import COLOURS, FAMILIES, MODIFIERS, PAIRS

GROUNDS = ("on {}", "on {}", "over {}", "on a {} background", "against {}")
LEADS = ("", "", "", "", "a picture of", "some", "abstract", "an image of", "a painting of")


@dataclass(frozen=True)
class Wish:
    """One picture before it is drawn: canonical names only."""

    family: str
    colours: tuple[str, ...]  # 1..3, all of them visible in the foreground
    ground: str | None  # the background colour where one was asked for
    modifiers: tuple[str, ...]
    named: bool  # whether the caption tells the colours
    second: str | None = None  # a family whose texture the first one's form is made of


def pick(rng: np.random.Generator, row: Sequence[str]) -> str:
    """One entry of a row, evenly."""
    return row[int(rng.integers(len(row)))]


def wish(rng: np.random.Generator, family: str | None = None) -> Wish:
    """A random wish: 1 to 3 colours, sometimes a background, 0 to 3 modifiers.

    One in eight is a mix of two families, unless the family is given.
    """
    mixed = family is None and bool(rng.random() < 0.125)
    family = family or pick(rng, list(FAMILIES))
    named = bool(rng.random() < 0.86)
    if not named:
        colours = FAMILIES[family][1]
    else:
        count = int(rng.choice([1, 2, 3], p=[0.46, 0.38, 0.16]))
        colours = tuple(str(c) for c in rng.choice(list(COLOURS), count, replace=False))
    ground = None
    if rng.random() < 0.36:
        likely = ["black", "white", "black", "indigo", "navy", "grey", pick(rng, list(COLOURS))]
        ground = pick(rng, [c for c in likely if c not in colours])
    count = int(rng.choice([0, 1, 2, 3], p=[0.48, 0.36, 0.13, 0.03]))
    pairs = [PAIRS[int(i)] for i in rng.choice(len(PAIRS), count, replace=False)]
    second = pick(rng, [f for f in FAMILIES if f != family]) if mixed else None
    return Wish(family, colours, ground, tuple(pick(rng, pair) for pair in pairs), named, second)


def join(words: list[str]) -> str:
    """'red', 'red and blue', 'red, blue and gold'."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def say(rng: np.random.Generator, asked: Wish, plain: bool = False) -> str:
    """A caption of 1 to 20 words that is true of the wish; `plain` uses no synonyms."""

    def name(row: Sequence[str]) -> str:
        return row[0] if plain else pick(rng, row)

    noun = name(FAMILIES[asked.family][0])
    tones = [name(COLOURS[c][1]) for c in asked.colours] if asked.named else []
    kinds = [name(MODIFIERS[m]) for m in asked.modifiers]
    if asked.second:
        matter = name(FAMILIES[asked.second][0])
        noun = pick(rng, ("{1} {0}", "{1} {0}", "{0} made of {1}", "{0} like {1}")).format(
            noun, matter
        )
    ground = ""
    if asked.ground:
        backing = "on {}" if plain else pick(rng, GROUNDS)
        ground = backing.format(name(COLOURS[asked.ground][1]))
    if not tones:
        return " ".join(part for part in (*kinds, noun, ground) if part)
    form = 0 if plain else int(rng.integers(8))
    if form <= 2:
        words = [*kinds, join(tones), noun]
    elif form == 3:
        words = [noun, "in", join(tones), *kinds]
    elif form == 4 and len(tones) > 1:
        words = [*kinds, tones[0], noun, "with", join(tones[1:])]
    elif form == 5:
        words = [", ".join([*tones, *kinds, noun])]
    elif form == 6:
        words = [", ".join([noun, *kinds, join(tones)])]
    else:
        words = [join(tones), *kinds, noun]
    sentence = " ".join([*words, ground]).strip()
    if plain:
        return sentence
    if ground and rng.random() < 0.12:
        return " ".join([ground, *words])
    return f"{pick(rng, LEADS)} {sentence}".strip()
