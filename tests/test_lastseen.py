"""The last pictures of a show are the first ones of the next."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from fakes import SPAWN, FakeEngines, flat
from hypothesis import given
from hypothesis import strategies as st
from test_state import inline, status
from test_supply import FPS, ORDINARY, Stage, look

from lwlive.checkpoint import Size
from lwlive.messages import Failed
from lwlive.ring import Ring
from lwlive.stage import lastseen
from lwlive.stage.disk import Disk
from lwlive.stage.host import EngineFailure
from lwlive.stage.lastseen import APART_S, COUNT, Recent
from lwlive.stage.parts import Picture
from lwlive.stage.state import Keeper, State, pictures_of
from lwlive.stage.supply import Shown, Supply

PICTURES = [flat(40 + 5 * number) for number in range(COUNT)]


def test_recent_pictures_are_a_few_of_the_last_seconds_and_apart() -> None:
    recent = Recent()
    for tick in range(30 * 60):
        recent.add(flat(tick % 200), tick / 30)
    found = recent.pictures()
    assert len(found) == COUNT
    apart = np.diff([int(each[0, 0, 0]) for each in found]) % 200
    assert set(apart) == {round(30 * APART_S)}


def test_pictures_are_kept_as_they_came_since_the_next_show_dims_them_itself(
    tmp_path: Path,
) -> None:
    keeper = Keeper(tmp_path / "s", State({}), lambda _: None, Disk(lambda _: None, inline))
    for tick in range(30):
        shown = Shown(flat(200), None, False)
        keeper.put(Picture(flat(50), tick, 0.25, shown, status(tick / 10)))
    keeper.close()
    found = lastseen.read(pictures_of(tmp_path / "s"), Size(8, 8))
    assert np.array_equal(found[0], flat(200))


def test_what_is_written_is_read_and_another_size_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p"
    lastseen.write(path, PICTURES)
    found = lastseen.read(path, Size(8, 8))
    assert np.array_equal(found, PICTURES)
    assert lastseen.read(path, Size(8, 16)) == []
    assert lastseen.read(tmp_path / "none", Size(8, 8)) == []
    assert lastseen.read(tmp_path, Size(8, 8)) == []
    lastseen.write(tmp_path / "empty", [])
    assert not (tmp_path / "empty").exists()


@given(st.floats(0, 1), st.binary(max_size=6), st.booleans())
def test_a_damaged_file_is_nothing_or_pictures(
    tmp_path_factory: pytest.TempPathFactory, share: float, data: bytes, cut: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.pictures"
    lastseen.write(path, PICTURES)
    whole = path.read_bytes()
    at = round(share * len(whole))
    path.write_bytes(whole[:at] + data if cut else whole[:at] + data + whole[at + len(data) :])
    found = lastseen.read(path, Size(8, 8))
    assert all(each.shape == (8, 8, 3) for each in found)


@pytest.mark.parametrize("count", ["Infinity", str(10**30), "-1", "0", "null"])
def test_a_head_that_cannot_be_is_nothing(tmp_path: Path, count: str) -> None:
    (tmp_path / "p").write_bytes(b"lwlive pictures [%s, 8, 8, 3]\n" % count.encode())
    assert lastseen.read(tmp_path / "p", Size(8, 8)) == []


class Restarted(Stage):
    """A stage whose show was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.supply.close()
        self.engines = FakeEngines(look)

        def make_ring() -> Ring:
            return Ring.create(SPAWN, 12, 8, 8)

        self.supply = Supply(
            self.engines,
            make_ring,
            FPS,
            self.controls.snapshot,
            self.time,
            phase=3.5,
            kept=PICTURES,
        )


def test_the_pictures_of_the_show_before_move_until_the_walk_fades_in() -> None:
    stage = Restarted()
    stage.wait(20)
    assert stage.engine.phase == 3.5
    assert all(shown.before and not shown.late for shown in stage.shown)
    levels = [int(shown.pixels[0, 0, 0]) for shown in stage.shown]
    assert min(levels) >= 40
    assert max(levels) <= 75
    same = "".join("0" if a == b else "1" for a, b in itertools.pairwise(levels))
    stands = max(len(run) for run in same.split("1"))
    assert stands < FPS, "no picture stands for a second"
    stage.play(4)
    assert not stage.shown[-1].before
    assert stage.largest_jump() <= ORDINARY
    stage.supply.close()


def test_they_are_on_the_screen_before_an_engine_is_started_that_takes_the_processor() -> None:
    stage = Restarted()
    stage.time += 7.0  # until the window is open
    first = stage.tick()
    assert first is not None
    assert first.before
    assert not stage.engines.all
    stage.tick()
    assert len(stage.engines.all) == 1
    stage.wait(5)
    assert len(stage.engines.all) == 1
    stage.supply.close()


def test_an_engine_that_cannot_be_started_yet_leaves_them_there() -> None:
    stage = Restarted()
    stage.engines.refuse = True
    stage.wait(12)
    assert len(stage.shown) == 12 * FPS
    assert 2 <= stage.supply.host.deaths <= 5, "it is tried again, and more and more rarely"
    stage.engines.refuse = False
    stage.wait(16)
    stage.play(4)
    assert not stage.shown[-1].before
    stage.supply.close()


def test_an_engine_that_can_never_begin_ends_such_a_show_too() -> None:
    stage = Restarted()
    stage.wait(1)
    stage.engine.say(Failed("no such model", lasting=True))
    stage.engine.die(3)
    with pytest.raises(EngineFailure, match="no such model"):
        stage.wait(1)
