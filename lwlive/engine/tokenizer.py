"""Tokenizers: texts in, numbers out, read from a checkpoint's folder or a package's.

A folder of packages has the same tokenizers in the same places. Nothing is known of networks here.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, normalizers
from torch import Tensor

from lwlive.checkpoint import ModelError, read_json, why

CONFIG, END = "tokenizer_config.json", "<|endoftext|>"
MAP = "special_tokens_map.json"  # beside it in older tokenizers, where it wins, as in SD 2
LENGTH, MOST_LENGTH = 77, 4096  # tokens of a text: CLIP's, and more than any encoder has
MARKS = 2  # tokens of a text that are not words: its start and its end

Word = tuple[str, int]  # as it is written in a prompt, and how many tokens it is read as


class Tokens:
    """Texts to tokens [n, L] int64: start, words, end, filled up as CLIP's tokenizer does.

    words: more that it is to know, which adapters bring. Raises ModelError for tokenizers that
    cannot be read.
    """

    def __init__(self, folder: Path, part: str = "tokenizer", words: Sequence[Word] = ()) -> None:
        path = folder / part
        config = read_json(path / CONFIG) if (path / CONFIG).is_file() else {}
        if "added_tokens_decoder" not in config and (path / MAP).is_file():
            config |= read_json(path / MAP)
        self.length = _length(config.get("model_max_length"), folder, part)
        pad = config.get("pad_token") or END
        self.pad = str(pad.get("content", END) if isinstance(pad, dict) else pad)
        self.tokenizer = _tokenizer(path)
        self.learnt = _learnt(self.tokenizer, words)  # tokens of each of the words
        try:
            self.tokenizer.enable_truncation(self.length)
            self.tokenizer.enable_padding(
                length=self.length, pad_id=self._id(self.pad), pad_token=self.pad
            )
            self(["a"])
        except (TypeError, ValueError) as error:
            raise ModelError(f"the checkpoint's {part} in {path} cannot be used: {error}") from None

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"it has no token {token}, which pads short texts")
        return found

    def save(self, path: Path) -> None:
        """Write into a folder what this class needs to be opened there again."""
        path.mkdir()
        self.tokenizer.save(str(path / "tokenizer.json"))
        config = {"model_max_length": self.length, "pad_token": self.pad}
        (path / CONFIG).write_text(json.dumps(config), "utf-8")

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Tokens of n texts; what is too long is cut."""
        return torch.tensor([line.ids for line in self.tokenizer.encode_batch(list(texts))])

    def weights(self, pieces: Sequence[tuple[str, float]]) -> list[float]:
        """Weight of each of the L tokens of a text in pieces; what is not a word has weight 1."""
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


def _length(told: object, folder: Path, part: str) -> int:
    """Tokens of a text: what the tokenizer says, within what its text encoder has places for.

    Tokenizers saved by themselves say 1e30, or nothing.
    """
    config = folder / part.replace("tokenizer", "text_encoder") / "config.json"
    places = read_json(config).get("max_position_embeddings") if config.is_file() else None
    known = [n for n in (told, places) if isinstance(n, int | float) and MARKS < n <= MOST_LENGTH]
    return int(min(known, default=LENGTH))


def _tokenizer(path: Path) -> Tokenizer:
    """From tokenizer.json where there is one, since importing transformers takes seconds."""
    try:
        if (path / "tokenizer.json").is_file():
            return Tokenizer.from_file(str(path / "tokenizer.json"))
        from transformers import CLIPTokenizer

        return Tokenizer.from_str(CLIPTokenizer.from_pretrained(path).backend_tokenizer.to_str())
    except Exception as error:  # tokenizers raises bare exceptions
        raise ModelError(
            f"the checkpoint's tokenizer in {path} cannot be read: {why(error)}"
        ) from error


def _learnt(tokenizer: Tokenizer, words: Sequence[Word]) -> list[list[int]]:
    """Let a tokenizer read these words, in whatever case; returns each word's tokens."""
    found: list[list[int]] = []
    steps = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
    for n, (word, count) in enumerate(words):
        names = [f"<|word-{n}-{i}|>" for i in range(count)]
        alone = Regex(rf"(?i)(?<!\w){re.escape(word)}(?!\w)")
        steps.append(normalizers.Replace(alone, "".join(names)))
        tokenizer.add_tokens([AddedToken(name, normalized=True) for name in names])
        vocabulary = tokenizer.get_vocab()
        found.append([vocabulary[name] for name in names])
    if words:
        tokenizer.normalizer = normalizers.Sequence(steps)
    return found
