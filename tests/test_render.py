"""The laws of a render's plan: exact counts, joints once, loops closed, settings compared."""

import json
import random
import re
import shlex
import sys
import time
from fractions import Fraction
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lwlive import preset
from lwlive.checkpoint import ModelError, Size
from lwlive.cli import render
from lwlive.params import SPECS, ControlError
from lwlive.render import picture, timing
from lwlive.render.cluster import following
from lwlive.render.distance import distance, preferred, pyramid
from lwlive.render.frames import Frames, open_folder
from lwlive.render.identity import differences
from lwlive.render.settings import Render, RenderError, Settings, told

FPS = st.sampled_from([1.0, 10.0, 23.976, 24.0, 29.97, 30.0, 60.0, 12.5])


@given(st.lists(st.floats(1, 30), min_size=1, max_size=6), FPS, st.booleans())
def test_a_film_is_exactly_as_long_as_its_seconds(
    seconds: list[float], fps: float, closed: bool
) -> None:
    if min(seconds) * fps < 2:
        seconds = [s * 2 for s in seconds]
    joints = timing.chain(seconds, fps, closed)
    frames = joints[-1] if closed else joints[-1] + 1
    assert frames == round(sum(map(Fraction, seconds)) * Fraction(fps))
    assert len(joints) == len(seconds) + 1


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("abc ", min_size=1, max_size=5), min_size=2, max_size=6),
    st.integers(10, 300),
    FPS,
    st.booleans(),
)
def test_a_list_of_prompts_has_exactly_its_frames(
    prompts: list[str], tenths: int, fps: float, closed: bool
) -> None:
    words = [f"--prompt={prompt}" for prompt in prompts]
    words += [f"--seconds={tenths / 10}", f"--fps={fps}"]
    words += [f"--loop={len(prompts)}"] if closed else []
    if tenths / 10 * fps < 2:
        words += ["--num-steps=2"]
    made, _ = render.parse(words)
    ways = len(prompts) - (0 if closed else 1)
    per = 2 if tenths / 10 * fps < 2 else Fraction(tenths / 10) * Fraction(fps)
    assert made.frames == round(ways * per)
    assert [key.prompt for key in made.keys] == prompts
    assert all(a < b for a, b in pairwise(made.joints))
    places = [timing.place(made.joints, n) for n in range(made.frames)]
    assert len(set(places)) == made.frames  # none twice
    assert [i for i, gone, _ in places if gone == 0] == list(range(ways))  # none left out


@given(st.integers(1, 400), st.integers(1, 700))
def test_joints_are_neither_repeated_nor_skipped(per: int, frames: int) -> None:
    joints = timing.even(Fraction(per), frames)
    places = [timing.place(joints, n) for n in range(frames)]
    phases = [Fraction(i * total + gone, total) for i, gone, total in places]
    assert phases == [Fraction(n, per) for n in range(frames)]


def test_the_last_frame_of_an_open_film_is_its_last_keyframe() -> None:
    joints = timing.chain([1.0, 2.0], 10, closed=False)
    assert joints == (0, 10, 29)
    assert timing.place(joints, 29) == (1, 19, 19)
    assert timing.place(joints, 10) == (1, 0, 19)


def test_a_way_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(RenderError, match="less than a frame"):
        timing.chain([0.01, 1.0], 10, closed=False)


def test_the_published_command_line_says_what_it_said() -> None:
    settings, place = render.parse(
        shlex.split(
            'lwlive render --prompt "blueberry spaghetti" --name blueberry --num-steps 200 '
            "--steps 50 --guidance 7.5 --seed 1337 --max-frames 10000 --scheduler lms --quality 90"
        )[2:]
    )
    assert place == Path("blueberry")
    assert settings.frames == 10_000
    assert settings.joints[:3] == (0, 200, 400)
    assert settings.render == Render(name="blueberry", num_steps=200, max_frames=10_000, quality=90)
    assert (settings.scheduler, settings.decoder) == ("lms", "full")
    assert (settings.render.fps, settings.render.crf, settings.render.format) == (10, 10, "jpg")
    told_of = {n: settings.params[n] for n in ("prompt", "steps", "guidance", "seed")}
    expected_of = {"prompt": "blueberry spaghetti", "steps": 50, "guidance": 7.5, "seed": 1337}
    assert told_of == expected_of


