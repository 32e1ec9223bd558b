"""ember: frames a second of the built-in model, noise to host memory."""

import time

import machine
import torch
from fast import frames
from line import half, stage

from lwlive.checkpoint import Size, folder_of
from lwlive.engine.eager import Eager
from lwlive.engine.load import load
from lwlive.engine.networks import Kind


def main() -> None:
    """Measure each size in batches."""
    here = stage("ember")
    folder, kind = folder_of("ember"), Kind(half(here.device), True)
    sides, batches, seconds = ((256, 512, 1024), (1, 8), 2.0) if here.large else ((64,), (1,), 0.3)
    for side in sides:
        modules = load(folder, Size(side, side), here.device, kind)
        flops = sum(machine.frame_flops(modules))
        peak = machine.peak_flops(here.device, kind.dtype, time.perf_counter)
        for batch in batches:
            try:
                found = frames(Eager(modules, batch), seconds)
            except torch.OutOfMemoryError:
                here.say("frames", size=side, batch=batch, found=None, why="not enough memory")
                continue
            share = round(found * flops / peak, 3)
            here.say("frames", size=side, batch=batch, found=round(found, 1), peak_share=share)


if __name__ == "__main__":
    main()
