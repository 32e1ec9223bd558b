"""Damaged checkpoints are refused by one sentence that says what is wrong, or play as they should.

A small checkpoint is damaged in every way that disks, downloads and people know; what is left is a
ModelError, which the engine tells as lasting, or the pictures of the sound one.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file

from lwlive import hub
from lwlive.checkpoint import Additions, ModelError, Size, size_of
from lwlive.config import Config
from lwlive.engine.eager import Eager
from lwlive.engine.lastgood import LastGood
from lwlive.engine.load import PLAIN, load
from lwlive.engine.networks import Kind
from lwlive.engine.schedule import ScheduleError

pytestmark = pytest.mark.filterwarnings("ignore")
F32 = Kind("float32", True)
NETS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "tiny")


def opened(folder: Path, additions: Additions = PLAIN) -> Eager:
    """A checkpoint as a show opens it, as far as the first pictures."""
    hub.find(str(folder), True, folder.parent / "cache", print)
    hub.additions(Config(decoder="full"), folder, print)
    size = size_of(folder, None)
    model = Eager(load(folder, size, "cpu", F32, additions), 1)
    model.schedule(model.own["steps"], 0)
    model.denoise(torch.randn(1, *model.shape), 500.0, model.blank())
    return model


def configured(part: str, **values: object) -> Damage:
    """Change values of a part's configuration."""

    def damage(folder: Path) -> None:
        path = next((folder / part).glob("*config.json"))
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return damage


def indexed(**values: object) -> Damage:
    """Change entries of the checkpoint's index."""

    def damage(folder: Path) -> None:
        path = folder / "model_index.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return damage


def weighed(part: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Damage:
    """Change a network's tensors."""

    def damage(folder: Path) -> None:
        path = folder / part / NETS[part]
        save_file(change(load_file(path)), path, {"format": "pt"})

    return damage


def matrix(tensors: dict[str, Any]) -> str:
    return next(name for name, tensor in sorted(tensors.items()) if tensor.dim() > 1)


def lost(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor for name, tensor in tensors.items() if name != matrix(tensors)}


def spoilt(value: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(tensors: dict[str, Any]) -> dict[str, Any]:
        tensors[matrix(tensors)].view(-1)[3] = value
        return tensors

    return change


def zeros(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}


def reshaped(tensors: dict[str, Any]) -> dict[str, Any]:
    return tensors | {matrix(tensors): tensors[matrix(tensors)][..., :-1].contiguous()}


def written(name: str, data: bytes) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return damage


def cut(name: str, share: float) -> Damage:
    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])

    return damage


def without(part: str) -> Damage:
    def damage(folder: Path) -> None:
        shutil.rmtree(folder / part)

    return damage


