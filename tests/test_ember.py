"""ember, the model in the box: its folder, its words, the pictures it learns from, training."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import CLIPTokenizer

ROOT = Path(__file__).parents[1]
EMBER = ROOT / "lwlive" / "ember"
sys.path.insert(0, str(ROOT / "scripts" / "ember"))

import autoencoder  # noqa: E402  (ember's scripts are found through the line above)
import caption  # noqa: E402
import denoiser  # noqa: E402
import draw  # noqa: E402
import folder  # noqa: E402
import judge  # noqa: E402
import latents  # noqa: E402
import words  # noqa: E402

TOKENIZER = CLIPTokenizer.from_pretrained(EMBER / "tokenizer")


def test_folder_is_small_and_half_precision() -> None:
    assert sum(p.stat().st_size for p in EMBER.rglob("*") if p.is_file()) <= 24_000_000
    weights = sorted(EMBER.rglob("*.safetensors"))
    assert {path.parent.name for path in weights} == {"text_encoder", "unet", "vae"}
    for path in weights:
        with safe_open(path, "pt") as file:
            assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118 (no dict)


def test_stock_pipeline_draws_a_picture() -> None:
    pipe = StableDiffusionPipeline.from_pretrained(EMBER)
    pipe.set_progress_bar_config(disable=True)
    seed = torch.Generator().manual_seed(1337)
    picture = pipe(
        "blueberry spaghetti", num_inference_steps=4, guidance_scale=1.0, generator=seed
    ).images[0]
    pixels = np.asarray(picture, np.float32)
    assert pixels.shape == (256, 256, 3)
    assert pixels.std() > 15
    assert pixels[..., 2].mean() > pixels[..., 0].mean() + 20, "blueberry is blue"


@given(st.text(max_size=400))
@settings(deadline=None, max_examples=150)
def test_any_text_fits_the_text_encoder(text: str) -> None:
    ids = TOKENIZER(text, padding="max_length", max_length=32, truncation=True).input_ids
    assert len(ids) == folder.TOKENS
    assert 0 <= min(ids) <= max(ids) < folder.VOCABULARY
    assert TOKENIZER.eos_token_id in ids


def test_known_words_are_one_token_each() -> None:
    for word in words.vocabulary():
        assert len(TOKENIZER(word).input_ids) == 3, word


def test_unknown_words_keep_their_bytes() -> None:
    assert TOKENIZER("blåbær").input_ids != TOKENIZER("blabar").input_ids
    assert TOKENIZER.unk_token_id not in TOKENIZER("zürich 世界").input_ids[1:-1]


@pytest.mark.parametrize("family", list(words.FAMILIES))
def test_every_family_draws_something(family: str) -> None:
    picture, _, asked = draw.example(41, family)
    assert asked.family == family
    assert picture.shape == (3, 256, 256)
    assert 0 <= float(picture.min()) <= float(picture.max()) <= 1
    assert float(picture.mean(0).std()) > 0.04


def test_a_seed_draws_the_same_again() -> None:
    first, words_first, _ = draw.example(7)
    again, words_again, _ = draw.example(7)
    other, _, _ = draw.example(8)
    assert words_first == words_again
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@given(st.integers(0, 10**9))
@settings(deadline=None, max_examples=200)
def test_captions_tell_what_is_drawn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    asked = caption.wish(rng)
    told = caption.say(rng, asked)
    assert 1 <= len(told.split()) <= 14
    assert any(name in told for name in words.FAMILIES[asked.family][0])
    named = asked.colours if asked.named else ()
    for colour in (*named, *((asked.ground,) if asked.ground else ())):
        assert any(name in told.replace(",", "").split() for name in words.COLOURS[colour][1])
    for kind in asked.modifiers:
        assert any(name in told.split() for name in words.MODIFIERS[kind])


def test_asked_colours_are_drawn() -> None:
    seen = []
    for seed in range(24):
        picture, _, asked = draw.example(seed)
        seen.append(judge.present(picture, asked.colours[:1]))
    assert sum(seen) >= 20


def test_tied_noise_stays_unit_normal() -> None:
    torch.manual_seed(3)
    noise = torch.randn(256, 4, 32, 32)
    tied = latents.tie(noise, torch.randn(256, latents.GRID**2))
    assert torch.equal(tied[:, 1:], noise[:, 1:])
    assert not torch.equal(tied[:, :1], noise[:, :1])
    assert abs(float(tied[:, 0].std()) - 1) < 0.01
    assert abs(float(tied[:, 0].mean())) < 0.01


def toy_store(count: int = 8) -> latents.Store:
    """Random latents with true captions."""
    generator = torch.Generator().manual_seed(0)
    lines = [draw.example(i)[1] for i in range(count)]
    told = latents.tokenize(TOKENIZER, lines)[:, None].to(torch.int16)
    return latents.Store(
        torch.randn(count, 4, 32, 32, generator=generator).half(),
        torch.randn(count, latents.GRID**2, generator=generator).half(),
        told,
        torch.zeros(count, dtype=torch.int64),
    )


def test_training_resumed_is_training_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denoiser, "BATCH", 2)
    data, before = toy_store(), folder.blank().unet.conv_out.weight.clone()

    def run(checkpoint: Path, *stops: int) -> folder.Ember:
        for stop in stops:
            ember = folder.blank()
            denoiser.train(ember, data, checkpoint, 2, lambda _: None, stop)
        return ember

    whole, parts = run(tmp_path / "whole.pt", 2), run(tmp_path / "parts.pt", 1, 2)
    for a, b in zip(whole.unet.parameters(), parts.unet.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert not torch.equal(before, whole.unet.conv_out.weight)


def test_autoencoder_begins_with_colours_and_learns() -> None:
    vae = folder.blank().vae
    picture = torch.stack([draw.example(seed)[0] for seed in (3, 4)]) * 2 - 1
    assert autoencoder.decibels(vae, picture) > 15
    loss = autoencoder.step_loss(vae, picture[:, :, :64, :64])
    loss.backward()
    for name, weight in vae.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
