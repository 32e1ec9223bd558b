"""A diffusers pipeline written as one .safetensors file, as Stable Diffusion first came."""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}
ENDS = {
    "conv_in.": "input_blocks.0.0.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
}
OPEN_CLIP = {
    "embeddings.token_embedding.": "token_embedding.",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.": "ln_final.",
    "encoder.layers.": "transformer.resblocks.",
    "self_attn.": "attn.",
    "layer_norm1.": "ln_1.",
    "layer_norm2.": "ln_2.",
    "mlp.fc1.": "mlp.c_fc.",
    "mlp.fc2.": "mlp.c_proj.",
}
ATTENTION = {
    "group_norm.": "norm.",
    "to_q.": "q.",
    "to_k.": "k.",
    "to_v.": "v.",
    "to_out.0.": "proj_out.",
}

Tensors = dict[str, torch.Tensor]


def write(pipe: Any, path: Path, about: dict[str, str] | None = None) -> None:
    """Write what the pipeline's family has in one file, and what the file says of itself."""
    found = {f"model.diffusion_model.{_unet(pipe, n)}": t for n, t in _of(pipe.unet)}
    blocks = len(pipe.vae.config.up_block_types)
    for name, tensor in _of(pipe.vae):
        linear = ".attentions." in name and "norm" not in name and name.endswith(".weight")
        found[f"first_stage_model.{_vae(name, blocks)}"] = (
            tensor[..., None, None] if linear else tensor
        )
    if hasattr(pipe, "text_encoder_2"):
        found |= _clip(pipe.text_encoder, "conditioner.embedders.0.transformer.text_model.")
        found |= _open_clip(pipe.text_encoder_2, "conditioner.embedders.1.model.")
    elif pipe.unet.config.cross_attention_dim == 1024:  # SD 2
        found |= _open_clip(pipe.text_encoder, "cond_stage_model.model.")
    else:
        found |= _clip(pipe.text_encoder, "cond_stage_model.transformer.text_model.")
    save_file({n: t.half().contiguous() for n, t in found.items()}, path, about)


def _of(net: Any) -> Any:
    return net.state_dict().items()


def _renamed(name: str, table: dict[str, str]) -> str:
    for ours, theirs in table.items():
        name = name.replace(ours, theirs)
    return name


def _unet(pipe: Any, name: str) -> str:
    """Blocks are numbered through, their resnets, attentions and a sampler side by side."""
    if (start := name[: name.find("weight")]) in ENDS or (
        start := name[: name.find("bias")]
    ) in ENDS:
        return name.replace(start, ENDS[start])
    layers = pipe.unet.config.layers_per_block
    found = re.fullmatch(r"(down|mid|up)_block(?:s\.(\d+))?\.(\w+)\.(\d+)\.(.+)", name)
    assert found is not None, name
    side, block, kind, layer, rest = found.groups()
    n, attends = (
        int(layer),
        f"{side}_blocks.{block}.attentions.0.norm.weight" in pipe.unet.state_dict(),
    )
    place = {"resnets": 0, "attentions": 1}.get(kind)
    if kind == "resnets":
        rest = _renamed(rest, RESNET)
    if side == "mid":
        return f"middle_block.{2 * n + (kind == 'attentions')}.{rest}"
    first = int(block) * (layers + 1)
    if kind == "downsamplers":
        return f"input_blocks.{first + layers + 1}.0.{rest.replace('conv.', 'op.')}"
    if kind == "upsamplers":
        return f"output_blocks.{first + layers}.{1 + attends}.{rest}"
    if side == "down":
        return f"input_blocks.{first + n + 1}.{place}.{rest}"
    return f"output_blocks.{first + n}.{place}.{rest}"


def _vae(name: str, blocks: int) -> str:
    name = name.replace("conv_norm_out.", "norm_out.").replace("conv_shortcut.", "nin_shortcut.")
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    for kind, theirs in (("resnets", "block"), ("upsamplers.0", "upsample")):
        name = re.sub(
            rf"up_blocks\.(\d+)\.{kind}",
            lambda found: f"up.{blocks - 1 - int(found[1])}.{theirs}",  # noqa: B023
            name,
        )
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    if "mid_block.attentions" in name:
        name = _renamed(name.replace("mid_block.attentions.0", "mid.attn_1"), ATTENTION)
    return name


def _clip(net: Any, start: str) -> Tensors:
    return {f"{start}{name}": tensor for name, tensor in _of(net)}


def _open_clip(net: Any, start: str) -> Tensors:
    """Queries, keys and values lie in one tensor; the projection is turned."""
    found: Tensors = {}
    states = {name.removeprefix("text_model."): tensor for name, tensor in _of(net)}
    for name, tensor in states.items():
        theirs = start + _renamed(name, OPEN_CLIP)
        if name == "text_projection.weight":
            found[f"{start}text_projection"] = tensor.T
        elif ".q_proj." in name:
            parts = [states[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            found[re.sub(r"q_proj\.(\w+)$", r"in_proj_\1", theirs)] = torch.cat(parts)
        elif "k_proj." not in name and "v_proj." not in name:
            found[theirs] = tensor
    return found