JSON = (
    "model_index.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer.json",
)
TEXTS = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "cut": b'{"a": ',
    "deep": b"[" * 100_000,
    "binary": bytes(range(256)) * 4,
    "utf16": '{"a": 1}'.encode("utf-16"),
}
SPOILT: dict[str, Damage] = {
    f"{name} {how}": written(name, data) for name in JSON for how, data in TEXTS.items()
}
DAMAGES: dict[str, Damage] = {
    **SPOILT,
    **{f"no {part}": without(part) for part in (*NETS, "scheduler", "tokenizer")},
    **{
        f"{part} cut {share}": cut(f"{part}/{file}", share)
        for part, file in NETS.items()
        for share in (0.0, 0.01, 0.5, 0.99)
    },
    **{f"{part} rubbish": written(f"{part}/{file}", b"\xff" * 999) for part, file in NETS.items()},
    **{
        f"{part} {change.__name__} {value}": weighed(part, change)
        for part in NETS
        for change, value in (
            (lost, ""),
            (spoilt(torch.nan), "NaN"),
            (spoilt(torch.inf), "inf"),
            (spoilt(-torch.inf), "-inf"),
            (zeros, ""),
            (reshaped, ""),
            (lambda _: {"x": torch.zeros(1)}, "another's"),
        )
    },
    "no timesteps": configured("scheduler", num_train_timesteps=0),
    "timesteps -5": configured("scheduler", num_train_timesteps=-5),
    "timesteps text": configured("scheduler", num_train_timesteps="many"),
    "betas NaN": configured("scheduler", beta_start=float("nan")),
    "betas text": configured("scheduler", beta_schedule="cubic"),
    "prediction": configured("scheduler", prediction_type="telepathy"),
    "spacing": configured("scheduler", timestep_spacing="nowhere"),
    "clipping": configured("scheduler", clip_sample=True),
    "scheduler of the configuration": configured("scheduler", _class_name="NoSuchScheduler"),
    "scheduler of the index": indexed(scheduler=["diffusers", "NoSuchScheduler"]),
    "scheduler no class": indexed(scheduler=["diffusers", "__version__"]),
    "scheduler null": indexed(scheduler=None),
    "scheduler of another library": indexed(scheduler=["os", "system"]),
    "vae short": indexed(vae=["diffusers"]),
    "vae numbers": indexed(vae=[1, 2]),
    "vae unknown": indexed(vae=["diffusers", "AutoencoderNone"]),
    "text encoder short": indexed(text_encoder=["transformers"]),
    "text encoder text": indexed(text_encoder="transformers"),
    "text encoder T5": indexed(text_encoder=["transformers", "T5EncoderModel"]),
    "second text encoder missing": indexed(text_encoder_2=["transformers", "CLIPTextModel"]),
    "tokenizer null": indexed(tokenizer=None),
    "unet null": indexed(unet=None),
    "sample_size text": configured("unet", sample_size="abc"),
    "sample_size -4": configured("unet", sample_size=-4),
    "sample_size huge": configured("unet", sample_size=10**9),
    "sample_size three": configured("unet", sample_size=[8, 8, 8]),
    "sample_size odd": configured("unet", sample_size=1.5),
    "unet channels": configured("unet", in_channels=5, out_channels=5),
    "unet blocks": configured("unet", down_block_types=["NoBlock"]),
    "unet width": configured("unet", cross_attention_dim=48),
    "unet blocks null": configured("unet", block_out_channels=None),
    "vae scaling zero": configured("vae", scaling_factor=0.0),
    "vae scaling NaN": configured("vae", scaling_factor=float("nan")),
    "vae scaling text": configured("vae", scaling_factor="a"),
    "vae channels": configured("vae", latent_channels=16),
    "vae levels a number": configured("vae", block_out_channels=4),
    "vae levels too many": configured("vae", block_out_channels=[16] * 9),
    "vae levels told wrong": configured("vae", block_out_channels=[16] * 5),
    "words": configured("text_encoder", vocab_size=7),
    "places": configured("text_encoder", max_position_embeddings=3),
    "heads": configured("text_encoder", num_attention_heads=7),
    "own steps": written("lwlive.json", b'{"steps": 99}'),
    "own text": written("lwlive.json", b"[1]"),
    "own unknown": written("lwlive.json", b'{"colour": 1}'),
}


# Quick are each file once, and each way to spoil one.
SLOWER = SPOILT.keys() - {f"{JSON[n % len(JSON)]} {how}" for n, how in enumerate(TEXTS)}
SLOWER |= {name for name in DAMAGES if name.endswith((" inf", "-inf", "cut 0.01", "cut 0.99"))}
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOWER else name for name in DAMAGES]


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_checkpoint_is_one_sentence(name: str, folder: Path) -> None:
    DAMAGES[name](folder)
    with pytest.raises(ModelError) as caught:
        opened(folder)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert not said.endswith(": ")
    assert len(said) > 30


def test_a_decoder_for_latents_of_another_size_is_one_sentence(folder: Path) -> None:
    levels = {f"{part}_block_out_channels": (16,) * 3 for part in ("encoder", "decoder")}
    blocks = {f"num_{part}_blocks": (1,) * 3 for part in ("encoder", "decoder")}
    AutoencoderTiny(**levels, **blocks).save_pretrained(folder.parent / "half")
    with pytest.raises(ModelError, match="8 pixels a side, and the decoder makes 4 of it"):
        opened(folder, Additions(decoder=str(folder.parent / "half")))


