"""Motion: how far pictures change along a walk as a show makes it, and how fast it makes them.

It walks with lwlive's own walk, pace and sampler. This file knows nothing of what is pictured.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from lwlive.checkpoint import Size, own_values
from lwlive.engine.eager import Eager
from lwlive.engine.load import load
from lwlive.engine.networks import Kind
from lwlive.engine.pace import live_pace
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Sampler
from lwlive.engine.walk import Walk, begin
from lwlive.params import Params
from lwlive.ring import Pixels
from lwlive.snapshot import Snapshot

FPS, SPEED = 30.0, 0.25
FRAMES = 240  # two segments
BATCH = 8


def opened(folder: Path, side: int) -> Eager:
    """A saved model as a show has it before it is compiled."""
    return Eager(load(folder, Size(side, side), "cpu", Kind("float32", True)), BATCH)


def places(model: Eager, folder: Path, **values: object) -> Iterator[Walk]:
    """The walk of a show with these controls, frame by frame, each segment paced as measured."""
    params = Params(**{**own_values(folder), "speed": SPEED, **values})
    sampler, pace = Sampler(model), live_pace()
    cond = Conds(model.encode)(params.prompt, params.negative)
    walk = begin(Snapshot(0, params), cond, model.shape, "cpu")
    frames = FPS / params.speed
    while True:
        if walk.fresh or not walk.phase:
            while pace.measure(sampler, walk, frames):
                pass
            walk = pace.settled(walk, frames)
        yield walk
        walk = walk.after(1 / FPS)


def bend(model: Eager, folder: Path, prompt: str, other: str, seed: int, frames: int) -> list[Walk]:
    """So many frames of a walk that gets another prompt at the first of them."""
    walk = next(places(model, folder, prompt=prompt, seed=seed, pace=0.0))
    cond = Conds(model.encode)(other, "")
    found = [walk.steered(Snapshot(1, replace(walk.params, prompt=other)), cond)]
    while len(found) < frames:
        found.append(found[-1].after(1 / FPS))
    return found


def shown(model: Eager, walks: list[Walk]) -> list[Pixels]:
    """The pictures of places."""
    sampler = Sampler(model)
    return sampler.pixels(sampler.latents(walks))


def jump(model: Eager, folder: Path, prompt: str, seed: int, pace: float) -> float:
    """The largest change from frame to frame along a walk, in medians."""
    walk = places(model, folder, prompt=prompt, seed=seed, pace=pace)
    pictures = np.stack(shown(model, [next(walk) for _ in range(FRAMES)])).astype(np.int16)
    changes = np.abs(np.diff(pictures, axis=0)).mean((1, 2, 3))
    return float(changes.max() / np.median(changes))


def rate(folder: Path, side: int, seconds: float = 6.0) -> float:
    """Frames a second, from places on the walk to bytes, not compiled."""
    model = opened(folder, side)
    walk = places(model, folder)
    shown(model, [next(walk) for _ in range(BATCH)])
    began, made = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        made += len(shown(model, [next(walk) for _ in range(BATCH)]))
    return made / spent
