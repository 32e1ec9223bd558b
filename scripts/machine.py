"""The machine that figures are for: its name, how fast it multiplies matrices, memory in use."""

import gc
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from lwlive.engine.cuda import waited
from lwlive.engine.eager import Eager
from lwlive.engine.load import Modules

SIDES = {"cuda": (4096, 8192), "mps": (2048, 4096)}  # of the matrices; elsewhere smaller ones


def name(device: str) -> str:
    """The hardware."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {torch.get_num_threads()} threads"


def peak_flops(device: str, dtype: torch.dtype, timer: Callable[[], float]) -> float:
    """Floating-point operations a second in products of square matrices, the best of ten each."""
    timer, best = waited(timer, device), 0.0
    for side in SIDES.get(device, (512, 1024, 2048)):
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        for _ in range(10):
            start = timer()
            a @ b
            best = max(best, 2 * side**3 / (timer() - start))
    return best


@torch.inference_mode()
def frame_flops(modules: Modules) -> tuple[float, float]:
    """Floating-point operations of one evaluation and of one decoding, for one frame."""
    x = torch.randn(1, *modules.shape, device=modules.device)
    times = torch.full((1,), 500.0, device=modules.device)
    cond = Eager(modules, 1).blank()
    found = []
    for ask in (partial(modules.denoiser, x, times, *cond), partial(modules.decoder, x)):
        with FlopCounterMode(display=False) as counter:
            ask()
        found.append(float(counter.get_total_flops()))
    return found[0], found[1]


def forget_peak(device: str) -> None:
    """Give back what is not in use, and let `peak_mb` begin again where that can be."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_mb(device: str) -> float:
    """The most memory in use so far in MB: a GPU's, elsewhere this process's resident memory."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)
