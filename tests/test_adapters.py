"""Relatives of LoRAs are applied as their papers say, or named; nothing is applied by half."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lwlive.checkpoint import Additions, ModelError, Size
from lwlive.engine.adapters.layers import spellings
from lwlive.engine.adapters.lora import fuse
from lwlive.engine.eager import Eager
from lwlive.engine.load import load
from lwlive.engine.networks import Kind

pytestmark = pytest.mark.filterwarnings("ignore")
LINEAR = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"  # 64 x 64
FLAT = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"  # 64 x 32
CONV = "down_blocks.1.resnets.0.conv1"  # 64 x 32 x 3 x 3
R = 4
r = torch.randn


@pytest.fixture(scope="module")
def pipe() -> Any:
    return tiny.pipeline()


@pytest.fixture
def nets(pipe: Any) -> Any:
    """The networks of a small checkpoint, as they were before every test."""
    parts = {"unet": pipe.unet, "text_encoder": pipe.text_encoder}
    before = {net: {k: v.clone() for k, v in m.state_dict().items()} for net, m in parts.items()}
    yield parts
    for net, module in parts.items():
        module.load_state_dict(before[net])


def kohya(layer: str, parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """A layer's parts under the names of the most used training scripts."""
    stem = "lora_unet_" + layer.replace(".", "_")
    return {f"{stem}.{part}": tensor.contiguous() for part, tensor in parts.items()}


def weight(nets: Any, layer: str) -> Tensor:
    found: Tensor = nets["unet"].get_submodule(layer).weight.detach().clone()
    return found


def added(nets: Any, layer: str, parts: dict[str, Tensor], by: float, path: Path) -> Tensor:
    """What a file with this one layer changes in its weight."""
    save_file(kohya(layer, parts), path / "x.safetensors")
    before = weight(nets, layer)
    assert fuse(path / "x.safetensors", by, nets) == ({}, [])
    return weight(nets, layer) - before


def lora(out: int, in_: int, *kernel: int) -> dict[str, Tensor]:
    ones = [1] * len(kernel)
    return {"lora_down.weight": r(R, in_, *kernel), "lora_up.weight": r(out, R, *ones)}