@pytest.mark.parametrize(
    "damage",
    [
        configured("unet", sample_size=[8, 8]),
        configured("tokenizer", model_max_length=1e30),
        configured("scheduler", something_new=1),
        indexed(safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"]),
        weighed("unet", lambda tensors: {**tensors, "more.weight": torch.ones(3)}),
        lambda folder: (folder / "lwlive.json").unlink(),
    ],
)
def test_what_harms_nothing_is_no_reason(damage: Damage, folder: Path, sound: Path) -> None:
    expected = opened(sound).encode(["hello"])[0]
    damage(folder)
    model = opened(folder)
    assert torch.equal(model.encode(["hello"])[0], expected)
    assert model.notes == []


def test_two_names_of_a_scheduler_are_said(folder: Path) -> None:
    configured("scheduler", _class_name="LMSDiscreteScheduler")(folder)
    model = opened(folder)
    assert type(model.modules.scheduler).__name__ == "DDIMScheduler"  # as the stock pipeline does
    assert "LMSDiscreteScheduler" in model.notes[0]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_flag_tells_the_prediction_whatever_the_files_say(prediction: str, folder: Path) -> None:
    told = opened(folder, Additions(prediction=prediction))
    configured("scheduler", prediction_type=prediction)(folder)
    assert told.schedule(3, 0) == opened(folder).schedule(3, 0)
    again = Additions(prediction=prediction, scheduler="euler")
    assert opened(folder, again).modules.scheduler.config.prediction_type == prediction


def test_a_scheduler_that_gives_nan_is_refused_by_name_with_the_number(folder: Path) -> None:
    configured(
        "scheduler",
        _class_name="DDPMScheduler",
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        rescale_betas_zero_snr=True,
        timestep_spacing="linspace",
    )(folder)
    indexed(scheduler=["diffusers", "DDPMScheduler"])(folder)
    model = Eager(load(folder, Size(64, 64), "cpu", F32), 1)
    model.schedule(1, 0)
    with pytest.raises(ScheduleError, match=r"DDPMScheduler gives NaN for 4 steps"):
        model.schedule(4, 0)


def test_latents_that_are_nan_are_never_shown_whatever_the_decoder_makes_of_them() -> None:
    """A compiled decoder makes a dark picture of NaN and calls it good."""

    def decoder(latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = latents.nan_to_num(0.0).clamp(0, 255).mean((1, 2, 3), keepdim=True)
        pictures = values.expand(-1, 8, 8, 3).to(torch.uint8)
        return pictures, torch.ones(len(latents), dtype=torch.bool)

    good = LastGood()
    latents = torch.arange(1.0, 5.0).view(4, 1, 1, 1).repeat(1, 4, 2, 2) * 50
    latents[1, 2, 0, 1], latents[3, 0, 0, 0] = torch.nan, torch.inf
    found = good.decoded(decoder, latents, 2, 2)
    assert found[:, 0, 0, 0].tolist() == [50, 50, 150, 150]
    assert good.replaced == 2
    bad = torch.full((1, 4, 2, 2), torch.nan)
    assert good.decoded(decoder, bad, 2, 2)[0, 0, 0, 0] == 150
    assert good.replaced == 3


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400", "21", "-21", "1e39"])
def test_a_weight_of_a_lora_that_is_none_is_a_sentence(number: str, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").touch()
    config = Config(lora=[f"{tmp_path / 'x.safetensors'}:{number}"])
    with pytest.raises(ModelError, match="weight is a number from -20 to 20"):
        hub.additions(config, tmp_path, print)


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("x.safetensors", 1.0),
        ("[SDXL] neon, v2.safetensors:0.8", 0.8),
        ("a:2.safetensors:-1", -1.0),
        ("a:2", 1.0),
    ],
)
def test_a_loras_name_is_taken_as_it_is(name: str, weight: float, tmp_path: Path) -> None:
    path = tmp_path / (name if weight == 1 else name.rpartition(":")[0])
    path.touch()
    found = hub._lora(str(tmp_path / name), True, print)
    assert found == (str(path), weight)
