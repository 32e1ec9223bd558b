"""What is right: pictures of each family on this device against float32 on the CPU.

Narrow checkpoints of the published blocks with random weights. Compared are the networks asked
directly, recorded as CUDA graphs and compiled, in batches; a LoRA; xformers. And whether steps,
depth and guidance can change live without another graph being recorded.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import architectures
import bench
import numpy as np
import torch
from line import Stage, apart, half, psnr, stage
from safetensors.torch import save_file

from lwlive.checkpoint import Additions, Size
from lwlive.engine import attention, cuda, eager
from lwlive.engine.compiled.build import Build, build
from lwlive.engine.compiled.package import Packaged
from lwlive.engine.load import PLAIN, load
from lwlive.engine.model import Model
from lwlive.engine.networks import Kind
from lwlive.engine.sampler import Sampler
from lwlive.engine.warmup import first_uses
from lwlive.params import Params
from lwlive.ring import Pixels

SIZE = Size(128, 128)
FAMILIES = tuple(architectures.ARCHITECTURES)
BATCHES = (1, 2, 4, 8)
COUNT = max(BATCHES)  # pictures that are compared
NEAR_DB, SAME = 40.0, 2  # goals: against float32, and between ways to ask the same networks
COMPILING_S = 90.0  # about what compiling a narrow checkpoint takes
STEEP = Params(steps=2, guidance=1.5, pace=0.0)


def main() -> None:
    """Compare."""
    here = stage("right")
    kind = Kind(half(here.device), True)
    for name in FAMILIES:
        folder = architectures.folder(name, here.cache / "narrow" / name, tiny=True)
        exact = reference(folder)
        with direct():
            plain = pictures(model(here, folder, kind, COUNT))
        near = psnr(plain, exact)
        here.say(
            "float32 on the CPU",
            near >= NEAR_DB,
            family=name,
            dtype=kind.precision,
            db=near,
            goal_db=NEAR_DB,
            contrast=round(float(exact.std()), 1),  # levels of 255: flat pictures prove little
        )
        for batch in BATCHES:
            found = pictures(model(here, folder, kind, batch))
            way = "graphs" if here.device == "cuda" else "direct"
            off = apart(found, plain)
            here.say(way, off <= SAME, family=name, batch=batch, apart=off, goal=SAME)
    changes, adapted = live(here, kind), lora(here, kind)
    here.say("live changes", changes["recorded_live"] == 0, **changes)
    here.say("lora", adapted["db"] >= NEAR_DB, **adapted)
    for way in attention.ways("auto", here.device)[1:]:
        folder = here.cache / "narrow" / FAMILIES[0]
        found = pictures(model(here, folder, replace(kind, attention=way), COUNT))
        near = psnr(found, reference(folder))
        here.say(way, near >= NEAR_DB, family=FAMILIES[0], db=near, goal_db=NEAR_DB)
    for name in FAMILIES if here.large else FAMILIES[:1]:
        if here.left_s < COMPILING_S:
            here.say("compiled", family=name, apart=None, why="no time left")
            continue
        done = compiled(here, here.cache / "narrow" / name, kind)
        same = done["apart"] is not None and done["apart"] <= SAME
        here.say("compiled", same, family=name, **done)


def model(
    here: Stage, folder: Path, kind: Kind, batch: int, additions: Additions = PLAIN
) -> eager.Eager:
    """A checkpoint on this stage's device."""
    return eager.Eager(load(folder, SIZE, here.device, kind, additions), batch)


def pictures(found: Model) -> Pixels:
    """The same pictures of the same walk, [COUNT, H, W, 3], whatever the batch."""
    cond = found.encode([STEEP.prompt, STEEP.negative])
    sampler = Sampler(found)
    walks = [replace(walk, device=found.device) for walk in bench.walked(found, STEEP, cond, COUNT)]
    return np.stack(sampler.pixels(sampler.latents(walks)))


@cache
def reference(folder: Path, additions: Additions = PLAIN) -> Pixels:
    """The pictures in float32, on the CPU."""
    modules = load(folder, SIZE, "cpu", Kind("float32", True), additions)
    return pictures(eager.Eager(modules, COUNT))


@contextlib.contextmanager
def direct() -> Iterator[None]:
    """Networks are asked directly, as without CUDA graphs."""
    with mock.patch.object(eager, "replayed", lambda function, *_: function):
        yield


def live(here: Stage, kind: Kind) -> dict[str, Any]:
    """Graphs recorded while steps, depth and guidance change, after a show's first uses."""
    recorded, record = [0], cuda.on_cuda

    def counted(*given: Any) -> Any:
        recorded[0] += 1
        return record(*given)

    with mock.patch.object(cuda, "on_cuda", counted):
        found = model(here, here.cache / "narrow" / FAMILIES[0], kind, 2)
        sampler = Sampler(found)
        walk = bench.walked(found, STEEP, found.encode([STEEP.prompt, ""]), 1)[0]
        list(first_uses(found, walk, sampler.latents([walk, walk])[0]))
        before, made = recorded[0], 0
        for steps, depth, guidance in (
            (1, 0, 0.5),
            (1, 0, 1.5),
            (4, 0.5, 7),
            (3, 0.9, 1),
            (2, 0, 0),
        ):
            params = replace(STEEP, steps=steps, depth=float(depth), guidance=float(guidance))
            walks = bench.walked(found, params, found.encode([params.prompt, ""]), 2)
            made += len(sampler.pixels(sampler.latents(walks)))
    graphs = before if here.device == "cuda" else None
    return {"pictures": made, "graphs": graphs, "recorded_live": recorded[0] - before, "goal": 0}


def lora(here: Stage, kind: Kind) -> dict[str, Any]:
    """A LoRA on every attention, on this device against the CPU, and how much it changes."""
    folder = here.cache / "narrow" / FAMILIES[0]
    unet = load(folder, SIZE, "cpu", Kind("float32", True)).denoiser.unet
    rows: dict[str, torch.Tensor] = {}
    torch.manual_seed(7)
    for name, layer in unet.named_modules():
        if name.endswith(("to_q", "to_v")):
            rows[f"unet.{name}.lora_A.weight"] = torch.randn(4, layer.in_features) * 0.3
            rows[f"unet.{name}.lora_B.weight"] = torch.randn(layer.out_features, 4) * 0.3
    path = here.cache / "lora.safetensors"
    save_file(rows, path)
    with_it = Additions(loras=((str(path), 1.0),))
    exact = reference(folder, with_it)
    near = psnr(pictures(model(here, folder, kind, COUNT, with_it)), exact)
    return {"db": near, "goal_db": NEAR_DB, "changes": apart(exact, reference(folder))}


def compiled(here: Stage, folder: Path, kind: Kind) -> dict[str, Any]:
    """A checkpoint compiled ahead of time against the same one asked directly."""
    want = wanted(here, folder, kind)
    place = want.place(here.cache)
    try:
        if want.costs(here.cache) is None:
            build(want, place)
        found = pictures(Packaged(place))
    except (RuntimeError, OSError) as error:
        return {"apart": None, "why": str(error).splitlines()[0][:200]}
    with direct():
        plain = pictures(model(here, folder, kind, 2))
    return {"apart": apart(found, plain), "goal": SAME}


def wanted(here: Stage, folder: Path, kind: Kind) -> Build:
    """What is compiled of a narrow checkpoint."""
    return Build(str(folder), SIZE, here.device, kind, 2, torch.get_num_threads())


if __name__ == "__main__":
    main()