def product(parts: dict[str, Tensor]) -> Tensor:
    up, down = parts["lora_up.weight"], parts["lora_down.weight"]
    return (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


@pytest.mark.parametrize(("alpha", "scale"), [(None, 1.0), (2.0, 0.5), (8.0, 2.0)])
def test_a_missing_alpha_is_the_rank(
    alpha: float | None, scale: float, nets: Any, tmp_path: Path
) -> None:
    parts = lora(64, 32, 3, 3)
    expected = 0.7 * scale * product(parts)
    if alpha is not None:
        parts["alpha"] = torch.tensor(alpha)
    assert torch.allclose(added(nets, CONV, parts, 0.7, tmp_path), expected, atol=1e-4)


def test_tucker_factors_are_the_three_convolutions_they_stand_for(
    nets: Any, tmp_path: Path
) -> None:
    parts = {
        "lora_down.weight": r(R, 32, 1, 1),
        "lora_mid.weight": r(R, R, 3, 3),
        "lora_up.weight": r(64, R, 1, 1),
        "alpha": torch.tensor(2.0),
    }
    x = r(1, 32, 8, 8)
    expected = x
    for part, padding in (("down", 0), ("mid", 1), ("up", 0)):
        expected = nn.functional.conv2d(expected, parts[f"lora_{part}.weight"], padding=padding)
    change = added(nets, CONV, parts, 0.5, tmp_path)
    found = nn.functional.conv2d(x, change, padding=1)
    assert torch.allclose(found, 0.5 * 0.5 * expected, atol=1e-2, rtol=1e-3)


def test_loha_is_a_product_of_two_products(nets: Any, tmp_path: Path) -> None:
    parts = {
        f"hada_w{n}_{half}": r(64, R) if half == "a" else r(R, 64) for n in (1, 2) for half in "ab"
    }
    expected = (parts["hada_w1_a"] @ parts["hada_w1_b"]) * (parts["hada_w2_a"] @ parts["hada_w2_b"])
    change = added(nets, LINEAR, {**parts, "alpha": torch.tensor(1.0)}, 1.0, tmp_path)
    assert torch.allclose(change, expected / R, atol=1e-4)


def test_loha_in_tucker_form(nets: Any, tmp_path: Path) -> None:
    parts = {f"hada_t{n}": r(R, R, 3, 3) for n in (1, 2)}
    parts |= {f"hada_w{n}_a": r(R, 64) for n in (1, 2)} | {f"hada_w{n}_b": r(R, 32) for n in (1, 2)}
    sides = [
        torch.einsum(
            "pqkl,po,qi->oikl", parts[f"hada_t{n}"], parts[f"hada_w{n}_a"], parts[f"hada_w{n}_b"]
        )
        for n in (1, 2)
    ]
    change = added(nets, CONV, parts, 1.0, tmp_path)
    assert torch.allclose(change, sides[0] * sides[1], atol=1e-3)


@pytest.mark.parametrize("split", ["", "1", "2", "12"])
def test_lokr_is_a_kronecker_product(split: str, nets: Any, tmp_path: Path) -> None:
    w1, w2 = r(8, R) @ r(R, 8), r(8, R) @ r(R, 8)
    parts: dict[str, torch.Tensor] = {}
    alpha = 2.0
    for n, whole in ((1, w1), (2, w2)):
        if str(n) in split:
            parts |= {f"lokr_w{n}_a": whole, f"lokr_w{n}_b": torch.eye(8)}
        else:
            parts[f"lokr_w{n}"] = whole
    scale = alpha / 8 if split else 1.0  # alpha belongs to a rank, and there may be none
    change = added(nets, LINEAR, {**parts, "alpha": torch.tensor(alpha)}, 1.0, tmp_path)
    assert torch.allclose(change, scale * torch.kron(w1, w2), atol=1e-4)


def test_lokr_of_a_convolution(nets: Any, tmp_path: Path) -> None:
    one, other = r(8, 4), r(8, 8, 3, 3)
    change = added(nets, CONV, {"lokr_w1": one, "lokr_w2": other}, 1.0, tmp_path)
    expected = torch.einsum("ab,cdkl->acbdkl", one, other).reshape(64, 32, 3, 3)
    assert torch.allclose(change, expected, atol=1e-5)


def test_whole_differences_and_biases_are_added(nets: Any, tmp_path: Path) -> None:
    bias = nets["unet"].get_submodule(CONV).bias.detach().clone()
    parts = {"diff": r(64, 32, 3, 3), "diff_b": r(64)}
    assert torch.allclose(added(nets, CONV, parts, 0.5, tmp_path), 0.5 * parts["diff"], atol=1e-5)
    after = nets["unet"].get_submodule(CONV).bias
    assert torch.allclose(after, bias + 0.5 * parts["diff_b"], atol=1e-5)


@pytest.mark.parametrize("layer", [LINEAR, FLAT, CONV])
@pytest.mark.parametrize("rows", [True, False])
def test_a_dora_gives_the_lengths_it_keeps(
    layer: str, rows: bool, nets: Any, tmp_path: Path
) -> None:
    before = weight(nets, layer)
    parts = lora(*before.shape)
    side = before.shape[0 if rows else 1]
    ones = [1] * (before.dim() - 2)
    lengths = torch.rand(side) + 0.5
    shape = [side, 1, *ones] if rows else [1, side, *ones]
    change = added(nets, layer, {**parts, "dora_scale": lengths.view(shape)}, 1.0, tmp_path)
    both = before + product(parts)
    found = (before + change).transpose(0, 0 if rows else 1).flatten(1)
    direction = both.transpose(0, 0 if rows else 1).flatten(1)
    assert torch.allclose(found.norm(dim=1), lengths, atol=1e-4)
    assert torch.allclose(
        nn.functional.cosine_similarity(found, direction), torch.ones(side), atol=1e-4
    )


def test_half_a_dora_is_half_of_the_change_and_none_is_none(nets: Any, tmp_path: Path) -> None:
    parts = {**lora(64, 64), "dora_scale": torch.full((64, 1), 3.0)}
    whole = added(nets, LINEAR, parts, 1.0, tmp_path)
    nets["unet"].get_submodule(LINEAR).weight.data.sub_(whole)
    half = added(nets, LINEAR, parts, 0.5, tmp_path)
    assert torch.allclose(half, whole / 2, atol=1e-4)
    assert not added(nets, LINEAR, parts, 0.0, tmp_path).any()


@pytest.mark.parametrize("rooted", [False, True])
@pytest.mark.parametrize("dora", [False, True])
def test_what_peft_saves_gives_what_peft_computes(
    dora: bool, rooted: bool, nets: Any, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        r=R,
        lora_alpha=6,
        use_dora=dora,
        use_rslora=rooted,
        target_modules=["to_q", "conv1", "to_out.0"],
        init_lora_weights=False,
    )
    fresh = tiny.pipeline().unet
    fresh.load_state_dict(nets["unet"].state_dict())
    theirs = peft.get_peft_model(fresh, config)
    for name, parameter in theirs.named_parameters():
        if "magnitude" in name:
            parameter.data.mul_(1.3)
    theirs.save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    assert fuse(file, 1.0, nets) == ({}, [])
    inputs = r(1, 4, 8, 8), 500, r(1, 16, 32)
    with torch.no_grad():
        expected, found = theirs(*inputs).sample, nets["unet"](*inputs).sample
    assert torch.allclose(expected, found, atol=2e-4)
    (tmp_path / "adapter_config.json").write_text("[")
    with pytest.raises(ModelError, match="says of itself"):
        fuse(file, 1.0, nets)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_first_names_of_blocks_are_those_that_diffusers_knows(family: str) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    unet = tiny.pipeline(family=family).unet
    names = spellings({"unet": unet})
    ldm = {key for key in names if key.startswith("model.diffusion_model.")}
    blocks = r".*\.(input_blocks|middle_block|output_blocks|out|time_embed|label_emb)\."
    ldm = {key for key in ldm if re.match(blocks, key)}
    ldm = {key for key in ldm if "processor" not in key and not key.endswith(".to_out")}
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[int, str] = {}
    for number, key in enumerate(sorted(ldm)):
        tensors |= {f"{key}.{part}": torch.tensor(float(number)) for part in ("weight", "bias")}
        numbers[number] = names[key][1]
    found = convert_ldm_unet_checkpoint(tensors, dict(unet.config))
    told = {key.rpartition(".")[0]: numbers[int(number)] for key, number in found.items()}
    assert set(numbers.values()) <= set(told)
    assert {theirs: ours for theirs, ours in told.items() if theirs != ours} == {}


def test_no_spelling_means_two_layers() -> None:
    for family in ("sd1", "sdxl"):
        unet = tiny.pipeline(family=family).unet
        names = spellings({"unet": unet})
        layers = [n for n, m in unet.named_modules() if getattr(m, "weight", None) is not None]
        assert {name for _, name in names.values()} == set(layers)
        for name in layers:
            assert names["lora_unet_" + name.replace(".", "_")] == ("unet", name)


PLAIN = kohya(LINEAR, lora(64, 64))
STEM = "lora_unet_" + LINEAR.replace(".", "_")
OTHER = STEM.replace("to_q", "to_k")


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({f"{OTHER}.oft_blocks": r(4, 16, 16), f"{OTHER}.alpha": r(1)}, "OFT"),
        ({f"{OTHER}.{half}.weight": r(4, 64) for half in ("a1", "a2", "b1", "b2")}, "GLoRA"),
        ({f"{OTHER}.weight": r(64), f"{OTHER}.on_input": torch.tensor(0)}, "IA3"),
        ({"unet.control_model.x.weight": r(2)}, "ControlNet"),
        ({"ip_adapter.1.to_k_ip.weight": r(2)}, "IP-Adapter"),
        ({"bundle_emb.neon.string_to_param.*": r(2, 99)}, "neon"),
        ({"bundle_emb.neon.string_to_param.*": r(0, 32)}, "neon"),
        ({"bundle_emb.neon.clip_g": r(2, 32)}, "neon"),
        ({f"lora_te2_text_model_x.{half}.weight": r(4, 4) for half in ("lora_down",)}, "lacks"),
    ],
)
def test_what_cannot_be_applied_is_named_in_one_line(
    more: dict[str, Tensor], kind: str, nets: Any, tmp_path: Path
) -> None:
    save_file({**PLAIN, **more}, tmp_path / "x.safetensors")
    before = weight(nets, LINEAR)
    _, notes = fuse(tmp_path / "x.safetensors", 1.0, nets)
    assert len(notes) == 1
    assert kind in notes[0]
    assert "\n" not in notes[0]
    assert len(notes[0]) < 200
    assert not torch.equal(weight(nets, LINEAR), before)  # what can be applied is
    save_file(more, tmp_path / "x.safetensors")
    with pytest.raises(ModelError) as caught:
        fuse(tmp_path / "x.safetensors", 1.0, nets)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_refused(value: float, nets: Any, tmp_path: Path) -> None:
    bad = {name: tensor.clone() for name, tensor in PLAIN.items()}
    next(iter(bad.values()))[0, 0] = value
    save_file(bad, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="NaN or infinite"):
        fuse(tmp_path / "x.safetensors", 1.0, nets)


