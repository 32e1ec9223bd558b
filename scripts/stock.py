"""The stock pipelines that lwlive is compared with, one call a frame."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lwlive.engine.model import Model
from lwlive.engine.walk import Walk

ENCODED = ("prompt_embeds", "pooled_prompt_embeds")  # SDXL has the second, too


def plain(folder: Path, device: str) -> Callable[[Walk], Any]:
    """The stock pipeline as it comes, one call a frame."""
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32).to(device)
    pipe.set_progress_bar_config(disable=True)

    def frame(walk: Walk) -> Any:
        return pipe(
            walk.params.prompt,
            latents=walk.noise(0)[None],
            num_inference_steps=walk.look.steps,
            guidance_scale=walk.guidance,
        ).images[0]

    return frame


def best(folder: Path, ours: Model, compiled: bool) -> Callable[[Walk], Any]:
    """The stock pipeline with its documented speed-ups, one call a frame."""
    from diffusers import DiffusionPipeline

    dtype = getattr(torch, ours.dtype)
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=dtype)
    pipe.to(ours.device).set_progress_bar_config(disable=True)
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.vae.to(memory_format=torch.channels_last)
    if compiled:
        pipe.unet = torch.compile(pipe.unet)
        pipe.vae.decode = torch.compile(pipe.vae.decode)
    encoded: dict[str, Any] = {}

    def frame(walk: Walk) -> Any:
        prompt = walk.params.prompt
        if prompt not in encoded:
            found = pipe.encode_prompt(
                prompt,
                device=ours.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
            encoded[prompt] = dict(zip(ENCODED, found[::2], strict=False))
        return pipe(
            **encoded[prompt],
            latents=walk.noise(0)[None].to(dtype),
            num_inference_steps=walk.look.steps,
            guidance_scale=walk.guidance,
            output_type="np",
        ).images[0]

    return frame
