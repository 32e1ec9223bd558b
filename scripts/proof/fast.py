"""What is fast: each published shape at its full size with random weights, noise to host memory.

Frames a second in batches, the share of the machine's peak, milliseconds a stage, how long the GPU
waits between kernels, memory, seconds to the first picture; against the stock pipeline with its
documented speed-ups but for torch.compile, which takes longer than there is time; A B A.
"""

import time
from pathlib import Path
from typing import Any

import architectures
import bench
import machine
import right
import stock
import torch
from line import Stage, half, stage
from torch.profiler import ProfilerActivity, profile

from lwlive.checkpoint import Size
from lwlive.engine.compiled.build import Build, build
from lwlive.engine.compiled.package import Packaged
from lwlive.engine.eager import Eager
from lwlive.engine.load import load
from lwlive.engine.model import Model
from lwlive.engine.networks import Kind
from lwlive.engine.sampler import Sampler
from lwlive.params import Params

GOALS = {"sd-turbo": 500.0, "sdxl-turbo": 270.0}  # frames/s on an H100 or H200, batch 8 or less
RATIO = 5.0  # times a pipeline that draws one frame at a time
ONE = Params(steps=1, guidance=1.0, pace=0.0)
COMPILED = ("sd-turbo", 8)  # the shape and batch that is compiled, where there is time


def main() -> None:
    """Measure, the most wanted shape first."""
    here = stage("fast")
    for name in architectures.ARCHITECTURES:
        if here.left_s < 5:
            here.say("frames", shape=name, found=None, why="no time left")
            continue
        kept = here.cache / ("full" if here.large else "narrow") / name
        folder = architectures.folder(name, kept, tiny=not here.large)
        try:
            shape(here, name, folder)
        except torch.OutOfMemoryError:
            here.say("frames", shape=name, found=None, why="it does not fit into memory")
    compiled(here)


def shape(here: Stage, name: str, folder: Path) -> None:
    """All the figures of one shape."""
    size, seconds = (Size(512, 512), 2.0) if here.large else (Size(64, 64), 0.3)
    kind = Kind(half(here.device), True)
    machine.forget_peak(here.device)
    start = time.perf_counter()
    modules = load(folder, size, here.device, kind)
    model: Model = Eager(modules, 1)
    bench.first_pictures(model)
    first_s = time.perf_counter() - start
    flops, peak = (
        machine.frame_flops(modules),
        machine.peak_flops(here.device, kind.dtype, time.perf_counter),
    )
    before, rows = stocks(folder, model, seconds), []
    for batch in (1, 2, 4, 8, 16) if here.large else (1, 2):
        model = Eager(modules, batch)
        rows.append(frames(model, seconds))
        here.say(
            "frames",
            rows[-1] >= GOALS[name] if here.large and batch == 8 and name in GOALS else None,
            shape=name,
            batch=batch,
            found=round(rows[-1], 1),
            goal=GOALS.get(name) if here.large else None,
            peak_share=round(rows[-1] * sum(flops) / peak, 3),
            ms={part: round(ms, 3) for part, ms in bench.parts(model, seconds / 4).items()},
            **busy(model),
        )
    after = stocks(folder, model, seconds)
    ratio = max(rows) / ((before + after) / 2)
    here.say(
        "against the stock pipeline",
        ratio >= RATIO if here.large else None,
        shape=name,
        stock=[round(before, 2), round(after, 2)],
        found=round(max(rows), 1),
        ratio=round(ratio, 2),
        goal=RATIO if here.large else None,
        first_picture_s=round(first_s, 2),
        peak_mb=round(machine.peak_mb(here.device)),
    )


def frames(model: Model, seconds: float) -> float:
    """Frames a second, noise to bytes in the host's memory."""
    cond, sampler = model.encode([ONE.prompt, ONE.negative]), Sampler(model)

    def sample() -> int:
        walks = bench.walked(model, ONE, cond, model.batch)
        return len(sampler.pixels(sampler.latents(walks)))

    return bench.rate(sample, seconds)


def stocks(folder: Path, ours: Model, seconds: float) -> float:
    """Frames a second of the stock pipeline, one call a frame."""
    draw = stock.best(folder, ours, compiled=False)
    cond = ours.encode([ONE.prompt, ONE.negative])

    def call() -> int:
        draw(bench.walked(ours, ONE, cond, 1)[0])
        return 1

    return bench.rate(call, seconds)


def busy(model: Model, batches: int = 5) -> dict[str, Any]:
    """The share of the time in which the GPU works, and its longest wait between two kernels."""
    if model.device != "cuda":
        return {}
    cond, sampler = model.encode([ONE.prompt, ONE.negative]), Sampler(model)
    walks = bench.walked(model, ONE, cond, model.batch)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        for _ in range(batches):
            sampler.pixels(sampler.latents(walks))
    events = profiled.events() or []
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == torch.autograd.DeviceType.CUDA  # type: ignore[attr-defined] # not exported
    )
    if not spans:
        return {"busy": None}
    worked, until, gap = 0.0, spans[0][0], 0.0
    for start, end in spans:
        gap = max(gap, start - until)
        worked += max(0.0, end - max(start, until))
        until = max(until, end)
    return {"busy": round(worked / (until - spans[0][0]), 3), "longest_gap_us": round(gap, 1)}


def compiled(here: Stage) -> None:
    """The most wanted shape compiled ahead of time, where there is time for it."""
    name, batch = COMPILED
    folder = here.cache / ("full" if here.large else "narrow") / name
    kind, threads = Kind(half(here.device), True), torch.get_num_threads()
    want = Build(str(folder), Size(512, 512), here.device, kind, batch, threads)
    if not here.large:  # what was found to be right serves: compiling takes most of the time
        want = right.wanted(here, folder, kind)
        batch = want.batch
    place = want.place(here.cache)
    if want.costs(here.cache) is None:
        if here.left_s < (60 if here.large else 90):
            here.say("compiled", shape=name, batch=batch, found=None, why="no time left")
            return
        start = time.perf_counter()
        try:
            build(want, place)
        except RuntimeError as error:
            here.say("compiled", shape=name, batch=batch, found=None, why=str(error)[:200])
            return
        here.say("built", shape=name, batch=batch, seconds=round(time.perf_counter() - start, 1))
    start = time.perf_counter()
    model = Packaged(place)
    bench.first_pictures(model)
    cached_s = round(time.perf_counter() - start, 2)
    found = round(frames(model, 2.0 if here.large else 0.3), 1)
    here.say("compiled", shape=name, batch=batch, found=found, first_picture_s=cached_s)


if __name__ == "__main__":
    main()
