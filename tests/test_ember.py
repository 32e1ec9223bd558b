"""ember, the built-in model: its folder, its words, the pictures it learns from, training."""

import json
import math
import subprocess
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
import canvas  # noqa: E402
import caption  # noqa: E402
import denoiser  # noqa: E402
import draw  # noqa: E402
import folder  # noqa: E402
import gather  # noqa: E402
import grade  # noqa: E402
import judge  # noqa: E402
import latents  # noqa: E402
import likeness  # noqa: E402
import muon  # noqa: E402
import sample  # noqa: E402
import words  # noqa: E402
from critic import Critic  # noqa: E402

TOKENIZER = CLIPTokenizer.from_pretrained(EMBER / "tokenizer")


def test_folder_is_small_and_half_precision() -> None:
    assert sum(p.stat().st_size for p in EMBER.rglob("*") if p.is_file()) <= 24_000_000
    weights = sorted(EMBER.rglob("*.safetensors"))
    assert {path.parent.name for path in weights} == {"text_encoder", "unet", "vae"}
    for path in weights:
        with safe_open(path, "pt") as file:
            assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118 (no dict)


@pytest.mark.slow
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
    kinds = json.loads((EMBER / "words.json").read_text("utf-8")).values()
    for word in {
        word for names in kinds for said in names.values() for word in " ".join(said).split()
    }:
        assert len(TOKENIZER(word).input_ids) == 3, word


def test_unknown_words_keep_their_bytes() -> None:
    assert TOKENIZER("blåbær").input_ids != TOKENIZER("blabar").input_ids
    assert TOKENIZER.unk_token_id not in TOKENIZER("zürich 世界").input_ids[1:-1]


def test_ember_prints_every_word_it_knows_without_torch() -> None:
    command = "import sys; from lwlive.cli import commands; commands.main(['ember']); "
    command += "assert 'torch' not in sys.modules"
    said = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    told = json.loads((EMBER / "words.json").read_text("utf-8"))
    for kind, drawn in json.loads(folder.told()).items():
        assert told[kind].keys() <= drawn.keys(), "what the weights know is drawn"
        assert all(name in said for names in told[kind].values() for name in names)


def test_a_saved_model_trained_on_knows_what_it_knew() -> None:
    before = sample.open_folder(EMBER).text.get_input_embeddings().weight
    moved = folder.blank()
    rows, ids = moved.tokenizer.get_vocab(), list(range(folder.VOCABULARY))
    moved.tokenizer = CLIPTokenizer(
        vocab={piece: ids[-1 - row] for piece, row in rows.items()},
        merges=[],
        model_max_length=folder.TOKENS,
    )
    assert moved.tokenizer.get_vocab() != rows
    with torch.no_grad():
        moved.text.get_input_embeddings().weight.copy_(before.flip(0))
    again = folder.retold(moved)
    known = again.text.get_input_embeddings().weight
    for piece, row in again.tokenizer.get_vocab().items():
        assert torch.equal(known[row], before[rows[piece]]), piece


def test_pictures_of_what_is_mentioned_are_taken_more_often() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents, "SHARD", 40)
        _, plain = latents.tellings(TOKENIZER, 0, ())
        _, weight = latents.tellings(TOKENIZER, 0, ("smoke", "ink", "ink", "soft"))
    for seed in range(40):
        asked = caption.wish(np.random.default_rng(seed))
        often = {"smoke": 2, "ink": 3}.get(asked.family, 1) + ("soft" in asked.modifiers)
        assert weight[seed] == plain[seed] * often
    assert not torch.equal(plain, weight)
    told = json.loads((EMBER / "words.json").read_text("utf-8"))
    new = words.FAMILIES.keys() - told["families"].keys()
    assert folder.unknown(sample.open_folder(EMBER)) == new


