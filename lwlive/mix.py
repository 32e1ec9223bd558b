"""Mixes: how a prompt of several parts with weights is written, `a :1 | b :0.4`.

Text in, texts and shares out. The stage refuses a prompt of too many parts through here, so there
is no torch; what a part means is the engine's to know.
"""

import re

MOST_PARTS = 16
HEAVIEST = 100.0  # a part's weight at most; below 0 it is 0
WEIGHT = re.compile(r"\s:\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*$")


def written(prompt: str) -> list[tuple[str, float]]:
    """A prompt's parts and their weights as written, within 0 and HEAVIEST; 1 without a weight.

    A weight stands behind white space and in front of `|` or the end, and only where there is a
    `|`: in all other places a colon is a part of the text. Empty parts are left out.
    """
    rows = [_row(part) for part in prompt.split("|")] if "|" in prompt else [(prompt, 1.0)]
    return [(text.strip(), weight) for text, weight in rows if text.strip()]


def shares(prompt: str) -> list[tuple[str, float]]:
    """A prompt's parts and how much each counts, together 1: at least one part, at most MOST_PARTS.

    Equal shares where all weights are 0. Parts behind MOST_PARTS are left out.
    """
    rows = written(prompt)[:MOST_PARTS] or [("", 1.0)]
    total = sum(weight for _, weight in rows)
    if total <= 0:
        return [(text, 1 / len(rows)) for text, _ in rows]
    return [(text, weight / total) for text, weight in rows]


def trouble(prompt: str) -> str:
    """What is wrong with a prompt, as a sentence; empty where nothing is."""
    count = len(written(prompt))
    if count <= MOST_PARTS:
        return ""
    return f"a prompt has up to {MOST_PARTS} parts between its |, not {count}: leave some out"


def _row(part: str) -> tuple[str, float]:
    found = WEIGHT.search(part)
    if found is None:
        return part, 1.0
    return part[: found.start()], min(max(float(found[1]), 0.0), HEAVIEST)


def mixed(one: str, other: str, share: float) -> str:
    """Both prompts as one mix, in which the other has this share: weights multiply.

    A part that both have stands there once. The sum of a mix's own weights changes nothing.
    """
    parts = dict.fromkeys(text for prompt in (one, other) for text, _ in shares(prompt))
    weights = dict.fromkeys(parts, 0.0)
    for prompt, factor in ((one, 1 - share), (other, share)):
        for text, weight in shares(prompt):
            weights[text] += factor * weight
    if len(weights) == 1:
        return next(iter(weights))
    return " | ".join(f"{text} :{round(weight, 3):g}" for text, weight in weights.items())
