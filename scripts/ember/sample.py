"""Pictures from ember for looking at and measuring: plain DDIM on trailing steps.

This file knows nothing of training.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from folder import Ember
from latents import tokenize
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer


def open_folder(folder: Path) -> Ember:
    """A saved model, in float32, ready to sample."""
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False)
    vae = AutoencoderTiny.from_pretrained(folder / "vae", low_cpu_mem_usage=False)
    return Ember(
        CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        CLIPTextModel.from_pretrained(folder / "text_encoder").float().eval(),
        unet.float().eval().to(memory_format=torch.channels_last),
        vae.float().eval().to(memory_format=torch.channels_last),
        DDIMScheduler.from_pretrained(folder / "scheduler"),
    )


@torch.inference_mode()
def denoise(
    ember: Ember, noise: Tensor, prompts: list[str], steps: int, guidance: float = 1.0
) -> Tensor:
    """Clean latents, [B, C, h, w], by DDIM (Song et al. 2021) without added noise."""
    condition = ember.text(tokenize(ember.tokenizer, prompts)).last_hidden_state
    empty = ember.text(tokenize(ember.tokenizer, [""])).last_hidden_state.expand_as(condition)
    ember.schedule.set_timesteps(steps)
    x = noise.to(memory_format=torch.channels_last)
    for time in ember.schedule.timesteps:
        made = ember.unet(x, time, condition).sample
        if guidance > 1:
            plain = ember.unet(x, time, empty).sample
            made = plain + guidance * (made - plain)
        x = ember.schedule.step(made, time, x).prev_sample
    return x


@torch.inference_mode()
def pictures(
    ember: Ember, prompts: list[str], noise: Tensor, steps: int, guidance: float = 1.0
) -> Tensor:
    """One picture for each prompt and noise [B, C, h, w], [B, 3, H, W], 0..1."""
    made = []
    for start in range(0, len(prompts), 16):
        part = prompts[start : start + 16]
        latents = denoise(ember, noise[start : start + 16], part, steps, guidance)
        made.append(decoded(ember, latents))
    return torch.cat(made)


@torch.inference_mode()
def decoded(ember: Ember, latents: Tensor) -> Tensor:
    """Pictures of clean latents as pipelines decode them, 0..1."""
    pictures: Tensor = ember.vae.decoder(latents / ember.vae.config.scaling_factor)
    return pictures.clamp(-1, 1) / 2 + 0.5


def factor(ember: Ember) -> int:
    """Pixels a side that one of a model's latents stands for."""
    return int(2 ** (len(ember.vae.config.encoder_block_out_channels) - 1))


def side(ember: Ember) -> int:
    """Pixels a side of a model's pictures, where nothing else is asked."""
    return int(ember.unet.config.sample_size) * factor(ember)


def noises(ember: Ember, seed: int, count: int, pixels: int | None = None) -> Tensor:
    """The noises of consecutive seeds for pictures of so many pixels, [count, C, h, w]."""
    cells = (pixels or side(ember)) // factor(ember)
    shape = (ember.unet.config.in_channels, cells, cells)
    seeds = [torch.Generator().manual_seed(seed + i) for i in range(count)]
    return torch.stack([torch.randn(shape, generator=each) for each in seeds])


def filled(ember: Ember, told: Tensor) -> Tensor:
    """Noises that pictures were drawn from, [B, 4, h, w], with the channels that tell nothing."""
    seed = torch.Generator().manual_seed(0)
    more = ember.unet.config.in_channels - told.shape[1]
    rest = torch.randn((len(told), more, *told.shape[2:]), generator=seed)
    return torch.cat((told, rest), 1)
