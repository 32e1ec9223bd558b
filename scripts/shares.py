"""What share of a show's frames is sampled, on smaller machines than this one as well.

`bench.py --shares` runs it: headless shows of ember at 30 and 60 frames/s, 256 and 512 px, on all
cores and on one, with the processor's bfloat16 and, made to do without, as on one that has AVX2
only. Packages are built first, in a cache folder for each kind of machine.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch

from lwlive.openmp import spin_briefly

OLDER = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
SIZES, RATES = (256, 512), (30, 60)
LIMIT_S = 600.0  # for a build


def rows(cache: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """A row for each machine, size and rate, as soon as it is known. Linux only."""
    everything = sorted(os.sched_getaffinity(0))
    half = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    for older, count in product((False, True) if half else (False,), (len(everything), 1)):
        machine = Machine(everything[:count], OLDER if older else {}, cache / f"older-{older}")
        for size in SIZES:
            built = machine.run(["models", "build", "ember"], size)
            for fps in RATES:
                with tempfile.TemporaryDirectory() as folder:
                    stats = Path(folder) / "stats.json"
                    flags = ["--headless", "--no-osc", "--fps", str(fps), "--folder", folder]
                    flags += ["--duration", str(seconds), "--stats", str(stats)]
                    flags += ["--record", str(Path(folder) / "show.mp4")]
                    played = machine.run(flags, size)
                    found = json.loads(stats.read_text("utf-8")) if stats.exists() else {}
                row = {name: found.get(name) for name in ("dtype", "compiled", "fps_sampled")}
                sampled = found.get("fps_sampled")
                yield {
                    "cores": count,
                    "avx2_only": older,
                    "size": size,
                    "fps": fps,
                    **row,
                    "share": None if sampled is None else round(sampled / fps, 2),
                    "late": found.get("frames_late"),
                    "exit_codes": [built, played],
                }


class Machine:
    """Some of this machine's cores, and what its processor is allowed to do."""

    def __init__(self, cores: list[int], less: dict[str, str], cache: Path) -> None:
        self._cores, self._cache = cores, cache
        self._environment = os.environ | less
        spin_briefly(self._environment)

    def run(self, words: list[str], size: int) -> int:
        """Run lwlive there, one frame at a time; its exit code."""
        command = [sys.executable, "-m", "lwlive", *words, "--size", str(size), "--batch", "1"]
        command += ["--cache", str(self._cache)]
        everything = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._cores)  # which the child inherits
        try:
            return subprocess.run(
                command, env=self._environment, capture_output=True, timeout=LIMIT_S
            ).returncode
        finally:
            os.sched_setaffinity(0, everything)
