"""Events: each thing that happens is a line or none, and a month of them is readable."""

from dataclasses import replace

from test_state import status as plain

from lwlive.stage.events import BURST, LOW_MB, QUIET_S, ROOM_MB, Events
from lwlive.stage.machine import Look
from lwlive.stage.status import Status


class Room:
    """A show second by second, and what its log says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.events = Events(self.said.append)
        self.status = replace(plain(0.0), engine="compiled", stride=1, fps=30, deaths=0)
        self.now = 0.0

    def play(self, seconds: float, **values: object) -> list[str]:
        """What is said meanwhile."""
        said = len(self.said)
        self.status = replace(self.status, **values)  # type: ignore[arg-type] # by name
        until = self.now + seconds
        while self.now < until:
            now: Status = replace(self.status, now=self.now, since_start_s=self.now)
            self.events.tell(now, {}, self.now)
            self.now += 0.1
        return self.said[said:]


def test_the_first_picture_is_told_with_its_time() -> None:
    room = Room()
    assert room.play(8.0, pictures=False) == []
    assert room.play(1, pictures=True)[0].startswith("the first picture, 8.")


def test_an_engine_that_is_back_is_told_with_how_long_it_was_gone() -> None:
    room = Room()
    room.play(30)
    assert room.play(4, deaths=1, engine="lost (1 so far), starting again") == []
    assert room.play(1, engine="compiled") == ["the engine is back after 4.0 s"]
    assert room.play(60) == []


def test_a_burst_of_late_frames_is_a_line_a_minute_and_single_ones_are_none() -> None:
    room = Room()
    room.play(30)
    for late in range(40):
        assert room.play(10, late=late) == [], "one in ten seconds"
    first = room.play(1, late=room.status.late + BURST)
    assert len(first) == 1
    assert f"{BURST} late frames within 10 s" in first[0]
    said = []
    for _ in range(round(3 * QUIET_S)):
        said += room.play(1, late=room.status.late + 3)
    assert 2 <= len(said) <= 4


def test_in_betweens_are_told_once_they_stand() -> None:
    room = Room()
    assert room.play(30)[-1].startswith("every frame is sampled")
    for stride in (2, 3, 2, 3):
        assert room.play(3, stride=stride) == []
    assert room.play(20, stride=3, fps_sampled=10) == [
        "1 in 3 frames is sampled, 10 a second at present"
    ]


def test_a_disk_that_fills_is_told_once_and_again_when_there_is_room() -> None:
    room = Room()
    room.play(20)
    low = room.play(20, machine=Look(disk_free_mb=LOW_MB - 1))
    assert low == [f"the disk that recordings go to has {LOW_MB - 1:.0f} MB left"]
    assert room.play(20, machine=Look(disk_free_mb=LOW_MB + 10)) == []
    assert len(room.play(20, machine=Look(disk_free_mb=ROOM_MB + 1))) == 1


def test_every_hour_is_a_line_and_a_quiet_month_fits_the_files() -> None:
    room = Room()
    room.play(20, machine=Look(612.0, 20480.0, 51.0), deaths=2)
    said = []
    room.now = 3599.0
    for hour in range(1, 31):
        room.now = 3600.0 * hour - 1
        said += room.play(2)
    assert len(said) == 30
    assert said[0] == (
        "1.0 h: 30 of 30 pictures a second, 0 late, engine lost 2 times, memory 612 MB, "
        "disk 20.0 GB left, 51 degrees"
    )
    assert 31 * 24 * (len(said[0]) + 60) < 1_000_000
