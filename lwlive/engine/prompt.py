"""Prompts: texts in, conditionings out, with weights on words.

Knows tokenizers and how weights are written; the networks are asked through a function. A folder
here is a checkpoint's, or a package's, which has the same tokenizers in the same places.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lwlive.checkpoint import TEXTS, ModelError, part_of, read_json
from lwlive.engine.keyframe import Cond
from lwlive.engine.tokenizer import MARKS, Tokens, Word
from lwlive.mix import shares

MARK = re.compile(r"\\[()\[\]\\]|[()\[\]]|:\s*([+-]?\d*\.?\d+)\s*\)")
MORE = 1.1  # what a pair of parentheses without a number stands for
PARTS = ("tokenizer", "tokenizer_2")

Ask = Callable[..., Cond]  # tokens [n, L] of each tokenizer -> a conditioning of n rows
Encode = Callable[[Sequence[str]], Cond]  # n texts -> a conditioning of n rows
REMEMBERED = 64  # pairs of prompts, and parts of them
STRONGEST = 4.0  # a word's weight at most, either way: further out networks give noise, or NaN


def emphasis(text: str) -> list[tuple[str, float]]:
    """A text's pieces and their weights: `(word:1.3)`, `(word)` for 1.1, `[word]` for 1/1.1.

    Pairs may lie in each other, and their weights multiply, up to STRONGEST. A bracket that has
    no partner is a letter, and so is one after a backslash.
    """
    pieces: list[tuple[str, float]] = []
    opened: list[tuple[str, int]] = []  # bracket, and the piece it stands at
    end = 0
    for mark in MARK.finditer(text):
        pieces.append((text[end : mark.start()], 1.0))
        end, what = mark.end(), mark[0]
        if what[0] == "\\":
            pieces.append((what[1], 1.0))
        elif what in "([":
            opened.append((what, len(pieces)))
            pieces.append((what, 1.0))
        elif opened and opened[-1][0] == ("[" if what == "]" else "("):
            _, at = opened.pop()
            factor = float(mark[1]) if mark[1] else 1 / MORE if what == "]" else MORE
            pieces[at] = ("", 1.0)
            pieces[at:] = [
                (piece, _within(weight * _within(factor))) for piece, weight in pieces[at:]
            ]
        else:
            pieces.append((what, 1.0))
    pieces.append((text[end:], 1.0))
    return [(piece, _within(weight, STRONGEST)) for piece, weight in pieces if piece]


def _within(weight: float, most: float = 1e6) -> float:
    """A weight, limited; on the way so far out that products of products stay finite."""
    return min(max(weight, -most), most)


class Encoder:
    """A checkpoint's tokenizers, and texts encoded through its networks."""

    def __init__(self, folder: Path, ask: Ask, device: str, words: Sequence[Word] = ()) -> None:
        index = read_json(folder / "model_index.json")
        wanted = [part for part in PARTS if part_of(index, part)[0]]
        if len(wanted) != len([part for part in TEXTS if part_of(index, part)[0]]):
            raise ModelError(
                f"the checkpoint in {folder} has not one tokenizer for each of its text encoders: "
                "fetch or convert it again"
            )
        self.tokens = {part: Tokens(folder, part, words) for part in wanted}
        self.notes: list[str] = []  # sentences about texts that were cut, not told yet
        self._ask, self._device = ask, device
        # Such a checkpoint was trained with zeros where a text was left out.
        self._zeros = "tokenizer_2" in self.tokens and bool(
            index.get("force_zeros_for_empty_prompt", True)
        )

    def save(self, folder: Path, source: Path) -> None:
        """Write into a folder what this class needs to be opened there again."""
        for part, tokens in self.tokens.items():
            tokens.save(folder / part)
        (folder / "model_index.json").write_bytes((source / "model_index.json").read_bytes())

    def inputs(self, texts: Sequence[str]) -> tuple[Tensor, ...]:
        """Tokens [n, L] of bare texts, of each tokenizer, where the networks are."""
        return tuple(tokens(texts).to(self._device) for tokens in self.tokens.values())

    @torch.inference_mode()
    def __call__(self, prompts: Sequence[str]) -> Cond:
        """Conditioning of n prompts. The states of a word of weight w lie at w on the line from
        those of the empty text to its own; the pooled state of a whole text knows no weights.
        """
        pieces = [emphasis(prompt) for prompt in prompts]
        texts = ["".join(piece for piece, _ in row) for row in pieces]
        self._tell(texts)
        states, *pooled = self._ask(*self.inputs(texts))
        if any(weight != 1 for row in pieces for _, weight in row):
            first = next(iter(self.tokens.values()))  # both tokenizers cut texts alike
            weights = torch.tensor([first.weights(row) for row in pieces], device=self._device)
            empty = self._ask(*self.inputs([""]))[0]
            states = torch.lerp(empty.expand_as(states), states, weights[..., None])
        parts = [states, *pooled]
        if self._zeros:
            blank = torch.tensor([not text.strip() for text in texts], device=self._device)
            parts = [part.masked_fill(blank.view(-1, *[1] * (part.dim() - 1)), 0) for part in parts]
        return tuple(parts)

    def _tell(self, texts: Sequence[str]) -> None:
        tokens = next(iter(self.tokens.values()))
        for text in texts:
            if rest := tokens.cut(text):
                self.notes.append(
                    f"the prompt is longer than the {tokens.length - MARKS} tokens this model "
                    f"reads; left out is: {rest}"
                )


class Conds:
    """Conditionings of wanted and unwanted prompts, encoded once and not for every frame.

    Each part of a mix is encoded alone and remembered, so that a fader on its weight encodes
    nothing, and a part looks the same whatever stands beside it.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._known: dict[tuple[str, str], Cond] = {}
        self._parts: dict[str, Cond] = {}

    def __call__(self, prompt: str, negative: str) -> Cond:
        """Conditioning of both, each part [2, ...]."""
        key = (prompt, negative)
        if key not in self._known:
            halves = [weighted(self._part, text) for text in key]
            found = tuple(torch.stack(pair) for pair in zip(*halves, strict=True))
            _remember(self._known, key, found)
        return self._known[key]

    def _part(self, texts: Sequence[str]) -> Cond:
        """Conditioning of n texts, those not known yet encoded one by one."""
        found = []
        for text in texts:
            if text not in self._parts:
                _remember(self._parts, text, self._encode([text]))
            found.append(self._parts[text])
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def _remember(known: dict[Any, Cond], key: object, cond: Cond) -> None:
    if len(known) >= REMEMBERED:
        known.pop(next(iter(known)))
    known[key] = cond


def weighted(encode: Encode, text: str) -> Cond:
    """Conditioning of one text such as `a :1 | b :0.4`: parts mixed by their shares."""
    texts, parts = zip(*shares(text), strict=True)
    factors = torch.tensor(parts)
    return tuple(torch.tensordot(factors.to(part), part, dims=1) for part in encode(texts))