def test_a_parameter_is_declared_once_for_show_render_and_preset() -> None:
    offered = set(render.OFFERED)
    assert offered == {n for n in SPECS if SPECS[n].render}
    assert not offered & {"brightness", "blackout", "fade", "hud", "record", "quantise"}
    assert not offered & set(Render.model_fields)
    assert {"crossfeed", "crossfeed_range", "crossfeed_decay", "damping"} <= offered
    assert SPECS["steps"].expected(render=True) == "a whole number from 1 to 1000"
    assert SPECS["steps"].expected() == "a whole number from 1 to 8"


def test_prompts_and_pictures_are_keyframes_in_their_order() -> None:
    found, rest = render.ordered(
        ["--prompt", "a, b", "--fps", "5", "--picture=x.png", "--prompt", "--ray", "--ray"]
    )
    assert found == [{"prompt": "a, b"}, {"picture": Path("x.png")}, {"prompt": "--ray"}]
    assert rest == ["--fps", "5", "--ray", "local"]


def test_several_prompts_are_a_blend_of_their_seconds() -> None:
    settings, _ = render.parse(shlex.split("--prompt a --prompt b --prompt c --seconds 2 --fps 8"))
    assert [key.prompt for key in settings.keys] == ["a", "b", "c"]
    assert [key.index for key in settings.keys] == [0, 1, 2]
    assert (settings.joints, settings.frames) == ((0, 16, 31), 32)
    closed, _ = render.parse(shlex.split("--prompt a --prompt b --loop 2 --seconds 2 --fps 8"))
    assert (closed.joints, closed.frames) == ((0, 16, 32), 32)


def test_keyframes_of_a_preset_have_values_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "film.toml"
    file.write_text(
        "steps = 30\n"
        '[[keyframes]]\nprompt = "a"\nseconds = 3\nguidance = 2.5\n'
        '[[keyframes]]\nprompt = "b"\nseed = 0\nnegative = "c"\n'
    )
    settings, _ = render.parse(["--preset", str(file)])
    first, second = settings.keys
    assert (first.guidance, first.seconds, first.index) == (2.5, 3, 0)
    assert (second.seed, second.index, second.negative) == (0, 0, "c")
    assert settings.frames == 30
    with pytest.raises(ControlError, match="for lwlive render"):
        preset.load(file)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--steps 1001", "from 1 to 1000"),
        ("--size 100", "multiples of 16"),
        ("--size wide", "multiples of 8 (ember: 16)"),
        ("--folder /dev/null", "cannot be made"),
        ("--prompt a --prompt b --loop 3", "--loop 2"),
        ("--prompt a --picture p.png", "--depth"),
        ("--picture p.png --depth 0.5", "something to walk to"),
        ("--mask m.png", "takes one --picture"),
        ("--qualty 3", "did you mean --quality"),
        ("--prompt", "expected one argument"),
        ("--journal nowhere.jsonl", "cannot read the journal"),
        ("--audio nowhere.wav", "cannot be read as sound"),
        ("--preset cathedral --fps 0", "--fps"),
    ],
)
def test_what_cannot_be_rendered_gets_a_sentence(
    words: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert render.main(words.split()) == 1
    assert sentence in caplog.text
    assert "Traceback" not in caplog.text


def test_a_device_that_is_not_there_gets_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert render.main(["--device", "cuda"]) == 1
    assert "finds no cuda device" in caplog.text


def settings_for(**given: Any) -> Settings:
    """Settings as the command line makes them."""
    words = [f"--{k.replace('_', '-')}={v}" for k, v in {"max_frames": 4, **given}.items()]
    return render.parse(words)[0]


def made(folder: Path, settings: Settings, count: int) -> Frames:
    """A folder with so many frames in it."""
    frames = open_folder(folder, settings, overwrite=False)
    width, height = settings.size
    picture_of = np.full((height, width, 3), 90, np.uint8)
    for n in range(count):
        frames.write(n, picture.written(picture_of, settings.render.format, 90))
    return frames


def test_frames_of_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    made(tmp_path, settings_for(steps=3), 1)
    open_folder(tmp_path, settings_for(steps=3), overwrite=False)
    with pytest.raises(RenderError, match="steps was 3 and is 4"):
        open_folder(tmp_path, settings_for(steps=4), overwrite=False)
    many = settings_for(steps=4, seed=2, depth=0.5, pace=0, quality=7, eta=1, size=64)
    with pytest.raises(RenderError, match=r"steps was 3 .*; and 2 more; give the same"):
        open_folder(tmp_path, many, overwrite=False)


def test_a_render_that_made_no_frame_binds_nobody(tmp_path: Path) -> None:
    open_folder(tmp_path, settings_for(steps=3), overwrite=False)
    frames = open_folder(tmp_path, settings_for(steps=4), overwrite=False)
    assert json.loads((tmp_path / "settings.json").read_text())["settings"]["params"]["steps"] == 4
    assert frames.missing() == [0, 1, 2, 3]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="/dev/zero is not Windows's")
