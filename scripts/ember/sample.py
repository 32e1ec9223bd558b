"""Pictures from ember for looking at and measuring: plain DDIM on trailing steps.

This file knows nothing of training.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from folder import Ember
from latents import Store, tokenize
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
    """Clean latents, [B, 4, h, w], by DDIM (Song et al. 2021) without added noise."""
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
    """One picture for each prompt and noise [B, 4, H, W], [B, 3, 8H, 8W], 0..1."""
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


@torch.inference_mode()
def contrast(ember: Ember, data: Store, count: int = 320) -> float:
    """Deviation of the latents made in one step, as a share of that of those drawn.

    It is below 1, since the denoiser gives the mean of what it is in doubt of; pictures are as
    bright and dark as those drawn where latents are divided by it before they are decoded.
    """
    made = []
    for some in torch.arange(count).split(16):
        condition = ember.text(data.tokens[some, 0].long()).last_hidden_state
        noise = data.noise[some].float().to(memory_format=torch.channels_last)
        made.append(-ember.unet(noise, 999, condition).sample)
    return float(torch.cat(made).std() / data.latents[:count].float().std())


def noises(seed: int, count: int, side: int = 256) -> Tensor:
    """The noises of consecutive seeds for pictures of so many pixels, [count, 4, H, W]."""
    shape = (4, side // 8, side // 8)
    seeds = [torch.Generator().manual_seed(seed + i) for i in range(count)]
    return torch.stack([torch.randn(shape, generator=each) for each in seeds])
