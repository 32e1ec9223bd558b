"""A show that hears: PipeWire without a card, music and clicks from other programs, real time.

What machines do to time is measured and written into the test's properties; what is asked of it
here leaves room for a busy one.
"""

import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import FakeSupply, flat
from music import RATE, Sound, music
from soundrig import SoundRig, sound_rig

from lwlive.checkpoint import Size
from lwlive.config import Config
from lwlive.controls import Controls
from lwlive.params import Params
from lwlive.routes import BANDS, Band, Route
from lwlive.stage.clock import WallClock
from lwlive.stage.desk import Desk
from lwlive.stage.outputs.takes import Takes
from lwlive.stage.parts import Output, Picture
from lwlive.stage.rig import rigged
from lwlive.stage.show import Show
from lwlive.stage.sources.audio.capture import AudioError, inputs, opened
from lwlive.tempo import Tempo

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
SIDE = 64
SOON_S, OFTEN_S = 0.06, 0.1  # from a click to a picture: half of them, nearly all of them


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundRig]:
    with sound_rig() as system:
        for name, value in system.env.items():
            monkeypatch.setenv(name, value)
        yield system


class Watch(Output):
    """Keeps when each picture was there, and what it was made with."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.at: list[float] = []
        self.bands: list[tuple[float, ...]] = []
        self.tempos: list[Tempo] = []
        self.said: list[str] = []

    def put(self, picture: Picture) -> None:
        self.at.append(time.perf_counter())
        self.bands.append(self._desk.bands or (0.0,) * len(BANDS))
        self.tempos.append(picture.status.tempo)
        if picture.status.notice is not None and picture.status.notice not in self.said[-1:]:
            self.said.append(picture.status.notice)


def shown(folder: Path, seconds: float, route: Route, **config: Any) -> Watch:
    """A show in real time, without a model, that listens to the rig."""
    clock = WallClock()
    about = Config(duration=seconds, audio_in="rig", osc=False, folder=folder, **config)
    controls = Controls(Params(steps=1, guidance=1, brightness=0.1), (route,))
    desk = Desk(folder, controls)
    supply: Any = FakeSupply()
    supply.pixels = flat(200, SIDE)
    sources, outputs = rigged(about, Size(SIDE, SIDE), desk, None, None)
    watch = Watch(desk)
    takes = [output for output in outputs if isinstance(output, Takes)]
    show = Show(
        about, desk, supply, Size(SIDE, SIDE), clock, clock.now(), sources, [*outputs, watch]
    )
    show.run()
    assert takes
    return watch


def greys(path: Path) -> np.ndarray:
    """How bright each frame of a movie is, 0 to 1."""
    with av.open(str(path)) as movie:
        frames = movie.decode(video=0)
        return np.array([frame.to_ndarray(format="gray").mean() / 200 for frame in frames])


def written(path: Path, sound: Sound) -> Path:
    """The sound as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def test_a_click_is_seen_in_the_recording_two_frames_later(
    rig: SoundRig, tmp_path: Path, record_property: Any
) -> None:
    """From the moment a program gave it out; brightness, at 30 frames a second."""
    rig.plug("rig")
    movie = tmp_path / "clicks.mp4"
    player = subprocess.Popen(
        [sys.executable, str(HERE / "clicks.py"), "rig", "14"], stdout=subprocess.PIPE, text=True
    )
    watch = shown(tmp_path, 15, Route("brightness", 0.9, Band("onset")), record=movie)
    clicks = [float(line) for line in player.communicate(timeout=30)[0].split()]
    grey, at = greys(movie), np.array(watch.at)
    assert len(grey) == len(at)
    rises = at[1:][np.diff(grey) > 0.15]
    after = [rises[rises > click] - click for click in clicks if click < at[-1] - 0.3]
    delays = np.array([one[0] for one in after if len(one)])
    record_property("click to picture, ms", np.percentile(delays, [5, 50, 95]) * 1e3)
    assert len(clicks) > 25
    assert len(rises) < len(clicks) * 1.3  # nothing else is taken for a click
    assert np.median(delays) < SOON_S
    assert np.percentile(delays, 90) < OFTEN_S


def test_music_is_followed_and_a_device_may_be_pulled_out_and_plugged_in_again(
    rig: SoundRig, tmp_path: Path
) -> None:
    module = rig.plug("rig")
    tune = written(tmp_path / "tune.wav", music(12, 126))
    players: list[subprocess.Popen[bytes]] = [rig.play(tune, "rig")]
    started = time.perf_counter()

    def hands() -> None:
        time.sleep(10.5)
        rig.unplug(module)
        time.sleep(4)
        rig.plug("rig")
        players.append(rig.play(tune, "rig"))

    thread = threading.Thread(target=hands)
    thread.start()
    movie = tmp_path / "music.mp4"
    watch = shown(tmp_path, 22, Route("brightness", 0.9, Band("low")), record=movie)
    thread.join()
    for player in players:
        player.kill()
        player.wait()

    at, low = np.array(watch.at) - started, np.array(watch.bands)[:, 0]
    assert np.diff(at).max() < 1.0  # the show goes on whatever the sound does

    tempo = watch.tempos[int(np.searchsorted(at, 10.0))]
    assert tempo.by == "audio"
    assert tempo.bpm == pytest.approx(126, rel=0.01)

    grey = greys(movie)
    assert len(grey) == len(at)
    beats = np.array([tempo.beats(moment) for moment in watch.at])
    for values in (low, grey):  # what is recorded pulses with the kick
        while_on = (at > 5) & (at < 10)
        near = np.abs(beats[while_on] % 1 - 0.2) < 0.15
        assert values[while_on][near].mean() > 1.8 * values[while_on][~near].min()
        assert np.ptp(values[while_on]) > 0.5

    assert low[(at > 12) & (at < 14)].max() < 0.05
    assert low[at > 19].max() > 0.5
    said = [text for text in watch.said if text.startswith("audio:")]
    assert said[0] == said[-1] == "audio: listening to Monitor of rig"
    assert "audio: no sound comes from Monitor of rig any more; trying again" in said


def test_opening_and_losing_devices_leaves_nothing_behind(rig: SoundRig) -> None:
    """The library does not give back its connections to the server by itself."""
    import psutil

    rig.plug("rig")
    assert [one.name for one in inputs()] == ["Monitor of rig"]
    process, got = psutil.Process(), threading.Event()
    for n in range(60):
        device = opened("rig", lambda _samples: got.set())
        if n == 0:
            assert got.wait(10)
        device.close()
        if n == 5:
            before = process.num_fds(), process.num_threads()
    assert (process.num_fds(), process.num_threads()) == before


def test_without_a_sound_system_there_is_a_sentence_and_a_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/nobody")
    with pytest.raises(AudioError, match=r"there is no audio input 'rig'; there are"):
        opened("rig", lambda _samples: None)
    with pytest.raises(AudioError, match=r"no audio input can be opened .*: is a device there"):
        opened("default", lambda _samples: None)
    watch = shown(tmp_path, 2, Route("brightness", 0.9, Band("low")))
    assert len(watch.at) == 60
    assert [text for text in watch.said if "there is no audio input 'rig'" in text]
