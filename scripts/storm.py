"""A headless show in a process of its own, under a storm of OSC, and its figures.

    python scripts/storm.py [--seeds 10] [--seconds 30] [flags of lwlive]

plays one show a seed, with one control every quarter of a second of every kind that bends the walk
or multiplies its work, and records it. Prints a line a seed: late frames, the largest change from
picture to picture in medians (of the recording, at 64 px), milliseconds from a control's arrival to
its picture. The last line has the latencies of all seeds by kind of control, and by the evaluations
of a frame that was asked for: four steps with guidance take eight, also while guidance is still on
its way down. `--calm` asks for the short storm of cheap controls that the bench plays, and says
what the show uses of the machine.
"""

import argparse
import contextlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
from pythonosc.osc_packet import OscPacket
from pythonosc.udp_client import SimpleUDPClient

from lwlive.engine.glide import Glide
from lwlive.params import SPECS

PERIOD_S = 0.02  # a cheap control so often
STORM_S = 0.25  # a control of a storm so often
LOOK_S = 30.0  # a look at the show so often
TELLING_S = 0.1  # until a latency is heard, and a control read, at most
SMALL = 64  # pixels that recorded pictures are compared at
PROMPTS = ["gold rings on black", "blueberry spaghetti", "purple smoke :1 | clouds :0.5", ""]
TOLD = ("frames_shown", "frames_late", "fps_sampled", "inbetween_ratio", "batch", "compiled")


Use = dict[str, float]


@dataclass(frozen=True)
class Asked:
    """A control that was sent, and the picture that answered it."""

    kind: str
    evaluations: int  # of a frame as it is asked for from then on
    at: float  # when it was sent
    latency_ms: float | None = None  # as the show has it; None where no picture did


def unseen(_: Use) -> None:
    """Look away."""


class Ear:
    """Hears what a show's status says. A context manager."""

    def __init__(self, client: SimpleUDPClient) -> None:
        self._client = client
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))

    def __enter__(self) -> "Ear":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def told(self, name: str, above: float = -1) -> float | None:
        """What the status says of a number, once that is above another; all is sent again.

        None where nothing is said for half a second.
        """
        self._socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:  # what was said before
                self._socket.recv(65536)
        self._socket.settimeout(0.5)
        self._client.send_message("/lwlive/subscribe", self._socket.getsockname()[1])
        with contextlib.suppress(TimeoutError):
            while True:
                for timed in OscPacket(self._socket.recv(65536)).messages:
                    message = timed.message
                    if message.address == f"/lwlive/status/{name}":
                        value = float(message.params[0])
                        if value > above:
                            return value
        return None

    def heard(self, name: str, seconds: float) -> list[tuple[float, float]]:
        """What the status says of a number in so many seconds, and when."""
        until, found = time.monotonic() + seconds, []
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                for timed in OscPacket(self._socket.recv(65536)).messages:
                    if timed.message.address == f"/lwlive/status/{name}":
                        found.append((time.monotonic(), float(timed.message.params[0])))
        return found


def cheap(rng: random.Random) -> tuple[str, Any]:
    """A control of any kind but those that multiply the work of a frame: steps, depth, guidance."""
    return rng.choice(
        [
            ("prompt", rng.choice(PROMPTS)),
            ("seed", rng.randrange(1000)),
            ("next", 1),
            *((name, rng.random()) for name in ("speed", "pace", "damping", "brightness")),
            ("guidance", rng.uniform(0, 1)),
        ]
    )


def stormy(rng: random.Random) -> tuple[str, Any]:
    """A control of a storm."""
    return rng.choice(
        [
            ("prompt", rng.choice(PROMPTS)),
            ("seed", rng.randrange(1000)),
            ("crossfeed", rng.random()),
            ("guidance", rng.uniform(0, 3)),
            ("depth", rng.uniform(0, 0.9)),
            ("steps", rng.randint(1, 4)),
        ]
    )


