"""The names that adapter files give to a network's layers, of any training program.

A file's key is a layer's name and what is kept for it, as in `lora_unet_conv_in.lora_down.weight`.
Programs write the layer's name with dots or with underscores, as diffusers has it or as the first
Stable Diffusion had it, and put a prefix before it that tells the network. All these spellings of
each layer are listed here, so that no name has to be taken apart. What is kept is not known here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

Layer = tuple[str, str]  # a network's name in the checkpoint, a module's name in it

DOTTED = ("diffusion_model.", "model.diffusion_model.", "base_model.model.")
PREFIXES = {  # before a layer's name; the only CLIP of a checkpoint is also called the first
    "unet": ("lora_unet_", "lycoris_unet_", "lycoris_", *DOTTED, ""),
    "text_encoder": ("lora_te_", "lora_te1_", "lycoris_te_", "lycoris_te1_"),
    "text_encoder_2": ("lora_te2_", "lycoris_te2_"),
}
RESNET = {  # parts of a residual block, as diffusers and as the first code had them
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
SINGLE = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
BLOCK = re.compile(
    r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")


def spellings(nets: Mapping[str, nn.Module]) -> dict[str, Layer]:
    """Every spelling of every layer of a checkpoint's networks, -> the layer."""
    found: dict[str, Layer] = {}
    for net, module in nets.items():
        prefixes = _prefixes(net)
        for name, part in module.named_modules():
            if getattr(part, "weight", None) is None:
                continue
            for said in _names(net, name, module):
                for prefix in prefixes:
                    found.setdefault(prefix + said, (net, name))
                    if not prefix.endswith("."):
                        found.setdefault(prefix + said.replace(".", "_"), (net, name))
    return found


def prefix_of(key: str) -> str | None:
    """The network that a key's prefix names, None where it names none."""
    pairs = [(p, net) for net in PREFIXES for p in _prefixes(net) if p]
    return next((net for p, net in sorted(pairs, reverse=True) if key.startswith(p)), None)


def _prefixes(net: str) -> tuple[str, ...]:
    return (f"{net}.", f"{net}.base_model.model.", f"base_model.model.{net}.", *PREFIXES[net])


def _names(net: str, name: str, module: Any) -> Iterator[str]:
    """The spellings of a layer with dots: the present one first."""
    if net == "unet":
        layers = module.config.layers_per_block
        blocks = (name, _first(name, layers if isinstance(layers, int) else layers[0], module))
        for one in dict.fromkeys(blocks):
            yield one
            if ".to_" in one and ".attn" in one:  # attention once had its layers in a `processor`
                head, _, last = one.rpartition(".to_")
                short = last.removesuffix(".0")
                yield f"{head}.processor.to_{short}"
                yield f"{head}.to_{short}"
        return
    plain = name.removeprefix("text_model.")  # transformers had all of CLIP in it, or has not
    for one in (plain, f"text_model.{plain}"):
        yield one
        yield re.sub(r"self_attn\.(q|k|v|out)_proj$", r"self_attn.to_\1", one)


def _first(name: str, layers: int, unet: Any) -> str:
    """A UNet layer's name in the first Stable Diffusion's code."""
    if name in SINGLE:
        return SINGLE[name]
    if found := MIDDLE.fullmatch(name):
        kind, number, rest = found[1], int(found[2]), found[3]
        at = 2 * number if kind == "resnets" else 2 * number + 1
        return f"middle_block.{at}.{RESNET.get(rest, rest)}"
    if found := BLOCK.fullmatch(name):
        side, block, kind, number, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        if side == "down":
            at = (layers + 1) * block + number + 1
            if kind == "downsamplers":
                return f"input_blocks.{(layers + 1) * (block + 1)}.0.op"
            part = 0 if kind == "resnets" else 1
            return f"input_blocks.{at}.{part}.{RESNET.get(rest, rest)}"
        at = (layers + 1) * block + number
        if kind == "upsamplers":
            attends = hasattr(unet.up_blocks[block], "attentions")
            return f"output_blocks.{(layers + 1) * block + layers}.{2 if attends else 1}.conv"
        part = 0 if kind == "resnets" else 1
        return f"output_blocks.{at}.{part}.{RESNET.get(rest, rest)}"
    return name
