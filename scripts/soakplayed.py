"""What a soaked show hears: a beat, played into a PipeWire of its own that trouble may kill.

The sound system is that of the tests. A thread plays the beat again whenever it is over.
"""

import shutil
import subprocess
import sys
import tempfile
import threading
import wave
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from soundrig import SoundRig

RATE, SECONDS, BEAT_S, DECAY_S = 48000, 30, 0.5, 0.2


class Played:
    """A sound system, and what plays into it. `environment`: what finds it."""

    name = "rig"  # of the sink; a show listens to its monitor

    def __init__(self, folder: Path) -> None:
        self._file = folder / "sound.wav"
        self._sockets = Path(tempfile.mkdtemp(prefix="lwl"))  # short: sockets have short paths
        self._rig = SoundRig(self._sockets)
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        names = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "PULSE_SERVER")
        self.environment = {name: self._rig.env[name] for name in names}

    def start(self) -> None:
        """Start the servers, and play."""
        if not self._file.exists():
            self._write()
        self._sockets.mkdir(exist_ok=True)
        self._rig.start()
        self._rig.plug(self.name)
        self._ended.clear()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def kill(self) -> None:
        """Everything ends together, and leaves nothing."""
        self._ended.set()
        self._rig.stop(kill=True)
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _play(self) -> None:
        while not self._ended.wait(0.1):
            playing: subprocess.Popen[bytes] = self._rig.play(self._file, self.name)
            while playing.poll() is None and not self._ended.wait(0.1):
                pass
            playing.kill()
            playing.wait()

    def _write(self) -> None:
        at = np.arange(RATE * SECONDS) / RATE
        sound = 0.5 * np.sin(2 * np.pi * 110 * at) * np.exp(-(at % BEAT_S) / DECAY_S)
        with wave.open(str(self._file), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((sound * 32767).astype("<i2").tobytes())
