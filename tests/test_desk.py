"""The desk: what comes late, together or at a moment of its own, and what a show continues from."""

from pathlib import Path
from typing import Any

import pytest

from lwlive.commands import (
    Command,
    Fire,
    Learn,
    Recall,
    Set,
    Switch,
)
from lwlive.controls import Controls
from lwlive.params import Params
from lwlive.preset import PresetError, listed
from lwlive.stage.desk import Desk
from lwlive.stage.disk import Disk
from lwlive.stage.parts import Arrived, Source


class Hand(Source):
    """Who asks; what is refused is kept."""

    def __init__(self) -> None:
        self.refusals: list[str] = []

    def refused(self, arrived: Arrived, why: str) -> None:  # noqa: ARG002 - who asked is known
        self.refusals.append(why)


class Stage:
    """A desk whose disk answers when the test says so."""

    def __init__(self, folder: Path, continued: bool = False, **start: Any) -> None:
        for name, text in (("a", 'prompt = "red"'), ("b", 'prompt = "blue"\nspeed = 1.0')):
            (folder / f"{name}.toml").write_text(text)
        self.controls = Controls(Params(steps=1, guidance=1.0, **start))
        self.jobs: list[object] = []
        disk = Disk(lambda _: None, self.jobs.append)
        self.desk = Desk(folder, self.controls, disk, continued=continued)
        self.now, self.hand = 10.0, Hand()

    def do(self, *commands: Command, due: float | None = None) -> "Stage":
        for command in commands:
            self.desk.do(Arrived(command, "hand", self.now, due), self.hand)
        return self

    def read(self) -> "Stage":
        """The disk answers."""
        jobs, self.jobs[:] = list(self.jobs), []
        for job in jobs:
            job()  # type: ignore[operator] # as `Disk` gives them
        return self.wait(0.1)

    def wait(self, seconds: float) -> "Stage":
        self.now += seconds
        self.desk.poll(self.now)
        return self


@pytest.mark.parametrize("newer", [Fire("panic"), Recall("a")])
def test_a_preset_that_is_still_read_gives_way_to_what_comes_after_it(
    tmp_path: Path, newer: Command
) -> None:
    stage = Stage(tmp_path).do(Recall("b"), newer)
    stage.read()
    assert stage.controls.params.prompt == ("red" if newer == Recall("a") else Params().prompt)
    assert stage.controls.params.speed == 0.25


@pytest.mark.parametrize("first", [None, 12.0])
def test_presets_for_different_moments_are_all_taken_up(
    tmp_path: Path, first: float | None
) -> None:
    stage = Stage(tmp_path).do(Recall("b"), due=first).do(Recall("a"), due=14.0).read()
    assert stage.wait(3.0).controls.params.prompt == "blue"
    assert stage.wait(2.0).controls.params.prompt == "red"
    assert stage.controls.params.speed == 1.0


def test_of_presets_for_one_moment_the_newest_counts(tmp_path: Path) -> None:
    stage = Stage(tmp_path).do(Recall("b"), Recall("a"), due=12.0).read().wait(3.0)
    assert (stage.controls.params.prompt, stage.controls.params.speed) == ("red", 0.25)


def test_panic_leaves_nothing_of_what_is_still_being_read(tmp_path: Path) -> None:
    stage = Stage(tmp_path).do(Recall("b"), due=12.0).do(Set("morph_a", "a"), Set("morph_b", "b"))
    stage.do(Set("morph", 1.0), Fire("panic")).read().read()
    assert (stage.wait(3.0).controls.params.prompt, stage.controls.params.morph) == (
        Params().prompt,
        0.0,
    )


def test_a_bundle_that_chooses_two_presets_and_morphs_does_all_three(tmp_path: Path) -> None:
    stage = Stage(tmp_path).do(Set("morph_a", "a"), Set("morph_b", "b"), Set("morph", 1.0))
    stage.read().read()
    assert not stage.hand.refusals
    assert (stage.controls.params.prompt, stage.controls.params.morph) == ("blue", 1.0)


def test_a_bundle_for_later_that_chooses_two_presets_and_morphs_does_all_three_then(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    stage.do(Set("morph_a", "a"), Set("morph_b", "b"), Set("morph", 1.0), due=12.0)
    assert stage.read().controls.params.morph == 0.0
    stage.wait(2.0).read()
    assert not stage.hand.refusals
    assert (stage.controls.params.prompt, stage.controls.params.morph) == ("blue", 1.0)


def test_moves_of_morph_for_different_moments_all_wait_for_its_presets(tmp_path: Path) -> None:
    stage = Stage(tmp_path).do(Set("morph_a", "a"), Set("morph_b", "b"))
    stage.do(Set("morph", 1.0), due=12.0).do(Set("morph", 0.0), due=14.0).read()
    assert stage.wait(3.0).controls.params.prompt == "blue"
    assert stage.wait(2.0).controls.params.prompt == "red"


def test_whatever_has_a_time_tag_is_done_at_its_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.do(Fire("snapshot"), Learn("speed"), Switch("ndi", True), Fire("panic"), due=12.0)
    stage.do(Set("speed", 3.0))
    stage.wait(1.5)
    assert (stage.desk.snapshots, stage.desk.learning) == (0, None)
    assert stage.controls.params.speed == 3.0
    stage.wait(0.6)
    assert (stage.desk.snapshots, stage.desk.learning) == (1, "speed")
    assert stage.controls.params.speed == 0.25


def test_a_show_that_continues_keeps_its_look_and_does_without_a_preset_that_is_gone(
    tmp_path: Path,
) -> None:
    values: dict[str, Any] = {"prompt": "gold", "morph": 0.5, "morph_a": "a", "morph_b": "b"}
    assert Stage(tmp_path, continued=True, **values).controls.params.prompt == "gold"
    assert Stage(tmp_path, **values).controls.params.prompt != "gold"
    values["morph_b"] = "gone"
    kept = Stage(tmp_path, continued=True, **values).controls.params
    assert (kept.prompt, kept.morph_a, kept.morph_b) == ("gold", "a", "")
    with pytest.raises(PresetError, match="gone"):
        Stage(tmp_path, **values)


@pytest.mark.parametrize("name", ["a\x1fb", "a\tb", "\ud800", "\n"])
def test_only_what_can_be_read_is_learnt(tmp_path: Path, name: str) -> None:
    stage = Stage(tmp_path).do(Learn(f"preset {name}"))
    assert stage.desk.learning is None
    assert "there is nothing called" in stage.hand.refusals[0]


def test_a_number_keeps_its_preset_whatever_is_saved_or_removed_in_mid_show(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    third, last = listed(tmp_path)[2].stem, len(listed(tmp_path))
    stage.do(Fire("save")).read()
    saved = listed(tmp_path)[2]
    assert saved.stem != third, "in the folder's order it comes before the bundled ones"
    assert stage.do(Recall(3)).read().desk.preset == (third, 3)
    assert stage.do(Recall(last + 1)).read().desk.preset == (saved.stem, last + 1)
    (tmp_path / "0.toml").write_text('prompt = "green"')
    assert stage.do(Recall(2)).read().controls.params.prompt == "blue"
    (tmp_path / "a.toml").unlink()
    stage.do(Recall(1)).read()
    assert stage.hand.refusals == ["preset 1 was a, which is no longer there"]
    assert stage.do(Recall(last + 2)).read().controls.params.prompt == "green"
