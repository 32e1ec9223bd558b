"""The whole show in real processes, on a small checkpoint: starts, answers, survives, ends."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
import tiny
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from PIL import ImageGrab
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from lwlive.checkpoint import Size, size_of
from lwlive.engine.compiled.build import Build
from lwlive.engine.compiled.child import Builder
from lwlive.engine.compiled.package import Packaged
from lwlive.engine.eager import Eager
from lwlive.engine.latents import encoded
from lwlive.engine.load import attending, load
from lwlive.engine.networks import Kind
from lwlive.params import SPECS

pytestmark = pytest.mark.slow

POSIX = os.name == "posix"
SHARED = Path("/dev/shm")
FULL_SPEED_S = 10.0  # of a launch after the first
END_S = 6.0  # an end takes two seconds at most, and a slow, busy machine three times that


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with random weights."""
    return tiny.folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that starts empty."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(("levels", "channels"), [(3, 4), (4, 16), (5, 16)])
def test_pictures_are_as_large_as_told_whatever_a_latent_stands_for(
    tmp_path: Path, levels: int, channels: int
) -> None:
    pipe = tiny.pipeline()
    widths = {f"{part}_block_out_channels": (16,) * levels for part in ("encoder", "decoder")}
    blocks = {f"num_{part}_blocks": (1,) * levels for part in ("encoder", "decoder")}
    pipe.register_modules(
        vae=AutoencoderTiny(latent_channels=channels, **widths, **blocks),
        unet=UNet2DConditionModel(
            **{**tiny.SPATIAL, "in_channels": channels, "out_channels": channels}
        ),
    )
    pipe.save_pretrained(tmp_path)
    factor = 2 ** (levels - 1)
    assert size_of(tmp_path, None) == (8 * factor, 8 * factor)
    wanted = size_of(tmp_path, "128x64")
    modules = load(tmp_path, wanted, "cpu", Kind("float32", True))
    assert modules.shape == (channels, 64 // factor, 128 // factor)
    again = attending(modules, "sdpa")
    assert again.shape == modules.shape
    picture = Eager(modules, 1).decode(torch.zeros(1, *modules.shape))
    assert picture.shape == (1, wanted.height, wanted.width, 3)
    assert encoded(modules, picture[0]).shape == modules.shape


class Running:
    """A headless show in a process of its own, and an OSC client that listens to it."""

    def __init__(
        self, checkpoint: Path, cache: Path, folder: Path, *flags: str, screen: str = "", **env: str
    ) -> None:
        self.stats, self.folder = folder / "stats.json", folder
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.bind(("127.0.0.1", 0))
        self.client.settimeout(0.2)
        self.port = _free_port()
        self.told: dict[str, Any] = {}
        command = [sys.executable, "-m", "lwlive", "--model", str(checkpoint)]
        command += [] if screen else ["--headless"]
        command += ["--cache", str(cache), "--osc-port", str(self.port), "--stats", str(self.stats)]
        command += ["--size", "64", "--folder", str(folder), *flags]
        self.process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "DISPLAY": screen, **env},
        )

    def send(self, address: str, *values: Any) -> None:
        """One OSC message to the show."""
        builder = OscMessageBuilder(f"/lwlive/{address}")
        for value in values:
            builder.add_arg(value)
        self.client.sendto(builder.build().dgram, ("127.0.0.1", self.port))

    def wait(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 120) -> None:
        """Until what the show tells is as wanted.

        Wait for levels, never for a moment: a state between two bursts of status is not told.
        """
        deadline, subscribed = time.monotonic() + seconds, 0.0
        while time.monotonic() < deadline:
            if time.monotonic() - subscribed > 0.25:  # what it set itself, it hears only then
                subscribed = time.monotonic()
                self.send("subscribe")
            try:
                message = OscMessage(self.client.recv(65536))
                self.told[message.address.removeprefix("/lwlive/status/")] = message.params[0]
            except OSError:
                pass
            if wanted(self.told):
                return
            if self.process.poll() is not None:
                break
        raise AssertionError(f"not in {seconds} s: {self.told}, {self.process.poll()}")

    def playing(self) -> None:
        """Until pictures are shown."""
        self.wait(lambda told: told.get("fps", 0) > 0)

    def engine(self) -> psutil.Process:
        """The engine's process."""
        children = psutil.Process(self.process.pid).children()
        return next(c for c in children if "spawn_main" in " ".join(c.cmdline()))

    def rings(self) -> list[Path]:
        """The shared memory that the show has open, where memory lies in a folder."""
        if not SHARED.exists():
            return []
        maps = psutil.Process(self.process.pid).memory_maps()
        rings = [Path(m.path) for m in maps if m.path.startswith(str(SHARED / "lwlive-"))]
        assert rings
        return rings

    def end(self) -> dict[str, Any]:
        """End the show as a service manager does; its statistics."""
        self.process.terminate()
        _, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, said
        found: dict[str, Any] = json.loads(self.stats.read_text())
        return found


