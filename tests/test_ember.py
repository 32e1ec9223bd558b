"""ember, the built-in model: its folder, its words, the pictures it learns from, training."""

import json
import math
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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
import keep  # noqa: E402
import latents  # noqa: E402
import likeness  # noqa: E402
import muon  # noqa: E402
import parts  # noqa: E402
import sample  # noqa: E402
import train  # noqa: E402
import words  # noqa: E402
from critic import SHARES, Critics  # noqa: E402

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
    assert pixels.shape == (512, 512, 3)
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
    command = "import sys; from lwlive.cli import subcommands; subcommands.main(['ember']); "
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


def test_a_saved_model_of_another_shape_is_not_trained_on(tmp_path: Path) -> None:
    old = folder.blank()
    small = {**old.unet.config, "in_channels": 4, "out_channels": 4}
    old.unet = type(old.unet).from_config(small).eval()
    folder.save(old, tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path} is of another shape"):
        train.begun(tmp_path)
    assert train.shape(train.begun(EMBER)) == train.shape(folder.blank())


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


def test_the_critics_learn_what_is_crisp_and_their_pull_is_a_share_of_the_errors() -> None:
    torch.manual_seed(0)
    critics, near = Critics(8), (slice(8, 40), slice(0, 32))
    eye = torch.optim.AdamW(critics.parameters(), 1e-2)
    drawn = torch.randn(6, 3, 64, 64)
    made = torch.nn.functional.avg_pool2d(drawn, 3, 1, 1)
    for _ in range(30):
        eye.zero_grad()
        critics.lesson(made, drawn, near).backward()
        eye.step()
    for critic in (critics.close, critics.far):
        complaint = critic.complaint(made, drawn)
        nearer = made - 0.1 * complaint / complaint.abs().max()
        with torch.no_grad():
            assert float(critic(drawn).mean()) > float(critic(made).mean())
            assert float(critic(nearer).mean()) > float(critic(made).mean())
    plain = denoiser.slope(critics, made, drawn, near, 0.0)
    both = denoiser.slope(critics, made, drawn, near, 0.5)
    change = float((both - plain).norm() / plain.norm())
    assert 0.5 * max(SHARES) * 0.9 < change <= 0.5 * sum(SHARES) * 1.001


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=pytest.mark.slow) if number % 4 else family
        for number, family in enumerate(words.FAMILIES)
    ],
)
def test_every_family_draws_something(family: str) -> None:
    picture, _, asked = draw.example(41, family)
    assert asked.family == family
    assert picture.shape == (3, canvas.SIZE, canvas.SIZE)
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


@pytest.mark.slow
def test_asked_colours_are_drawn() -> None:
    seen = []
    for seed in range(24):
        picture, _, asked = draw.example(seed)
        seen.append(judge.present(picture, asked.colours[:1]))
    assert sum(seen) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("family", list(words.FAMILIES))
def test_a_noise_near_another_draws_a_picture_near_it(family: str) -> None:
    start, other = draw.starting(3), draw.starting(4)
    near = math.cos(0.02) * start + math.sin(0.02) * other
    asked = caption.Wish(family, ("blue", "gold"), None, (), True)
    with torch.inference_mode():
        one, two, three = (draw.draw(asked, noise) for noise in (start, near, other))
    assert 0 < float((one - two).abs().mean()) < 0.4 * float((one - three).abs().mean())


MORE = [pytest.param(family, marks=pytest.mark.slow) for family in ("glass", "rings", "hills")]


@pytest.mark.parametrize("family", ["strands", "smoke", *MORE])
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
        gather.shard(tmp_path, 0)
        drawn = latents.Drawn(TOKENIZER, tmp_path)
        assert len(drawn.now().noise) == 2
        gather.shard(tmp_path, 3)
        data = drawn.now()
    for row, seed in enumerate((0, 1, 6, 7)):
        assert torch.equal(data.noise[row], draw.starting(seed).half())
        with torch.inference_mode():
            wanted = grade.as_bytes(draw.example(seed)[0])
        assert np.array_equal(data.picture(row).numpy(), wanted)
    now = parts.batch(data, 2, 5, 6)
    for noise, corner, part in zip(now.noise, now.corners.tolist(), now.drawn, strict=True):
        row = int((data.noise.float() - noise[:4]).abs().flatten(1).sum(1).argmin())
        assert torch.equal(noise[:4], data.noise[row].float())
        assert torch.equal(part, data.picture(row)[(slice(None), *parts.pixels(corner))])


