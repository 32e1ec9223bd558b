"""The guard and the watchdog: a show that dies or hangs is started again, and its pictures feed."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeSupply, flat

from lwlive.cli import guard
from lwlive.cli.guard import Guard
from lwlive.commands import Fire
from lwlive.params import Params
from lwlive.stage.figures import Figures
from lwlive.stage.parts import Picture
from lwlive.stage.status import Status
from lwlive.stage.supply import Shown
from lwlive.stage.watchdog import START_S, Watchdog, notify

LIFE = """
import os, sys, time
from lwlive.stage.watchdog import notify
address, file = os.environ["NOTIFY_SOCKET"], sys.argv[1]
with open(file, "a") as log:
    print(os.environ.get("LWLIVE_AFTER", ""), file=log)
number = len(open(file).readlines())
lives = sys.argv[2:]
life = lives[min(number, len(lives)) - 1]
if life == "fails":
    sys.exit(3)
notify(address, "READY=1\\nWATCHDOG=1")
if life == "dies":
    sys.exit(3)
if life == "plays a moment":
    time.sleep(0.7)
    sys.exit(3)
if life == "ends":
    sys.exit(0)
if life == "wrong":
    sys.exit(2)
if life == "feeds":
    for _ in range(200):
        notify(address, "WATCHDOG=1")
        time.sleep(0.05)
