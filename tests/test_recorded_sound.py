"""A recording with the sound of a real sound system: PipeWire, and clicks from another program."""

import subprocess
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from feeds import until
from soundrig import SoundRig, sound_rig
from test_recorder import numbered
from test_soundtrack import clicks

from lwlive.movie import SOUND_RATE
from lwlive.stage.outputs.recorder import Recorder
from lwlive.stage.sources.audio.capture import Capture

FPS, SECONDS = 30, 6
HALF_A_FRAME_S = 1 / FPS / 2


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundRig]:
    with sound_rig() as system:
        for name, value in system.env.items():
            monkeypatch.setenv(name, value)
        yield system


def clicking(path: Path, seconds: float) -> Path:
    """A file that clicks twice a second."""
    sound = np.zeros(round(seconds * SOUND_RATE), np.int16)
    for start in range(SOUND_RATE // 4, len(sound), SOUND_RATE // 2):
        sound[start : start + 96] = 20000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SOUND_RATE)
        file.writeframes(sound.tobytes())
    return path


@pytest.mark.slow
def test_every_click_is_beside_the_picture_of_its_moment(tmp_path: Path, rig: SoundRig) -> None:
    rig.plug("rig")
    capture, stop = Capture("rig"), threading.Event()
    listening = threading.Thread(target=lambda: [None for _ in capture.blocks(stop)])
    listening.start()
    player = rig.play(clicking(tmp_path / "clicks.wav", SECONDS + 30), "rig")
    try:
        until(lambda: capture.name is not None, "nothing is heard", 60)
        own = capture.tap(SECONDS + 30.0)
        with Recorder(tmp_path / "a.mp4", FPS, 96, 64, {}, tap=capture.tap()) as recorder:
            recorder.wait_open(60)
            begun = time.perf_counter()
            for tick in range(SECONDS * FPS):
                time.sleep(max(0.0, begun + tick / FPS - time.perf_counter()))
                recorder.put(numbered(tick), tick, time.perf_counter())
            time.sleep(0.2)
    finally:
        player.kill()
        player.wait()
        stop.set()
        listening.join()
    assert recorder.failed is None
    heard = []  # when it clicked, in seconds after the first picture
    for block in own.taken():
        for place in clicks(block.frames.T * (0.3 / 0.6)):
            heard.append(block.at + place - begun)
    times = np.array(heard)
    times = times[np.diff(times, prepend=-1) > 0.1]  # one click may lie in two blocks
    times = times[(times > 0.1) & (times < SECONDS - 0.1)]
    raw = ["-f", "f32le", "-ac", "1", "-ar", "48000", "-"]
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.mp4"), *raw],
        capture_output=True,
        check=True,
    )
    found = clicks(np.frombuffer(done.stdout, np.float32)[None])
    found = found[(found > 0.1 - HALF_A_FRAME_S) & (found < SECONDS - 0.1 + HALF_A_FRAME_S)]
    assert len(times) >= 2 * SECONDS - 2
    away = [np.abs(found - one).min() for one in times]
    print(f"at most {1e3 * max(away):.1f} ms")
    assert max(away) < HALF_A_FRAME_S
