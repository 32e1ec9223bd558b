"""Each family of checkpoints, saved as a folder and opened here, gives the stock pipeline's images.

Real classes, random weights, the same latents and prompts, float32, to 1e-3 of the range.
"""

from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from lwlive.checkpoint import Size
from lwlive.engine.eager import Eager
from lwlive.engine.load import load
from lwlive.engine.networks import Kind
from lwlive.engine.sampler import denoise, guided

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TURBO = {**BETAS, "timestep_spacing": "trailing"}
V = {"prediction_type": "v_prediction"}
PURE = {"rescale_betas_zero_snr": True, "clip_sample": False}
CASES: dict[str, tuple[str, Any]] = {  # family, and its own scheduler
    "SD 1, LMS": ("sd1", diffusers.LMSDiscreteScheduler(**BETAS)),
    "SD 1, DDIM": ("sd1", diffusers.DDIMScheduler(**BETAS, clip_sample=False)),
    "SD 1, DPM++": ("sd1", diffusers.DPMSolverMultistepScheduler(**BETAS)),
    "SD 2, Euler": ("sd2", diffusers.EulerDiscreteScheduler(**TURBO)),
    "SD 2 v, DDIM": ("sd2", diffusers.DDIMScheduler(**BETAS, **V, clip_sample=False)),
    "SD 2 v, Euler ancestral": ("sd2", diffusers.EulerAncestralDiscreteScheduler(**BETAS, **V)),
    "SD 2 v, from pure noise": ("sd2", diffusers.DDIMScheduler(**TURBO, **V, **PURE)),
    "SDXL, Euler": ("sdxl", diffusers.EulerDiscreteScheduler(**BETAS)),
    "SDXL, Euler ancestral": ("sdxl", diffusers.EulerAncestralDiscreteScheduler(**TURBO)),
    "LCM": ("lcm", diffusers.LCMScheduler(**BETAS, clip_sample=False)),
}
SIZE = Size(64, 64)
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of old steps_offset
TOLERANCE = 0.5 / 255 + 1e-3  # what a byte can show, and the law's own
PROMPT, BAD = "hello", "bad"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Opens a family's checkpoint here, and the stock pipeline from the same folder."""

    @cache
    def opened(name: str) -> tuple[Eager, Any]:
        family, scheduler = CASES[name]
        path = tiny.folder(tmp_path_factory.mktemp("family"), scheduler, family)
        kind = diffusers.StableDiffusionXLPipeline if family == "sdxl" else None
        pipe = (kind or diffusers.StableDiffusionPipeline).from_pretrained(path)
        pipe.set_progress_bar_config(disable=True)
        return Eager(load(path, SIZE, "cpu", Kind("float32", True)), 1), pipe

    return opened


def ours(model: Eager, steps: int, guidance: float, prompt: str, negative: str) -> Any:
    """The picture [64, 64, 3] of noise drawn as stock pipelines draw it."""
    generator = torch.Generator().manual_seed(5)
    noises = [torch.randn(1, *model.shape, generator=generator) for _ in range(steps + 1)]
    cond = tuple(part[None] for part in model.encode([prompt, negative]))
    schedule = model.schedule(steps, 0)

    def drawn(i: int) -> Tensor:
        return noises[i + 1]

    ask = guided(model, cond, torch.tensor([guidance]), schedule.rescale)
    x = noises[0] * schedule.noise_scale
    with torch.inference_mode():
        *_, clean = denoise(ask, x, schedule, drawn, lambda _, latents: latents)
    return model.decode(clean)[0] / 255


def theirs(pipe: Any, steps: int, guidance: float, prompt: str, negative: str | None) -> Any:
    """The stock pipeline's picture of the same."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(1, 4, 8, 8, generator=generator)
    return pipe(
        prompt,
        negative_prompt=negative,
        latents=noise,
        num_inference_steps=steps,
        guidance_scale=guidance,
        guidance_rescale=0.7 if pipe.scheduler.config.get("rescale_betas_zero_snr") else 0.0,
        generator=generator,
        output_type="np",
    ).images[0]


@pytest.mark.parametrize("guidance", [pytest.param(1.0, marks=pytest.mark.slow), 5.0])
@pytest.mark.parametrize(
    "steps", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4, 50))]
)
@pytest.mark.parametrize(
    "name",  # quick is each family once; test_sampler.py has each of the schedulers
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ("SD 1, LMS", "SD 1, DPM++") else name
        for name in CASES
    ],
)
def test_every_family_gives_the_stock_pipelines_image(
    saved: Any, name: str, steps: int, guidance: float
) -> None:
    model, pipe = saved(name)
    found, expected = (
        ours(model, steps, guidance, PROMPT, BAD),
        theirs(pipe, steps, guidance, PROMPT, BAD),
    )
    assert np.abs(found - expected).max() <= TOLERANCE
    assert expected.std() > 0.01, "a blank picture agrees with anything"


@pytest.mark.parametrize("name", ["SD 1, DDIM", "SD 2 v, DDIM", "SDXL, Euler", "LCM"])
def test_guidance_negative_and_prompt_matter_in_every_family(saved: Any, name: str) -> None:
    model, _ = saved(name)
    plain = ours(model, 2, 5.0, PROMPT, BAD)
    others = [(1.0, PROMPT, BAD), (5.0, "other", BAD), (5.0, PROMPT, "ugly")]
    changes = [np.abs(plain - ours(model, 2, *other)).max() for other in others]
    least = [TOLERANCE, TOLERANCE, 0.0 if model.embeds_guidance else TOLERANCE]
    assert all(change >= few for change, few in zip(changes, least, strict=True)), changes


def test_without_a_negative_prompt_sdxl_steers_away_from_zeros(saved: Any) -> None:
    model, pipe = saved("SDXL, Euler")
    expected = theirs(pipe, 4, 5.0, PROMPT, None)
    assert np.abs(ours(model, 4, 5.0, PROMPT, "") - expected).max() <= TOLERANCE


def test_a_full_decoder_with_its_own_mean_gives_the_stock_image(tmp_path: Path) -> None:
    pipe = tiny.pipeline(CASES["SDXL, Euler"][1], family="sdxl")
    pipe.vae = tiny.full_decoder(latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.9, 1.1, 1, 2])
    pipe.save_pretrained(tmp_path)
    model = Eager(load(tmp_path, SIZE, "cpu", Kind("float32", True)), 1)
    expected = theirs(pipe, 2, 1.0, PROMPT, BAD)
    assert np.abs(ours(model, 2, 1.0, PROMPT, BAD) - expected).max() <= TOLERANCE