@pytest.mark.parametrize("flag", ["preset", "picture", "audio", "journal"])
def test_a_file_without_an_end_is_refused_and_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, flag: str
) -> None:
    (tmp_path / "endless.toml").symlink_to("/dev/zero")
    for path in ("/dev/zero", str(tmp_path / "endless.toml")):
        caplog.clear()
        begun = time.process_time()
        words = ["--folder", str(tmp_path), f"--{flag}", path, "--prompt", "a", "--depth", "0.5"]
        assert render.main([*words, "--steps", "4"] if flag == "picture" else words) == 1
        assert time.process_time() - begun < 20
        assert path in caplog.text
        assert re.search("is no file|not an ordinary file", caplog.text)


def test_a_film_that_is_too_large_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (film := tmp_path / "film.toml").write_text(
        '[[keyframes]]\nprompt = "a"\n' + "#" * preset.MAX_BYTES
    )
    assert render.main(["--folder", str(tmp_path), "--preset", str(film)]) == 1
    assert "a preset has 1 MB at most" in caplog.text


def test_what_cannot_be_rendered_leaves_what_was_there(tmp_path: Path) -> None:
    (room := tmp_path / "room").mkdir()
    (room / "walk").mkdir()
    (room / "walk" / "frame000000.jpg").write_bytes(b"x")
    (room / "broken.png").write_bytes(b"no picture")
    words = f"--folder {room} --picture {room / 'broken.png'} --prompt a --depth 0.5 --steps 4"
    assert render.main([*words.split(), "--overwrite"]) == 1
    assert (room / "walk" / "frame000000.jpg").exists()
    (room / "other").mkdir()
    (room / "other" / "settings.json").write_text('{"of": "somebody else"}')
    with pytest.raises(RenderError, match="cannot be read"):
        open_folder(room / "other", settings_for(), overwrite=False)


def test_more_frames_are_a_continuation_and_fewer_are_refused(tmp_path: Path) -> None:
    made(tmp_path, settings_for(), 4)
    more = open_folder(tmp_path, settings_for(max_frames=6), overwrite=False)
    assert more.missing() == [4, 5]
    with pytest.raises(RenderError, match="holds 4 frames, more than the 3"):
        open_folder(tmp_path, settings_for(max_frames=3), overwrite=False)


def test_overwriting_leaves_nothing_stale_and_nothing_of_others_is_lost(tmp_path: Path) -> None:
    made(tmp_path, settings_for(), 4)
    (tmp_path / ".frame000004.jpg.77").write_bytes(b"half")
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    frames = open_folder(tmp_path, settings_for(format="png"), overwrite=True)
    assert frames.missing() == [0, 1, 2, 3]
    assert {path.name for path in tmp_path.iterdir()} == {"settings.json", "mine.jpg"}


def test_frames_of_unknown_settings_are_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "frame000000.jpg").write_bytes(b"x")
    with pytest.raises(RenderError, match="not known"):
        open_folder(tmp_path, settings_for(), overwrite=False)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(RenderError, match="cannot be read"):
        open_folder(tmp_path, settings_for(), overwrite=False)


def test_settings_survive_being_told() -> None:
    settings = settings_for(steps=40)
    stored = json.loads(told(settings))["settings"]
    assert Settings(**stored) == settings
    assert differences(stored, stored) == []


