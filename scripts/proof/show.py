"""A show: a storm of OSC while it is recorded, and then an engine that is lost on purpose.

On a GPU the engine's context is poisoned by an illegal access, as a faulty driver does it; only a
new process recovers from that. On a CPU the engine is killed.
"""

import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import architectures
import storm
from line import Stage, stage

from lwlive.engine import process

FPS = 60.0
LATENCY_MS, JUMP = 100.0, 3.0  # goals: 95th percentile; the largest change in medians
PLAYED_S = 3.0  # of pictures, before the engine is lost


def main() -> None:
    """Play both."""
    here = stage("show")
    name = "sd-turbo" if here.large else None
    flags = ["--device", here.device, "--cache", str(here.cache / "cache")]
    if name is not None:
        folder = architectures.folder(name, here.cache / "full" / name)
        flags += ["--model", str(folder), "--size", "512"]
    flags += ["--no-compile"]
    fps = FPS if here.large else 15.0
    lost_s = PLAYED_S + (17.0 if here.large else 9.0)  # the whole show of which an engine is lost
    seconds = min(60.0 if here.large else 8.0, max(5.0, here.left_s - 2 * lost_s - 20))
    try:
        found, _ = storm.stormed(flags, fps, round(seconds), seed=1)
        late = found["frames_late"] == 0 and (found["latency_p95_ms"] or 1e9) <= LATENCY_MS
        even = (found["largest_in_medians"] or 1e9) <= JUMP
        here.say(
            "storm",
            even and late if here.large else None,
            shape=name or "ember",
            fps=fps,
            seconds=round(seconds),
            **found,
            goal_p95_ms=LATENCY_MS if here.large else None,
            goal_largest=JUMP,
            goal_late=0 if here.large else None,
        )
    except RuntimeError as error:
        here.say("storm", found=None, why=str(error)[:300])
    lost = recovered(here, flags, fps, lost_s)
    here.say("engine lost", (lost["deaths"], lost["starts"]) == (1, 2), **lost)


def recovered(here: Stage, flags: list[str], fps: float, seconds: float) -> dict[str, Any]:
    """What a show does whose first engine is lost: its deaths, its starts, its pictures."""
    from lwlive.cli import arguments, perform

    with tempfile.TemporaryDirectory() as folder:
        stats = Path(folder) / "stats.json"
        words = [*flags, "--headless", "--no-osc", "--folder", folder, "--fps", str(fps)]
        words += ["--duration", str(seconds), "--stats", str(stats)]
        config, params = arguments.parse(words)
        kept, process.run = process.run, spoilt
        try:
            perform.perform(config, params)
        finally:
            process.run = kept
        found = json.loads(stats.read_text("utf-8"))
    return {
        "by": "an illegal access" if here.device == "cuda" else "a signal",
        **found["engine"],
        **{name: found[name] for name in ("frames_shown", "frames_late")},
        "goal": {"deaths": 1, "starts": 2},
    }


def spoilt(order: process.Order, pipe: Any) -> None:
    """An engine as in a show, the first of which is lost after a few seconds of pictures."""
    if not order.waiting:
        threading.Thread(target=_spoil, args=(order,), daemon=True).start()
    _run(order, pipe)


_run = process.run


def _spoil(order: process.Order) -> None:
    from lwlive.ring import Ring

    ring = Ring.attach(order.ring)
    while ring.taken < 0:
        time.sleep(0.05)
    time.sleep(PLAYED_S)
    if order.config.device == "cpu":
        os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    import torch

    four = torch.zeros(4, device="cuda")
    beyond = torch.full((1,), 1 << 40, device="cuda")
    four[beyond].sum().item()  # asserts on the GPU; every later call of this process fails


if __name__ == "__main__":
    main()
