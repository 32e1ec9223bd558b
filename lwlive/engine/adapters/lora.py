"""Adapters: changes of a checkpoint's weights from a file, added to them once at loading.

LoRAs and their relatives. Afterwards the networks are as large and as fast as before. What a file
holds that cannot be applied is said in one line, by its kind; nothing of it is applied by half.
The names of layers are layers.py's to know, the arithmetic is factors.py's.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lwlive.checkpoint import ModelError
from lwlive.engine.adapters.embeddings import Words
from lwlive.engine.adapters.factors import change, decomposed
from lwlive.engine.adapters.layers import Layer, prefix_of, spellings

HALVES = {"A": "down", "B": "up"}
LORA = re.compile(
    r"(?P<layer>.+?)[._](lora_|lora\.|lora_linear_layer\.)(?P<part>down|up|mid|A|B)"
    r"(\.(?!weight)\w+)?\.weight"
)
PART = re.compile(
    r"(?P<layer>.+?)([._]lora)?\.(?P<part>alpha|dora_scale|lora_magnitude_vector|hada_w[12]_[ab]|"
    r"hada_t[12]|lokr_w[12]|lokr_w[12]_[ab]|lokr_t2|diff|diff_b|w_norm|b_norm)(\.default)?(\.weight)?"
)
RENAMED = {
    "dora_scale": "dora",
    "lora_magnitude_vector": "magnitude",
    "w_norm": "diff",
    "b_norm": "diff_b",
    **HALVES,
}
WHOLE = (  # one of these is what a layer's parts must have
    {"down", "up"},
    {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"},
    {"lokr_w1", "lokr_w2"},
    {"lokr_w1", "lokr_w2_a", "lokr_w2_b"},
    {"lokr_w1_a", "lokr_w1_b", "lokr_w2"},
    {"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"},
    {"diff"},
)
MORE = {"mid", "alpha", "dora", "magnitude", "hada_t1", "hada_t2", "lokr_t2"}  # and may have
BUNDLED = re.compile(
    r"bundle_emb\.(?P<word>.+?)\.(?P<part>string_to_param\.\*|emb_params|clip_[lg])"
)
FOREIGN = {  # kinds that are not applied -> what their keys look like
    "OFT": r"oft_(blocks|diag|R)|boft_",
    "GLoRA": r"\.[ab][12]\.weight$",
    "IA3": r"\.on_input$|ia3_",
    "embedding LoRA": r"lora_embedding_",
    "LoRA biases": r"lora_(B|up)\b.*\.bias$",
    "ControlNet": r"control(net|_model|_)",
    "IP-Adapter": r"ip_adapter|image_proj",
    "textual inversion": r"string_to_param|emb_params|^clip_[lg]$",
    "motion module": r"motion_modules",
}


@dataclass
class Adapter:
    """What a file holds, sorted."""

    path: Path
    layers: dict[Layer, dict[str, Tensor]] = field(default_factory=dict)
    words: Words = field(default_factory=dict)
    foreign: Counter[str] = field(default_factory=Counter)  # kinds that cannot be applied
    strangers: list[str] = field(default_factory=list)  # keys of layers that are not here


@dataclass(frozen=True)
class Told:
    """What a file says of all its alphas, beside its weights."""

    alphas: dict[str, float]  # by network, "" for all
    patterns: dict[str, float]  # by the end of a layer's name
    rooted: bool = False  # alpha is divided by the rank's root

    def alpha(self, layer: Layer) -> float | None:
        """That of a layer, None where nothing is given."""
        net, name = layer
        for end, alpha in self.patterns.items():
            if name.endswith(end):
                return alpha
        return self.alphas.get(net, self.alphas.get(""))


def fuse(path: Path, weight: float, nets: Mapping[str, nn.Module]) -> tuple[Words, list[str]]:
    """Add an adapter times a weight to networks, named as in the checkpoint.

    Returns the words it brings, and a sentence about what of it cannot be applied. Raises
    ModelError where nothing can be, or where something does not fit.
    """
    tensors, about = _read(path)
    found, told = _sorted(path, tensors, nets), _told(path, about)
    fitting = sum(map(len, found.layers.values()))
    if len(found.strangers) > fitting:
        raise ModelError(_stranger(found, nets))
    if not fitting and not found.words:
        raise ModelError(_nothing(found))
    for (net, name), parts in found.layers.items():
        _add(nets[net].get_submodule(name), parts, weight, (net, name), found.path, told)
    kinds = [f"{count} x {kind}" for kind, count in found.foreign.items()]
    if found.strangers:
        kinds.append(f"{len(found.strangers)} x layers this model lacks")
    left = f"the LoRA {path.name} is applied but for what lwlive cannot: {', '.join(kinds)}"
    return found.words, [left] if kinds else []


def _sorted(path: Path, tensors: dict[str, Tensor], nets: Mapping[str, nn.Module]) -> Adapter:
    """A file's tensors, by what they are for. Raises ModelError."""
    found, names = Adapter(path), spellings(nets)
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ModelError(f"the LoRA {path} holds NaN or infinite numbers, in {key}")
        scales = key.endswith(".weight") and f"{key.removesuffix('.weight')}.on_input" in tensors
        kind = next((k for k, looks in FOREIGN.items() if re.search(looks, key)), None)
        if bundled := BUNDLED.fullmatch(key):
            net = "text_encoder_2" if bundled["part"] == "clip_g" else "text_encoder"
            found.words.setdefault(bundled["word"], {})[net] = torch.atleast_2d(tensor.float())
        elif scales or kind is not None:
            found.foreign[kind or "IA3"] += 1
        elif (named := LORA.fullmatch(key) or PART.fullmatch(key)) is None:
            found.foreign[f"weights that are not a LoRA ({key})"[:120]] += 1
        elif named["layer"] in names:
            part = RENAMED.get(named["part"], named["part"])
            found.layers.setdefault(names[named["layer"]], {})[part] = tensor
        else:
            found.strangers.append(key)
    # an alpha or lengths alone belong to something that is named already
    found.layers = {layer: parts for layer, parts in found.layers.items() if parts.keys() - MORE}
    for word in [word for word, vectors in found.words.items() if not _fits(vectors, nets)]:
        del found.words[word]
        found.foreign[f"embedding of another kind of model ({word})"] += 1
    return found