@given(st.integers(1, 9), st.sets(st.integers(0, 200), min_size=1), st.randoms())
def test_workers_of_a_cluster_make_every_stretch_once(
    workers: int, missing: set[int], chance: random.Random
) -> None:
    waiting, made, at = set(missing), list[int](), [-1] * workers
    while waiting:
        which = chance.randrange(workers)  # whichever is done first
        at[which] = following(waiting, at[which])
        waiting.remove(at[which])
        made.append(at[which])
    assert sorted(made) == sorted(missing)


def test_a_worker_goes_on_where_it_was_and_leaps_into_the_longest_run() -> None:
    waiting, at, leaps = set(range(400)), [-1] * 4, list[int]()
    for i in range(400):
        stretch = following(waiting, at[i % 4])
        leaps += [stretch] if stretch != at[i % 4] + 1 else []
        at[i % 4] = stretch
        waiting.remove(stretch)
    assert leaps == [200, 100, 300]


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_picture_of_any_size_and_orientation_is_fitted(tmp_path: Path, kind: str) -> None:
    tall = Image.new("RGB", (30, 90), (200, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: shown 90 wide
    tall.save(tmp_path / f"a.{kind}", exif=exif)
    pixels = picture.read(tmp_path / f"a.{kind}", Size(64, 32))
    assert pixels.shape == (32, 64, 3)
    assert abs(int(pixels[16, 32, 0]) - 200) < 3
    clear = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    clear.save(tmp_path / "clear.png")
    assert picture.read(tmp_path / "clear.png", Size(64, 32)).max() == 0


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n\0\0"])
def test_a_broken_picture_gets_a_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(RenderError, match=r"a\.png cannot be read as a picture"):
        picture.read(tmp_path / "a.png", Size(64, 64))


def test_merging_is_exact_where_the_mask_is_black_or_white() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 8, 8, 3), np.uint8)
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 255
    both = picture.merged(one, other, mask)
    assert (both[:, :4] == one[:, :4]).all()
    assert (both[:, 4:] == other[:, 4:]).all()


def test_a_larger_change_is_a_larger_distance() -> None:
    picture_of = np.random.default_rng(0).integers(0, 100, (32, 32, 3), np.uint8)
    assert pyramid(picture_of, picture_of) == 0
    gaps = [pyramid(picture_of, picture_of + np.uint8(step)) for step in (1, 10, 50)]
    assert gaps == sorted(gaps)
    moved = pyramid(picture_of, np.roll(picture_of, 1, 1))
    assert 0 < moved < pyramid(picture_of, np.uint8(255) - picture_of)


class Network(torch.nn.Module):
    """Stands in for LPIPS, which fetches its weights: pictures [1, 3, H, W] from -1 to 1."""

    def __init__(self, net: str, verbose: bool) -> None:
        super().__init__()
        assert (net, verbose) == ("alex", False)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        assert a.shape == b.shape == (1, 3, 24, 32)
        return ((a - b) ** 2).mean((1, 2, 3), keepdim=True)


def test_lpips_is_the_measure_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("lpips")
    vars(module)["LPIPS"] = Network
    module.__spec__ = ModuleSpec("lpips", None)
    monkeypatch.setitem(sys.modules, "lpips", module)
    assert preferred() == "lpips"
    assert settings_for(budget=4).render.distance == "lpips"
    assert settings_for(budget=4, distance="pyramid").render.distance == "pyramid"
    assert settings_for().render.distance is None
    black, white = (np.full((24, 32, 3), level, np.uint8) for level in (0, 255))
    assert distance("lpips", "cpu")(black, white) == 4
    assert distance("lpips", "cpu")(white, white) == 0


def test_lpips_that_is_not_there_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(RenderError, match=r"pip install .*\[lpips\]'"):
        distance("lpips", "cpu")
    module = ModuleType("lpips")
    vars(module)["LPIPS"] = Broken
    monkeypatch.setitem(sys.modules, "lpips", module)
    with pytest.raises(RenderError, match=r"no route.*--distance pyramid"):
        distance("lpips", "cpu")


def Broken(**_: Any) -> None:  # noqa: N802 - stands in for a class
    """LPIPS on a machine without a network."""
    raise OSError("no route to host")


def test_a_model_whose_name_speaks_of_memory_is_refused_by_its_own_sentence() -> None:
    anything: Any = None
    with pytest.raises(ModelError, match="memory-palace is damaged"):  # noqa: SIM117 - raised inside
        with render._enough_memory(anything):
            raise ModelError("the checkpoint in memory-palace is damaged")