def test_blurring_takes_fine_detail_away_and_likeness_of_seeds_their_distance() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(4, 3, 64, 64)
    blurred = torch.nn.functional.avg_pool2d(pictures, 3, 1, 1)
    assert bool((likeness.detail(blurred) < 0.5 * likeness.detail(pictures)).all())
    assert torch.allclose(likeness.detail(pictures / 2), likeness.detail(pictures) / 4)
    groups = pictures.unflatten(0, (2, 2))
    assert likeness.spread(groups.mean(1, keepdim=True).expand_as(groups)) == 0
    assert math.isclose(likeness.spread(groups / 2), likeness.spread(groups) / 2, rel_tol=1e-5)


@given(st.integers(4, 40), st.floats(0, 1), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_every_picture_is_learnt_from_its_noise_and_none_twice_at_a_time(
    count: int, further: float, seed: int
) -> None:
    torch.manual_seed(seed)
    first, *others = denoiser.course(count, further)
    assert first.tolist() == [999] * count
    assert all(len(times) <= count for times in others)
    for before, times in zip([first, *others], others, strict=False):
        assert bool((times < before[: len(times)]).all())


def test_the_critic_learns_what_is_crisp_and_its_pull_is_a_share_of_the_errors() -> None:
    torch.manual_seed(0)
    critic = Critic(8)
    eye = torch.optim.AdamW(critic.parameters(), 1e-2)
    drawn = torch.randn(6, 4, 32, 32)
    made = torch.nn.functional.avg_pool2d(drawn, 3, 1, 1)
    for _ in range(30):
        eye.zero_grad()
        critic.lesson(made, drawn).backward()
        eye.step()
    complaint = critic.complaint(made, drawn)
    nearer = made - 0.1 * complaint / complaint.abs().max()
    with torch.no_grad():
        assert float(critic(drawn).mean()) > float(critic(made).mean())
        assert float(critic(nearer).mean()) > float(critic(made).mean())
    add = torch.ones(6, 1, 1, 1)
    plain = denoiser.slope(critic, made, drawn, add, 0.0)
    both = denoiser.slope(critic, made, drawn, add, 0.5)
    assert math.isclose(float((both - plain).norm()), 0.5 * float(plain.norm()), rel_tol=1e-4)


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
    assert 1 <= len(told.split()) <= 20
    for family in (asked.family, asked.second):
        assert family is None or any(name in told for name in words.FAMILIES[family][0])
    said = told.replace(",", " ").split()
    named = asked.colours if asked.named else ()
    for colour in (*named, *((asked.ground,) if asked.ground else ())):
        assert any(name in said for name in words.COLOURS[colour][1])
    for kind in asked.modifiers:
        assert any(name in said for name in words.MODIFIERS[kind])


def test_asked_colours_are_drawn() -> None:
    seen = []
    for seed in range(24):
        picture, _, asked = draw.example(seed)
        seen.append(judge.present(picture, asked.colours[:1]))
    assert sum(seen) >= 20


@pytest.mark.parametrize("family", list(words.FAMILIES))
def test_a_noise_near_another_draws_a_picture_near_it(family: str) -> None:
    start, other = draw.starting(3), draw.starting(4)
    near = math.cos(0.02) * start + math.sin(0.02) * other
    asked = caption.Wish(family, ("blue", "gold"), None, (), True)
    with torch.inference_mode():
        one, two, three = (draw.draw(asked, noise) for noise in (start, near, other))
    assert 0 < float((one - two).abs().mean()) < 0.4 * float((one - three).abs().mean())


@pytest.mark.parametrize("family", ["strands", "smoke", "glass", "rings", "hills"])
def test_what_is_symmetric_is_more_like_its_mirror_images(family: str) -> None:
    unlike = []
    for modifiers in ((), ("symmetric",)):
        asked = caption.Wish(family, ("blue", "gold"), None, modifiers, True)
        with torch.inference_mode():
            picture = draw.draw(asked, draw.starting(3))
        mirrored = torch.stack((picture.flip(1), picture.flip(2)))
        unlike.append(float((mirrored - picture).abs().mean() / picture.std()))
    assert unlike[1] < 0.8 * unlike[0]


def test_the_planes_of_a_noise_are_unit_normal_and_unlike_each_other() -> None:
    sheet = canvas.Canvas(draw.starting(1))
    planes = torch.stack([sheet.source().flatten() for _ in range(16)])
    likeness = torch.corrcoef(planes) - torch.eye(16)
    assert float(likeness.abs().max()) < 0.15
    assert torch.allclose(planes.std(1), torch.ones(16), atol=0.1)


@given(st.floats(1, 40))
@settings(deadline=None, max_examples=30)
def test_a_field_read_from_noise_has_unit_variance_at_every_pixel(cells: float) -> None:
    assert torch.allclose(canvas.spread(cells).norm(dim=1), torch.ones(canvas.SIZE), atol=1e-5)


@pytest.mark.slow
def test_training_pairs_each_picture_with_the_noise_it_was_drawn_from(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (gather, latents):
            patch.setattr(module, "SHARD", 2)
        for number in (0, 3):
            gather.shard(tmp_path, number)
        data = latents.load(folder.blank().vae, TOKENIZER, tmp_path, tmp_path / "latents")
    for row, seed in enumerate((0, 1, 6, 7)):
        assert torch.equal(data.noise[row], draw.starting(seed).half())
        with torch.inference_mode():
            picture = torch.from_numpy(grade.as_bytes(draw.example(seed)[0])) / 127.5 - 1
            wanted = folder.blank().vae.encoder(picture[None])[0]
        assert torch.allclose(data.latents[row].float(), wanted, atol=0.02)


@pytest.mark.parametrize("shape", [(20, 70), (70, 20), (48, 48)])
def test_a_step_of_the_optimiser_turns_every_direction_alike(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(shape))
    tool = muon.Muon([weight], decay=0.0)
    tool.param_groups[0]["lr"] = 1.0
    weight.grad = torch.randn(shape)
    tool.step()
    strengths = torch.linalg.svdvals(weight.detach()) / (0.2 * max(shape) ** 0.5)
    assert 0.6 < float(strengths.min()) < float(strengths.max()) < 1.3


def test_no_step_of_the_optimiser_is_longer_than_a_whole_turn() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(48, 60))
    tool = muon.Muon([weight], decay=0.0)
    tool.param_groups[0]["lr"] = 1.0
    for _ in range(4 * muon.EVERY):  # every time in few directions, and mostly in new ones
        before = weight.detach().clone()
        weight.grad = torch.randn(48, 1) @ torch.randn(1, 60)
        tool.step()
        length = float((weight.detach() - before).norm()) / (0.2 * 60**0.5)
        assert 0 < length <= 1.001 * 48**0.5


def toy_store(count: int = 8) -> latents.Store:
    """Random latents with true captions."""
    generator = torch.Generator().manual_seed(0)
    lines = [draw.example(i)[1] for i in range(count)]
    told = latents.tokenize(TOKENIZER, lines)[:, None].to(torch.int16)
    return latents.Store(
        torch.randn(count, 4, 32, 32, generator=generator).half(),
        torch.randn(count, 4, 32, 32, generator=generator).half(),
        told,
        torch.ones(count, dtype=torch.int16),
    )


@pytest.mark.slow
def test_training_resumed_is_training_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denoiser, "PAIRS", 4)
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
    assert float(autoencoder.decibels(vae, picture).mean()) > 15
    loss = autoencoder.step_loss(vae, picture[:, :, :64, :64])
    loss.backward()
    for name, weight in vae.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


def test_a_saved_autoencoder_trained_on_keeps_what_latents_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "SHARD", 2)
    gather.shard(tmp_path, 0)
    vae, before = folder.blank().vae, folder.blank().vae
    autoencoder.train(vae, tmp_path, tmp_path / "vae.pt", 1, lambda _: None, frozen=0)
    for old, new in zip(before.encoder.parameters(), vae.encoder.parameters(), strict=True):
        assert torch.equal(old, new)
    pairs = zip(before.decoder.parameters(), vae.decoder.parameters(), strict=True)
    assert not all(torch.equal(old, new) for old, new in pairs)
