"""Schedules read off diffusers' schedulers give what the schedulers themselves give."""

import inspect
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from lwlive.engine.keyframe import NOISES
from lwlive.engine.sampler import denoise
from lwlive.engine.schedule import MOST_STEPS, ScheduleError, levels, named, read

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS = {
    "DDIMScheduler": {"clip_sample": False},
    "DDPMScheduler": {"clip_sample": False},
    "EulerDiscreteScheduler": {},
    "EulerAncestralDiscreteScheduler": {},
    "LMSDiscreteScheduler": {},
    "HeunDiscreteScheduler": {},
    "DPMSolverMultistepScheduler": {},
    "UniPCMultistepScheduler": {},
    "DEISMultistepScheduler": {},
    "PNDMScheduler": {"skip_prk_steps": True},
    "LCMScheduler": {"clip_sample": False},
    "TCDScheduler": {"clip_sample": False},
}
FIFTY = ("LMSDiscreteScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler")
MIDWAY = {"LMSDiscreteScheduler", "PNDMScheduler", "HeunDiscreteScheduler"}  # see the last test
CASES: list[Any] = [(name, *case) for name in SCHEDULERS for case in [(1, 0), (4, 0), (8, 0)]]
CASES += [(name, 4, 2) for name in SCHEDULERS if name not in MIDWAY]
CASES += [pytest.param(name, 50, 0, marks=pytest.mark.slow) for name in FIFTY]


def ask(x: Tensor, timestep: float) -> Tensor:
    """A stand-in for a UNet: anything that is not linear."""
    return torch.tanh(0.7 * x + timestep / 1000)


def stock(scheduler: Any, x: Tensor, steps: int, begin: int) -> Tensor:
    """Diffusers' own loop from step `begin` on."""
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    takes = inspect.signature(scheduler.step).parameters
    options = {"generator": torch.Generator().manual_seed(5)} if "generator" in takes else {}
    for t in scheduler.timesteps[begin:]:
        output = ask(scheduler.scale_model_input(x, t), float(t))
        x = scheduler.step(output, t, x, return_dict=False, **options)[0]
    return x


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("name", "steps", "begin"), CASES)
def test_a_schedule_gives_what_its_scheduler_gives(name: str, steps: int, begin: int) -> None:
    scheduler = getattr(diffusers, name)(**BETAS, **SCHEDULERS[name])
    schedule = read(scheduler, steps, begin)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    x = x * schedule.noise_scale
    generator = torch.Generator().manual_seed(5)
    drawn: dict[int, Tensor] = {}

    def noise(i: int) -> Tensor:
        return drawn.setdefault(i, torch.randn(x.shape, generator=generator))

    *_, ours = denoise(ask, x, schedule, noise, lambda _, latents: latents)
    theirs = stock(type(scheduler).from_config(scheduler.config), x, steps, begin)
    assert torch.allclose(ours, theirs, atol=1e-3, rtol=1e-4)
    assert float(ours.std()) > 0.01


def test_a_scheduler_that_clips_is_refused_in_a_sentence() -> None:
    with pytest.raises(ScheduleError, match="clip_sample"):
        read(diffusers.DDIMScheduler(**BETAS), 4)


def test_reading_leaves_the_scheduler_as_it_was() -> None:
    scheduler = diffusers.EulerDiscreteScheduler(**BETAS)
    scheduler.set_timesteps(7)
    before = scheduler.timesteps.clone()
    read(scheduler, 3)
    assert torch.equal(scheduler.timesteps, before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "name",
    ["ddim", "lms", "pndm", "heun", "euler", "dpmsolver", "dpmsolversinglestep", "unipc", "deis"],
)
@pytest.mark.parametrize("steps", [2, 5])
def test_wherever_it_begins_no_noise_is_left_of_a_picture(name: str, steps: int) -> None:
    scheduler = named(name, diffusers.DDIMScheduler(**BETAS))
    picture, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = read(scheduler, steps).total
    for begin in range(steps):
        schedule = read(scheduler, steps, begin)
        assert schedule.total == whole
        share, spread = levels(scheduler, steps)[schedule.begin]
        x = share * picture + spread * noise
        *_, found = denoise(lambda _x, _t: noise, x, schedule, lambda _: noise, lambda _, z: z)
        assert float((found - picture).abs().max()) < 0.2, (begin, float((found - picture).std()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["euler-ancestral", "kdpm2-ancestral", "lcm", "tcd", "ddpm"])
def test_a_show_has_noise_for_every_step(name: str) -> None:
    scheduler = named(name, diffusers.DDIMScheduler(**BETAS))
    schedule = read(scheduler, MOST_STEPS)
    drawn = [j for step in schedule.steps for j, _ in step.noises]
    assert len(drawn) == len(set(drawn)) > 0
    assert max(drawn) + 1 < NOISES
