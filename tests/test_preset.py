"""Presets: what is saved comes back; what is wrong is named; a name is never a path."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lwlive import __version__, preset
from lwlive.params import LOOK, SPECS, ControlError, Params, spec
from lwlive.preset import PresetError
from lwlive.routes import Band, Lfo, Route

SAMPLE = """
title = "Slow smoke"
about = 'Made for a long, quiet hall.'
prompt = "grey smoke :1 | gold :0.4"  # weights after the colon
speed = 0.1
steps = 4
hold = false
"""


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    """A preset file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Every valid value of a parameter."""
    if SPECS[name].kind is str:
        text = st.text(st.characters(exclude_categories=["Cs"]), max_size=500)
        return text | st.text("\r\n\t\\\"'# \x00\x7f\x85\u2028\ufeff", max_size=20)
    if SPECS[name].kind is bool:
        return st.booleans()
    low, high = SPECS[name].low, SPECS[name].high
    if SPECS[name].kind is int:
        whole = st.integers(int(low), min(int(high), 2**63 - 1))
        return whole if SPECS[name].default is not None else whole | st.none()
    number = st.floats(low, high)
    return number if SPECS[name].default is not None else number | st.none()


@given(st.fixed_dictionaries({name: values_of(name) for name in SPECS}))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_saved_and_loaded_is_the_same(tmp_path: Path, values: dict[str, Any]) -> None:
    params = Params(**values)
    path = tmp_path / "a.toml"
    preset.save(path, params)
    loaded = preset.load(path)
    assert loaded == {n: values[n] for n in LOOK if values[n] is not None}
    assert {n: repr(v) for n, v in loaded.items()} == {n: repr(values[n]) for n in loaded}


ROUTED = """speed = 1.0
[[routes]]
parameter = "speed"
amount = 0.2
lfo = "square"
beats = 8

