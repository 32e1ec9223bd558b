"""Weights on words are read as others read them, and move only the words they stand at."""

from pathlib import Path

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from lwlive.engine.model import Eager, load
from lwlive.engine.networks import Kind
from lwlive.engine.prompt import MORE, Tokens, emphasis, weighted

FAMILIES = ("sd1", "sd2", "sdxl", "lcm")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Eager]:
    """A small checkpoint of each family; one of them has two text encoders."""
    return {
        family: Eager(
            load(
                tiny.folder(tmp_path_factory.mktemp(family), None, family),
                (64, 64),
                "cpu",
                Kind("float32", True),
            ),
            2,
        )
        for family in FAMILIES
    }


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("plain words", [("plain words", 1.0)]),
        ("a (red:1.3) cat", [("a ", 1.0), ("red", 1.3), (" cat", 1.0)]),
        ("(red: .5 )", [("red", 0.5)]),
        ("(red)", [("red", MORE)]),
        ("((red))", [("red", MORE * MORE)]),
        ("[red] cat", [("red", 1 / MORE), (" cat", 1.0)]),
        ("(a (b:2) c:0.5)", [("a ", 0.5), ("b", 1.0), (" c", 0.5)]),
        (r"\(red\)", [("(", 1.0), ("red", 1.0), (")", 1.0)]),
        ("a ) b (c", [("a ", 1.0), (")", 1.0), (" b ", 1.0), ("(", 1.0), ("c", 1.0)]),
        ("(a] b", [("(", 1.0), ("a", 1.0), ("]", 1.0), (" b", 1.0)]),
        ("", []),
    ],
)
def test_weights_are_written_in_the_usual_way(text: str, pieces: list[tuple[str, float]]) -> None:
    found = emphasis(text)
    assert [piece for piece, _ in found] == [piece for piece, _ in pieces]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in pieces])


@given(st.text("ab ()[]:.13\\", max_size=40))
def test_no_text_is_refused_and_no_letter_is_lost(text: str) -> None:
    kept = "".join(piece for piece, _ in emphasis(text))
    assert [c for c in kept if c in "ab"] == [c for c in text if c in "ab"]


@pytest.mark.parametrize("family", FAMILIES)
def test_weight_one_changes_nothing(models: dict[str, Eager], family: str) -> None:
    model = models[family]
    plain, weighed = model.encode(["a red cat"]), model.encode(["a (red:1.0) cat"])
    assert all(torch.equal(a, b) for a, b in zip(plain, weighed, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_weight_moves_only_its_own_words(models: dict[str, Eager], family: str) -> None:
    model = models[family]
    plain, weighed = model.encode(["a red cat"]), model.encode(["a (red:1.3) cat"])
    changed = (plain[0] != weighed[0]).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [2, 3, 4]  # one token a letter, after the start
    empty = model.modules.text(*model.encode.inputs([""]))[0]
    expected = empty + 1.3 * (plain[0] - empty)
    assert torch.allclose(weighed[0][changed[None]], expected[changed[None]], atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(plain[1:], weighed[1:], strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_words_and_of_parts_go_together(models: dict[str, Eager], family: str) -> None:
    model = models[family]
    mixed = weighted(model.encode, "a (red:1.3) cat :1 | dog :0.5")
    parts = model.encode(["a (red:1.3) cat", "dog"])
    for found, part in zip(mixed, parts, strict=True):
        assert torch.allclose(found, (part[0] + 0.5 * part[1]) / 1.5, atol=1e-5)


def test_the_end_of_a_long_prompt_is_told(models: dict[str, Eager]) -> None:
    model = models["sd1"]
    model.notes.clear()
    model.encode(["x" * 14])
    assert model.notes == []
    model.encode([("x" * 13) + " yz"])
    assert [note.split(": ")[1] for note in model.notes] == ["z"]
    assert "14 tokens" in model.notes[0]


@pytest.mark.parametrize(
    "text", ["hello world", "", "blueberry   SPAGHETTI", "\U0001f300 ünï 中文", "x" * 300]
)
def test_tokens_are_those_of_the_stock_tokenizer(text: str, tmp_path: Path) -> None:
    path = tiny.folder(tmp_path)
    stock = tiny.tokenizer(16)
    theirs = stock([text], padding="max_length", truncation=True, return_tensors="pt").input_ids
    tokens = Tokens(path)
    assert torch.equal(tokens([text]), theirs)
    assert len(tokens.weights([(text, 1.5)])) == tokens.length
