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
from music import RATE, Sound, music
from soundrig import SoundRig, sound_rig
from soundshow import LEVEL, SoundShow

from lwlive.routes import Band, Route
from lwlive.stage.sources.audio.devices import AudioError, inputs, opened

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
HEARD = "audio: listening to Monitor of rig"
LOST = "audio: no sound comes from Monitor of rig any more; trying again"
SOON_S, OFTEN_S = 0.06, 0.1  # from a click to a picture: half of them, nearly all of them


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundRig]:
    with sound_rig() as system:
        for name, value in system.env.items():
            monkeypatch.setenv(name, value)
        yield system


def greys(path: Path) -> np.ndarray:
    """How bright each frame of a movie is, 0 to 1."""
    with av.open(str(path)) as movie:
        frames = movie.decode(video=0)
        return np.array([frame.to_ndarray(format="gray").mean() / LEVEL for frame in frames])


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
    """From the moment the sink had it; brightness, at 30 frames a second."""
    rig.plug("rig")
    movie, route = tmp_path / "clicks.mp4", Route("brightness", 0.9, Band("onset"))
    with SoundShow(tmp_path, route, record=movie) as show:
        show.until(lambda: HEARD in show.said, "the sound")
        player = subprocess.Popen(
            ["pw-jack", sys.executable, str(HERE / "clicks.py"), "rig", "13"],
            stdout=subprocess.PIPE,
            text=True,
        )
        show.until(lambda: player.poll() is not None, "the last click")
    clicks = [float(line) for line in player.communicate()[0].split()]
    grey, at = greys(movie), show.at
    assert len(grey) == len(at)
    rises = at[1:][np.diff(grey) > 0.15]
    after = [rises[rises > click] - click for click in clicks if click < at[-1] - 0.3]
    delays = np.array([one[0] for one in after if len(one)])
    record_property("click to picture, ms", np.percentile(delays, [5, 50, 95]) * 1e3)
    assert len(clicks) > 26
    assert len(rises) < len(clicks) * 1.3  # nothing else is taken for a click
    assert np.median(delays) < SOON_S
    assert np.percentile(delays, 90) < OFTEN_S


def test_music_is_followed_and_devices_and_servers_may_come_and_go(
    rig: SoundRig, tmp_path: Path, record_property: Any
) -> None:
    """A device is pulled out and plugged in again; then the sound servers are killed."""
    module = rig.plug("rig")
    tune = written(tmp_path / "tune.wav", music(90, 126))
    movie, players = tmp_path / "music.mp4", [rig.play(tune, "rig")]
    away: list[tuple[float, float]] = []  # from when to when nothing is to be heard

    with SoundShow(tmp_path, Route("brightness", 0.9, Band("low")), record=movie) as show:

        def lost(number: int) -> float:
            """Wait until the show says that the sound has gone, and a second more."""
            since = show.until(lambda: _count(show.said, LOST) == number, "a loss")
            show.watch(1)
            return since

        def back(number: int) -> None:
            """Play again, until it is heard."""
            away.append((since, time.perf_counter()))
            rig.plug("rig")
            players.append(rig.play(tune, "rig"))
            show.until(lambda: _count(show.said, HEARD) == number, "the sound")
            heard = show.until(lambda: show.ticks[-1].bands[0] > 0.5, "the kick")
            record_property("heard again after, s", heard - away[-1][1])

        began = show.until(
            lambda: bool(show.ticks) and show.ticks[-1].tempo.by == "audio", "a tempo"
        )
        show.watch(5)
        pulled, tempo = show.at[-1], show.ticks[-1].tempo
        rig.unplug(module)
        since = lost(1)
        back(2)
        rig.crash()
        since = lost(2)
        rig.recover()
        back(3)
    for player in players:
        player.kill()
        player.wait()

    at, low = show.at, show.band("low")
    assert np.diff(at).max() < 1.0  # the show continues whatever the sound does
    assert tempo.by == "audio"
    assert tempo.bpm == pytest.approx(126, rel=0.01)

    grey = greys(movie)
    assert len(grey) == len(at)
    beats = np.array([tick.tempo.beats(tick.at) for tick in show.ticks])
    for values in (low, grey):  # what is recorded pulses with the kick
        while_on = (at > began) & (at < pulled)
        near = np.abs(beats[while_on] % 1 - 0.2) < 0.15
        assert values[while_on][near].mean() > 1.8 * values[while_on][~near].min()
        assert np.ptp(values[while_on]) > 0.5
    for first, last in away:
        assert low[(at > first) & (at < last)].max() < 0.05


def _count(said: list[str], text: str) -> int:
    return sum(text in one for one in said)


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
    with SoundShow(tmp_path, Route("brightness", 0.9, Band("low")), seconds=2) as show:
        show.wait()
    assert show.ticks
    assert show.at[-1] - show.at[0] == pytest.approx(2, abs=0.5)
    assert _count(show.said, "there is no audio input 'rig'")
