"""Checkpoints of the published shapes with random weights: their speed is that of the real ones.

`folder` writes one in diffusers format. The words are single bytes, so nothing is downloaded.
"""

import json
from pathlib import Path
from typing import Any

import torch

SD1: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768}
SD2: dict[str, Any] = {
    "sample_size": 64,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
XL: dict[str, Any] = {
    "sample_size": 64,
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
ARCHITECTURES: dict[str, tuple[dict[str, Any], str]] = {
    "sd-turbo": (SD2, "EulerDiscreteScheduler"),
    "sdxl-turbo": (XL, "EulerAncestralDiscreteScheduler"),
    "sd15-lcm": (SD1 | {"time_cond_proj_dim": 256}, "LCMScheduler"),
}
TINY: dict[str, Any] = {  # the same blocks, narrow
    "sd-turbo": {"block_out_channels": (32, 32, 32, 32), "attention_head_dim": (2, 2, 2, 2)},
    "sd15-lcm": {"block_out_channels": (32, 32, 32, 32), "attention_head_dim": (2, 2, 2, 2)},
    "sdxl-turbo": {
        "block_out_channels": (32, 32, 32),
        "attention_head_dim": (2, 2, 2),
        "transformer_layers_per_block": (1, 1, 2),
    },
}
WORDS = {  # text encoders: width, layers, heads
    "sd-turbo": [(1024, 23, 16)],
    "sdxl-turbo": [(768, 12, 12), (1280, 32, 20)],
    "sd15-lcm": [(768, 12, 12)],
}


def folder(name: str, to: Path, tiny: bool = False) -> Path:
    """Write a checkpoint of a published shape, or a narrow one of the same blocks, unless there."""
    if (to / "lwlive.json").is_file():
        return to
    import diffusers

    torch.manual_seed(0)
    config, scheduler = ARCHITECTURES[name]
    vae = {"decoder_block_out_channels": (16,) * 4, "encoder_block_out_channels": (16,) * 4}
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    unet = diffusers.UNet2DConditionModel(
        **config | ({**TINY[name], "norm_num_groups": 8} if tiny else {})
    )
    parts: dict[str, Any] = {
        "vae": diffusers.AutoencoderTiny(**vae if tiny else {}).half(),
        "unet": unet.half(),
        "scheduler": getattr(diffusers, scheduler)(
            **betas,
            **({"clip_sample": False} if "LCM" in scheduler else {"timestep_spacing": "trailing"}),
        ),
    }
    for i, shape in enumerate(WORDS[name]):
        end = "_2" if i else ""
        parts[f"tokenizer{end}"] = _tokenizer()
        parts[f"text_encoder{end}"] = _text(*shape, second=bool(i), tiny=tiny).half()
    pipe: Any
    if len(WORDS[name]) == 2:
        pipe = diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False)
    else:
        rest = {"safety_checker": None, "feature_extractor": None}
        pipe = diffusers.StableDiffusionPipeline(**parts, **rest, requires_safety_checker=False)
    pipe.save_pretrained(to)
    (to / "lwlive.json").write_text(json.dumps({"steps": 1, "guidance": 1.0}), "utf-8")
    return to


def _tokenizer() -> Any:
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _text(width: int, layers: int, heads: int, second: bool, tiny: bool) -> Any:
    """A CLIP text encoder; a narrow one has one layer and the width that the UNet expects."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=49408 if not tiny else 1000,
        hidden_size=width,
        intermediate_size=4 * width if not tiny else 64,
        num_hidden_layers=layers if not tiny else 1,
        num_attention_heads=heads,
        projection_dim=width,
        bos_token_id=512,
        eos_token_id=513,
    )
    return (CLIPTextModelWithProjection if second else CLIPTextModel)(config)
