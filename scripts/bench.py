"""Frames a second: a loop over the stock pipeline against lwlive's sampler, in one run.

    python scripts/bench.py [--model ember] [--sizes 256 512] [--steps 1 4] [--seconds 6]
    python scripts/bench.py --arch sd-turbo --sizes 512 --batches 1 2 4 8 16

--arch builds a published shape with random weights instead, since speed does not depend on values;
--tiny makes it narrow, to try the script. A batch that does not fit into memory, and a device that
is not there, are "not measured".

Both make the same pictures of the same walk, noise to bytes. The stock StableDiffusionPipeline is
called once per frame with the walk's latents, first as it comes (float32, a prompt each time), then
with its best settings (the precision lwlive found fastest, channels_last, the prompt encoded once,
torch.compile). Each is measured before and after lwlive, A B A. Ends with one line of JSON.
"""

import argparse
import itertools
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import architectures
import platformdirs
import torch

from lwlive.checkpoint import folder_of, own_values, size_of
from lwlive.engine import measure
from lwlive.engine.model import Eager
from lwlive.engine.packages import Build, Packaged, build
from lwlive.engine.sampler import Model, Sampler
from lwlive.engine.walk import Walk, begin
from lwlive.params import Params, Snapshot

FPS = 30.0
ENCODED = ("prompt_embeds", "pooled_prompt_embeds")  # SDXL has the second, too


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Raw)
    parser.add_argument("--model", default="ember")
    parser.add_argument("--sizes", nargs="+", default=["256", "512"])
    parser.add_argument("--steps", nargs="+", type=int, default=None)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--batches", nargs="+", type=int, default=[None], help="default: a show's")
    parser.add_argument("--arch", choices=architectures.ARCHITECTURES)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--cache", type=Path, default=platformdirs.user_cache_path("lwlive"))
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA GPU here: not measured")
        print(json.dumps({"machine": None, "model": given.arch or given.model, "rows": None}))
        return
    if given.arch:
        given.model = f"{given.arch}{'-tiny' if given.tiny else ''}"
        folder = architectures.folder(given.arch, given.cache / "shapes" / given.model, given.tiny)
    else:
        folder = folder_of(given.model)
    own = own_values(folder)
    device = measure.device_of(given.device)
    rows: list[dict[str, Any]] = []
    print(f"{machine(device)}; torch {torch.__version__}")
    everything = torch.get_num_threads()
    for text, batch in itertools.product(given.sizes, given.batches):
        size = size_of(folder, text)
        peak = getattr(torch, device, torch.cpu)
        if device == "cuda":
            peak.reset_peak_memory_stats()
        try:
            ours, warm_s = lwlive_model(folder, size, device, given.cache, given.compile, batch)
            stocks = {
                "stock": stock(folder, device),
                "stock, best": best(folder, ours, given.compile),
            }
            threads = everything, torch.get_num_threads()  # stock's, and what suits lwlive
            for steps in given.steps or sorted({1, int(own["steps"])}):
                rows += compared(stocks, ours, own["guidance"], steps, text, given.seconds, threads)
        except torch.OutOfMemoryError:
            print(f"{text} px batch {batch}: not measured, it does not fit into memory")
            rows.append({"size": text, "batch": batch, "lwlive": None})
            continue
        costs = {k: round(v, 3) for k, v in parts(ours, given.seconds / 4).items()}
        print(f"{text} px, ms a frame: " + ", ".join(f"{k} {v:g}" for k, v in costs.items()))
        rows[-1] |= {"ms": costs, "warm_up_s": round(warm_s, 1)}
        if device == "cuda":
            rows[-1]["peak_mb"] = round(peak.max_memory_allocated() / 2**20)
    about = {"machine": machine(device), "torch": torch.__version__, "model": given.model}
    print(json.dumps({**about, "rows": rows}))


class Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the text above."""


def machine(device: str) -> str:
    """The hardware that figures are for."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"


def lwlive_model(
    folder: Path,
    size: tuple[int, int],
    device: str,
    cache: Path,
    compiled: bool,
    batch: int | None,
) -> tuple[Model, float]:
    """The model as a show would use it, and how long it took to be ready."""
    start = time.perf_counter()
    found, modules = measure.measure(folder, size, device, time.perf_counter)
    batch = batch or found.batch(own_values(folder)["steps"], FPS)  # as a show would
    want = Build(str(folder), size, device, found.kind, batch, found.threads)
    model: Model = Eager(modules, batch)
    if compiled:
        place = want.place(cache)
        if not (place / "about.json").exists():
            build(want, place)
        model = Packaged(place)
    return model, time.perf_counter() - start


def stock(folder: Path, device: str) -> Callable[[Walk], Any]:
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


def rate(run: Callable[[], int], seconds: float, threads: int | None = None) -> float:
    """Frames a second of something that returns how many it made, after two warm-up runs."""
    torch.set_num_threads(threads or torch.get_num_threads())
    run()
    run()
    start, made = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
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

    runs = {"text": encoded, "slerp": slerped, "one step": denoised, "decode": decoded}
    return {name: 1e3 / rate(run, seconds) for name, run in runs.items()}


if __name__ == "__main__":
    main()
