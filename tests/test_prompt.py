"""Weights on words are read as others read them, and move only the words they stand at."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from lwlive import mix
from lwlive.checkpoint import ModelError, Size
from lwlive.engine.eager import Eager
from lwlive.engine.load import load
from lwlive.engine.networks import Kind
from lwlive.engine.prompt import MORE, STRONGEST, Conds, emphasis, weighted
from lwlive.engine.tokenizer import Tokens

FAMILIES = ("sd1", "sd2", "sdxl", "lcm")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Eager]:
    """A small checkpoint of each family; one of them has two text encoders."""
    return {
        family: Eager(
            load(
                tiny.folder(tmp_path_factory.mktemp(family), None, family),
                Size(64, 64),
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


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("pad", ["!", {"content": "!", "lstrip": False, "normalized": True}])
def test_short_texts_are_filled_up_as_older_tokenizers_say(
    tmp_path: Path, pad: object, older: bool
) -> None:
    path = tiny.folder(tmp_path)
    (path / "tokenizer" / "special_tokens_map.json").write_text(json.dumps({"pad_token": pad}))
    if not older:
        config = path / "tokenizer" / "tokenizer_config.json"
        config.write_text(
            json.dumps({**json.loads(config.read_text()), "added_tokens_decoder": {}})
        )
    stock = CLIPTokenizer.from_pretrained(path / "tokenizer")
    theirs = stock(["hello"], padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert torch.equal(Tokens(path)(["hello"]), theirs)
    assert (theirs[0, -1] == 0) == older


@pytest.mark.parametrize(
    ("prompt", "shares"),
    [
        ("a poster, 16:9", [("a poster, 16:9", 1.0)]),
        ("clock at 10:30 | smoke", [("clock at 10:30", 0.5), ("smoke", 0.5)]),
        ("gold :1 | mud : 3", [("gold", 0.25), ("mud", 0.75)]),
        ("gold :.5| mud:3 |", [("gold", 1 / 3), ("mud:3", 2 / 3)]),
        ("ratio :2", [("ratio :2", 1.0)]),  # nothing stands beside it that it could be weighed with
        ("gold :1e39 | mud :1e-46", [("gold", 1.0), ("mud", 0.0)]),
        ("gold :0 | mud :0", [("gold", 0.5), ("mud", 0.5)]),
        ("gold :-1 | mud", [("gold", 0.0), ("mud", 1.0)]),
        ("gold :nan | mud :inf", [("gold :nan", 0.5), ("mud :inf", 0.5)]),
        ("| | gold | |", [("gold", 1.0)]),
        ("|" * 500, [("", 1.0)]),
        ("", [("", 1.0)]),
    ],
)
def test_a_weight_stands_behind_white_space_between_parts(
    prompt: str, shares: list[tuple[str, float]]
) -> None:
    found = mix.shares(prompt)
    assert [text for text, _ in found] == [text for text, _ in shares]
    assert [share for _, share in found] == pytest.approx([share for _, share in shares])


@given(st.text("ab |:.0123e+-() \t", max_size=80))
def test_shares_are_one_together_and_none_is_negative(prompt: str) -> None:
    found = mix.shares(prompt)
    assert sum(share for _, share in found) == pytest.approx(1)
    assert all(0 <= share <= 1 for _, share in found)
    assert len(found) <= mix.MOST_PARTS


def test_too_many_parts_are_a_sentence() -> None:
    assert mix.trouble("|".join("a" * mix.MOST_PARTS)) == ""
    assert mix.trouble("|" * 500) == ""
    said = mix.trouble("|".join("a" * (mix.MOST_PARTS + 1)))
    assert str(mix.MOST_PARTS) in said
    assert str(mix.MOST_PARTS + 1) in said


DIGITS = "9" * 400
WILD = st.lists(
    st.sampled_from([*"ab|()[]:\\ ", ":99999)", " :1e39", f":{DIGITS})", ":0)", ":-7)", " :0|"]),
    max_size=60,
).map("".join)


@pytest.mark.slow
@given(WILD)
def test_any_prompt_gives_finite_conditioning(models: dict[str, Eager], prompt: str) -> None:
    for family in ("sd1", "sdxl"):
        for part in Conds(models[family].encode)(prompt, prompt[::-1]):
            assert part.isfinite().all()
    assert all(abs(weight) <= STRONGEST for _, weight in emphasis(prompt))


def test_weights_of_zero_are_not_darkness(models: dict[str, Eager]) -> None:
    model = models["sd1"]
    even = weighted(model.encode, "gold | mud")
    for prompt in ("gold :0 | mud :0", "gold :1e-46 | mud :1e-46"):
        assert all(map(torch.allclose, weighted(model.encode, prompt), even))


def test_a_fader_on_a_weight_encodes_nothing_again(models: dict[str, Eager]) -> None:
    asked: list[str] = []

    def encode(texts: Any) -> Any:
        asked.extend(texts)
        return models["sd1"].encode(texts)

    conds = Conds(encode)
    found = [conds(f"gold :{i} | mud :2", "")[0] for i in range(1, 9)]
    assert sorted(asked) == ["", "gold", "mud"]
    assert not torch.equal(found[0], found[-1])
    alone = Conds(models["sd1"].encode)
    assert torch.equal(alone("gold :8 | mud :2", "")[0], found[-1])  # whatever was asked before


@pytest.mark.parametrize("told", [1e30, 10**30, None, "77", 0, -1])
def test_a_tokenizer_that_tells_no_length_has_that_of_its_encoder(
    told: object, tmp_path: Path
) -> None:
    path = tiny.folder(tmp_path)
    config = path / "tokenizer" / "tokenizer_config.json"
    expected = Tokens(path)(["hello"])
    about = json.loads(config.read_text()) | {"model_max_length": told}
    about = {name: value for name, value in about.items() if value is not None}
    config.write_text(json.dumps(about))
    assert torch.equal(Tokens(path)(["hello"]), expected)
    Tokens(path).save(tmp_path / "saved")  # without an encoder beside it
    assert Tokens(tmp_path, "saved").length == 16


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": "1.0", "model": null}', "null"])
def test_a_damaged_tokenizer_is_a_sentence(text: str, tmp_path: Path) -> None:
    path = tiny.folder(tmp_path)
    (path / "tokenizer" / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match="tokenizer"):
        Tokens(path)