[[routes]]
number = 5
parameter = "depth"
amount = -0.5
band = "low"
"""


def test_a_preset_has_routes_and_keeps_their_numbers(tmp_path: Path) -> None:
    values, routes = preset.load_look(write(tmp_path, ROUTED))
    assert values == {"speed": 1.0}
    fast = Route("speed", 0.2, Lfo("square", 8.0), 1)
    assert routes == (fast, Route("depth", -0.5, Band("low"), 5))
    preset.save(tmp_path / "b.toml", Params(), routes)
    assert preset.load_look(tmp_path / "b.toml")[1] == routes
    assert preset.load_look(write(tmp_path, "speed = 1.0"))[1] == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("routes = 3", "each route stands under a line"),
        ("routes = [3]", "each route stands under a line"),
        ('[[routes]]\nparameter = "sped"', "there is no parameter 'sped'"),
        ('[[routes]]\nparameter = "bpm"', "route 1: bpm belongs to the hand"),
        ('[[routes]]\nnumber = 99\nparameter = "speed"', "a number from 1 to 16, not 99"),
        ("[[routes]]\namount = 1", "route 1: parameter takes the name of a number"),
        (
            '[[routes]]\nnumber = 2\nparameter = "speed"\n'
            '[[routes]]\nnumber = 2\nparameter = "speed"',
            "two routes of number 2",
        ),
    ],
)
def test_a_wrong_route_is_named_with_the_file(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(PresetError, match=told) as caught:
        preset.load(path)
    assert str(path) in str(caught.value)


def test_a_saved_preset_is_in_the_declared_order_under_one_line_of_comment(tmp_path: Path) -> None:
    preset.save(tmp_path / "a.toml", Params(hud=True, record=True))
    first, *lines = (tmp_path / "a.toml").read_text(encoding="utf-8").splitlines()
    assert first.startswith("#")
    assert __version__ in first
    own = [n for n in LOOK if getattr(Params(), n) is not None]
    assert [line.split(" = ")[0] for line in lines] == own


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "speed = 1.0\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(PresetError, match=r"mine\.toml: No space left"):
            preset.save(path, Params())
    assert preset.load(path) == {"speed": 1.0}
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(PresetError, match="cannot save"):
        preset.save(tmp_path / "nowhere" / "a.toml", Params())


def test_only_the_keys_in_the_file_are_loaded_and_words_for_people_are_not(tmp_path: Path) -> None:
    assert preset.load(write(tmp_path, SAMPLE)) == {
        "prompt": "grey smoke :1 | gold :0.4",
        "speed": 0.1,
        "steps": 4,
    }
    assert preset.load(write(tmp_path, "")) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sped = 1", ["'sped'", "did you mean speed?"]),
        ("[look]\nspeed = 1", ["'look'", "a preset takes title, about, prompt"]),
        ("speed = 9", ["speed takes a number from 0 to 4 keyframes/s, not 9"]),
        ("speed = nan", ["speed takes", "not nan"]),
        ("speed = true", ["speed takes", "not True"]),
        ("speed = '1'", ["speed takes", "not '1'"]),
        ("speed = [1]", ["speed takes", "not [1]"]),
        ("speed = 1979-05-27", ["speed takes", "1979"]),
        ("steps = 1.5", ["steps takes a whole number from 1 to 8, not 1.5"]),
        ("prompt = 7", ["prompt takes text of up to 500 characters, not 7"]),
        (f"prompt = '{'a' * 501}'", ["prompt takes text of up to 500"]),
        ("title = 3", ["title takes text, not 3"]),
        ("seed = 1\nspeed = \n", ["not valid TOML", "line 2"]),
        ("seed = 1\nseed = 2\n", ["not valid TOML", "line 2"]),
        ("seed = 1\nprompt = '''a\nb", ["not valid TOML", "line 3"]),
        (f"seed = {'9' * 5000}", ["not valid TOML"]),
        (f"seed = 0x{'f' * 4000}", ["not valid TOML", "thousands of digits"]),
        (f"[[routes]]\namount = [0x{'f' * 4000}]", ["not valid TOML", "thousands of digits"]),
        (f"seed = {'[' * 5000}", ["not valid TOML"]),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, told: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(PresetError) as caught:
        preset.load(path)
    assert isinstance(caught.value, ControlError)
    for words in [str(path), *told]:
        assert words in str(caught.value)


ROOM = [name for name, spec in SPECS.items() if not spec.look]


@pytest.mark.parametrize("name", ROOM)
def test_what_belongs_to_the_room_is_not_saved_and_passed_over_with_a_sentence(
    tmp_path: Path, name: str
) -> None:
    preset.save(tmp_path / "a.toml", Params())
    assert f"{name} =" not in (tmp_path / "a.toml").read_text("utf-8")
    path = write(tmp_path, f"{name} = true\nspeed = 1.0\n")
    said: list[str] = []
    assert preset.load(path, said.append) == {"speed": 1.0}
    assert len(said) == 1
    assert name in said[0]
    assert "mine.toml" in said[0]


def test_what_is_no_ordinary_file_or_too_large_is_a_sentence_immediately(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe.toml", tmp_path / "large.toml"
    os.mkfifo(pipe)
    large.write_text("speed = 1.0\n" + "#" * 43_000_000, "utf-8")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    begun = time.process_time()
    with pytest.raises(PresetError, match=r"pipe\.toml is not an ordinary file"):
        preset.load(pipe)
    with pytest.raises(PresetError, match=r"large\.toml has 41 MB; a preset has 1 MB at most"):
        preset.load(large)
    with pytest.raises(PresetError, match=r"folder\.toml"):
        preset.load(tmp_path / "folder.toml")
    with pytest.raises(PresetError, match=r"zero\.toml is not an ordinary file"):
        preset.load(tmp_path / "zero.toml")
    assert time.process_time() - begun < 1
    assert preset.listed(tmp_path) == preset.bundled()


def test_ones_own_presets_come_first_and_hide_bundled_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    both, alone = write(ours, "speed = 1", "dusk.toml"), write(ours, "speed = 1", "alone.toml")
    monkeypatch.setattr(preset, "bundled", lambda: [alone, both])
    own = [write(theirs, "speed = 2", name) for name in ("dusk.toml", "zebra.toml")]
    wrong = write(theirs, "speed = = 2", "wrong.toml")  # meant as one, and told so when called
    write(theirs, "[tool]\nspeed = 1\n", "pyproject.toml")
    write(theirs, "speed = 1\n[[keyframes]]\nprompt = 'a'\n", "film.toml")
    write(theirs, "title = 'nothing'", "empty.toml")
    assert preset.listed(theirs) == [own[0], wrong, own[1], alone]
    assert preset.named("dusk", theirs) == own[0]
    assert preset.find("dusk", theirs) == own[0]


def test_a_file_that_is_missing_or_no_text_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match=r"cannot read the preset .*gone\.toml"):
        preset.load(tmp_path / "gone.toml")
    (tmp_path / "b.toml").write_bytes(b'prompt = "\xff"')
    with pytest.raises(PresetError, match=r"b\.toml is not text in UTF-8"):
        preset.load(tmp_path / "b.toml")


def test_files_from_windows_editors_load(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfseed = 0\r\nspeed = 1\r\n")
    assert preset.load(tmp_path / "a.toml") == {"seed": 0, "speed": 1.0}


def test_a_name_is_looked_up_in_the_folder_then_in_the_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    write(ours, "seed = 1", "both.toml")
    bundled = [ours / "both.toml", write(ours, "seed = 1", "ours.toml")]
    both, only = (write(theirs, "seed = 2", name) for name in ("both.toml", "only.toml"))
    monkeypatch.setattr(preset, "bundled", lambda: bundled)
    assert preset.find("both", theirs) == both
    assert preset.find("ours", theirs) == bundled[1]
    assert preset.find("only", theirs) == only
    with pytest.raises(
        PresetError, match=r"no preset 'onli', did you mean only\?.*both, only, ours"
    ):
        preset.find("onli", theirs)
    with pytest.raises(PresetError, match="there are both, ours"):
        preset.find("x", tmp_path / "nowhere")


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    for path in ("a.toml", "some/where", "../up.toml", str(tmp_path / "b")):
        assert preset.find(path, tmp_path) == Path(path)


def test_a_name_never_reaches_another_folder(tmp_path: Path) -> None:
    folder = tmp_path / "shows"
    folder.mkdir()
    secret = write(tmp_path, "", "secret.toml")
    write(folder, "", "mine.toml")
    full = str(secret.with_suffix(""))
    for name in ("../secret", "..\\secret", full, f"{full}.toml", "mine.toml", "", ".", "*", "a\0"):
        with pytest.raises(PresetError, match="there is no preset"):
            preset.named(name, folder)
    assert preset.named("mine", folder) == folder / "mine.toml"


def test_bundled_presets_are_found_in_a_wheel_and_beside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lwlive"
    for folder in (package, tmp_path / "presets"):
        folder.mkdir()
    beside = [write(tmp_path / "presets", "", name) for name in ("a.toml", "b.toml")]
    write(tmp_path / "presets", "", "a.jpg")
    monkeypatch.setattr(preset, "__file__", str(package / "preset.py"))
    assert preset.bundled() == beside
    (package / "presets").mkdir()
    inside = write(package / "presets", "", "c.toml")
    assert preset.bundled() == [inside]


@pytest.mark.parametrize("path", [None, *preset.bundled()], ids=lambda p: p.stem if p else "sample")
def test_every_bundled_preset_loads(path: Path | None, tmp_path: Path) -> None:
    values = preset.load(path or write(tmp_path, SAMPLE))
    assert "prompt" in values
    assert {name: spec(name).checked(value) for name, value in values.items()} == values


def test_presets_bring_in_no_torch() -> None:
    source = "import sys, lwlive.preset; print({'av', 'torch', 'pygame'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert result.stdout.strip() == "set()"
