"""A log as files: rotated, shared by nobody, taken up again, and told with its times."""

import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lwlive import logfile, logs
from lwlive.logfile import FILE_BYTES, FILES, Rotated, tail


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    if logfile.folder() != tmp_path / "lwlive":
        pytest.skip("logs lie in this folder on Linux alone")
    return tmp_path / "lwlive"


@pytest.mark.slow
def test_a_month_of_lines_is_five_files_of_a_megabyte_with_the_newest_last(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.log"
    place = Rotated(path, b"lwlive 1 on a machine\n")
    many = 7 * FILE_BYTES // 100
    for number in range(many):
        place.write(f"{number:09} {'x' * 89}\n".encode())
    place.close()
    found = logfile.files(path)
    assert len(found) == FILES == len(list(tmp_path.iterdir()))
    assert all(file.stat().st_size <= FILE_BYTES for file in found)
    lines = [line for file in found for line in file.read_text().splitlines()]
    heads = [line for line in lines if line.startswith("lwlive")]
    numbers = [int(line.split()[0]) for line in lines if not line.startswith("lwlive")]
    assert len(heads) == FILES
    assert numbers == list(range(many - len(numbers), many))
    assert len(numbers) * 100 > (FILES - 1) * FILE_BYTES - 1000
    last = [line for line in tail(100, path) if not line.startswith("lwlive")]
    assert [int(line.split()[0]) for line in last] == list(range(many - len(last), many))
    assert len(last) >= 99
    assert len(tail(30_000, path)) == 30_000, "across files"


def test_a_file_that_was_removed_or_moved_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "stick" / "a.log"
    path.parent.mkdir()
    place = Rotated(path, b"head\n")
    place.write(b"one\n")
    path.unlink()
    place.write(b"two\n")
    assert path.read_text() == "head\ntwo\n"
    path.rename(tmp_path / "taken")
    path.parent.rmdir()
    with pytest.raises(OSError, match="No such file"):
        place.write(b"three\n")
    path.parent.mkdir()
    place.write(b"four\n")
    assert path.read_text() == "head\nfour\n"
    place.close()


def test_lines_that_a_full_disk_did_not_take_are_counted() -> None:
    class Disk:
        full = True

        def __init__(self) -> None:
            self.got, self.tried = b"", threading.Semaphore(0)

        def fileno(self) -> int:
            return -1

        def write(self, data: bytes) -> int:
            self.tried.release()
            if self.full:
                raise OSError(28, "No space left on device")
            self.got += bytes(data)
            return len(data)

    disk = Disk()
    log = logs.Log(disk, logs.TERSE)
    for number in range(3):
        log.emit(logging.LogRecord("lwlive", 20, __file__, 1, f"{number}", None, None))
        for _ in range(1 if number == 0 else 2):
            assert disk.tried.acquire(timeout=30)
    disk.full = False
    log.emit(logging.LogRecord("lwlive", 20, __file__, 1, "3", None, None))
    log.close()
    assert disk.got == b"lwlive: 3 lines were left out here, for want of room\nlwlive: 3\n"


def test_two_shows_on_one_machine_have_logs_of_their_own(state: Path) -> None:
    code = (
        "from lwlive import logs; import logging, sys\n"
        "with logs.opened(None, 'head'):\n"
        "    logging.getLogger().info('other'); print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as other:  # type: ignore[call-overload] # a dict
        assert other.stdout.readline() == b"ready\n"
        with logs.opened(None, "head"):
            logging.getLogger().info("mine")
        other.communicate(b"")
    with logs.opened(None, "head"):
        logging.getLogger().info("after")
    first, second = (state / name for name in ("lwlive.log", "lwlive-2.log"))
    assert "other" in first.read_text()
    assert "after" in first.read_text()
    assert "mine" not in first.read_text()
    assert "mine" in second.read_text()
    assert tail(1)[0].endswith("after"), "lwlive log shows the one that was written last"


def test_the_file_has_times_and_events_and_the_terminal_only_sentences(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with logs.opened(None, "lwlive 1 on a machine"):
            logs.event("the first picture")
            logging.getLogger("lwlive.x").info("preset: tunnel")
    with os.fdopen(read, "rb") as reader:
        assert reader.read() == b"lwlive: preset: tunnel\n"
    lines = (state / "lwlive.log").read_text().splitlines()
    assert lines[0] == "lwlive 1 on a machine"
    assert len(lines) == 3
    for line, text in zip(lines[1:], ("the first picture", "preset: tunnel"), strict=True):
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO lwlive\.", line)
        assert line.endswith(text)


def test_a_state_folder_that_cannot_be_written_costs_the_log_and_not_the_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with logs.opened():
        logging.getLogger().info("it plays")
    assert "there is no log in" in caplog.messages[0]
    assert caplog.messages[-1] == "it plays"
