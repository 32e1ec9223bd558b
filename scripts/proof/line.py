"""What every stage of prove.py has in common: its flags, its lines, its time."""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lwlive.engine.tuning import measure
from lwlive.ring import Pixels


@dataclass(frozen=True)
class Stage:
    """One stage as the command line asks for it."""

    name: str
    device: str  # cuda or cpu
    cache: Path
    end: float  # when its time is up, by time.monotonic

    @property
    def large(self) -> bool:
        """Whether the published sizes are measured, or small ones that a CPU can do."""
        return self.device == "cuda"

    @property
    def left_s(self) -> float:
        """Seconds until its time is up."""
        return self.end - time.monotonic()

    def say(self, what: str, reached: bool | None = None, **found: Any) -> None:
        """Print a line of JSON. reached: whether its goal is, None where it has none."""
        goal = {} if reached is None else {"reached": reached}
        print(json.dumps({"stage": self.name, "what": what, **found, **goal}), flush=True)


def stage(name: str) -> Stage:
    """This stage, from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--cache", type=Path, required=True)
    given = parser.parse_args()
    device = measure.device_of(given.device)
    given.cache.mkdir(parents=True, exist_ok=True)
    return Stage(name, device, given.cache, time.monotonic() + given.seconds)


def half(device: str) -> str:
    """The numbers that a show uses there: of half the size, where the machine has them."""
    if device == "cuda":
        return "float16"
    return "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"


def psnr(one: Pixels, other: Pixels) -> float:
    """How near pictures are, in decibels: 99 at most."""
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    return 99.0 if error == 0 else round(min(99.0, 10 * math.log10(255**2 / error)), 2)


def apart(one: Pixels, other: Pixels) -> int:
    """The largest difference of pictures, in levels of 255."""
    return int(np.abs(one.astype(np.int16) - other).max())