class Wanted:
    """What hands have asked for so far, and the evaluations of a frame of that; ember's own first.

    A frame takes two a step for as long as guidance is above 1 on its way, too.
    """

    def __init__(self) -> None:
        self._steps, self._depth, self._guidance = 1, 0.0, Glide(1.0, 1.0)
        self._at = 0.0

    def take(self, name: str, value: Any, now: float) -> None:
        """Take up a control."""
        self._guidance, self._at = self._guidance.after(now - self._at), now
        if name == "guidance":
            self._guidance = self._guidance.towards(value, SPECS[name].glide)
        elif name == "steps":
            self._steps = value
        elif name == "depth":
            self._depth = value

    @property
    def evaluations(self) -> int:
        """Of a frame, once its keyframes' trajectories are there."""
        steps = self._steps - int(self._depth * self._steps)
        return steps * (2 if max(self._guidance.value, self._guidance.target) > 1 else 1)


Control = Callable[[random.Random], tuple[str, Any]]


def changes(recording: Path) -> np.ndarray:
    """Mean absolute change from each recorded picture to the next, in levels of 255, at 64 px."""
    with av.open(str(recording)) as file:
        small = [
            frame.reformat(SMALL, SMALL, "rgb24").to_ndarray().astype(np.int16)
            for frame in file.decode(video=0)
        ]
    pairs = zip(small[1:], small[:-1], strict=True)
    return np.array([np.abs(after - before).mean() for after, before in pairs])


def figures(
    flags: list[str],
    fps: float,
    seconds: float,
    look: Callable[[Use], None] = unseen,
) -> dict[str, Any]:
    """Late frames, latencies and more of a show of so many seconds under cheap controls.

    look: is given what the show uses, every LOOK_S. Raises RuntimeError.
    """
    return played(flags, fps, seconds, look)[0]


def played(
    flags: list[str],
    fps: float,
    seconds: float,
    look: Callable[[Use], None] = unseen,
    control: Control = cheap,
    seed: int = 4,
) -> tuple[dict[str, Any], list[Asked]]:
    """The figures of a show with these flags, and the controls that were sent.

    control: makes one, from random numbers. Raises RuntimeError with what it said where the show
    ended before its time.
    """
    every_s = PERIOD_S if control is cheap else STORM_S
    with tempfile.TemporaryDirectory() as folder:
        stats, port = Path(folder) / "stats.json", free_port()
        command = [sys.executable, "-m", "lwlive", *flags, "--headless", "--folder", folder]
        command += ["--fps", str(fps), "--duration", str(seconds)]
        command += ["--stats", str(stats), "--osc-port", str(port)]
        with tempfile.TemporaryFile("w+") as said:
            show = subprocess.Popen(command, stdout=said, stderr=said)
            try:
                client = SimpleUDPClient("127.0.0.1", port)
                with Ear(client) as ear:
                    asked = _storm(show, client, ear, look, control, random.Random(seed), every_s)
            finally:
                show.kill()
                show.wait()
            if show.returncode:
                said.seek(0)
                raise RuntimeError(f"the show ended with {show.returncode}: {said.read()}")
        found = json.loads(stats.read_text("utf-8"))
    latency = {f"latency_{name}_ms": found["latency_ms"][name] for name in ("p50", "p95")}
    told = {name: found[name] for name in TOLD}
    return {"fps": fps, "sent": len(asked), **told, **latency}, asked


def _storm(
    show: "subprocess.Popen[Any]",
    client: SimpleUDPClient,
    ear: Ear,
    look: Callable[[Use], None],
    control: Control,
    rng: random.Random,
    every_s: float,
) -> list[Asked]:
    """Steer the show from its first picture to its end; the controls that were sent."""
    asked: list[Asked] = []
    heard: list[tuple[float, float]] = []
    wanted = Wanted()
    while show.poll() is None and not ear.told("fps", above=0):
        pass
    began = next_look = time.monotonic()
    while show.poll() is None:
        if time.monotonic() >= next_look:
            next_look += LOOK_S
            with contextlib.suppress(psutil.Error):  # it ended just now
                second, used, late = time.monotonic() - began, _used(show), ear.told("late")
                if late is not None:
                    look({"second": second, **used, "late": late})
        name, value = control(rng)
        now = time.monotonic()
        wanted.take(name, value, now)
        asked.append(Asked(name, wanted.evaluations, now))
        client.send_message(f"/lwlive/{name}", value)
        heard += ear.heard("latency_ms", every_s)
    return answered(asked, heard)


