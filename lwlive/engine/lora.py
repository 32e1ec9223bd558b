"""LoRAs: low-rank changes of a checkpoint's weights (Hu 2021), added to them once at loading.

Afterwards the networks are as large and as fast as before. diffusers reads the many ways in which
the files name things; this file knows only the names it gives.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lwlive.checkpoint import ModelError

NAME = re.compile(
    r"(?P<net>unet|text_encoder|text_encoder_2)\.(?P<module>.+?)[._]lora(_linear_layer)?[._]"
    r"(?P<half>down|up|A|B)(\.default)?\.weight"
)


def fuse(path: Path, weight: float, nets: Mapping[str, nn.Module]) -> None:
    """Add a LoRA times a weight to networks, named as in the checkpoint. Raises ModelError."""
    halves, alphas = _read(path, nets["unet"])
    for (net, module), (down, up) in halves.items():
        if net not in nets:
            raise ModelError(
                f"the LoRA {path} changes a {net}, which this checkpoint does not have"
            )
        layer = _layer(nets[net], module)
        if layer is None or tuple(layer.weight.shape[:2]) != (up.shape[0], down.shape[1]):
            raise ModelError(
                f"the LoRA {path} is made for another kind of checkpoint: its {net}.{module} does "
                "not fit this one"
            )
        alpha = alphas.get((net, module), float(len(down)))
        change = (up.float().flatten(1) @ down.float().flatten(1)).view(layer.weight.shape)
        changed = layer.weight.float() + weight * alpha / len(down) * change
        layer.weight.data.copy_(changed)


def _read(
    path: Path, unet: Any
) -> tuple[dict[tuple[str, str], tuple[Tensor, Tensor]], dict[tuple[str, str], float]]:
    """Each changed layer's two factors and its alpha, where it has one of its own."""
    from diffusers.loaders import StableDiffusionLoraLoaderMixin
    from safetensors import SafetensorError

    try:
        found, alphas, about = StableDiffusionLoraLoaderMixin.lora_state_dict(
            str(path), unet_config=unet.config, return_lora_metadata=True, use_safetensors=True
        )
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"the LoRA {path} cannot be read: {error}") from error
    parts: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, tensor in found.items():
        named = NAME.fullmatch(key)
        if named is None:
            raise ModelError(f"{path} is no LoRA that lwlive knows: it holds {key}")
        name = _name(key)
        half = {"A": "down", "B": "up"}.get(named["half"], named["half"])
        parts.setdefault(name, {})[half] = tensor
    if not parts or any(len(halves) != 2 for halves in parts.values()):
        raise ModelError(f"{path} is no LoRA: it holds no pairs of down and up weights")
    own = {}
    for key, value in (alphas or {}).items():
        own[_name(key.removesuffix(".alpha"))] = float(value)
    for net, module in parts:
        told = (about or {}).get(f"{net}.lora_alpha")
        if told is not None:
            own.setdefault((net, module), float(told))
    return {name: (halves["down"], halves["up"]) for name, halves in parts.items()}, own


def _name(key: str) -> tuple[str, str]:
    """Network and layer of a key: attention once had its layers in a `processor`."""
    named = NAME.fullmatch(key)
    net, _, module = (named["net"], "", named["module"]) if named else key.partition(".")
    module = module.replace(".processor.", ".")
    if net == "unet":
        return net, f"{module}.0" if module.endswith(".to_out") else module
    return net, re.sub(r"\.to_(q|k|v|out)$", r".\1_proj", module)


def _layer(net: nn.Module, module: str) -> nn.Linear | nn.Conv2d | None:
    """A layer by its name; transformers once had everything of CLIP in a `text_model`."""
    for name in (module, module.removeprefix("text_model."), f"text_model.{module}"):
        try:
            layer = net.get_submodule(name)
        except AttributeError:
            continue
        if isinstance(layer, nn.Linear | nn.Conv2d):
            return layer
    return None