def hurry(show: int) -> None:
    """Once a process builds packages, have it build as if nothing else ran here.

    It gives way to whatever does, which takes minutes beside other tests.
    """
    if not hasattr(os, "SCHED_IDLE"):
        return
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for child in psutil.Process(show).children(recursive=True):
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                building = "lwlive.engine.compiled.build" in child.cmdline()
                if building and os.sched_getscheduler(child.pid) == os.SCHED_IDLE:
                    with contextlib.suppress(PermissionError):  # not everybody may
                        os.sched_setscheduler(child.pid, os.SCHED_OTHER, os.sched_param(0))
                    return
        time.sleep(0.1)
    raise AssertionError("nothing is built, or it does not give way")


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(checkpoint: Path, cache: Path, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts shows, and ends those that a test left running."""
    started: list[Running] = []

    def starting(*flags: str) -> Running:
        started.append(Running(checkpoint, cache, tmp_path, "--no-compile", *flags))
        return started[-1]

    yield starting
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        running.client.close()


def test_a_show_runs_records_and_ends_in_time(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start("--duration", "4", "--record", str(tmp_path / "movie.mp4"))
    _, said = running.process.communicate(timeout=300)
    assert running.process.returncode == 0, said
    stats = json.loads(running.stats.read_text())
    # a tick that a busy machine made the show skip has its time in the show all the same
    assert 120 <= stats["frames_shown"] + stats["frames_skipped"] <= 240
    assert stats["frames_shown"] <= 120
    assert stats["recording"]["frames"] + stats["recording"]["dropped"] == stats["frames_shown"]
    assert stats["engine"] == {"starts": 1, "deaths": 0}
    with av.open(stats["recording"]["file"]) as movie:
        frames = sum(1 for _ in movie.decode(video=0))
    assert frames == stats["recording"]["frames"]


def test_a_prompt_over_osc_reaches_the_picture(start: Callable[..., Running]) -> None:
    running = start()
    running.playing()
    for prompt in ("gold rings on black", "blue noodles", "smoke"):
        running.send("prompt", prompt)
        before = running.told.get("latency_ms")
        running.wait(lambda told: told.get("latency_ms") not in (None, before))  # noqa: B023
    stats = running.end()
    assert stats["latency_ms"]["n"] >= 3  # the start may have asked for something, too
    assert stats["osc"]["refused"] == 0


@pytest.mark.skipif(not POSIX, reason="kill -9 is POSIX's")
def test_a_killed_engine_comes_back_with_its_controls_and_phase(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start("--record", str(tmp_path / "killed.mp4"), "--speed", "1")
    running.playing()
    running.send("prompt", "gold rings")
    running.wait(lambda told: told.get("phase", 0) > 1.0)
    before, rings = running.told["phase"], running.rings()
    running.engine().kill()
    running.wait(lambda told: told.get("deaths") == 1)
    running.send("speed", 2.0)
    running.wait(lambda told: told["engine"] == "not compiled" and told["speed"] == 2.0)
    running.wait(lambda told: told["phase"] > before + 0.5)
    assert running.told["phase"] < before + 20
    assert len(running.rings()) == len(rings)
    assert not any(ring.exists() for ring in rings)
    stats = running.end()
    assert stats["engine"] == {"starts": 2, "deaths": 1}
    recorded = stats["recording"]["frames"] + stats["recording"]["dropped"]
    assert recorded == stats["frames_shown"]
    with av.open(stats["recording"]["file"]) as movie:
        pictures = [frame.to_ndarray(format="rgb24") for frame in movie.decode(video=0)]
    assert min(picture.max() for picture in pictures) > 10, "a black frame was shown"


@pytest.mark.skipif(not POSIX, reason="kill -9 is POSIX's")
def test_a_killed_stage_leaves_nothing_behind(start: Callable[..., Running]) -> None:
    running = start()
    running.playing()
    rings = running.rings()
    children = psutil.Process(running.process.pid).children(recursive=True)
    assert children
    running.process.kill()
    running.process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    deadline = time.monotonic() + 60
    while any(ring.exists() for ring in rings) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(ring.exists() for ring in rings)


@pytest.mark.skipif(not POSIX, reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_show_within_two_seconds(
    start: Callable[..., Running], number: signal.Signals
) -> None:
    running = start()
    running.playing()
    running.process.send_signal(number)
    running.process.wait(timeout=END_S)
    assert running.process.returncode == 0
    assert json.loads(running.stats.read_text())["frames_shown"] > 0


@pytest.mark.skipif(
    shutil.which("oscsend") is None or shutil.which("xdotool") is None,
    reason="needs oscsend and xdotool (Debian: apt install liblo-tools xdotool)",
)
def test_a_window_is_steered_by_another_program_and_closed_by_escape(
    screen: str, checkpoint: Path, cache: Path, tmp_path: Path
) -> None:
    running = Running(checkpoint, cache, tmp_path, "--no-compile", screen=screen)
    try:
        running.playing()
        port = str(running.port)
        subprocess.run(
            ["oscsend", "localhost", port, "/lwlive/prompt", "s", "gold rings"], check=True
        )
        subprocess.run(["oscsend", "localhost", port, "/lwlive/speed", "f", "0.75"], check=True)
        running.wait(lambda told: told.get("prompt") == "gold rings" and told["speed"] == 0.75)
        picture = np.asarray(ImageGrab.grab(xdisplay=screen).convert("RGB"))
        assert picture.max() > 20, "the window is black"  # these random weights are dark
        keys = {**os.environ, "DISPLAY": screen}
        subprocess.run(["xdotool", "key", "b"], check=True, env=keys)
        running.wait(lambda told: told["blackout"] is True)
        subprocess.run(["xdotool", "key", "Escape"], check=True, env=keys)
        running.process.wait(timeout=END_S)
        assert running.process.returncode == 0
        stats = json.loads(running.stats.read_text())
        assert stats["window_s"] < stats["first_picture_s"]
    finally:
        running.process.kill()
        running.process.communicate()
        running.client.close()


@pytest.mark.skipif(not POSIX, reason="PATH finds no compiler only on POSIX")
def test_without_a_compiler_the_show_says_so_and_goes_on(
    checkpoint: Path, cache: Path, tmp_path: Path
) -> None:
    running = Running(checkpoint, cache, tmp_path, "--duration", "4", PATH="", CXX="")
    _, said = running.process.communicate(timeout=300)
    running.client.close()
    assert running.process.returncode == 0, said
    assert "no C++ compiler" in said
    assert json.loads(running.stats.read_text())["compiled"] is False


def test_a_checkpoint_that_cannot_be_loaded_gets_a_sentence(
    checkpoint: Path, cache: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in checkpoint.rglob("*.json"):
        (broken / path.relative_to(checkpoint)).parent.mkdir(parents=True, exist_ok=True)
        (broken / path.relative_to(checkpoint)).write_bytes(path.read_bytes())
    running = Running(broken, cache, tmp_path, "--no-compile")
    _, said = running.process.communicate(timeout=300)
    running.client.close()
    assert running.process.returncode == 1
    assert "cannot be loaded" in said
    assert "Traceback" not in said


def test_the_first_show_compiles_and_the_next_one_is_compiled_from_its_first_picture(
    checkpoint: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    flags = ("--batch", "2", "--fps", "5", "--duration", "1500")  # the processor is for building
    running = Running(checkpoint, cache, tmp_path, *flags)
    try:
        hurry(running.process.pid)
        running.wait(lambda told: told.get("engine") == "compiled", 1200)
        running.end()
        running.client.close()
        running = Running(checkpoint, cache, tmp_path, *flags)
        running.wait(lambda told: told.get("engine") == "compiled" and told.get("fps", 0) > 0)
        children = psutil.Process(running.process.pid).children(recursive=True)
        assert not any("lwlive.engine.compiled.build" in child.cmdline() for child in children)
        stats = running.end()
    finally:
        running.process.kill()
        running.process.communicate()
        running.client.close()
    assert stats["first_picture_s"] < FULL_SPEED_S
    # a machine that was busy at the first start is measured again, and may get other packages
    places = [about.parent for about in (cache / "packages").glob("*/about.json")]
    place = max(places, key=lambda found: found.stat().st_mtime)
    kind = Kind(**json.loads((place / "about.json").read_text())["about"]["kind"])
    exactly = 1e-3 if kind.precision == "float32" else 0.1
    packaged = Packaged(place)
    eager = Eager(load(checkpoint, Size(64, 64), "cpu", kind), 2)
    assert (packaged.shape, packaged.own, packaged.name) == (eager.shape, eager.own, eager.name)
    cond = packaged.encode(["hello", "world", "odd"])
    assert torch.allclose(cond[0], eager.encode(["hello", "world", "odd"])[0], atol=1e-4)
    for n in (1, 2):
        x = torch.randn(n, *eager.shape)
        some = (cond[0][:n],)
        ours, theirs = packaged.denoise(x, 300.0, some), eager.denoise(x, 300.0, some)
        assert torch.allclose(ours, theirs, atol=exactly)
        change = abs(packaged.decode(x).astype(int) - eager.decode(x).astype(int)).max()
        assert change <= (1 if kind.precision == "float32" else 8)
    for steps in range(1, 9):
        assert packaged.schedule(steps, steps // 2) == eager.schedule(steps, steps // 2)


def test_a_build_that_fails_says_why(tmp_path: Path) -> None:
    want = Build(str(tmp_path / "nothing"), Size(64, 64), "cpu", Kind("float32", True), 2, 1)
    builder = Builder(want, tmp_path / "packages" / "x")
    hurry(os.getpid())
    deadline = time.monotonic() + 300
    while not builder.done and time.monotonic() < deadline:
        time.sleep(0.1)
    assert builder.trouble is not None
    assert "nothing" in builder.trouble
    builder.close()


def test_an_sdxl_folder_runs_the_live_show_with_every_control(cache: Path, tmp_path: Path) -> None:
    assert set(EVERY_CONTROL) == set(SPECS) - {"morph", "morph_a", "morph_b"}  # which set others
    folder = tiny.folder(tmp_path / "sdxl", family="sdxl")
    running = Running(
        folder, cache, tmp_path, "--no-compile", "--offline", "--batch", "2", "--duration", "300"
    )
    try:
        running.playing()
        for name, value in EVERY_CONTROL.items():
            running.send(name, value)
            running.wait(lambda told: _near(told.get(name), value), 30)  # noqa: B023
        before = running.told["phase"]
        running.send("next", 1)
        running.wait(lambda told: told["phase"] >= 0 and told["phase"] != before, 30)
        running.send("panic", 1)
        running.wait(lambda told: told["seed"] == 1337 and told["steps"] == 2, 30)
        running.send("blackout", False)
        running.wait(lambda told: told["blackout"] is False and told["fps"] > 20, 60)
        stats = running.end()
    finally:
        running.process.kill()
        running.process.communicate()
        running.client.close()
    assert stats["model"] == "sdxl"
    assert stats["engine"] == {"starts": 1, "deaths": 0}
    assert stats["osc"]["refused"] == 0
    assert stats["replaced"] == 0
    assert stats["latency_ms"]["n"] > 0


EVERY_CONTROL = {
    "prompt": "a (gold:1.3) ring :1 | smoke :0.4",
    "negative": "blue",
    "guidance": 3.0,
    "steps": 3,
    "seed": 0,
    "depth": 0.5,
    "crossfeed": 0.25,
    "crossfeed_range": 0.75,
    "crossfeed_decay": 0.5,
    "damping": 0.25,
    "transition": 1.0,
    "speed": 1.0,
    "pace": 0.5,
    "loop": 3,
    "hold": True,
    "sync": 4.0,
    "quantise": 0.0,
    "bpm": 126.0,
    "brightness": 0.5,
    "fade": 0.25,
    "hud": True,
    "record": True,
    "blackout": True,
}


def _near(told: Any, value: Any) -> bool:
    return told == value or (isinstance(value, float) and abs((told or 0) - value) < 1e-4)
