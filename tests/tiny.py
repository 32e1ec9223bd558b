"""Small checkpoints with random weights, saved as diffusers folders, for parity tests."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)


def tokenizer(length: int) -> CLIPTokenizer:
    """CLIP's tokenizer over single bytes: any text becomes tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters)]
    vocab = {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=length)


SPATIAL: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 8,
    "norm_num_groups": 8,
}
FAMILIES: dict[str, dict[str, Any]] = {  # what differs in the UNet
    "sd1": {},
    "sd2": {"use_linear_projection": True, "attention_head_dim": (4, 8)},
    "lcm": {"time_cond_proj_dim": 32},
    "inpaint": {"in_channels": 9},
    "sdxl": {
        "use_linear_projection": True,
        "attention_head_dim": (4, 8),
        "transformer_layers_per_block": (1, 2),
        "cross_attention_dim": 64,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 32,
    },
}


def text_encoder(
    words: CLIPTokenizer,
    length: int,
    kind: type = CLIPTextModel,
    width: int = 32,
    layers: int = 2,
) -> Any:
    """A small CLIP."""
    return kind(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=2,
            max_position_embeddings=length,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            projection_dim=32,
        )
    )


def pipeline(scheduler: Any = None, seed: int = 0, length: int = 16, family: str = "sd1") -> Any:
    """A stock pipeline of the real classes, 8x8 latents, random weights."""
    torch.manual_seed(seed)
    words = tokenizer(length)
    parts: dict[str, Any] = {
        "text_encoder": text_encoder(words, length),
        "tokenizer": words,
        "unet": UNet2DConditionModel(**{**SPATIAL, **FAMILIES[family]}),
        "vae": AutoencoderTiny(
            encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(16,) * 4
        ),
        "scheduler": scheduler or DDIMScheduler(clip_sample=False, timestep_spacing="trailing"),
    }
    pipe: Any
    if family == "sdxl":
        second = text_encoder(words, length, CLIPTextModelWithProjection)
        pipe = StableDiffusionXLPipeline(
            **parts, text_encoder_2=second, tokenizer_2=tokenizer(length), add_watermarker=False
        )
    else:
        pipe = StableDiffusionPipeline(
            **parts,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def folder(path: Path, scheduler: Any = None, family: str = "sd1") -> Path:
    """The pipeline above, saved."""
    pipeline(scheduler, family=family).save_pretrained(path)
    (path / "lwlive.json").write_text(json.dumps({"steps": 2, "guidance": 1.0}))
    return path


def full_decoder(**options: Any) -> AutoencoderKL:
    """An autoencoder of the large kind, eight pixels a latent."""
    return AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        **options,
    )
