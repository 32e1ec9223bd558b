"""Prompts: texts in, conditionings out, with weights on words.

Knows tokenizers and how weights are written; the networks are asked through a function. A folder
here is a checkpoint's, or a package's, which has the same tokenizers in the same places.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from lwlive.engine.keyframe import Cond

MARK = re.compile(r"\\[()\[\]\\]|[()\[\]]|:\s*([+-]?\d*\.?\d+)\s*\)")
MORE = 1.1  # what a pair of parentheses without a number stands for
PARTS = ("tokenizer", "tokenizer_2")

Ask = Callable[..., Cond]  # tokens [n, L] of each tokenizer -> a conditioning of n rows
Encode = Callable[[Sequence[str]], Cond]  # n texts -> a conditioning of n rows
REMEMBERED = 64  # pairs of prompts


def emphasis(text: str) -> list[tuple[str, float]]:
    """A text's pieces and their weights: `(word:1.3)`, `(word)` for 1.1, `[word]` for 1/1.1.

    Pairs may lie in each other, and their weights multiply. A bracket that has no partner is a
    letter, and so is one after a backslash.
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
            pieces[at:] = [(piece, weight * factor) for piece, weight in pieces[at:]]
        else:
            pieces.append((what, 1.0))
    pieces.append((text[end:], 1.0))
    return [piece for piece in pieces if piece[0]]


class Tokens:
    """Texts to tokens [n, L] int64: start, words, end, filled up as CLIP's tokenizer does."""

    def __init__(self, folder: Path, part: str = "tokenizer") -> None:
        path = folder / part
        config = json.loads((path / "tokenizer_config.json").read_text("utf-8"))
        self.length = int(config["model_max_length"])
        self.tokenizer = _tokenizer(path)
        pad = config.get("pad_token") or "<|endoftext|>"
        pad = pad["content"] if isinstance(pad, dict) else pad
        self.tokenizer.enable_truncation(self.length)
        self.tokenizer.enable_padding(
            length=self.length, pad_id=self.tokenizer.token_to_id(pad), pad_token=pad
        )

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Tokens of n texts; what is too long is cut."""
        return torch.tensor([line.ids for line in self.tokenizer.encode_batch(list(texts))])

    def weights(self, pieces: Sequence[tuple[str, float]]) -> list[float]:
        """Weight of each of the L tokens of a text in pieces; what is no word has weight 1."""
        letters = [weight for piece, weight in pieces for _ in piece]
        line = self.tokenizer.encode("".join(piece for piece, _ in pieces))
        return [
            1.0 if special else letters[start]
            for (start, _), special in zip(line.offsets, line.special_tokens_mask, strict=True)
        ]

    def cut(self, text: str) -> str:
        """The end of a text that does not fit, as it is written; empty where all of it fits."""
        line = self.tokenizer.encode(text)
        if not line.overflowing:
            return ""
        return text[max(end for _, end in line.offsets) :].strip()


def _tokenizer(path: Path) -> Tokenizer:
    """From tokenizer.json where there is one, since importing transformers takes seconds."""
    if (path / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(path / "tokenizer.json"))
    from transformers import CLIPTokenizer

    return Tokenizer.from_str(CLIPTokenizer.from_pretrained(path).backend_tokenizer.to_str())


class Encoder:
    """A checkpoint's tokenizers, and texts encoded through its networks."""

    def __init__(self, folder: Path, ask: Ask, device: str) -> None:
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
        self.tokens = {part: Tokens(folder, part) for part in PARTS if (folder / part).is_dir()}
        self.notes: list[str] = []  # sentences about texts that were cut, not told yet
        self._ask, self._device = ask, device
        # Such a checkpoint was trained with zeros where a text was left out.
        self._zeros = "tokenizer_2" in self.tokens and bool(
            index.get("force_zeros_for_empty_prompt", True)
        )

    def save(self, folder: Path, source: Path) -> None:
        """Write into a folder what this class needs to be opened there again."""
        for part, tokens in self.tokens.items():
            (folder / part).mkdir()
            tokens.tokenizer.save(str(folder / part / "tokenizer.json"))
            config = (source / part / "tokenizer_config.json").read_bytes()
            (folder / part / "tokenizer_config.json").write_bytes(config)
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
                    f"the prompt is longer than the {tokens.length - 2} tokens this model reads; "
                    f"left out is: {rest}"
                )


class Conds:
    """Conditionings of wanted and unwanted prompts, encoded once and not for every frame."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._known: dict[tuple[str, str], Cond] = {}

    def __call__(self, prompt: str, negative: str) -> Cond:
        """Conditioning of both, each part [2, ...]."""
        key = (prompt, negative)
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.pop(next(iter(self._known)))
            halves = [weighted(self._encode, text) for text in key]
            self._known[key] = tuple(torch.stack(pair) for pair in zip(*halves, strict=True))
        return self._known[key]


def weighted(encode: Encode, text: str) -> Cond:
    """Conditioning of one text such as `a :1 | b :0.4`: parts mixed by their weights."""
    texts, weights = zip(*map(parsed, text.split("|")), strict=True)
    shares = torch.tensor(weights) / (sum(weights) or 1.0)
    return tuple(torch.tensordot(shares.to(part.device), part, dims=1) for part in encode(texts))


def parsed(part: str) -> tuple[str, float]:
    """One part of a prompt mix as text and weight; without a weight, 1."""
    text, colon, number = part.rpartition(":")
    try:
        weight = float(number) if colon else None
    except ValueError:
        weight = None
    if weight is None or not 0 <= weight < math.inf:
        return part.strip(), 1.0
    return text.strip(), weight