def test_a_sum_too_large_for_its_numbers_is_refused(nets: Any, tmp_path: Path) -> None:
    save_file({key: 1e30 * t for key, t in PLAIN.items()}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="too large"):
        fuse(tmp_path / "x.safetensors", 1.0, nets)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_bundled_words_give_what_the_stock_pipeline_gives(family: str, tmp_path: Path) -> None:
    pipe = tiny.pipeline(family=family)
    path = tiny.folder(tmp_path / "m", family=family)
    rows = {"clip_l": r(3, 32), "clip_g": r(3, 32)}
    keys = [*rows] if family == "sdxl" else ["string_to_param.*"]
    brought = {f"bundle_emb.Neon.{key}": rows.get(key, rows["clip_l"]) for key in keys}
    save_file({**PLAIN, **brought}, tmp_path / "x.safetensors")
    additions = Additions(loras=((str(tmp_path / "x.safetensors"), 0.0),))
    model = Eager(load(path, Size(64, 64), "cpu", Kind("float32", True), additions), 1)
    assert model.notes == []
    pairs = [(pipe.text_encoder, pipe.tokenizer, rows["clip_l"])]
    if family == "sdxl":
        pairs.append((pipe.text_encoder_2, pipe.tokenizer_2, rows["clip_g"]))
    for clip, words, vectors in pairs:
        pipe.load_textual_inversion(vectors, token="neon", text_encoder=clip, tokenizer=words)
    text = "a (neon:1.0) cat"
    states, _, *pooled = pipe.encode_prompt(
        "a neon cat", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    found = model.encode([text])
    assert torch.allclose(found[0], states, atol=1e-4)
    if family == "sdxl":
        assert torch.allclose(found[1], pooled[0], atol=1e-4)
    assert torch.allclose(model.encode(["a NEON cat"])[0], states, atol=1e-4)  # in any case
    assert not torch.allclose(model.encode(["a neonlike cat"])[0], states, atol=1e-2)
    heavy = model.encode(["a (neon:1.5) cat"])[0]
    changed = (heavy != found[0]).any(-1)[0].nonzero().flatten().tolist()
    assert changed == [2, 3, 4]  # the three tokens of the word and no other
    model.encode.save(tmp_path, path)  # what packages keep knows the word as well
    saved = type(model.encode)(tmp_path, model.modules.text, "cpu")
    assert all(map(torch.equal, saved([text]), found))


def test_the_alpha_in_a_header_counts(nets: Any, tmp_path: Path) -> None:
    parts = lora(64, 64)
    named = {
        f"unet.{LINEAR}.lora_{h}.weight": parts[f"lora_{p}.weight"]
        for h, p in (("A", "down"), ("B", "up"))
    }
    about = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 1, "unet.r": R})}
    save_file(named, tmp_path / "x.safetensors", about)
    before = weight(nets, LINEAR)
    fuse(tmp_path / "x.safetensors", 1.0, nets)
    assert torch.allclose(weight(nets, LINEAR) - before, product(parts) / R, atol=1e-4)
    save_file(named, tmp_path / "x.safetensors", {"lora_adapter_metadata": "[1"})
    with pytest.raises(ModelError, match="says of itself"):
        fuse(tmp_path / "x.safetensors", 1.0, nets)