@pytest.mark.slow
@given(st.integers(0, 12), st.integers(0, 12))
@settings(deadline=None, max_examples=6)
def test_what_counts_of_a_part_is_decoded_as_the_whole_picture_is(top: int, left: int) -> None:
    torch.manual_seed(0)
    decoder = folder.blank().vae.decoder.eval()
    z = torch.randn(1, folder.LATENTS, 32, 32)
    corner = torch.tensor([[top, left]])
    with torch.inference_mode():
        whole = decoder(z)[(..., *parts.pixels([top, left]))]
        alone = decoder(parts.crops(z, corner))
    mask, edge = parts.seen(corner, 32)[0, 0], parts.EDGE
    apart = (whole - alone).abs()[0].mean(0)
    assert float(mask.mean()) >= ((edge - 2) / edge) ** 2
    inside = float((apart * mask).sum() / mask.sum())
    if bool((mask == 0).any()):
        assert inside < 0.1 * float((apart * (1 - mask)).sum() / (1 - mask).sum())
    else:
        assert inside == 0


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
    """Random pictures and noises with true captions."""
    generator = torch.Generator().manual_seed(0)
    lines = [draw.example(i)[1] for i in range(count)]
    told = latents.tokenize(TOKENIZER, lines)[:, None].to(torch.int16)
    shape = (count, 3, canvas.SIZE, canvas.SIZE)
    return latents.Store(
        [torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))],
        torch.randn(count, 4, 32, 32, generator=generator).half(),
        told,
        torch.ones(count, dtype=torch.int16),
    )


def trained(checkpoint: Path, steps: int, *stops: int | None, **more: Any) -> folder.Ember:
    """A blank model that is trained on random pictures, two at a time, stopped now and then."""
    data = toy_store()
    with pytest.MonkeyPatch.context() as patch:
        # Which precision is quicker is measured, and other programs at work may change the answer.
        plain = torch.autocast("cpu", torch.bfloat16, enabled=False)
        patch.setattr(denoiser, "quicker", lambda _: plain)
        for stop in stops:
            ember = folder.blank()
            options = {"pairs": 2, **more}
            denoiser.train(ember, lambda: data, checkpoint, steps, lambda _: None, stop, **options)
    return ember


@pytest.mark.slow
def test_training_resumed_is_training_uninterrupted(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole.pt", 3, 3)
    parts = trained(tmp_path / "parts.pt", 3, 1, 3)
    before = folder.blank()
    for part in ("unet", "text"):
        net, again = (getattr(ember, part).parameters() for ember in (whole, parts))
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(net, again, strict=True)), part
    for old, a, b in zip(
        *(ember.vae.decoder.parameters() for ember in (before, whole, parts)), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-6)
        assert not torch.equal(old, a)
    assert not torch.equal(before.unet.conv_out.weight, whole.unet.conv_out.weight)


@pytest.mark.slow
def test_two_processes_learn_as_one_does_from_all_their_pictures(tmp_path: Path) -> None:
    each = """
import sys
import together, torch
together.begin()
torch.manual_seed(0)
net, seen = torch.nn.Linear(3, 2), torch.randn(8, 3)
net(seen.chunk(together.count())[together.number()]).square().mean().backward()
together.mean(net.parameters())
told = together.as_first(1.0 + together.number())
together.wait()
torch.save((net.weight.grad, net.bias.grad, told), f"{sys.argv[1]}/{together.number()}")
together.end()
"""
    path = os.pathsep.join(sys.path)
    alone = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", each, str(tmp_path)], env=alone, check=True)
    whole = torch.load(tmp_path / "0")
    for found in both(each, alone, tmp_path):
        assert all(torch.allclose(a, b) for a, b in zip(found[:2], whole[:2], strict=True))
        assert found[2] == [1.0], "the first one's clock counts"


