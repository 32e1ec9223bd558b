"""Snapshots: the picture as it is shown, and a preset that leads back to it."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import checksummed
from PIL import Image

from lwlive import preset
from lwlive.params import LOOK, Params
from lwlive.ring import Frame
from lwlive.seeds import seed_of
from lwlive.snapshot import Snapshot
from lwlive.stage.disk import Disk
from lwlive.stage.outputs import snapshots as module
from lwlive.stage.outputs.snapshots import Snapshots, seed_nearest
from lwlive.stage.parts import Picture
from lwlive.stage.supply import Shown


class Album:
    """A folder with snapshots, and a show's ticks. `aside`: jobs that the disk has not done."""

    def __init__(self, folder: Path, waits: bool = False) -> None:
        self.folder, self.said, self.aside = folder, list[str](), list[Any]()
        start = self.aside.append if waits else (lambda job: job())
        self.disk = Disk(self.said.append, start)
        self.output = Snapshots(folder, self.disk, self.said.append)
        self.tick, self.asked = 0, 0

    def show(self, params: Params, phase: float, new: bool = True, dimmed: int = 0) -> Any:
        pixels = (checksummed(self.tick) >> dimmed).astype(np.uint8)
        frame = Frame(pixels, self.tick, self.tick, phase, True) if new else None
        snapshot = Snapshot(self.tick, params) if new else None
        # whoever asks now has changed the controls already: the picture was made with older ones
        status: Any = SimpleNamespace(params=replace(params, speed=4.0), snapshots=self.asked)
        self.output.put(
            Picture(pixels, self.tick, 1.0, Shown(pixels, frame, False, snapshot), status)
        )
        self.disk.poll(self.tick)
        self.tick += 1
        return pixels

    @property
    def pictures(self) -> list[Path]:
        return sorted(self.folder.glob("*.png"))


LOOKED = Params(prompt="gold rings | smoke", speed=0.5, guidance=2.0, steps=3, seed=77)


def test_a_press_writes_the_picture_of_its_tick_and_what_made_it(tmp_path: Path) -> None:
    album = Album(tmp_path)
    album.show(LOOKED, 0.5)
    album.asked += 1
    pixels = album.show(LOOKED, 0.6)
    album.show(LOOKED, 0.7)
    (path,) = album.pictures
    with Image.open(path) as image:
        assert (np.asarray(image) == pixels).all()
        told = json.loads(image.text["lwlive"])  # type: ignore[attr-defined]
    assert told == {"phase": 0.6, **asdict(LOOKED)}
    values = preset.load(path.with_suffix(".toml"))
    wanted = {name: getattr(LOOKED, name) for name in LOOK} | {"seed": seed_of(77, 1)}
    assert values == wanted
    assert len(album.said) == 1
    assert str(path) in album.said[0]


def test_what_is_dimmed_is_written_dimmed(tmp_path: Path) -> None:
    album = Album(tmp_path)
    album.asked += 1
    pixels = album.show(LOOKED, 0.5, dimmed=2)
    with Image.open(album.pictures[0]) as image:
        assert (np.asarray(image) == pixels).all()


def test_a_repeated_picture_has_the_values_that_it_was_made_with(tmp_path: Path) -> None:
    album = Album(tmp_path)
    album.show(LOOKED, 3.2)
    album.asked += 1
    album.show(Params(prompt="smoke"), 9.0, new=False)
    values = preset.load(album.pictures[0].with_suffix(".toml"))
    assert values["prompt"] == LOOKED.prompt
    assert values["seed"] == seed_of(77, 3)


def test_presses_within_a_second_overwrite_nothing(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for _ in range(5):
        album.asked += 1
        album.show(LOOKED, 0.5)
    assert len(album.pictures) == 5
    assert len(list(tmp_path.glob("*.toml"))) == 5
    summary = album.output.summary()
    assert summary == {"written": 5}


def test_a_disk_that_hangs_holds_nothing_up_and_the_picture_is_not_another_one(
    tmp_path: Path,
) -> None:
    album = Album(tmp_path, waits=True)
    album.asked += 1
    pixels = album.show(LOOKED, 0.5)
    for _ in range(10):
        album.show(LOOKED, 0.6)
    assert not album.pictures
    album.aside.pop()()
    with Image.open(album.pictures[0]) as image:
        assert (np.asarray(image) == pixels).all()


def test_a_folder_that_cannot_be_written_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    album = Album(tmp_path / "nowhere")
    album.asked += 1
    album.show(LOOKED, 0.5)
    assert "writing a snapshot" in album.said[0]
    assert "No such file or directory" in album.said[0]


def test_a_preset_that_cannot_be_written_takes_its_picture_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise preset.PresetError("cannot save the preset: No space left on device")

    monkeypatch.setattr(preset, "save", full)
    album = Album(tmp_path)
    album.asked += 1
    album.show(LOOKED, 0.5)
    assert album.said == ["cannot save the preset: No space left on device"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("phase", "loop", "index"),
    [(0.2, 0, 0), (0.6, 0, 1), (7.4, 0, 7), (7.4, 3, 1), (2.9, 3, 0), (-0.7, 0, 0), (-0.2, 0, 0)],
)
def test_the_seed_is_that_of_the_nearest_keyframe(phase: float, loop: int, index: int) -> None:
    assert seed_nearest(Params(seed=5, loop=loop), phase) == seed_of(5, index)


def test_a_walk_of_the_found_seed_begins_at_the_very_keyframe() -> None:
    torch = pytest.importorskip("torch")
    from lwlive.engine.keyframe import noise_of

    for index in (0, 1, 12):
        here = noise_of(1337, index, (4, 8, 8), "cpu")
        again = noise_of(seed_of(1337, index), 0, (4, 8, 8), "cpu")
        assert torch.equal(here, again)


def test_a_preset_that_was_saved_in_the_same_second_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "stamped", lambda _when, suffix: f"now{suffix}")
    for name in ("now.toml", "now-2.toml", "now-3.png"):
        (tmp_path / name).write_text("somebody's")
    album = Album(tmp_path)
    for _ in range(2):
        album.asked += 1
        album.show(LOOKED, 0.5)
    for name in ("now.toml", "now-2.toml", "now-3.png"):
        assert (tmp_path / name).read_text() == "somebody's"
    made = {path.name for path in tmp_path.iterdir()} - {"now.toml", "now-2.toml", "now-3.png"}
    assert len(made) == 4
    assert len({name.split(".")[0] for name in made}) == 2
    for name in made:
        if name.endswith(".toml"):
            assert preset.load(tmp_path / name)["prompt"] == LOOKED.prompt
