"""What there is: the card, its driver, torch, memory, and how fast it multiplies and copies."""

import importlib.util
import platform
import shutil
import subprocess
import time

import machine
import torch
from line import Stage, stage

from lwlive.engine.cuda import waited

COPIED_MB = 256


def main() -> None:
    """Say what there is."""
    here = stage("there")
    here.say("machine", None, name=machine.name(here.device), device=here.device, **software())
    if here.device == "cuda":
        here.say("card", None, **card())
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        if here.device == "cpu" and dtype is torch.float16:
            continue  # no show uses it there
        peak = machine.peak_flops(here.device, dtype, time.perf_counter)
        here.say("peak", dtype=str(dtype).removeprefix("torch."), tflops=round(peak / 1e12, 3))
    here.say("copies", None, **copies(here))


def software() -> dict[str, object]:
    """Versions, and what may be missing."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "xformers": importlib.util.find_spec("xformers") is not None,
        "compiler": next(filter(None, map(shutil.which, ("g++", "clang++"))), None),
    }


def card() -> dict[str, object]:
    """What the driver says of the GPU."""
    about = torch.cuda.get_device_properties(0)
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        driver = ""
    return {
        "driver": driver or None,
        "memory_gb": round(about.total_memory / 2**30, 1),
        "processors": about.multi_processor_count,
        "capability": f"{about.major}.{about.minor}",
    }


def copies(here: Stage) -> dict[str, float]:
    """Gigabytes a second within the device's memory and, on a GPU, to and from the host's."""
    timer = waited(time.perf_counter, here.device)
    there = torch.empty(COPIED_MB << 20, dtype=torch.uint8, device=here.device)
    pairs = {"within": (there, torch.empty_like(there))}
    if here.device == "cuda":
        pinned = torch.empty(COPIED_MB << 20, dtype=torch.uint8, pin_memory=True)
        pairs |= {"to_host": (there, pinned), "to_device": (pinned, there)}
    found = {}
    for name, (source, goal) in pairs.items():
        best = 0.0
        for _ in range(6):
            start = timer()
            goal.copy_(source, non_blocking=True)
            best = max(best, source.numel() / (timer() - start))
        found[f"{name}_gb_s"] = round(best / 1e9, 2)
    return found


if __name__ == "__main__":
    main()
