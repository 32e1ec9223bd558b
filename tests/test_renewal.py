"""The memory limit: an engine is renewed at a quiet moment, rarely, and it is told."""

from dataclasses import replace

from test_state import status

from lwlive.stage.machine import Look, memory_mb
from lwlive.stage.renewal import AGAIN_S, FAR, QUIET_S, SETTLED_S, Renewal


class Room:
    """A show of so much memory; a renewal takes it down to `floor`."""

    def __init__(self, limit: float = 1000.0) -> None:
        self.said: list[str] = []
        self.renewed: list[float] = []
        self.memory, self.now, self.works = 500.0, 1.0, True
        self.renewal = Renewal(limit, self.renew, self.said.append)

    def renew(self, now: float) -> bool:
        if self.works:
            self.renewed.append(now)
        return self.works

    def play(self, seconds: float, hands_every_s: float | None = None) -> None:
        end, hand = self.now + seconds, self.now
        while self.now < end:
            touched = hands_every_s is not None and self.now >= hand
            hand += (hands_every_s or 0.0) if touched else 0.0
            shown = replace(status(self.now), machine=Look(self.memory))
            self.renewal.tell(shown, {"speed": "osc"} if touched else {}, self.now)
            self.now += 0.5


def test_below_the_limit_nothing_happens() -> None:
    room = Room()
    room.play(4 * AGAIN_S)
    assert not room.renewed
    assert not room.said


def test_above_it_the_engine_is_renewed_once_nobody_steers() -> None:
    room = Room()
    room.memory = 1100.0
    room.play(SETTLED_S - 1)
    assert not room.renewed, "memory still settles"
    room.play(300, hands_every_s=QUIET_S / 2)
    assert not room.renewed
    room.play(QUIET_S + 2)
    assert len(room.renewed) == 1
    room.memory = 500.0
    room.play(3 * AGAIN_S)
    assert len(room.renewed) == 1
    assert len(room.said) == 1


def test_far_above_it_no_moment_is_waited_for() -> None:
    room = Room()
    room.memory = FAR * 1000 + 1
    room.play(SETTLED_S + 2, hands_every_s=1.0)
    assert len(room.renewed) == 1


def test_a_limit_that_no_engine_keeps_is_told_once_and_costs_an_engine_in_ten_minutes() -> None:
    room = Room()
    room.memory = 1100.0
    room.play(10 * AGAIN_S)
    assert 9 <= len(room.renewed) <= 11
    assert len(room.said) == 2
    assert "the limit is too low" in room.said[1]


def test_what_cannot_be_renewed_now_is_tried_again() -> None:
    room = Room()
    room.memory, room.works = 1100.0, False
    room.play(SETTLED_S + 60)
    room.works = True
    room.play(1.0)
    assert len(room.renewed) == 1


def test_the_memory_of_a_show_is_that_of_all_its_processes() -> None:
    import subprocess
    import sys

    before = memory_mb()
    code = (
        "import sys; held = bytearray(64 * 2**20); print(len(held), flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    during = memory_mb()
    child.communicate(b"")
    assert before is not None
    assert during is not None
    assert 60 < during - before < 90