time.sleep(600)
"""


class Room:
    """A guard in a thread, over a program whose lives are told."""

    def __init__(self, place: Path, *lives: str) -> None:
        self.file, self.said = place / "lives", list[str]()
        command = [sys.executable, "-c", LIFE, str(self.file), *lives]
        self.guard = Guard(command, os.environ, self.said.append)
        self.code: int | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.code = self.guard.run()

    def lives(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    def until(self, law: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not law():
            assert time.monotonic() < end, (self.said, self.lives())
            time.sleep(0.02)

    def close(self) -> None:
        self.guard.end()
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "HANG_S", 3.0)
    monkeypatch.setattr(guard, "PAUSES_S", (0.0, 0.1))


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_what_dies_or_hangs_is_started_again_and_is_told_why(tmp_path: Path) -> None:
    room = Room(tmp_path, "dies", "hangs", "feeds")
    room.until(lambda: len(room.lives()) == 3)
    time.sleep(2.0)
    assert len(room.lives()) == 3, "a show that shows pictures is left alone"
    room.close()
    assert room.lives()[0] == ""
    assert "ended with code 3" in room.lives()[1]
    assert "hangs (no picture for 3 s)" in room.lives()[2]
    assert len(room.said) == 2


@pytest.mark.slow
def test_a_death_is_noticed_when_it_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LOOK_S", 3600.0)
    room = Room(tmp_path, "dies", "plays a moment", "ends")
    room.thread.join(60)
    assert (room.code, len(room.lives())) == (0, 3), "and not an hour later"


@pytest.mark.slow
def test_only_shows_that_die_before_they_have_played_wait_longer_and_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LONG_S", 0.3)
    monkeypatch.setattr(guard, "PAUSES_S", (0.0, 3600.0))
    room = Room(tmp_path, *["plays a moment"] * 4, "fails")
    room.until(lambda: len(room.said) == 6)
    room.close()
    pauses = [sentence.rpartition("started again ")[2] for sentence in room.said]
    assert pauses == ["now"] * 5 + ["in 3600 s"]


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("life", "code"), [("ends", 0), ("wrong", 2)])
def test_a_show_that_somebody_ended_or_whose_words_are_wrong_is_not_started_again(
    tmp_path: Path, life: str, code: int
) -> None:
    room = Room(tmp_path, life)
    room.thread.join(60)
    assert (room.code, len(room.lives())) == (code, 1)
    assert not room.said


def test_a_guard_that_is_asked_to_end_while_it_starts_a_show_ends_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subprocess.Popen

    def interrupted(*args: Any, **more: Any) -> Any:
        show = real(*args, **more)
        room.guard.end()  # as a signal does before the guard has a hold of it
        return show

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    room = Room(tmp_path, "hangs")
    room.close()
    assert room.guard.starts == 1


@pytest.mark.skipif(sys.platform == "win32", reason="nohup is POSIX's")
@pytest.mark.parametrize("nohup", [False, True])
def test_a_terminal_that_closes_ends_the_guard_but_not_one_that_is_to_outlive_it(
    nohup: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []

    def run(self: Guard) -> int:
        signal.raise_signal(signal.SIGHUP)
        ended.append(self._end_by is not None)
        kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # and so a show of it inherits it
        return int(kept)

    monkeypatch.setattr(Guard, "run", run)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    try:
        assert guard.main([]) == int(nohup)
        assert ended == [not nohup]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_guard_knows_neither_torch_nor_pygame_nor_what_a_show_takes_its_flags_with() -> None:
    code = (
        "import sys; sys.argv = ['lwlive', 'guard', '--', '--fps', '30']; import lwlive.__main__\n"
        "import lwlive.cli.guard; lwlive.cli.guard.main = lambda args: sys.exit(str([n for n in "
        "('torch', 'pygame', 'av', 'numpy', 'pydantic') if n in sys.modules] or ''))\n"
        "lwlive.__main__.main()"
    )
    import subprocess

    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.stderr.strip() == ""


# The show's side


def status(now: float, pictures: bool = True, since_start_s: float | None = None) -> Status:
    figures, supply = Figures(30.0), FakeSupply()
    figures.late = 4
    supply.host.deaths = 2
    supply.host.doing = "loading ember"
    return Status.taken(
        Params(),
        "ember",
        figures,
        supply,  # type: ignore[arg-type] # a fake
        {},
        now=now,
        since_start_s=now if since_start_s is None else since_start_s,
        level=1.0,
        notice=None,
        pictures=pictures,
    )


def picture(now: float) -> Picture:
    pixels = flat(9)
    return Picture(pixels, 0, 1.0, Shown(pixels, None, False), status(now))


class Manager:
    """Listens as systemd does."""

    def __init__(self, place: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{place[1:]}" if place.startswith("@") else place)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        found: list[str] = []
        while True:
            try:
                found += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if not hasattr(socket, "AF_UNIX") or sys.platform != "linux":
        pytest.skip("systemd's sockets are Linux's")
    return str(tmp_path / "s") if request.param == "path" else f"@lwlive-test-{os.getpid()}"


def test_ready_comes_with_the_first_picture_and_each_second_of_pictures_feeds(
    address: str,
) -> None:
    manager = Manager(address)
    dog = Watchdog({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10000000"})
    dog.tell(status(0.0, pictures=False), {}, 0.0)
    assert manager.heard() == ["STATUS=loading ember", "EXTEND_TIMEOUT_USEC=60000000"]
    heard: list[str] = []
    for tick in range(300):
        dog.put(picture(1.0 + tick / 30))
        heard += manager.heard()
    assert heard[0] == "READY=1"
    assert heard.count("READY=1") == 1
    assert heard.count("WATCHDOG=1") == 10
    sentence = "STATUS=0 of 30 pictures a second for 0.0 h, 4 late, engine lost 2 times"
    assert [line for line in heard if line.startswith("STATUS")] == [sentence]
    dog.tell(status(20.0), {}, 20.0)
    assert manager.heard() == [], "being alive does not feed"
    dog.close()
    assert manager.heard() == ["STOPPING=1"]
    manager.socket.close()


def test_a_short_period_is_fed_four_times_over_and_another_processs_is_not_ours(
    address: str,
) -> None:
    manager = Manager(address)
    dog = Watchdog({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    other = Watchdog(
        {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getppid())}
    )
    for each, wanted in ((dog, 4), (other, 1)):
        for tick in range(30):
            each.put(picture(1.0 + tick / 30))
        assert manager.heard().count("WATCHDOG=1") == wanted
    manager.socket.close()


def test_a_start_without_a_picture_asks_for_half_an_hour_and_no_more(address: str) -> None:
    manager = Manager(address)
    dog = Watchdog({"NOTIFY_SOCKET": address})
    asked = 0
    for second in range(0, 4000, 5):
        dog.tell(status(float(second), pictures=False), {}, float(second))
        asked += manager.heard().count("EXTEND_TIMEOUT_USEC=60000000")
    assert asked == START_S / 5
    manager.socket.close()


def test_a_show_whose_guard_is_gone_ends_and_one_whose_system_is_gone_plays_on(
    address: str,
) -> None:
    names: dict[str, Any] = {"NOTIFY_SOCKET": address}
    for guarded in (False, True):
        dog = Watchdog(names | ({"LWLIVE_GUARDED": "1"} if guarded else {}))
        dog.put(picture(1.0))
        ends = [arrived.command for arrived in dog.poll(1.0)]
        assert ends == ([Fire("quit")] if guarded else [])
    assert not notify(address, "x")


@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.EMFILE])
def test_a_show_plays_on_where_a_sign_of_life_cannot_be_sent_just_now(
    address: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOBUFS is what macOS says where the guard is behind."""
    manager = Manager(address)
    dog = Watchdog({"NOTIFY_SOCKET": address, "LWLIVE_GUARDED": "1"})

    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", full)
        dog.put(picture(1.0))
    assert not dog.poll(1.0)
    dog.put(picture(3.0))
    assert "WATCHDOG=1" in manager.heard()
    manager.socket.close()


def test_without_anybody_who_listens_nothing_happens() -> None:
    dog = Watchdog({})
    dog.put(picture(1.0))
    dog.tell(status(2.0, pictures=False), {}, 2.0)
    assert not dog.poll(3.0)


def test_a_port_serves_where_sockets_have_no_names() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(10)
        assert notify(f"udp:{ear.getsockname()[1]}", "WATCHDOG=1")
        assert ear.recv(100) == b"WATCHDOG=1"
