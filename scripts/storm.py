"""A headless show in a process of its own, under a storm of OSC, and its figures."""

import contextlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pythonosc.osc_packet import OscPacket
from pythonosc.udp_client import SimpleUDPClient

PERIOD_S = 0.02  # a control so often
PROMPTS = ["gold rings on black", "blueberry spaghetti", "purple smoke :1 | clouds :0.5", ""]
TOLD = ("frames_shown", "frames_late", "fps_sampled", "inbetween_ratio", "batch", "compiled")


def figures(flags: list[str], fps: float, seconds: float) -> dict[str, Any]:
    """Late frames, latencies and more of a show of so many seconds with these flags.

    Raises RuntimeError with what it said where the show ended before its time.
    """
    with tempfile.TemporaryDirectory() as folder:
        stats, port = Path(folder) / "stats.json", _free_port()
        command = [sys.executable, "-m", "lwlive.cli", *flags, "--headless", "--folder", folder]
        command += ["--fps", str(fps), "--duration", str(seconds)]
        command += ["--stats", str(stats), "--osc-port", str(port)]
        with tempfile.TemporaryFile("w+") as said:
            show = subprocess.Popen(command, stdout=said, stderr=said)
            try:
                sent = _storm(show, port)
            finally:
                show.kill()
                show.wait()
            if show.returncode:
                said.seek(0)
                raise RuntimeError(f"the show ended with {show.returncode}: {said.read()}")
        found = json.loads(stats.read_text("utf-8"))
    latency = {f"latency_{name}_ms": found["latency_ms"][name] for name in ("p50", "p95")}
    return {"fps": fps, "sent": sent, **{name: found[name] for name in TOLD}, **latency}


def _storm(show: "subprocess.Popen[Any]", port: int) -> int:
    """Steer the show from its first picture to its end; how many messages were sent.

    Everything but what multiplies the work of a frame: steps and depth.
    """
    client, rng, sent = SimpleUDPClient("127.0.0.1", port), random.Random(4), 0
    _await_pictures(show, client)
    while show.poll() is None:
        control: tuple[str, Any] = rng.choice(
            [
                ("prompt", rng.choice(PROMPTS)),
                ("seed", rng.randrange(1000)),
                ("next", 1),
                *((name, rng.random()) for name in ("speed", "pace", "damping", "brightness")),
                ("guidance", rng.uniform(0, 1)),
            ]
        )
        client.send_message(f"/lwlive/{control[0]}", control[1])
        sent += 1
        time.sleep(PERIOD_S)
    return sent


def _await_pictures(show: "subprocess.Popen[Any]", client: SimpleUDPClient) -> None:
    """Wait until the show's status says that it shows pictures, or until it has ended."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(0.5)
        while show.poll() is None:
            client.send_message("/lwlive/subscribe", ear.getsockname()[1])
            with contextlib.suppress(TimeoutError):
                while not _shows_pictures(ear.recv(65536)):
                    pass
                return


def _shows_pictures(packet: bytes) -> bool:
    """Whether a status packet tells more than 0 frames a second."""
    told = (timed.message for timed in OscPacket(packet).messages)
    return any(m.address == "/lwlive/status/fps" and any(m.params) for m in told)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
