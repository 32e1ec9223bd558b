"""The state of a show: written whole, continued from, and left out where it is damaged."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeSupply, flat
from hypothesis import given
from hypothesis import strategies as st

from lwlive import files
from lwlive.controls import Controls
from lwlive.cuelist import Cue, CueList
from lwlive.params import Params
from lwlive.routes import Lfo, Route
from lwlive.stage.cues import Cues, Standing
from lwlive.stage.disk import Disk
from lwlive.stage.figures import Figures
from lwlive.stage.parts import Picture
from lwlive.stage.starts import WELL_S
from lwlive.stage.state import EVERY_S, RETRY_S, Keeper, State, StateError, read, taken_up, told
from lwlive.stage.status import Status
from lwlive.stage.supply import Shown

PARAMS = Params(prompt="gold rings on black", seed=0, speed=0.5, brightness=0.25, record=True)
ROUTES = (Route("speed", 0.5, Lfo("saw", 3.0, "seconds"), 2),)


def status(now: float, params: Params = PARAMS, phase: float = 7.25) -> Status:
    supply = FakeSupply()
    supply.host.phase = phase
    return Status.taken(
        params,
        "ember",
        Figures(30.0),
        supply,  # type: ignore[arg-type] # a fake
        {},
        now=now,
        since_start_s=now,
        level=1.0,
        notice=None,
        pictures=True,
        routes=ROUTES,
    )


def inline(run: Callable[[], None]) -> None:
    run()


class Room:
    """A keeper whose disk works inline, and what it says."""

    def __init__(self, path: Path, begun: State | None = None) -> None:
        self.said: list[str] = []
        begun = begun or State({}, settings=told(PARAMS))
        self.keeper = Keeper(path, begun, self.said.append, Disk(self.said.append, inline))

    def show(self, now: float, **values: Any) -> None:
        pixels = flat(1)
        shown = Shown(pixels, None, False)
        self.keeper.put(Picture(pixels, 0, 1.0, shown, status(now, **values)))


def test_what_is_written_is_what_is_taken_up(tmp_path: Path) -> None:
    path, said = tmp_path / "s.json", list[str]()
    room = Room(path)
    room.show(10.0)
    found = taken_up(path, PARAMS, said.append)
    assert found.values == {n: v for n, v in told(PARAMS).items() if v is not None}
    assert "record" not in found.values
    assert (found.phase, found.routes, found.restarts) == (7.25, ROUTES, 1)
    room.keeper.close()
    assert taken_up(path, PARAMS, said.append).restarts == 0, "it ended in order"
    assert not said


@pytest.mark.parametrize("phase", [-1.0, -0.25])
def test_a_show_that_ends_in_a_bend_towards_a_seed_is_taken_up(
    tmp_path: Path, phase: float
) -> None:
    path, said = tmp_path / "s.json", list[str]()
    Room(path).show(0.0, phase=phase)
    assert taken_up(path, PARAMS, said.append).phase == phase
    assert not said


def test_it_is_written_with_the_first_picture_and_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[Path] = []
    real = files.write

    def record(path: Path, data: bytes) -> None:
        times.append(path)
        real(path, data)

    monkeypatch.setattr(files, "write", record)
    room = Room(tmp_path / "s.json")
    for tick in range(30 * 301):
        room.show(5.0 + tick / 30)
    states = [path for path in times if path.suffix == ".json"]
    assert len(states) == 2 + (300 - WELL_S) // EVERY_S, "and once more when all is well"
    assert len(times) - len(states) == 1, "pictures, more rarely"
    assert not room.said


def test_settings_that_somebody_has_changed_win(tmp_path: Path) -> None:
    path, said = tmp_path / "s.json", list[str]()
    Room(path).show(0.0)
    found = taken_up(path, replace(PARAMS, prompt="smoke"), said.append)
    assert (found.values, found.phase, found.restarts) == ({}, 0.0, 1)
    assert found.settings == told(replace(PARAMS, prompt="smoke"))
    assert "settings have changed" in said[0]
    said.clear()
    assert taken_up(path, replace(PARAMS, record=False), said.append).phase == 7.25
    assert not said


def test_without_a_file_the_show_starts_afresh_and_says_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    assert taken_up(tmp_path / "none", PARAMS, said.append) == State({}, settings=told(PARAMS))
    assert not said


@pytest.mark.slow
@given(st.data())
def test_a_damaged_state_is_one_sentence_and_a_fresh_start(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path, said = tmp_path_factory.getbasetemp() / "damaged.json", list[str]()
    Room(path).show(0.0)
    whole = path.read_bytes()
    at = round(data.draw(st.floats(0, 1)) * (len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        path.write_bytes(whole[:at] + data.draw(st.binary(min_size=1, max_size=9)) + whole[at:])
    found = taken_up(path, PARAMS, said.append)
    fresh = not found.values
    assert fresh == bool(said)
    assert len(said) <= 1


@pytest.mark.parametrize(
    "change",
    [
        {"values": {"speed": 99}},
        {"values": {"nothing": 1}},
        {"values": []},
        {"routes": [[99, {"parameter": "speed"}]]},
        {"phase": float("nan")},
        {"phase": -1.5},
        {"phase": "x"},
        {"cue": 5},
        {"restarts": -3},
        {"settings": None},
        {"at": -1},
        {"at": 1e300},
        {"at": 10**400},
        {"phase": 10**400},
        {"restarts": float("inf")},
    ],
)
def test_a_state_with_what_cannot_be_is_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "s.json"
    Room(path).show(0.0)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StateError, match="it is damaged"):
        read(path)


def test_a_file_of_another_kind_is_no_state(tmp_path: Path) -> None:
    for data in (b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b" " * (2**20 + 1)):
        (tmp_path / "s").write_bytes(data)
        with pytest.raises(StateError):
            read(tmp_path / "s")
    with pytest.raises(OSError, match="directory"):
        read(tmp_path)


def test_a_disk_that_takes_nothing_is_told_once_and_again_when_it_does(tmp_path: Path) -> None:
    path = tmp_path / "stick" / "s.json"
    room = Room(path)
    for tick in range(30 * 90):
        room.show(tick / 30)
    assert len(room.said) == 1
    assert f"cannot be written into {path}" in room.said[0]
    path.parent.mkdir()
    for tick in range(round(30 * (RETRY_S + 1))):
        room.show(90 + tick / 30)
    assert room.said[1:] == [f"the state of the show is written again, into {path}"]
    assert read(path) is not None


def test_a_show_continues_in_its_cue_with_what_hands_have_changed_since() -> None:
    cues = CueList(
        (
            Cue("one", {"prompt": "smoke"}, ()),
            Cue("two", {"prompt": "gold"}, ()),
            Cue("three", {"prompt": "sea"}, (), follow=30),
        ),
        loop=True,
    )
    controls = Controls(replace(PARAMS, prompt="changed by hand"))
    said: list[object] = []
    playing = Cues(cues, controls, said.append)
    playing.resume("three", 100.0, time.time())
    playing.poll(100.1)
    standing = playing.standing(100.1)
    assert (standing.name, standing.number) == ("three", 3)
    assert controls.params.prompt == "changed by hand", "the list does not begin again"
    assert standing.until_s == pytest.approx(29.9)
    for tick in range(310):
        playing.poll(100.1 + tick / 10)
        controls.turn(100.1 + tick / 10)
    assert playing.standing(132.0).name == "one"
    assert controls.params.prompt == "smoke"
    playing.resume("gone", 0.0, 0.0)
    assert "there is no cue 'gone'" in str(said[-1])


def test_the_cue_is_written_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    room = Room(path)
    room.show(0.0)
    pixels = flat(1)
    standing = Standing(2, "drop", 3, "end", "", None, 3)
    now = replace(status(20.0), cue=standing)
    room.keeper.put(Picture(pixels, 0, 1.0, Shown(pixels, None, False), now))
    found = read(path)
    assert found is not None
    assert found.cue == "drop"


def test_the_last_state_is_the_one_that_stays_whatever_the_disk_was_still_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "state", files.write
    jobs: list[Callable[[], None]] = []
    disk = Disk(lambda _: None, jobs.append)
    keeper = Keeper(path, State({}, settings=told(PARAMS)), lambda _: None, disk)
    begun, free = threading.Event(), threading.Event()

    def slow(where: Path, data: bytes) -> None:
        if not begun.is_set():
            begun.set()
            assert free.wait(10)
        write(where, data)

    monkeypatch.setattr(files, "write", slow)
    keeper.put(Picture(flat(1), 0, 1.0, Shown(flat(1), None, False), status(0.0)))
    threads = [threading.Thread(target=jobs.pop()), threading.Thread(target=keeper.close)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    free.set()
    for thread in threads:
        thread.join(10)
    found = read(path)
    assert found is not None
    assert found.ended


def test_a_state_whose_writing_begins_after_the_last_one_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "state"
    jobs: list[Callable[[], None]] = []
    disk = Disk(lambda _: None, jobs.append)
    keeper = Keeper(path, State({}, settings=told(PARAMS)), lambda _: None, disk)
    keeper.put(Picture(flat(1), 0, 1.0, Shown(flat(1), None, False), status(0.0)))
    keeper.close()
    jobs.pop()()
    found = read(path)
    assert found is not None
    assert found.ended
