"""The soak: what it measures is what was on the screen, and three minutes of it hold."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from soundrig import NEEDED

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from screen import Look, longest_gap, stood  # noqa: E402 - the scripts are no package
from soak import missing  # noqa: E402 - the scripts are no package
from verdict import Gap  # noqa: E402 - the scripts are no package
from waited import slowed, turns  # noqa: E402 - the scripts are no package

E = 0.1


def looks(*pieces: tuple[str, float]) -> list[Look]:
    """A screen: `new` pictures, a `frozen` one, `black`, `words` of a start, `none` at all."""
    found, now = [], 100.0
    for what, seconds in pieces:
        for _ in range(round(seconds / E)):
            new, picture = what in ("new", "words"), what in ("new", "frozen")
            found.append(Look(now, new, 40.0, picture, picture, what == "none"))
            now += E
    return found


@pytest.mark.parametrize(
    ("pieces", "gap"),
    [
        ([("new", 30)], 0.0),
        ([("new", 5), ("frozen", 4), ("new", 5)], 4.0),
        ([("new", 5), ("black", 4), ("words", 3), ("new", 5)], 7.0),
        ([("new", 5), ("none", 9), ("black", 2), ("new", 5)], 2.0),
        ([("new", 5), ("frozen", 2), ("new", 1), ("frozen", 3)], 3.0),
        ([("black", 3), ("new", 1)], 3.0),
    ],
)
def test_a_gap_is_the_time_without_a_new_picture_on_a_screen_that_is_there(
    pieces: list[tuple[str, float]], gap: float
) -> None:
    assert longest_gap(looks(*pieces)) == pytest.approx(gap, abs=2 * E)


def test_a_machine_that_gives_no_core_is_told_and_not_held_against_the_show() -> None:
    """The one who looks ten times a second did not look for so long."""
    seen = looks(("new", 5), ("frozen", 1))
    seen += [replace(look, at=look.at + 9.0) for look in looks(("frozen", 1), ("new", 2))]
    late = Gap(longest_gap(seen), 3.0, stood(seen))
    assert late.seconds > 5
    assert late.own_s == pytest.approx(late.seconds - stood(seen))
    assert "without a core" in str(late)
    assert stood(looks(("new", 5), ("frozen", 4), ("new", 5))) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts it")
def test_by_how_much_others_slow_a_show_is_what_linux_counts() -> None:
    """A program that shares one core with two others takes three times as long."""
    core = [min(os.sched_getaffinity(0))]
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        for each in others:
            os.sched_setaffinity(each.pid, core)
        show = [psutil.Process(others[0].pid)]
        time.sleep(0.2)
        before = turns(show)
        time.sleep(0.8)
        assert slowed(before, turns(show)) > 2
        assert slowed({}, {}) == 1
        assert slowed({(1, 1): (0, 0)}, {(1, 1): (5, 0), (1, 2): (5, 10)}) == 2
    finally:
        for each in others:
            each.kill()
            each.wait()


def test_what_is_missing_is_what_the_trouble_took_that_ended_a_recording() -> None:
    troubles = [10.0, 50.0, 90.0]
    assert missing(49.5, 55.0, troubles) == 0.5  # killed
    assert missing(56.0, 70.0, troubles) == 0.0  # the disk was full, later
    assert missing(80.0, 80.1, troubles) == 0.0  # a new file, as it was asked for
    assert missing(8.0, 9.0, troubles) == 0.0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Xvfb, tmpfs and the clock are Linux's")
def test_three_minutes_of_trouble_leave_nothing_behind(tmp_path: Path) -> None:
    missing = [name for name in ("Xvfb", "gcc", *NEEDED) if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed, so nothing can be soaked: {', '.join(missing)}")
    command = [sys.executable, str(SCRIPTS / "soak.py"), "--minutes", "3", "--seed", "3"]
    command += ["--folder", str(tmp_path / "soak"), "--fair", "--no-compile"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    said = (tmp_path / "soak" / "said.txt").read_text("utf-8", "replace")
    print(done.stdout, done.stderr, said)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["broken"] == []
    assert done.returncode == 0
    assert done.stdout.count("\n| ") >= 4, "a head and some kinds of trouble"