def both(script: str, environment: dict[str, str], folder: Path) -> list[Any]:
    """What each of two processes, started as torchrun does, has saved under its number."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder)], env={**environment, **told, "RANK": n}
        )
        for n in "01"
    ]
    assert [each.wait(timeout=120) for each in started] == [0, 0]
    return [torch.load(folder / n) for n in "01"]


@pytest.mark.slow
def test_training_that_is_to_finish_in_time_has_slowed_down_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    advance = muon.advance

    def noted(tools: dict[str, torch.optim.Optimizer], rate: float) -> None:
        rates.append(rate)
        advance(tools, rate)
        time.sleep(0.2)

    monkeypatch.setattr(denoiser, "advance", noted)
    monkeypatch.setattr(denoiser, "rate", lambda _, share, peak: peak * (1 - min(1.0, share)))
    until = time.monotonic() + 6
    trained(tmp_path / "denoiser.pt", 10**6, None, until=until, finish=True)
    assert 0 <= time.monotonic() - until < 6
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.7 * rates[0]


@pytest.mark.slow
def test_training_stops_in_time_and_leaves_pieces_that_it_continues_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "PIECE", 2**20)
    checkpoint, safe = tmp_path / "denoiser.pt", tmp_path / "safe"
    options: dict[str, Any] = {
        "until": time.monotonic(),
        "kept": lambda: keep.cut(checkpoint, safe),
    }
    first = trained(checkpoint, 3, None, **options)
    done = keep.restore(checkpoint)
    assert done == 1, "the step that is begun when time is up is the last"
    assert all(path.stat().st_size <= 2**20 for path in safe.iterdir())
    checkpoint.rename(tmp_path / "whole.pt")
    assert keep.join(safe, checkpoint)
    assert checkpoint.read_bytes() == (tmp_path / "whole.pt").read_bytes()
    trained(checkpoint, 3, None)
    assert keep.restore(checkpoint) == 3
    assert first.unet.conv_out.weight.device.type == "cpu"


@given(size=st.integers(0, 5000), harm=st.sampled_from(["none", "missing", "cut", "changed"]))
@settings(deadline=None, max_examples=40)
def test_pieces_are_joined_whole_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, size: int, harm: str
) -> None:
    base = tmp_path_factory.mktemp("pieces")
    file, safe = base / "work" / "a.pt", base / "safe"
    file.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keep, "PIECE", 700)
        for content in (random.Random(size).randbytes(6000), random.Random(size).randbytes(size)):
            file.write_bytes(content)
            keep.cut(file, safe)
        pieces = sorted(p for p in safe.iterdir() if p.suffix != ".json")
        assert len(pieces) == -(-size // 700), "those of the file before are gone"
        if harm != "none" and pieces:
            {
                "missing": lambda p: p.unlink(),
                "cut": lambda p: p.write_bytes(p.read_bytes()[:-1]),
                "changed": lambda p: p.write_bytes(bytes([p.read_bytes()[0] ^ 1]) + b"x" * 9),
            }[harm](pieces[-1])
            with pytest.raises(ValueError, match="copy"):
                keep.join(safe, base / "b" / "a.pt")
            assert not (base / "b" / "a.pt").exists()
        else:
            assert keep.join(safe, base / "b" / "a.pt")
            assert (base / "b" / "a.pt").read_bytes() == content
    assert not keep.join(base / "nowhere", file)


@pytest.mark.skipif(torch.cuda.is_available(), reason="tells what is said without a GPU")
def test_a_gpu_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train.main(["--work", str(tmp_path), "--device", "cuda"])
    assert "leave --device out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "told"),
    [(["--pictures", "5"], "--pictures wants"), (["--pieces", "SAFE"], "is missing: copy all")],
)
def test_what_training_cannot_begin_with_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], told: str
) -> None:
    safe = tmp_path / "safe"
    (tmp_path / "denoiser.pt").write_bytes(b"weights")
    keep.cut(tmp_path / "denoiser.pt", safe)
    next(safe.glob("*.000")).unlink()
    words = [str(safe) if flag == "SAFE" else flag for flag in flags]
    with pytest.raises(SystemExit):
        train.main(["--work", str(tmp_path / "work"), "--stage", "save", *words])
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_training_makes_a_folder_that_the_stock_pipeline_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denoiser, "PAIRS", 2)
    monkeypatch.setattr(autoencoder, "BATCH", 2)
    work, out = str(tmp_path / "work"), str(tmp_path / "work" / "ember")
    steps = ["--denoiser-steps", "1", "--encoder-steps", "1"]
    for module in (gather, latents):
        monkeypatch.setattr(module, "SHARD", 2)
    for number in range(2):
        gather.shard(tmp_path / "work" / "data", number)
    monkeypatch.setattr(folder, "TARGET", tmp_path / "built-in")
    for stage in ("denoiser", "encoder", "save"):
        train.main(["--work", work, "--stage", stage, "--threads", "1", *steps])
    assert not folder.TARGET.exists()
    pipe = StableDiffusionPipeline.from_pretrained(out)
    pipe.set_progress_bar_config(disable=True)
    made = pipe("gold rings", num_inference_steps=1, guidance_scale=1.0, output_type="np").images
    assert made.shape == (1, canvas.SIZE, canvas.SIZE, 3)


@pytest.mark.slow
def test_a_blank_decoder_begins_with_colours() -> None:
    vae = folder.blank().vae
    picture = torch.stack([draw.example(seed)[0] for seed in (3, 4)]) * 2 - 1
    assert float(autoencoder.decibels(vae, picture).mean()) > 12


@pytest.mark.parametrize("stage", ["save", "all"])
@pytest.mark.parametrize("out", [None, "chosen"])
def test_the_model_is_written_where_it_is_said_and_else_among_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, out: str | None
) -> None:
    written: list[Path] = []
    monkeypatch.setattr(folder, "save", lambda _, where: written.append(where))
    for part in ("draw", "learn", "trained"):
        monkeypatch.setattr(train, part, lambda *_: folder.blank())
    monkeypatch.setattr(autoencoder, "train", lambda *_, **__: None)
    more = ["--out", str(tmp_path / out)] if out else []
    train.main(["--work", str(tmp_path / "work"), "--stage", stage, *more])
    assert written == [tmp_path / out if out else tmp_path / "work" / "ember"]


@pytest.mark.slow
def test_the_encoder_learns_and_leaves_the_decoder_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "SHARD", 2)
    gather.shard(tmp_path, 0)
    vae, before = folder.blank().vae, folder.blank().vae
    autoencoder.train(vae, tmp_path, tmp_path / "vae.pt", 1, lambda _: None)
    for old, new in zip(before.decoder.parameters(), vae.decoder.parameters(), strict=True):
        assert torch.equal(old, new)
    pairs = zip(before.encoder.parameters(), vae.encoder.parameters(), strict=True)
    assert not any(torch.equal(old, new) for old, new in pairs)
