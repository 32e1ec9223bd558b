"""Renders of presets with routes and sync: time is the frame's number over the frame rate."""

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny
from music import RATE, music
from PIL import Image

from lwlive.cli import render
from lwlive.render import hearing, routed
from lwlive.render.settings import RenderError
from lwlive.routes import Band, Lfo, Route
from lwlive.stage.sources.audio.features import HOP_S, Features
from lwlive.tempo import Tempo


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint."""
    return tiny.folder(tmp_path_factory.mktemp("tiny"))


def write(folder: Path, text: str) -> str:
    """A preset."""
    path = folder / "moving.toml"
    path.write_text(text)
    return str(path)


def frames(model: Path, folder: Path, preset: str, *more: str) -> np.ndarray:
    """The frames of a render, as numbers."""
    words = ["--model", str(model), "--size", "64", "--preset", preset, "--folder", str(folder)]
    words += [
        "--name",
        "out",
        "--format",
        "png",
        "--output",
        "frames",
        "--steps",
        "1",
        "--fps",
        "10",
    ]
    assert render.main([*words, *more]) == 0
    return np.stack([np.asarray(Image.open(p)) for p in sorted((folder / "out").glob("*.png"))])


def test_sync_puts_keyframes_on_the_beats_of_bpm(tmp_path: Path) -> None:
    file = write(tmp_path, "sync = 4\n")
    settings, _ = render.parse(
        ["--preset", file, "--bpm", "126", "--fps", "60", "--max-frames", "900"]
    )
    tempo = Tempo(126.0)
    for i, joint in enumerate(settings.joints[:8]):
        assert abs(joint / 60 - tempo.when(4 * i)) <= 0.5 / 60 + 1e-9


@pytest.mark.slow
def test_an_oscillator_moves_pictures_and_the_same_one_again_the_same(
    model: Path, tmp_path: Path
) -> None:
    moving = '[[routes]]\nparameter = "guidance"\namount = 0.5\nlfo = "square"\nseconds = 0.4\n'
    one = frames(model, tmp_path, write(tmp_path, moving), "--max-frames", "8", "--guidance", "6")
    again = frames(
        model,
        tmp_path,
        write(tmp_path, moving),
        "--max-frames",
        "8",
        "--guidance",
        "6",
        "--overwrite",
    )
    assert (one == again).all()
    jumps = np.abs(np.diff(one.astype(int), axis=0)).mean((1, 2, 3))
    assert sorted(jumps)[-3:] == pytest.approx(sorted([jumps[1], jumps[3], jumps[5]]))  # its edges
    assert min(jumps[1], jumps[3], jumps[5]) > 2 * max(jumps[0], jumps[2], jumps[4])


def place(joints: Sequence[int], shares: Sequence[float], number: int) -> float:
    """A frame's place, in keyframes."""
    return max(i for i, joint in enumerate(joints) if joint <= number) + shares[number]


def test_a_moved_speed_moves_the_walk_and_keeps_its_frames_in_order() -> None:
    routes = (Route("speed", 0.2, Lfo("sine", 2.0, "seconds")),)
    joints, shares = routed.swung(routes, 120.0, 1, 0.5, 30.0, 600)
    places = [place(joints, shares, n) for n in range(600)]
    steps = np.diff(places) * 30
    assert steps.min() >= 0
    assert steps.max() > 0.9
    assert steps.min() < 0.2
    still, _ = routed.swung((), 120.0, 1, 0.5, 30.0, 600)
    assert still[:5] == (0, 60, 120, 180, 240)
    with pytest.raises(RenderError, match="give more --fps"):
        routed.swung((Route("speed", 1.0, Lfo("square", 90.0)),), 120.0, 1, 3.0, 3.0, 60)


def test_routes_without_a_meaning_in_a_render_are_named() -> None:
    routes = (
        Route("speed", 0.2, Lfo(), 1),
        Route("brightness", 0.2, Lfo(), 2),
        Route("depth", 0.2, Band("low"), 3),
        Route("pace", 0.2, Lfo(), 4),
    )
    left, without = routed.kept(routes, pictures=False, timed=False)
    assert [route.name for route in left] == ["speed", "pace"]
    assert without == ["brightness", "depth"]
    left, without = routed.kept(routes, pictures=False, timed=True)
    assert [route.name for route in left] == ["pace"]


def test_a_budget_and_routes_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path, '[[routes]]\nparameter = "pace"\namount = 0.5\n')
    with pytest.raises(RenderError, match="--budget does not go together with routes"):
        render.parse(["--preset", file, "--budget", "4"])


SOUND = """
speed = 0.1

[[routes]]
parameter = "speed"
amount = 0.6
band = "low"

[[routes]]
parameter = "guidance"
amount = 0.5
band = "onset"
"""


def tune(folder: Path, seconds: float = 12.0) -> str:
    """A sound file with a kick on each beat of 120."""
    path = folder / "tune.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(music(seconds, 120), -1, 1) * 32767).astype("<i2").tobytes())
    return str(path)


def test_a_render_with_sound_goes_with_the_kick_as_a_show_does(tmp_path: Path) -> None:
    file, sound = write(tmp_path, SOUND), tune(tmp_path)
    settings, _ = render.parse(["--preset", file, "--audio", sound, "--fps", "60"])
    assert settings.frames == 720  # the length of the sound
    assert [route.name for route in settings.moving] == ["speed", "guidance"]
    assert settings.per is not None
    heard = hearing.bands(Path(sound), 60.0, 720)
    of_walk = 120.0, 1, 60 / settings.per, 60.0, 720
    joints, shares = routed.swung(settings.moving, *of_walk, heard)
    assert joints == settings.joints
    steps = np.diff([place(joints, shares, n) for n in range(720)])
    near = (np.arange(719) / 30) % 1  # in beats
    late = np.arange(719) > 300
    assert steps[late & (near < 0.3)].mean() > 2 * steps[late & (near > 0.7)].mean()


def test_what_a_render_hears_is_what_a_show_hears(tmp_path: Path) -> None:
    sound = tune(tmp_path, 4.0)
    found = hearing.bands(Path(sound), 1 / HOP_S, 900)
    features = Features(RATE)
    with wave.open(sound) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)
    live = [one.bands for one in features.heard(samples.astype(np.float32))]
    assert np.abs(np.array(found[:780]) - np.array(live[:780])).max() < 0.02
    assert set(found[802:]) == {found[-1]}  # the sound is over
    assert max(found[-1][:5]) == 0


def test_without_sound_a_band_has_no_meaning_in_a_render(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        settings, _ = render.parse(["--preset", write(tmp_path, SOUND), "--max-frames", "9"])
    assert settings.moving == ()
    assert "routes without a meaning in this render: speed, guidance" in caplog.text


@pytest.mark.slow
def test_a_hit_in_the_sound_is_a_hit_in_the_frames(model: Path, tmp_path: Path) -> None:
    only = SOUND.replace("0.6", "0.0").replace("speed = 0.1", "speed = 0.01")
    words = ["--audio", tune(tmp_path, 3.0), "--max-frames", "30", "--guidance", "4"]
    found = frames(model, tmp_path, write(tmp_path, only), *words).astype(int)
    jumps = np.abs(np.diff(found, axis=0)).mean((1, 2, 3))
    hits = [n for n in range(4, 29) if jumps[n] > 2 * np.median(jumps[4:])]
    assert hits
    assert {n % 5 for n in hits} <= {4, 0}  # at 10 frames a second, a beat is five
