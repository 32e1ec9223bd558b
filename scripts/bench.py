"""Frames a second: a loop over the stock pipeline against lwlive's sampler, in one run.

    python scripts/bench.py [--model ember] [--sizes 256 512] [--steps 1 4] [--seconds 6]
    python scripts/bench.py --arch sd-turbo --sizes 512 --batches 1 2 4 8 16

--arch builds a published shape with random weights instead, since speed does not depend on values;
--tiny makes it narrow, to try the script. A batch that does not fit into memory, and a device that
is not there, are "not measured".

Both make the same pictures of the same walk, noise to bytes. The stock StableDiffusionPipeline is
called once per frame with the walk's latents, first as it comes (float32, a prompt each time), then
with its best settings (the precision lwlive found fastest, channels_last, the prompt encoded once,
torch.compile). Each is measured before and after lwlive, A B A. Beside frames a second it prints
what share that is of the machine's own peak, a product of large matrices; memory at most (of the
GPU, or of the process); seconds until the first pictures, with nothing built and with all cached.
--shares plays shows of --seconds instead and prints what share of their frames is sampled (Linux).

Then a show of a minute runs without a window at 60 frames/s, and a control arrives over OSC every
20 ms: late frames, and milliseconds from a control to its picture. Ends with one line of JSON.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import architectures
import machine
import platformdirs
import shares
import stock
import storm
import torch

from lwlive.checkpoint import Size, folder_of, own_values, size_of
from lwlive.engine import attention
from lwlive.engine.compiled.build import Build, build
from lwlive.engine.compiled.package import Packaged
from lwlive.engine.cuda import Timer, waited
from lwlive.engine.eager import Eager
from lwlive.engine.governor import batch_for
from lwlive.engine.load import PLAIN, load
from lwlive.engine.model import Model
from lwlive.engine.sampler import Sampler
from lwlive.engine.tuning import measure
from lwlive.engine.walk import Walk, begin
from lwlive.params import Params
from lwlive.snapshot import Snapshot

FPS, SHOW_FPS = 30.0, 60.0


def main() -> None:
    """Measure what the command line asks for and print it."""
    given = parsed()
    if given.shares:
        for row in shares.rows(given.cache / "shares", given.seconds):
            print(json.dumps(row), flush=True)
        return
    if given.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA GPU here: not measured")
        print(json.dumps({"machine": None, "model": given.arch or given.model, "rows": None}))
        return
    if given.arch:
        given.model = f"{given.arch}{'-tiny' if given.tiny else ''}"
        folder = architectures.folder(given.arch, given.cache / "shapes" / given.model, given.tiny)
    else:
        folder = folder_of(given.model)
    device = measure.device_of(given.device)
    print(f"{machine.name(device)}; torch {torch.__version__}")
    rows: list[dict[str, Any]] = []
    for text, batch in itertools.product(given.sizes, given.batches):
        try:
            rows += measured(given, folder, device, text, batch)
        except torch.OutOfMemoryError:
            print(f"{text} px batch {batch}: not measured, it does not fit into memory")
            rows.append({"size": text, "batch": batch, "lwlive": None})
    about = {"machine": machine.name(device), "torch": torch.__version__, "model": given.model}
    shows = [performed(given, folder, device, text) for text in given.sizes if given.show]
    print(json.dumps({**about, "rows": rows, "shows": shows}))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Raw)
    parser.add_argument("--model", default="ember")
    parser.add_argument("--sizes", nargs="+", default=["256", "512"])
    parser.add_argument("--steps", nargs="+", type=int, default=None)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--batches", nargs="+", type=int, default=[None], help="default: a show's")
    parser.add_argument("--arch", choices=architectures.ARCHITECTURES)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--show", type=float, default=60.0, help="seconds of the show, 0 for none")
    parser.add_argument("--shares", action="store_true", help="only the shares of sampled frames")
    parser.add_argument("--cache", type=Path, default=platformdirs.user_cache_path("lwlive"))
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def measured(
    given: argparse.Namespace, folder: Path, device: str, text: str, batch: int | None
) -> list[dict[str, Any]]:
    """Everything but the show, of one size and batch."""
    size, own, everything = size_of(folder, text), own_values(folder), torch.get_num_threads()
    ready = opened(folder, size, device, given.cache, given.compile, batch)
    ours = ready.model
    peak = machine.peak_flops(device, getattr(torch, ours.dtype), time.perf_counter)
    stocks = {
        "stock": stock.plain(folder, device),
        "stock, best": stock.best(folder, ours, given.compile),
    }
    threads = everything, torch.get_num_threads()  # stock's, and what suits lwlive
    evaluations = 2 if own["guidance"] > 1 and not ours.embeds_guidance else 1
    rows = []
    for steps in given.steps or sorted({1, int(own["steps"])}):
        found = compared(stocks, ours, own["guidance"], steps, text, given.seconds, threads)
        flops = steps * evaluations * ready.flops[0] + ready.flops[1]
        for row in found:
            row |= {"peak_share": round(row["lwlive"] * flops / peak, 4)}
            row |= {"peak_tflops": round(peak / 1e12, 3)}
        best = max(row["peak_share"] for row in found)
        print(f"{text:>7} px {steps} steps: {best:.1%} of the peak, {peak / 1e12:.3g} TFLOP/s")
        rows += found
    costs = {k: round(v, 3) for k, v in parts(ours, given.seconds / 4).items()}
    print(f"{text} px, ms a frame: {listed(costs)}")
    print(f"{text} px, {ready.memory_mb} MB; seconds to pictures: {listed(ready.warm_up_s)}")
    rows[-1] |= {"ms": costs, "warm_up_s": ready.warm_up_s, "peak_mb": ready.memory_mb}
    return rows


def performed(given: argparse.Namespace, folder: Path, device: str, text: str) -> dict[str, Any]:
    """A show of this size under a storm of controls: its figures."""
    flags = ["--model", str(folder), "--size", text, "--device", device]
    flags += ["--cache", str(given.cache), "--compile" if given.compile else "--no-compile"]
    try:
        found = storm.figures(flags, SHOW_FPS, given.show)
    except RuntimeError as error:
        print(f"{text} px, a show: not measured, {error}")
        return {"size": text, "frames_shown": None}
    print(f"{text} px, a show of {given.show:g} s: {listed(found)}")
    return {"size": text, **found}


def listed(figures: Mapping[str, object]) -> str:
    """Figures in a line."""
    return ", ".join(f"{name} {value}" for name, value in figures.items())


class Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the text above."""


