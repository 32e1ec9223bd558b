"""A sound system of its own for a test: PipeWire without a card, with sinks that play to nobody.

Its sockets lie in a folder of its own, so that it meets no other, and it ends with the test.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 30.0
NEEDED = ("dbus-daemon", "pipewire", "wireplumber", "pipewire-pulse", "pw-jack", "pactl", "paplay")


class SoundRig:
    """PipeWire, its session manager and its PulseAudio server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        strange = ("PULSE_", "PIPEWIRE_", "DBUS_", "XDG_", "DISPLAY", "WAYLAND_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
        self.env: Mapping[str, str] = kept | {
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder / 'bus'}",
            "PULSE_SERVER": f"unix:{folder / 'pulse' / 'native'}",
        }

    def start(self) -> None:
        """Start the servers and wait until they answer."""
        self._start(
            "dbus-daemon", "--session", "--nofork", f"--address=unix:path={self._folder}/bus"
        )
        self._await((self._folder / "bus").exists)
        self._start_sound()

    def crash(self) -> None:
        """Kill the sound servers, which takes every sink with them."""
        while len(self._running) > 1:  # the bus stays
            one = self._running.pop()
            one.kill()
            one.wait()

    def recover(self) -> None:
        """Start them again, as the system does."""
        for left in ("pipewire-0", "pulse/native"):  # sockets of the dead
            (self._folder / left).unlink(missing_ok=True)
        self._start_sound()

    def _start_sound(self) -> None:
        self._start("pipewire")
        self._await((self._folder / "pipewire-0").exists)
        self._start("wireplumber")
        self._start("pipewire-pulse")
        self._await(lambda: self._pactl("info").returncode == 0)

    def stop(self, kill: bool = False) -> None:
        """End the servers, the last one first. `kill`: without asking them."""
        while self._running:
            one = self._running.pop()
            one.kill() if kill else one.terminate()
            try:
                one.wait(5)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()

    def plug(self, name: str) -> str:
        """Add a sink, whose monitor is an input; returns what `unplug` needs."""
        done = self._pactl(
            "load-module",
            "module-null-sink",
            f"sink_name={name}",
            f"sink_properties=device.description={name}",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def unplug(self, module: str) -> None:
        """Take it away."""
        assert self._pactl("unload-module", module).returncode == 0

    def play(self, file: Path, sink: str) -> "subprocess.Popen[bytes]":
        """Start playing a WAV file into a sink."""
        return subprocess.Popen(
            ["paplay", f"--device={sink}", "--latency-msec=10", str(file)], env=self.env
        )

    def _pactl(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["pactl", *words], env=self.env, capture_output=True, text=True, timeout=20, check=False
        )

    def _start(self, *words: str) -> None:
        with open(self._folder / f"{words[0]}.log", "ab") as log:
            self._running.append(subprocess.Popen(words, env=self.env, stdout=log, stderr=log))

    def _await(self, ready: Callable[[], bool]) -> None:
        patience = time.monotonic() + PATIENCE_S
        while not ready():
            dead = [one.args for one in self._running if one.poll() is not None]
            assert not dead, f"{dead} ended"
            assert time.monotonic() < patience, f"{self._running[-1].args!r} does not answer"
            time.sleep(0.05)


@contextmanager
def sound_rig() -> Iterator[SoundRig]:
    """A sound system that runs; needs what `NEEDED` lists."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    assert not missing, f"this test needs {', '.join(missing)}"
    with tempfile.TemporaryDirectory(prefix="lwl") as folder:  # short: sockets have short paths
        rig = SoundRig(Path(folder))
        try:
            rig.start()
            yield rig
        finally:
            rig.stop()
