"""Old recordings are removed, and nothing else ever is."""

import os
from pathlib import Path

import pytest
from test_state import inline, status

from lwlive.stage.disk import Disk
from lwlive.stage.outputs.expiry import DAY_S, EVERY_S, Expiry

NOW = 2e9


def aged(path: Path, days: float) -> Path:
    path.write_bytes(b"x")
    os.utime(path, (NOW - days * DAY_S,) * 2)
    return path


class Room:
    """A show with these recordings, whose clocks the test moves."""

    def __init__(
        self, folder: Path, days: float, record: Path | None = None, wall: float = NOW
    ) -> None:
        self.said: list[str] = []
        self.wall, self.now = wall, 50.0
        say = self.said.append
        disk = Disk(say, inline)
        self.expiry = Expiry(folder, record, days, say, disk, lambda: self.wall)

    def play(self, seconds: float, step: float = 10.0) -> None:
        until = self.now + seconds
        while self.now < until:
            self.expiry.tell(status(self.now), {}, self.now)
            self.now += step
            self.wall += step


def test_recordings_older_than_the_days_are_removed_and_nothing_else(tmp_path: Path) -> None:
    record = tmp_path / "set.mp4"
    old = [
        aged(tmp_path / name, 8)
        for name in (
            "lwlive-20260101-200000.mp4",
            "lwlive-20260101-200000-2.mov",
            "set.mp4",
            "set-2.mp4",
            "set-2-3.mp4",
        )
    ]
    kept = [
        aged(tmp_path / "lwlive-20260102-200000.mp4", 6),
        aged(tmp_path / "set-4.mp4", 1),
        *(
            aged(tmp_path / name, 900)
            for name in (
                "lwlive-20260101-200000.toml",
                "wedding.mp4",
                "lwlive-best-of.mp4",
                "settle.mp4",
                "set-list.mp4",
                "set.json",
            )
        ),
    ]
    inside = tmp_path / "lwlive-20250101-200000.mp4.d"
    inside.mkdir()
    kept.append(aged(inside / "lwlive-20250101-200000.mp4", 900))
    room = Room(tmp_path, 7, record)
    room.play(30)
    assert [path for path in old if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
    assert room.said == ["5 recordings older than 7 days removed (--keep-days)"]
    room.play(3 * EVERY_S)
    assert len(room.said) == 1


def test_a_recording_ages_while_the_show_plays(tmp_path: Path) -> None:
    path = aged(tmp_path / "lwlive-20260101-200000.mp4", 0.9)
    room = Room(tmp_path, 1)
    room.play(0.05 * DAY_S)
    assert path.exists()
    room.play(0.1 * DAY_S)
    assert not path.exists()


def test_a_clock_that_is_set_forward_ages_nothing(tmp_path: Path) -> None:
    path = aged(tmp_path / "lwlive-20260101-200000.mp4", 0.1)
    room = Room(tmp_path, 7)
    room.play(30)
    room.wall += 3650 * DAY_S
    room.play(3 * EVERY_S)
    assert path.exists()


def test_a_folder_that_is_gone_is_one_sentence_each_time_that_it_goes(tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    room = Room(folder, 7)
    room.play(2 * DAY_S, step=EVERY_S)
    assert len(room.said) == 1
    assert "No such file" in room.said[0]
    folder.mkdir()
    room.play(EVERY_S)
    folder.rmdir()
    room.play(2 * DAY_S, step=EVERY_S)
    assert len(room.said) == 2


def test_one_recording_that_cannot_be_removed_keeps_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows, one that a player has open."""
    held, gone = (aged(tmp_path / f"lwlive-2026010{n}-200000.mp4", 8) for n in (1, 2))
    unlink = Path.unlink

    def guarded(path: Path, missing_ok: bool = False) -> None:
        if path == held:
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", guarded)
    room = Room(tmp_path, 7)
    room.play(5 * EVERY_S, step=EVERY_S)
    assert held.exists()
    assert not gone.exists()
    assert room.said == [
        "a recording older than 7 days removed (--keep-days)",
        f"1 old recording could not be removed, the first {held}: Permission denied",
    ]


@pytest.mark.parametrize("years", [10, -50])
def test_a_clock_that_was_wrong_at_a_start_removes_nothing(tmp_path: Path, years: int) -> None:
    """Shows in a row: of the right time, of the wrong one twice, and of the right one again."""
    paths, wall = [], NOW
    for number, wrong in enumerate([0, 0, years, years, 0, 0]):
        wall += DAY_S
        room = Room(tmp_path, 7, wall=wall + wrong * 365 * DAY_S)
        room.play(30)
        path = tmp_path / f"lwlive-20260101-20000{number}.mp4"
        path.write_bytes(b"x")
        os.utime(path, (room.wall + 60,) * 2)
        paths.append(path)
        room.play(2 * EVERY_S)
    assert all(path.exists() for path in paths)


def recorded(room: Room, folder: Path, days: int) -> list[Path]:
    """Play so many days, with a recording at the end of each."""
    found = []
    for number in range(days):
        room.play(DAY_S, 1200.0)
        found.append(folder / f"lwlive-20260101-{number:06}.mp4")
        found[-1].write_bytes(b"x")
        os.utime(found[-1], (room.wall,) * 2)
    room.play(DAY_S / 2, 1200.0)
    return found


@pytest.mark.parametrize("early", [12 * 365, 31, 29, 10, 3, 0])
def test_a_clock_that_was_early_at_the_start_keeps_no_recording_for_ever(
    tmp_path: Path, early: float
) -> None:
    """No battery holds it, and a server corrects it a minute later."""
    old = [aged(tmp_path / f"lwlive-20250101-{n:06}.mp4", n) for n in range(60)]
    room = Room(tmp_path, 7, wall=NOW - early * DAY_S)
    room.play(60)
    assert all(path.exists() for path in old[:8])
    room.wall += early * DAY_S
    new = recorded(room, tmp_path, 20)
    assert [path for path in old if path.exists()] == []
    assert [path.exists() for path in new] == [False] * 13 + [True] * 7


@pytest.mark.parametrize("forward", [2.5, 5, 29])
def test_a_clock_that_is_wrong_for_less_than_a_day_removes_nothing(
    tmp_path: Path, forward: float
) -> None:
    paths = [aged(tmp_path / f"lwlive-20260101-{n:06}.mp4", n) for n in range(6)]
    room = Room(tmp_path, 7)
    room.play(DAY_S / 4)
    room.wall += forward * DAY_S
    room.play(DAY_S / 2)
    paths.append(aged(tmp_path / "lwlive-20260109-200000.mp4", -forward))  # written meanwhile
    room.wall -= forward * DAY_S
    room.play(DAY_S / 4 - 20)
    assert [path for path in paths if not path.exists()] == []


def test_a_machine_that_sleeps_every_night_knows_how_old_its_recordings_are(
    tmp_path: Path,
) -> None:
    """A show's clock stands still meanwhile."""
    path = aged(tmp_path / "lwlive-20260101-200000.mp4", 0)
    room = Room(tmp_path, 7)
    for _ in range(9):
        room.play(DAY_S / 2, 1200.0)
        room.wall += DAY_S / 2
    room.play(3600)
    assert not path.exists()
