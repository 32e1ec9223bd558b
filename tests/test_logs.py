"""What the show says never makes it wait, and whoever ends it is heard, wherever the words go."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lwlive import logs
from lwlive.cli import perform
from lwlive.config import Config
from lwlive.params import Params
from lwlive.recent import KEPT

SHOW = """
import sys
from fakes import FakeSupply
from lwlive.cli import subcommands, wiring

class Talkative(FakeSupply):
    def tick(self, now):
        self.host.notes.append(f"note {self.ticks}")
        return super().tick(now)

wiring.supply = lambda *_: Talkative()
flags = ["--headless", "--fps", "120", "--osc-port", "0", "--journal", "j.jsonl"]
flags += ["--duration", "99"]
print("ready", flush=True)
sys.exit(subcommands.main([*flags, "--model", sys.argv[1], "--stats", "s.json"]))
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("lwlive", logging.INFO, __file__, 1, text, None, None)


def test_a_reader_that_stands_still_costs_no_time_and_hears_what_it_missed(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    log = logs.Log(os.fdopen(os.dup(writer), "wb", buffering=0), logs.TERSE)
    text, many = "x" * 500, 5000  # 2.5 MB, where a pipe holds 64 KB and the queue half a MB
    start = time.process_time(), time.monotonic()
    for i in range(many):
        log.emit(record(f"{i} {text}"))
    assert time.process_time() - start[0] < 2
    heard = bytearray()

    def read() -> None:
        while chunk := os.read(reader, 1 << 16):
            heard.extend(chunk)
            if b"the end" in heard:
                return

    listener = threading.Thread(target=read)
    listener.start()
    until = time.monotonic() + 30
    while b"left out" not in heard and time.monotonic() < until:
        time.sleep(0.01)
    log.emit(record("the end"))
    listener.join(30)
    log.close()
    lines = heard.decode().splitlines()
    said = [int(line.split()[1]) for line in lines if "left out here" in line]
    numbers = [int(line.split()[1]) for line in lines if text in line]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + sum(said) == many
    assert sum(said) > many / 2
    assert lines[-1] == "lwlive: the end"


def test_the_end_comes_though_nobody_reads(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "END_S", 0.2)
    log = logs.Log(os.fdopen(os.dup(pipe[1]), "wb", buffering=0), logs.TERSE)
    for _ in range(3000):
        log.emit(record("x" * 500))
    start = time.monotonic()
    log.close()
    assert time.monotonic() - start < logs.END_S + 5


def test_what_is_queued_at_the_end_is_written(tmp_path: Path) -> None:
    path = tmp_path / "show.log"
    before = logging.getLogger().handlers[:]
    with logs.opened(path):
        for i in range(500):
            logging.getLogger("lwlive").info("line %d", i)
    lines = path.read_text("utf-8").splitlines()
    assert [line.partition(": ")[2] for line in lines] == [f"line {i}" for i in range(500)]
    assert all(" INFO lwlive: " in line and line[:2] == "20" for line in lines)
    assert logging.getLogger().handlers == before


def test_what_is_for_the_terminal_alone_is_in_no_file_and_not_among_the_newest_lines(
    pipe: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with os.fdopen(os.dup(pipe[1]), "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with logs.opened(tmp_path / "show.log") as recent:
            logs.whisper("the secret is 7")
            logging.getLogger("lwlive").info("preset: tunnel")
    assert os.read(pipe[0], 1000) == b"lwlive: the secret is 7\nlwlive: preset: tunnel\n"
    assert [line.text for line in recent.lines()] == ["preset: tunnel"]
    assert "secret" not in (tmp_path / "show.log").read_text()


def test_the_newest_lines_begin_with_the_end_of_the_file_and_are_the_same_as_its(
    tmp_path: Path,
) -> None:
    path = tmp_path / "show.log"
    with logs.opened(path, "lwlive 1 on a machine"):
        for i in range(150):
            logging.getLogger("lwlive").info("line %d", i)
    with logs.opened(path, "lwlive 2 on a machine") as recent:
        assert [line.text for line in recent.lines()][-2:] == ["line 149", "lwlive 2 on a machine"]
        logs.event("the show starts")
        logging.getLogger("lwlive").warning("two\nlines")
        found = recent.lines()
    assert [line.number for line in found] == list(range(recent.count - KEPT + 1, recent.count + 1))
    written = path.read_text().splitlines()[-KEPT:]
    for line, text in zip(found, written, strict=True):
        assert text.endswith(line.text)
        assert text.startswith(line.time)
    assert [line.level for line in found[-4:]] == ["", "INFO", "WARNING", ""]
    assert [bool(line.time) for line in found[-4:]] == [False, True, True, False]


def test_a_place_that_is_gone_is_no_fault(pipe: tuple[int, int]) -> None:
    place = os.fdopen(os.dup(pipe[1]), "wb", buffering=0)
    log = logs.Log(place, logs.TERSE)
    place.close()
    log.emit(record("nobody hears this"))
    log.emit(logging.LogRecord("lwlive", logging.INFO, __file__, 1, "%d", ("x",), None))
    log.close()
    assert not log._thread.is_alive()


def test_a_fault_of_the_show_itself_is_in_the_log_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the walk\nhas no end")

    monkeypatch.setattr(perform, "_perform", broken)
    config = Config(folder=tmp_path, log=tmp_path / "show.log")
    with pytest.raises(RuntimeError):
        perform.perform(config, Params())
    last = (tmp_path / "show.log").read_text("utf-8").splitlines()[-1]
    assert "RuntimeError: the walk\\nhas no end, test_logs.py:" in last


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\udcff", "\u202e", "x" * 5000])
def test_a_sentence_is_one_printable_line(text: str) -> None:
    line = logs.one_line(text)
    assert line.isprintable()
    assert len(line) <= 4 * logs.LONGEST


def full_pipe() -> tuple[int, int]:
    """A pipe with room for nothing more. Reader and writer."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(writer, b"." * size)
        except BlockingIOError:
            pass
    os.set_blocking(writer, True)
    return reader, writer


def stopped_terminal() -> tuple[int, int]:
    """A terminal after Ctrl-S. Its two ends."""
    import termios

    ours, theirs = os.openpty()
    termios.tcflow(theirs, termios.TCOOFF)
    return ours, theirs


def _begun(journal: Path) -> bool:
    """Whether a picture was shown."""
    return journal.exists() and '"begin"' in journal.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="these signals and terminals are POSIX's")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize("place", [full_pipe, stopped_terminal])
def test_a_show_whose_terminal_stands_still_plays_and_ends_in_order(
    place: Callable[[], tuple[int, int]], name: str, tmp_path: Path, model: Path
) -> None:
    reader, writer = place()
    tests = str(Path(__file__).resolve().parent)
    show = subprocess.Popen(
        [sys.executable, "-c", SHOW, str(model)],
        stdout=subprocess.PIPE,
        stderr=writer,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, str(Path(tests).parent)])},
    )
    try:
        assert show.stdout is not None
        assert show.stdout.readline() == b"ready\n"
        journal, until = tmp_path / "j.jsonl", time.monotonic() + 60
        while not _begun(journal) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(2)  # in which it says 240 lines, none of which can be written
        show.send_signal(getattr(signal, name))
        assert show.wait(30) == 0
    finally:
        show.kill()
        show.wait()
        os.close(reader)
        os.close(writer)
    figures = json.loads((tmp_path / "s.json").read_text("utf-8"))
    assert figures["frames_shown"] + figures["frames_skipped"] > 100
    assert figures["frames_shown"] > 30


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="nohup is POSIX's")
def test_a_show_that_is_to_outlive_its_terminal_does(model: Path, tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + SHOW
    tests = str(Path(__file__).resolve().parent)
    show = subprocess.Popen(
        [sys.executable, "-c", code, str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, str(Path(tests).parent)])},
    )
    try:
        journal, until = tmp_path / "j.jsonl", time.monotonic() + 60
        while not journal.exists() and time.monotonic() < until:
            time.sleep(0.05)
        show.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            show.wait(1)
        show.terminate()
        assert show.wait(30) == 0
    finally:
        show.kill()
        show.wait()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send so early")
def test_ctrl_c_at_any_moment_of_the_start_leaves_no_traceback(tmp_path: Path) -> None:
    # it says that it has begun when the first of the libraries is looked for
    code = """
import sys
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "lwlive.cli.arguments":
            print("here", flush=True)
sys.meta_path.insert(0, Spy())
sys.argv[1:] = ["--model", "nowhere", "--headless"]
from lwlive.__main__ import main
sys.exit(main())
"""
    # a shell that starts the tests in its background has them ignore Ctrl-C
    code = "import signal; signal.signal(2, signal.default_int_handler)\n" + code
    cut = 0
    for i in range(24):
        program = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        assert program.stdout is not None
        program.stdout.readline()
        time.sleep(0.002 + i * 0.012)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)
        assert "Traceback" not in said, (i, said)
        assert "Exception ignored" not in said, (i, said)
        assert program.returncode in (-signal.SIGINT, 130, 1)
        cut += program.returncode != 1
    assert cut  # some came in time
