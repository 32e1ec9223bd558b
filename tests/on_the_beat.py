"""Keyframes on the beat of a foreign clock, read out of the recording of a whole show.

The walk closes a loop of two keyframes: it turns round at each of them, so that the pictures before
and after one mirror each other. When a picture was due is told by blackouts whose OSC bundles say
when: each gives a picture's moment to within one, several to within a fraction.

A measurement and no test: it takes a machine that does nothing else. It needs jackd and
jack_midi_clock. By hand: `.venv/bin/python tests/on_the_beat.py 60 60` (frames a second, seconds).
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import build_msg
from test_clock_jack import Exact, Noting, fitted
from test_midi_jack import Server

from lwlive.stage.sources.midi.child import Order
from lwlive.stage.sources.midi.link import Link

BPM = 126
FLASHES = 8
Pictures = npt.NDArray[np.float32]


class Performance:
    """A show as a program of its own, played over OSC and by the clock."""

    def __init__(self, folder: Path, env: dict[str, str], fps: int, *flags: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self._to = free.getsockname()
        self.status: dict[str, object] = {}
        self.folder, self.log = folder, (folder / "log").open("w")
        command = [sys.executable, "-m", "lwlive", "--headless", "--duration", "600"]
        command += ["--fps", str(fps), "--osc-port", str(self._to[1]), "--folder", str(folder)]
        self._process = subprocess.Popen(
            [*command, *flags], env=env, stdout=self.log, stderr=subprocess.STDOUT
        )

    def send(self, address: str, value: float | str) -> None:
        self._socket.sendto(build_msg(f"/lwlive/{address}", value).dgram, self._to)

    def flash(self, ahead_s: float) -> float:
        """Black for a moment; returns when, in seconds of the show's clock."""
        wall, now = time.time() + ahead_s, time.perf_counter() + ahead_s
        for value, later in ((True, 0.0), (False, 0.1)):
            bundle = OscBundleBuilder(wall + later)  # type: ignore[arg-type]  # fractions too
            bundle.add_content(build_msg("/lwlive/blackout", value))
            self._socket.sendto(bundle.build().dgram, self._to)
        return now

    def wait(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            time.sleep(0.02)
            while True:
                try:
                    told = OscMessage(self._socket.recv(65507))
                except (BlockingIOError, ConnectionError):
                    break
                if told.address.startswith("/lwlive/status/"):
                    self.status[told.address.removeprefix("/lwlive/status/")] = told.params[0]

    def until(self, name: str, value: object, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while self.status.get(name) != value:
            assert time.perf_counter() < end, (name, self.status, self.said())
            self.send("subscribe", self._socket.getsockname()[1])
            self.wait(0.5)

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self._socket.close()
        self.log.close()


def pictures(path: Path) -> Pictures:
    """The recording's pictures, small."""
    with av.open(str(path)) as file:
        frames = [
            frame.reformat(width=32, height=32, format="rgb24").to_ndarray()
            for frame in file.decode(video=0)
        ]
    return np.asarray(frames, np.float32).reshape(len(frames), -1)


def first_at(seen: Pictures, flashes: list[float], fps: float) -> tuple[float, float]:
    """When the first picture was shown, and how exactly that is known."""
    dark = seen.max(axis=1) < 12
    falls = [n for n in range(1, len(dark)) if dark[n] and not dark[n - 1]]
    assert len(falls) == len(flashes)
    # each fell on the first picture shown at its moment or after it
    low = max(at - n / fps for at, n in zip(flashes, falls, strict=True))
    high = min(at + 1 / fps - n / fps for at, n in zip(flashes, falls, strict=True))
    return (low + high) / 2, high - low


def turns(seen: Pictures, every: float) -> Iterator[float]:
    """Where the walk turns round: the pictures at both sides mirror each other. In pictures."""
    reach = int(every / 3)
    costs = {}
    for twice in range(2 * reach + 2, 2 * (len(seen) - reach - 1)):
        pairs = [
            ((twice - k) // 2, (twice + k + 1) // 2) for k in range(2 - twice % 2, 2 * reach, 2)
        ]
        costs[twice] = float(np.mean([np.abs(seen[a] - seen[b]).mean() for a, b in pairs]))
    at = sorted(costs)
    for n in range(1, len(at) - 1):
        near = [costs[one] for one in at if abs(one - at[n]) <= every * 0.8]
        if costs[at[n]] == min(near):
            a, b, c = costs[at[n - 1]], costs[at[n]], costs[at[n + 1]]
            yield (at[n] + 0.5 * (a - c) / (a - 2 * b + c)) / 2


def measured(folder: Path, server: Server, fps: int, seconds: float) -> dict[str, object]:
    env = {**server.env, "OMP_NUM_THREADS": "1"}
    flags = [
        "--sync",
        "1",
        "--loop",
        "2",
        "--pace",
        "0",
        "--midi",
        "jack_midi_clock",
        "--fade",
        "0",
    ]
    show = Performance(folder, env, fps, *flags)
    ears = Noting(Link(Order(("jack_midi_clock",), "jack"), print))
    server.clock(BPM)

    def listen(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            list(ears.poll(now))
            show.wait(0.02)

    try:
        until = time.perf_counter() + 60
        while "mclk_out" not in show.said():  # a clock that starts before has no first beat
            assert time.perf_counter() < until, show.said()
            listen(0.2)
        listen(1.0)
        server.transport("play")
        show.until("tempo", "midi jack_midi_clock", 60)
        while cast(int, show.status.get("fps", 0)) < 0.9 * fps:
            listen(0.5)
        listen(5.0)
        listen(6.0)
        show.send("record", 1)
        listen(seconds)
        status = dict(show.status)
        flashes = []
        for n in range(FLASHES):
            flashes.append(show.flash(0.5 + n / FLASHES / fps))
            listen(1.0)
        show.send("record", 0)
        listen(1.0)
    finally:
        show.end()
        ears.close()
    (movie,) = folder.glob("*.mp4")
    seen = pictures(movie)
    first, unsure = first_at(seen, flashes, fps)
    start, period = fitted([at for data, at in ears.sent if data == b"\xf8"])
    kept = seen[: int((seconds - 1) * fps)]
    off = []
    for turn in turns(kept, 60 / BPM * fps):
        beats = (first + turn / fps - start) / period / 24
        off.append((beats - round(beats)) * 60 / BPM)
    return {
        "off": off,
        "unsure": unsure,
        "bpm": 60 / period / 24,
        "late": status["late"],
        "fps": status["fps"],
    }


if __name__ == "__main__":
    the_server = Exact(f"lwlive-beat-{os.getpid()}")
    os.environ.update(the_server.env)
    try:
        fps, length = int(sys.argv[1]), float(sys.argv[2])
        found = measured(Path(tempfile.mkdtemp()), the_server, fps, length)
    finally:
        the_server.close()
    off = np.array(found.pop("off")) * 1e3
    print(found)
    print(np.round(off, 1))
    print(f"{len(off)} keyframes, within a frame {np.mean(abs(off) < 1e3 / fps):.3f}")
    print("ms:", np.percentile(off, [1, 50, 99]).round(1))