def _fits(vectors: dict[str, Tensor], nets: Mapping[str, nn.Module]) -> bool:
    """Whether a word has vectors for each of the text encoders, as wide as those of other words."""
    clips: dict[str, Any] = {net: clip for net, clip in nets.items() if net != "unet"}
    widths = {net: clip.get_input_embeddings().weight.shape[1] for net, clip in clips.items()}
    found = {net: part.shape[1] for net, part in vectors.items() if part.dim() == 2}
    counts = {len(part) for part in vectors.values()}
    return found == widths and len(counts) == 1 and min(counts) > 0


def _add(
    layer: Any, parts: dict[str, Tensor], weight: float, name: Layer, path: Path, told: Told
) -> None:
    """Change a layer's weight and bias. Raises ModelError."""
    where = f"{name[0]}.{name[1]}"
    kept = parts.keys() - {"diff_b"}
    if kept and not any(need <= kept and kept - need <= MORE for need in WHOLE):
        raise ModelError(
            f"{path} is not a whole LoRA: it holds no pairs of down and up weights for {where}, "
            f"only {', '.join(sorted(kept))}"
        )
    try:
        if kept:
            before = layer.weight.float()
            added = change(parts, before.shape, told.alpha(name), told.rooted)
            if kept & {"dora", "magnitude"}:
                added = decomposed(before, added, parts)
            _set(layer.weight, before + weight * added)
        if "diff_b" in parts:
            _set(layer.bias, layer.bias.float() + weight * parts["diff_b"].float())
    except (ValueError, RuntimeError, AttributeError) as error:  # AttributeError: it has no bias
        raise ModelError(
            f"the LoRA {path} is made for another kind of checkpoint: its {where} does not fit "
            f"this one ({error})"
        ) from error


def _set(parameter: Tensor, changed: Tensor) -> None:
    changed = changed.to(parameter.dtype)
    if not changed.isfinite().all():
        raise ValueError(f"with it a weight is too large for {parameter.dtype}")
    parameter.data.copy_(changed)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A file's tensors, and what it says of itself. Raises ModelError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
            return tensors, dict(file.metadata() or {})
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"the LoRA {path} cannot be read: {error}") from error


def _told(path: Path, about: dict[str, str]) -> Told:
    """What diffusers writes into a file's header, or peft into a file beside it."""
    alphas: dict[str, float] = {}
    patterns: dict[str, float] = {}
    rooted = False
    beside = path.with_name("adapter_config.json")
    text = about.get("lora_adapter_metadata", "")
    if not text and path.name == "adapter_model.safetensors" and beside.is_file():
        text = beside.read_text("utf-8", "replace")
    try:
        rows = json.loads(text) if text else {}
        for key, value in rows.items():
            net, _, what = key.rpartition(".")
            if what == "lora_alpha" or (what == "alpha" and value is not None):
                alphas[net] = float(value)
            elif what == "alpha_pattern" and value:
                patterns |= {str(end): float(alpha) for end, alpha in value.items()}
            elif what == "use_rslora":
                rooted |= bool(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"what the LoRA {path} says of itself cannot be read: {error}") from error
    return Told(alphas, patterns, rooted)


def _stranger(found: Adapter, nets: Mapping[str, nn.Module]) -> str:
    key = found.strangers[0]
    net = prefix_of(key)
    if net is not None and net not in nets:
        return f"the LoRA {found.path} changes a {net}, which this checkpoint does not have"
    return (
        f"the LoRA {found.path} is made for another kind of checkpoint: this one has no layer for "
        f"{key}"
    )


def _nothing(found: Adapter) -> str:
    kinds = ", ".join(found.foreign) or "nothing"
    return f"{found.path} is not a LoRA that lwlive knows: it holds {kinds}"
