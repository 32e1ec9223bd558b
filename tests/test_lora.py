"""LoRAs change pictures as they do in the stock pipeline, however their files are written."""

from pathlib import Path
from typing import Any

import pytest
import test_parity
import tiny
import torch
from safetensors.torch import save_file

from lwlive.checkpoint import Additions, ModelError, Size
from lwlive.engine.eager import Eager
from lwlive.engine.load import load
from lwlive.engine.networks import Kind

pytestmark = pytest.mark.filterwarnings("ignore")
ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0.attn2"
LAYERS = [f"{ATTENTION}.to_q", f"{ATTENTION}.to_out.0", "down_blocks.0.resnets.0.conv1"]
WORDS = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.1.mlp.fc1"]
RANK = 4
OWN = {"sd1": "SD 1, DDIM", "sd2": "SD 2 v, DDIM", "sdxl": "SDXL, Euler", "lcm": "LCM"}


def factors(net: Any, names: list[str], scale: float = 1.0) -> dict[str, tuple[Any, Any]]:
    """Random down and up weights for layers of a network."""
    torch.manual_seed(3)
    found = {}
    for name in names:
        out, *rest = net.get_submodule(name).weight.shape
        down = torch.randn(RANK, *rest) * scale
        up = torch.randn(out, RANK, *[1] * (len(rest) - 1)) * 0.2
        found[name] = (down, up)
    return found


def as_diffusers(parts: dict[str, dict[str, tuple[Any, Any]]]) -> dict[str, Any]:
    """The names of diffusers' own training scripts."""
    halves = ("lora_A", "lora_B")
    return {
        f"{net}.{'text_model.' if 'text' in net else ''}{name}.{half}.weight": tensor
        for net, layers in parts.items()
        for name, pair in layers.items()
        for half, tensor in zip(halves, pair, strict=True)
    }


def as_kohya(parts: dict[str, dict[str, tuple[Any, Any]]]) -> dict[str, Any]:
    """The names of the most used training scripts, with an alpha for each layer."""
    nets = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}
    found = {}
    for net, layers in parts.items():
        for name, (down, up) in layers.items():
            stem = nets[net] + name.replace(".", "_")
            found[f"{stem}.lora_down.weight"], found[f"{stem}.lora_up.weight"] = down, up
            found[f"{stem}.alpha"] = torch.tensor(2.0)
    return found


def opened(path: Path, *loras: tuple[str, float]) -> Eager:
    additions = Additions(loras=loras)
    return Eager(load(path, Size(64, 64), "cpu", Kind("float32", True), additions), 1)


@pytest.mark.parametrize("written", [as_diffusers, as_kohya])
@pytest.mark.parametrize(
    "family", ["sd1", *(pytest.param(name, marks=pytest.mark.slow) for name in (*OWN,)[1:])]
)
def test_loras_give_what_the_stock_pipeline_gives(
    written: Any, family: str, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="the stock pipeline needs peft for LoRAs")
    name = OWN[family]
    path = tiny.folder(tmp_path / "m", test_parity.CASES[name][1], family)
    pipe = tiny.pipeline(test_parity.CASES[name][1], family=family)
    parts = {"unet": factors(pipe.unet, LAYERS)}
    if family != "sdxl":
        # the stock pipeline drops the text encoder's attention from files of the other kind
        words = WORDS if written is as_diffusers else WORDS[1:]
        parts["text_encoder"] = factors(pipe.text_encoder, words)
    elif written is as_diffusers:
        parts["text_encoder"] = factors(pipe.text_encoder, WORDS)
        parts["text_encoder_2"] = factors(pipe.text_encoder_2.text_model, WORDS)
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    save_file(written(parts), files[0])
    save_file(written({"unet": factors(pipe.unet, LAYERS[:1], 0.5)}), files[1])
    for n, file in enumerate(files):
        pipe.load_lora_weights(str(file), adapter_name=f"n{n}")
    pipe.set_adapters(["n0", "n1"], [0.7, 1.2])
    prompt = ("hello", "bad")
    expected = test_parity.theirs(pipe, 2, 5.0, *prompt)
    found = test_parity.ours(
        opened(path, (str(files[0]), 0.7), (str(files[1]), 1.2)), 2, 5.0, *prompt
    )
    assert abs(found - expected).max() <= test_parity.TOLERANCE
    assert abs(found - test_parity.ours(opened(path), 2, 5.0, *prompt)).max() > 0.01


def test_weight_zero_is_no_lora(tmp_path: Path) -> None:
    path = tiny.folder(tmp_path / "m")
    pipe = tiny.pipeline()
    save_file(as_diffusers({"unet": factors(pipe.unet, LAYERS)}), tmp_path / "x.safetensors")
    plain, none = opened(path), opened(path, (str(tmp_path / "x.safetensors"), 0.0))
    for a, b in zip(
        plain.modules.denoiser.parameters(), none.modules.denoiser.parameters(), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({f"unet.{LAYERS[0]}.lora_A.weight": 4}, "no pairs of down and up"),
        ({"unet.mid_block.x.lora_A.weight": 4}, "another kind"),
        ({f"unet.{LAYERS[0]}.lora_{half}.weight": 7 for half in "AB"}, "another kind"),
        (
            {f"text_encoder_2.{WORDS[0]}.lora_{half}.weight": 4 for half in "AB"},
            "does not have",
        ),
        ({"unet.conv_in.weight": 4}, "not a LoRA that lwlive knows"),
    ],
)
def test_a_file_that_does_not_fit_gets_a_sentence(
    tensors: dict[str, int], said: str, tmp_path: Path
) -> None:
    path = tiny.folder(tmp_path / "m")
    file = tmp_path / "x.safetensors"
    save_file({name: torch.ones(side, side) for name, side in tensors.items()}, file)
    with pytest.raises(ModelError, match=said):
        opened(path, (str(file), 1.0))


def test_a_file_that_is_no_safetensors_gets_a_sentence(tmp_path: Path) -> None:
    path = tiny.folder(tmp_path / "m")
    (tmp_path / "x.safetensors").write_bytes(b"not at all")
    with pytest.raises(ModelError, match="cannot be read"):
        opened(path, (str(tmp_path / "x.safetensors"), 1.0))


def test_the_text_encoders_attention_is_read_from_both_kinds_of_files(tmp_path: Path) -> None:
    path = tiny.folder(tmp_path / "m")
    pipe = tiny.pipeline()
    parts = {"unet": factors(pipe.unet, LAYERS), "text_encoder": factors(pipe.text_encoder, WORDS)}
    conds = []
    for written, weight in ((as_diffusers, 0.5), (as_kohya, 1.0)):  # alpha 2 of rank 4 is half
        save_file(written(parts), tmp_path / "x.safetensors")
        conds.append(opened(path, (str(tmp_path / "x.safetensors"), weight)).encode(["hello"])[0])
    assert torch.allclose(conds[0], conds[1], atol=1e-5)
    assert not torch.allclose(conds[0], opened(path).encode(["hello"])[0], atol=1e-2)