@dataclass(frozen=True)
class Ready:
    """A model as a show would use it, and what it took."""

    model: Model
    flops: tuple[float, float]  # of one evaluation and of one decoding, for one frame
    warm_up_s: dict[str, float | None]  # to the first pictures: cold, None where built, and cached
    memory_mb: int  # at most


def opened(
    folder: Path,
    size: Size,
    device: str,
    cache: Path,
    compiled: bool,
    batch: int | None,
) -> Ready:
    """Measure and compile what is not in the cache, then open it again from there."""
    start, ways = time.perf_counter(), attention.ways("auto", device)
    found, modules = measure.measure(folder, size, device, time.perf_counter, PLAIN, print, ways)
    costs = found.expected if compiled else found.costs
    steps = own_values(folder)["steps"]
    batch = batch or batch_for(measure.a_frame(costs, steps), FPS)  # as a first show would
    want = Build(str(folder), size, device, found.kind, batch, found.threads)
    place = want.place(cache)
    built = compiled and want.costs(cache) is not None
    if compiled and not built:
        try:
            build(want, place)
        except RuntimeError as error:
            print(f"not compiled: {error}")
            compiled = False
    cold: float | None = None
    if not built:
        first_pictures(Packaged(place) if compiled else Eager(modules, batch))
        cold = round(time.perf_counter() - start, 2)
    flops = machine.frame_flops(modules)
    del modules
    machine.forget_peak(device)
    start = time.perf_counter()
    model: Model = (
        Packaged(place) if compiled else Eager(load(folder, size, device, found.kind), batch)
    )
    first_pictures(model)
    warm = {"cold": cold, "cached": round(time.perf_counter() - start, 2)}
    return Ready(model, flops, warm, round(machine.peak_mb(device)))


