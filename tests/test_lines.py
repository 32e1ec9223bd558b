"""Lines for a file: whatever happens to its disk, what is in the file is whole, and in order."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lwlive.stage.outputs import lines as module
from lwlive.stage.outputs.lines import Lines


def until(law: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not law():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.01)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB, where one can be made."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "lwlive-test", str(place)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("no disk can be made here (mount needs to be root)")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_once_and_nothing_is_missing_when_there_is_room(small: Path) -> None:
    ballast = small / "ballast"
    lines = Lines(small / "a", "the journal", again_s=0.05)
    told: list[str] = []
    count = 0

    def put(many: int) -> None:
        nonlocal count
        for _ in range(many):
            lines.put(f"{count:08} " + "x" * 90)
            count += 1

    def heard(word: str) -> bool:
        while (news := lines.news()) is not None:
            told.append(news)
        return any(word in news for news in told)

    put(50)
    until(lambda: (small / "a").stat().st_size == 5000)
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    put(200)
    until(lambda: heard("cannot be written"))
    data = (small / "a").read_bytes()
    assert len(data) % 100 == 0, "only whole lines are left"
    put(100)
    time.sleep(0.3)
    ballast.unlink()
    until(lambda: heard("written again"))
    put(5)
    lines.close(10)
    found = (small / "a").read_text().splitlines()
    assert [int(line.split()[0]) for line in found] == list(range(count))
    assert len(told) == 2
    assert not lines.over


def test_a_file_that_was_removed_is_over_and_told(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "a", "the journal", again_s=0.05)
    lines.put("one")
    until(lambda: (tmp_path / "a").read_text() == "one\n")
    (tmp_path / "a").unlink()
    until(lambda: lines.over)
    assert "was removed meanwhile" in (lines.news() or "")
    lines.close(10)


def test_a_later_file_is_opened_when_its_folder_is_back(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "stick" / "a", "the journal", later=True, again_s=0.05)
    lines.put("one")
    until(lambda: "cannot be written" in (lines.news() or ""))
    (tmp_path / "stick").mkdir()
    lines.put("two")
    until(lambda: "written again" in (lines.news() or ""))
    lines.close(10)
    assert (tmp_path / "stick" / "a").read_text() == "one\ntwo\n"


def test_a_later_file_takes_no_name_that_another_has(tmp_path: Path) -> None:
    (tmp_path / "a.x").write_text("somebody's")
    lines = Lines(tmp_path / "a.x", "the journal", later=True)
    lines.put("one")
    lines.close(10)
    assert (tmp_path / "a.x").read_text() == "somebody's"
    assert (tmp_path / "a-2.x").read_text() == "one\n"
    assert lines.path == tmp_path / "a-2.x"


def test_a_disk_that_hangs_keeps_no_more_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10_000)
    os.mkfifo(tmp_path / "reader")
    keep = os.open(tmp_path / "reader", os.O_RDWR)
    lines = Lines(tmp_path / "a", "the journal")
    assert lines._file is not None
    os.dup2(keep, lines._file.fileno())
    for _ in range(2000):
        lines.put("x" * 99)
    assert lines.over
    assert lines._queue.qsize() <= 100
    assert "waits for its disk" in (lines.news() or "")
    lines.close(0.0)
    os.close(keep)


def test_a_disk_that_hangs_costs_the_show_no_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "reader")  # a file whose writes wait as long as nobody reads
    keep = os.open(tmp_path / "reader", os.O_RDWR)
    lines = Lines(tmp_path / "a", "the journal")
    assert lines._file is not None
    os.dup2(keep, lines._file.fileno())
    begun = time.perf_counter()
    for _ in range(2000):
        lines.put("x" * 100)
    lines.close(0.1)
    assert time.perf_counter() - begun < 1.0
    os.close(keep)