def answered(asked: Sequence[Asked], heard: Iterable[tuple[float, float]]) -> list[Asked]:
    """The controls with their latencies, which were heard at these times.

    A latency is that of the control which was sent so long before. Where none was, it was heard
    before, and is told again.
    """
    found, sent = list(asked), [each.at for each in asked]
    for at, latency_ms in heard:
        sent_at = at - latency_ms / 1e3
        i = bisect(sent, sent_at) - 1
        if i >= 0 and sent_at - sent[i] <= TELLING_S:
            found[i] = replace(found[i], latency_ms=latency_ms)
    return found


def latencies(asked: Iterable[Asked], by: str) -> dict[str, Any]:
    """How many controls were answered, and after how many milliseconds, in groups."""
    groups: dict[Any, list[float]] = {}
    for each in asked:
        if each.latency_ms is not None:
            groups.setdefault(getattr(each, by), []).append(each.latency_ms)
    return {
        str(group): {
            "n": len(found),
            "p50_ms": round(float(np.percentile(found, 50))),
            "p95_ms": round(float(np.percentile(found, 95))),
        }
        for group, found in sorted(groups.items())
    }


def _used(show: "subprocess.Popen[Any]") -> Use:
    """What stage and engine use of the machine. Raises psutil.Error."""
    stage = psutil.Process(show.pid)
    all_of_them = [stage, *stage.children(recursive=True)]
    count = "num_fds" if psutil.POSIX else "num_handles"
    return {
        "megabytes": sum(each.memory_info().rss for each in all_of_them) / 2**20,
        "threads": sum(each.num_threads() for each in all_of_them),
        "files": sum(getattr(each, count)() for each in all_of_them),
    }


def free_port() -> int:
    """A port of UDP that nobody has at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stormed(
    flags: list[str], fps: float, seconds: float, seed: int
) -> tuple[dict[str, Any], list[Asked]]:
    """The figures of one storm, and its controls."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "storm.mov"  # of key frames only: one a second would be seen
        flags = [*flags, "--record", str(recording), "--record-codec", "mjpeg"]
        found, asked = played(flags, fps, seconds, control=stormy, seed=seed)
        change = changes(recording)
    largest, median = float(change.max()), float(np.median(change))
    told = ("frames_shown", "frames_late", "fps_sampled", "latency_p50_ms", "latency_p95_ms")
    line = {
        "seed": seed,
        # None where pictures stood still for half of the time
        "largest_in_medians": round(largest / median, 2) if median else None,
        "at_frame": int(change.argmax()) + 1,
        "median": round(median, 2),
        **{name: found[name] for name in told},
    }
    return line, asked


def main() -> None:
    """Play, print what is used and what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="so many storms")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--calm", action="store_true", help="one show under cheap controls")
    given, flags = parser.parse_known_args()
    if not given.calm:
        asked: list[Asked] = []
        for seed in range(given.seeds):
            line, more = stormed(flags, given.fps, given.seconds, seed)
            asked += more
            print(json.dumps(line), flush=True)
        print(json.dumps({by: latencies(asked, by) for by in ("kind", "evaluations")}))
        return
    looks: list[Use] = []

    def look(use: Use) -> None:
        looks.append(use)
        print(", ".join(f"{name} {value:.0f}" for name, value in use.items()), flush=True)

    found = figures(flags, given.fps, given.seconds, look)
    print(json.dumps({**found, "looks": [{n: round(v) for n, v in use.items()} for use in looks]}))


if __name__ == "__main__":
    main()
