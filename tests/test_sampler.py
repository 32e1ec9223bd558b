"""The sampler gives what stock pipelines give, whatever the batch, and blends without a seam."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny
import torch

from lwlive.checkpoint import Size
from lwlive.engine.eager import Eager
from lwlive.engine.load import load
from lwlive.engine.networks import Kind
from lwlive.engine.sampler import Sampler, along, evened
from lwlive.engine.schedule import named
from lwlive.engine.walk import Walk, begin
from lwlive.params import Params
from lwlive.snapshot import Snapshot

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS = {
    "ddim": diffusers.DDIMScheduler(**BETAS, clip_sample=False, timestep_spacing="trailing"),
    "zero snr": diffusers.DDIMScheduler(
        **BETAS,
        clip_sample=False,
        timestep_spacing="trailing",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
    ),
    "lms": diffusers.LMSDiscreteScheduler(**BETAS),
    "euler": diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing="trailing"),
    "dpm": diffusers.DPMSolverMultistepScheduler(**BETAS),
    "lcm": diffusers.LCMScheduler(**BETAS, clip_sample=False),
    "ancestral": diffusers.EulerAncestralDiscreteScheduler(**BETAS),
}
FPS = 30.0


def open_model(path: Path, scheduler: Any = None, batch: int = 4) -> Eager:
    """A small checkpoint, float32."""
    size = Size(64, 64)
    return Eager(load(tiny.folder(path, scheduler), size, "cpu", Kind("float32", True)), batch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Eager:
    """A small checkpoint with a plain DDIM scheduler."""
    return open_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Eager, Any]]:
    """A small checkpoint with each scheduler, and the stock pipeline of it; each is made once."""

    @cache
    def made(name: str) -> tuple[Eager, Any]:
        model = open_model(tmp_path_factory.mktemp("tiny"), SCHEDULERS[name])
        return model, tiny.pipeline(SCHEDULERS[name])

    return made


def walk_of(model: Eager, phase: float = 0.0, **values: Any) -> Walk:
    """A walk of this model under these controls."""
    params = Params(**{"steps": 4, "guidance": 1.0, "prompt": "hello", "pace": 0.0, **values})
    cond = model.encode([params.prompt, params.negative])
    return begin(Snapshot(0, params), cond, model.shape, "cpu", phase)


def walked(walk: Walk, frames: int) -> list[Walk]:
    """The walk and the frames after it."""
    found = [walk]
    while len(found) < frames:
        found.append(found[-1].after(1 / FPS))
    return found


def change(frames: torch.Tensor) -> torch.Tensor:
    """RMS change from each frame to the next."""
    return (frames[1:] - frames[:-1]).flatten(1).square().mean(1).sqrt()


@pytest.mark.parametrize(
    "steps", [1, 4, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 8))]
)
@pytest.mark.parametrize("guidance", [pytest.param(1.0, marks=pytest.mark.slow), 5.0])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_depth_zero_equals_the_stock_pipeline(
    name: str, guidance: float, steps: int, pair: Callable[[str], tuple[Eager, Any]]
) -> None:
    model, pipe = pair(name)
    walk = walk_of(model, seed=5, steps=steps, guidance=guidance, negative="bad")
    clean = Sampler(model).latents([walk])
    theirs = pipe(
        prompt="hello",
        negative_prompt="bad",
        latents=walk.noise(0)[None],
        num_inference_steps=steps,
        guidance_scale=guidance,
        guidance_rescale=model.schedule(steps, 0).rescale,
        output_type="np",
        generator=_replayed(walk),
    ).images[0]
    ours = Sampler(model).pixels(clean)[0]
    assert np.abs(ours / 255 - theirs).max() <= 0.5 / 255 + 1e-3
    assert theirs.std() > 0.01


def _replayed(walk: Walk) -> torch.Generator:
    """A generator that draws the walk's own noise: the seed's, after the initial one is drawn."""
    generator = torch.Generator().manual_seed(walk.seed)
    torch.randn(walk.shape, generator=generator)
    return generator


@pytest.mark.parametrize(
    ("depth", "guidance"),
    [(0.0, 1.0), (0.5, 3.0)]
    + [pytest.param(*each, marks=pytest.mark.slow) for each in ((0.0, 3.0), (0.5, 1.0))],
)
def test_frames_are_the_same_whatever_the_batch(
    model: Eager, depth: float, guidance: float
) -> None:
    def sampled(batch: int) -> torch.Tensor:
        walks = walked(walk_of(model, 0.3, speed=2.0, depth=depth, guidance=guidance), 12)
        model.batch = batch
        return Sampler(model).latents(walks)

    one = sampled(1)
    for batch in (3, 4, 12):
        assert float((sampled(batch) - one).abs().max()) < 1e-4 * float(one.abs().max())
    assert float(change(one).min()) > 0


def test_at_depth_the_walk_passes_exactly_through_its_keyframes(model: Eager) -> None:
    sampler = Sampler(model)
    walk = walk_of(model, 0.0, depth=0.5)
    plain = sampler.latents([walk_of(model, 0.0)])
    assert torch.allclose(sampler.latents([walk]), plain, atol=1e-5)
    there = replace(walk, fraction=1.0)
    next_one = sampler.latents([walk_of(model, 1.0)])
    assert torch.allclose(sampler.latents([there]), next_one, atol=1e-4)


@pytest.mark.parametrize("name", ["pndm", "heun"])
def test_a_prompt_bends_at_depth_where_steps_ask_the_model_more_than_once(
    name: str, tmp_path: Path
) -> None:
    model = open_model(tmp_path, named(name, SCHEDULERS["ddim"]))
    sampler = Sampler(model)
    walk = walk_of(model, 0.3, depth=0.5, crossfeed=0.5, steps=8)
    before = sampler.latents([walk])
    least = sampler.evaluations(walk)
    asked = sampler.evaluated
    sampler.latents([walk.after(1 / FPS)])
    assert sampler.evaluated - asked == least == len(model.schedule(8, 4).steps)
    new = replace(walk.params, prompt="world", crossfeed=0.6)
    bent = walk.steered(Snapshot(1, new), model.encode([new.prompt, new.negative]))
    assert bent.a is not walk.a
    after = sampler.latents([bent.after(1 / FPS)])
    assert float(change(torch.cat([before, after]))[0]) < 0.1 * float(before.std())


def test_depth_costs_fewer_evaluations(model: Eager, monkeypatch: pytest.MonkeyPatch) -> None:
    walks = walked(walk_of(model, 0.3, depth=0.5, steps=4), 4)
    sampler = Sampler(model)
    sampler.latents(walks)  # traces the keyframes
    asked = 0
    real = model.denoise

    def counted(*args: Any) -> torch.Tensor:
        nonlocal asked
        asked += 1
        return real(*args)

    monkeypatch.setattr(model, "denoise", counted)
    sampler.latents(walks)
    assert asked == 2


def test_full_crossfeed_follows_the_trajectories(model: Eager) -> None:
    sampler = Sampler(model)
    walk = walk_of(model, 0.5, depth=0.25, crossfeed=1.0)
    free = walk_of(model, 0.5, depth=0.25)
    pulled, loose = sampler.latents([walk]), sampler.latents([free])
    assert not torch.allclose(pulled, loose, atol=1e-4)
    deep = replace(walk_of(model, 0.5, depth=0.75))
    assert torch.allclose(pulled, sampler.latents([deep]), atol=1e-3)


def test_after_a_bend_one_trajectory_gives_nearly_the_picture_of_both(model: Eager) -> None:
    sampler = Sampler(model)
    walk = walked(walk_of(model, 0.2, depth=0.75), 10)[-1]
    sampler.trace(walk)
    bent = walk.steered(Snapshot(1, replace(walk.params, seed=7)), walk.cond_b)
    lone = walked(bent.freed(False, lone=True), 8)
    alone = sampler.latents(lone)
    assert not bent.b.trajectories
    whole = sampler.latents([each.freed(False) for each in lone])
    free = sampler.latents([each.freed(True) for each in lone])
    far, further = ((some - whole).square().mean().sqrt() for some in (alone, free))
    assert torch.allclose(alone[0], whole[0], atol=1e-5)
    assert far < further / 2


def test_a_bend_at_depth_starts_at_the_present_picture(model: Eager) -> None:
    sampler = Sampler(model)
    walk = walked(walk_of(model, 0.2, depth=0.5, speed=1.0), 10)[-1]
    params = replace(walk.params, prompt="other")
    cond = model.encode(["other", ""])
    sampler.trace(walk)
    bent = walk.steered(Snapshot(1, params), cond)
    before, after = sampler.latents([walk]), sampler.latents([bent])
    assert torch.allclose(before, after, atol=1e-3)
    ordinary = change(sampler.latents(walked(walk, 20))).median()
    assert float(change(sampler.latents([bent, bent.after(1 / FPS)]))) <= 3 * float(ordinary)


def test_guidance_crosses_one_without_a_jump(model: Eager) -> None:
    sampler = Sampler(model)
    values = [0.0, 0.5, 0.99, 1.0, 1.01, 1.02]
    frames = torch.cat([sampler.latents([walk_of(model, 0.2, guidance=g)]) for g in values])
    assert torch.equal(frames[0], frames[3])
    assert float((frames[4] - frames[3]).abs().max()) < 0.01 * float(frames[3].std())
    assert not torch.equal(frames[4], frames[3])


def test_places_of_several_looks_are_each_sampled_in_their_own(model: Eager) -> None:
    sampler = Sampler(model)
    walks = [walk_of(model, 0.2, steps=n) for n in (2, 4, 2)]
    together = sampler.latents(walks)
    for walk, clean in zip(walks, together, strict=True):
        assert torch.allclose(sampler.latents([walk])[0], clean, atol=1e-4)


def test_pace_makes_the_visible_speed_more_even(model: Eager) -> None:
    sampler = Sampler(model)
    walk = walk_of(model, speed=1.0)
    raw = change(sampler.latents(walked(walk, 30)))
    warp = evened(sampler.latents(along(walk, 12)))
    paced = replace(walk, warp=warp, glides=_full_pace(walk))
    even = change(sampler.latents(walked(paced, 30)))
    assert float(even.std() / even.mean()) < float(raw.std() / raw.mean())


def _full_pace(walk: Walk) -> dict[str, Any]:
    return {**walk.glides, "pace": replace(walk.glides["pace"], value=1.0, target=1.0)}


def test_a_warp_rises_from_zero_to_one(model: Eager) -> None:
    warp = evened(Sampler(model).latents(along(walk_of(model), 12)))
    assert len(warp) == 13
    assert warp[0] == 0.0
    assert warp[-1] == 1.0
    assert min(np.diff(warp)) > 0
