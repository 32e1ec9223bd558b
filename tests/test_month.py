"""Shows in processes of their own that are killed, started again, and leave nothing behind."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from test_engine import POSIX, Running, _free_port

from lwlive import shared

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not POSIX, reason="kill -9 is POSIX's"),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny

    return tiny.folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def until(law: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not law():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.05)


def left(*pids: int) -> list[str]:
    """Names of shared memory that these processes have made."""
    found = (path.name for path in shared.FOLDER.glob("*lwlive-*"))
    return [name for name in found if any(f"-{pid}-" in name for pid in pids)]


def family(pid: int) -> list[psutil.Process]:
    stage = psutil.Process(pid)
    return [stage, *stage.children(recursive=True)]


def values(state: Path) -> dict[str, object]:
    """What a state file says, nothing while there is none."""
    found: dict[str, object] = json.loads(state.read_text())["values"] if state.exists() else {}
    return found


def test_a_show_whose_whole_group_is_killed_leaves_nothing_and_continues_where_it_was(
    checkpoint: Path, cache: Path, tmp_path: Path
) -> None:
    state = tmp_path / "s.json"
    log = tmp_path / "log"
    flags = ("--state", str(state), "--no-compile", "--speed", "1.5", "--log", str(log))
    first = Running(checkpoint, cache, tmp_path, *flags)
    first.playing()
    first.send("prompt", "gold rings")
    first.send("brightness", 0.5)
    first.wait(lambda told: told.get("brightness") == 0.5 and told.get("phase", 0) > 2)
    written = state.stat().st_mtime_ns
    until(lambda: state.stat().st_mtime_ns > written)  # once more when all is well
    until(lambda: values(state).get("prompt") == "gold rings", 90)
    saved = json.loads(state.read_text())
    assert saved["phase"] > 1
    processes = family(first.process.pid)
    for process in processes:
        process.kill()
    _, alive = psutil.wait_procs(processes, 30)
    assert not alive
    first.process.communicate()
    second = Running(checkpoint, cache, tmp_path, *flags)
    second.playing()
    second.wait(lambda told: "phase" in told and "restarts" in told and "prompt" in told)
    assert second.told["prompt"] == "gold rings"
    assert second.told["brightness"] == 0.5
    assert second.told["phase"] >= saved["phase"] - 0.001, "as OSC rounds it"
    assert second.told["restarts"] == 1
    assert log.read_text().count("the show before did not end in order; it was last heard of") == 1
    second.end()
    assert left(first.process.pid, second.process.pid) == [], "the second start has swept"
    assert json.loads(state.read_text())["ended"] is True
    for running in (first, second):
        running.client.close()


def test_a_guarded_show_that_hangs_is_ended_and_another_plays(
    checkpoint: Path, cache: Path, tmp_path: Path
) -> None:
    port = _free_port()
    command = [sys.executable, "-m", "lwlive", "guard", "--", "--headless", "--no-compile"]
    command += ["--model", str(checkpoint), "--size", "64", "--cache", str(cache)]
    command += ["--folder", str(tmp_path), "--osc-port", str(port)]
    command += ["--record", str(tmp_path / "a.mp4"), "--log", str(tmp_path / "log")]
    guard = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        log = tmp_path / "log"
        until(lambda: log.exists() and "the first picture" in log.read_text())
        (stage,) = psutil.Process(guard.pid).children()
        engine = stage.children()
        stage.suspend()
        until(lambda: log.read_text().count("the first picture") == 2)
        assert "the show starts again, since the show hangs (no picture for 5 s)" in log.read_text()
        assert not stage.is_running()
        _, alive = psutil.wait_procs(engine, 30)
        assert not alive, "an engine ends with its stage"
    finally:
        guard.send_signal(signal.SIGTERM)
        _, said = guard.communicate(timeout=100)
    assert guard.returncode == 0, said
    assert said.count("it is started again") == 1
    assert "Traceback" not in said
    assert left(stage.pid) == []
    assert (tmp_path / "a-2.mp4").exists()
