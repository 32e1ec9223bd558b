"""A single .safetensors file gives the pictures of the pipeline that it was written from.

The small files that describe a family are put into a hub's cache of its own; nobody is asked.
"""

import re
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
import ldm
import numpy as np
import pytest
import test_parity
import tiny
import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS
from safetensors.torch import save_file
from transformers import CLIPTextModelWithProjection

from lwlive import hub
from lwlive.checkpoint import ModelError, Size, own_values
from lwlive.engine.convert import ZERO_SNR, beside, convert, told
from lwlive.engine.eager import Eager
from lwlive.engine.load import load
from lwlive.engine.networks import Kind

pytestmark = pytest.mark.filterwarnings("ignore")
WIDE = {  # what SD 2 is known by: so wide a text in the second block
    "cross_attention_dim": 1024,
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
FAMILIES = {  # what diffusers calls it, a scheduler, and what tells the family from others
    "sd1": ("v1", test_parity.CASES["SD 1, DDIM"][1], {}),
    "sd2": ("v2", test_parity.CASES["SD 2 v, DDIM"][1], WIDE),
    "sdxl": ("xl_base", test_parity.CASES["SDXL, Euler"][1], {}),
}


class Cache:
    """A hub's cache, which the converter is pointed at."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
        monkeypatch.setenv("HF_HUB_CACHE", str(folder))  # the same for a child
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody answers

    def describe(self, kind: str, pipe: Any) -> None:
        """Put the files there that describe pipelines of this kind; no weights."""
        repo = DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"]
        top, commit = self.folder / f"models--{repo.replace('/', '--')}", "0" * 40
        pipe.save_pretrained(top / "snapshots" / commit)
        for weights in top.rglob("*.safetensors"):
            weights.unlink()
        (top / "refs").mkdir()
        (top / "refs" / "main").write_text(commit)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache with nothing in it."""
    return Cache(tmp_path / "hub", monkeypatch)


def pipeline(family: str) -> Any:
    """A pipeline of the real classes, of weights that float16 holds whole."""
    _, scheduler, options = FAMILIES[family]
    pipe = tiny.pipeline(scheduler, family=family)
    wide = {**tiny.SPATIAL, **tiny.FAMILIES[family], **options}
    if family == "sd2":
        pipe.text_encoder = tiny.text_encoder(pipe.tokenizer, 16, width=1024)
        pipe.unet = diffusers.UNet2DConditionModel(**wide)
    if family == "sdxl":  # its second encoder is known by its tenth layer, and by its width
        pipe.text_encoder_2 = tiny.text_encoder(
            pipe.tokenizer, 16, CLIPTextModelWithProjection, width=64, layers=10
        )
        more = {"cross_attention_dim": 96}
        pipe.unet = diffusers.UNet2DConditionModel(**wide | more)
    pipe.vae = tiny.full_decoder()
    for net in (pipe.unet, pipe.vae, pipe.text_encoder, getattr(pipe, "text_encoder_2", None)):
        if net is not None:
            net.half().float()
    return pipe


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_file_gives_the_pictures_of_its_pipeline(
    family: str, cache: Cache, tmp_path: Path
) -> None:
    pipe = pipeline(family)
    cache.describe(FAMILIES[family][0], pipe)
    ldm.write(pipe, tmp_path / "x.safetensors")
    convert(tmp_path / "x.safetensors", tmp_path / "x")
    model = Eager(load(tmp_path / "x", Size(64, 64), "cpu", Kind("float32", True)), 1)
    found = test_parity.ours(model, 2, 5.0, "hello", "bad")
    expected = test_parity.theirs(pipe, 2, 5.0, "hello", "bad")
    assert np.abs(found - expected).max() <= test_parity.TOLERANCE
    assert expected.std() > 0.01


@pytest.mark.slow
def test_a_file_is_made_into_a_folder_once_and_offline_asks_nobody(
    cache: Cache, tmp_path: Path
) -> None:
    pipe, said = pipeline("sd1"), list[str]()
    ldm.write(pipe, tmp_path / "x.safetensors")

    def found() -> Path:
        return hub.find(str(tmp_path / "x.safetensors"), True, tmp_path, said.append)

    with pytest.raises(ModelError, match="few small files from the hub, so connect") as caught:
        found()
    assert "offline" in str(caught.value).lower()
    cache.describe("v1", pipe)
    assert found() == found()
    # for the one that failed, too
    assert said == ["converting x.safetensors into a folder, once"] * 2
    assert own_values(found()) == {"steps": 8, "guidance": 7.5}


@pytest.mark.parametrize(
    ("keys", "about", "options"),
    [
        (set(), {}, {}),
        (set(), {"modelspec.prediction_type": "epsilon"}, {"prediction_type": "epsilon"}),
        (set(), {"modelspec.prediction_type": "v"}, {"prediction_type": "v_prediction"}),
        ({"v_pred"}, {}, {"prediction_type": "v_prediction"}),
        ({"v_pred", "ztsnr"}, {}, {"prediction_type": "v_prediction", **ZERO_SNR}),
    ],
)
def test_what_a_file_says_of_its_prediction_is_believed(
    keys: set[str], about: dict[str, str], options: dict[str, Any]
) -> None:
    assert told(keys, about) == options


def test_what_it_says_reaches_the_pictures(cache: Cache, tmp_path: Path) -> None:
    pipe = pipeline("sd1")
    cache.describe("v1", pipe)
    ldm.write(pipe, tmp_path / "x.safetensors", {"modelspec.prediction_type": "v"})
    convert(tmp_path / "x.safetensors", tmp_path / "x")
    pipe.scheduler.register_to_config(prediction_type="v_prediction")
    model = Eager(load(tmp_path / "x", Size(64, 64), "cpu", Kind("float32", True)), 1)
    found = test_parity.ours(model, 2, 1.0, "hello", "bad")
    expected = test_parity.theirs(pipe, 2, 1.0, "hello", "bad")
    assert np.abs(found - expected).max() <= test_parity.TOLERANCE


V = "model: {params: {parameterization: v}}"
SGM = "model: {params: {denoiser_config: {params: {scaling_config: {target: sgm.x.VScaling}}}}}"


@pytest.mark.parametrize(
    ("text", "prediction"),
    [
        (V, "v_prediction"),
        (SGM, "v_prediction"),
        (V.replace("v}", "eps}"), "epsilon"),
        (V.replace("v}", "x0}"), "sample"),
        ("model: {params: {}}", None),
        ("", None),
        ("[1]", None),
    ],
)
def test_the_yaml_beside_a_file_is_believed(
    text: str, prediction: str | None, tmp_path: Path
) -> None:
    (tmp_path / "x.yaml").write_text(text)
    assert beside(tmp_path / "x.safetensors").get("prediction_type") == prediction
    assert beside(tmp_path / "y.safetensors") == {}


@pytest.mark.parametrize("text", ["a: [", V.replace("v}", "w}"), V.replace("v}", "[v]}")])
def test_a_yaml_that_cannot_be_read_is_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "x.yaml"))):
        beside(tmp_path / "x.safetensors")


@pytest.mark.slow
def test_a_yaml_put_beside_a_file_later_counts(cache: Cache, tmp_path: Path) -> None:
    pipe = pipeline("sd1")
    pipe.scheduler.register_to_config(prediction_type="epsilon")  # it is shared by these tests
    cache.describe("v1", pipe)
    ldm.write(pipe, tmp_path / "x.safetensors")

    def prediction() -> Any:
        folder = hub.find(str(tmp_path / "x.safetensors"), True, tmp_path, lambda _: None)
        return load(
            folder, Size(64, 64), "cpu", Kind("float32", True)
        ).scheduler.config.prediction_type

    assert prediction() == "epsilon"
    (tmp_path / "x.yaml").write_text(V)
    assert prediction() == "v_prediction"


@pytest.mark.parametrize("what", ["unet", "rubbish"])
def test_a_file_that_is_no_whole_checkpoint_gets_a_sentence(what: str, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    if what == "unet":
        save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(4, 4)}, file)
    else:
        file.write_bytes(b"not at all")
    with pytest.raises(ValueError, match=r"not a checkpoint that lwlive can walk|cannot be read"):
        convert(file, tmp_path / "x")
    assert not (tmp_path / "x").exists()
