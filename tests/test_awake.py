"""The machine stays awake while a show plays, and may sleep again however the show has ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lwlive.stage.awake import awake, command

INHIBIT = """#!/bin/sh
echo "$$ $*" >> "{place}/calls"
trap 'echo released >> "{place}/calls"' EXIT
while [ "$1" != cat ]; do shift; done
cat
"""
SHOW = "import time; from lwlive.stage.awake import awake\nwith awake(): time.sleep(600)"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "systemd-inhibit"
    program.parent.mkdir()
    program.write_text(INHIBIT.format(place=tmp_path), "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "calls"


def until_told(calls: Path, lines: int) -> list[str]:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = calls.read_text().splitlines() if calls.exists() else []
        if len(found) >= lines:
            return found
        time.sleep(0.02)
    raise AssertionError("it was not told")


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="logind is Linux's")


def test_idle_and_sleep_are_inhibited_for_as_long_as_the_show_plays(calls: Path) -> None:
    with awake():
        found = until_told(calls, 1)
        assert "--what=idle:sleep:handle-lid-switch --who=lwlive" in found[0]
    assert until_told(calls, 2)[1] == "released"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_released_when_the_show_is_killed(calls: Path, number: signal.Signals) -> None:
    show = subprocess.Popen([sys.executable, "-c", SHOW])
    until_told(calls, 1)
    show.send_signal(number)
    show.wait(30)
    assert until_told(calls, 2)[1] == "released"


def test_without_the_program_the_show_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with awake():
        pass
    with awake("other"):
        pass
    assert command("other", 1) is None


def test_on_macos_it_ends_with_the_process() -> None:
    assert command("darwin", 4711) == ["caffeinate", "-i", "-w", "4711"]
