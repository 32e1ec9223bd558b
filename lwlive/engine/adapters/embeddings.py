"""Words that adapters bring: vectors of their own in the text encoders' tables (Gal 2022).

The tokenizers read such a word as as many tokens as it has vectors, and the tables get a row for
each. Whoever reads the files knows what words there are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lwlive.engine.tokenizer import END, Tokens, Word

Words = dict[str, dict[str, Tensor]]  # a word -> its vectors [n, D], by text encoder


def taught(folder: Path, words: Words, clips: Mapping[str, Any]) -> tuple[Word, ...]:
    """Put words into a checkpoint's text encoders; returns what its tokenizers are to know."""
    known = tuple((word, len(next(iter(rows.values())))) for word, rows in words.items())
    for part, clip in clips.items() if known else ():
        tokens = Tokens(folder, part.replace("text_encoder", "tokenizer"), known)
        for row, numbers in zip(words.values(), tokens.learnt, strict=True):
            _embed(clip, numbers, row[part])
        end = tokens.tokenizer.token_to_id(END)
        for module in clip.modules():  # old ones take the highest number for a text's end
            if hasattr(module, "eos_token_id") and end is not None:
                module.eos_token_id = end
    return known


def _embed(clip: Any, tokens: Sequence[int], vectors: Tensor) -> None:
    """Put vectors [n, D] into a text encoder's table, in the rows of these tokens."""
    table: nn.Embedding = clip.get_input_embeddings()
    missing = max(tokens) + 1 - len(table.weight)
    if missing > 0:
        rows = table.weight.new_zeros(missing, table.embedding_dim)
        table.weight = nn.Parameter(torch.cat([table.weight.data, rows]), requires_grad=False)
        table.num_embeddings = len(table.weight)
    table.weight.data[list(tokens)] = vectors.to(table.weight)