def first_pictures(model: Model) -> None:
    """A batch of them, from a prompt."""
    params = Params(steps=1, guidance=1.0, pace=0.0)
    sampler = Sampler(model)
    walks = walked(model, params, model.encode([params.prompt, ""]), model.batch)
    sampler.pixels(sampler.latents(walks))


def compared(
    stocks: dict[str, Callable[[Walk], Any]],
    ours: Model,
    guidance: float,
    steps: int,
    size: str,
    seconds: float,
    threads: tuple[int, int],
) -> list[dict[str, Any]]:
    """Stock, lwlive, stock again; prints and returns a row for each stock pipeline."""
    params = Params(steps=steps, guidance=guidance, pace=0.0)
    cond = ours.encode([params.prompt, params.negative])
    sampler = Sampler(ours)
    rows = []

    def sample() -> int:
        walks = walked(ours, params, cond, ours.batch)
        sampler.pixels(sampler.latents(walks))
        return len(walks)

    for name, frame in stocks.items():

        def call(frame: Callable[[Walk], Any] = frame) -> int:
            frame(walked(ours, params, cond, 1)[0])
            return 1

        before = rate(call, seconds, threads[0])
        found = rate(sample, seconds, threads[1])
        after = rate(call, seconds, threads[0])
        ratio = found / ((before + after) / 2)
        print(
            f"{size:>7} px {steps} steps: {name:<12} {before:7.2f} {after:7.2f} frames/s, "
            f"lwlive {found:7.2f}, ratio {ratio:6.2f} (batch {ours.batch}, {ours.dtype}, "
            f"{'compiled' if ours.compiled else 'not compiled'})"
        )
        rows.append(
            {"size": size, "steps": steps, "against": name}
            | {"stock": [round(before, 2), round(after, 2)], "lwlive": round(found, 2)}
            | {"ratio": round(ratio, 2), "batch": ours.batch, "dtype": ours.dtype}
            | {"compiled": ours.compiled}
        )
    return rows


def walked(model: Model, params: Params, cond: Any, count: int) -> list[Walk]:
    """So many frames of a walk."""
    walks = [begin(Snapshot(0, params), cond, model.shape, model.device, 0.3)]
    while len(walks) < count:
        walks.append(walks[-1].after(1 / FPS))
    return walks


def rate(
    run: Callable[[], int],
    seconds: float,
    threads: int | None = None,
    timer: Timer = time.perf_counter,
) -> float:
    """Frames a second of something that returns how many it made, after two warm-up runs."""
    torch.set_num_threads(threads or torch.get_num_threads())
    run()
    run()
    start, made = timer(), 0
    while (spent := timer() - start) < seconds:
        made += run()
    return made / spent


def parts(model: Model, seconds: float) -> dict[str, float]:
    """Milliseconds a frame of what a frame is made of; text is per prompt."""
    params = Params(steps=1, guidance=1.0, pace=0.0)
    cond = model.encode(["", ""])
    walks = walked(model, params, cond, model.batch)
    x = torch.stack([walk.noise(0) for walk in walks])
    text = tuple(torch.stack([part[0]] * model.batch) for part in cond)
    if model.embeds_guidance:
        text = (*text, torch.ones(model.batch, device=model.device))
    n = model.batch

    def slerped() -> int:
        for walk in walks:
            walk.noise(0)
            walk.cond()
        return n

    def encoded() -> int:
        model.encode([params.prompt])
        return 1

    def denoised() -> int:
        model.denoise(x, 500.0, text)
        return n

    def decoded() -> int:
        model.decode(x)
        return n

    timer = waited(time.perf_counter, model.device)
    runs = {"text": encoded, "slerp": slerped, "one step": denoised, "decode": decoded}
    return {name: 1e3 / rate(run, seconds, timer=timer) for name, run in runs.items()}


if __name__ == "__main__":
    main()
