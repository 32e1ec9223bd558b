"""Shared memory: nothing stays behind, whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes import SPAWN

from lwlive import shared
from lwlive.ring import Ring

pytestmark = pytest.mark.skipif(
    not shared.FOLDER.is_dir(), reason="the system shows no names of shared memory"
)
KILLED = """
import multiprocessing, os, signal, sys
from lwlive.ring import Ring
ring = Ring.create(multiprocessing.get_context("spawn"), 4, 64, 64)
print(ring.handle.name, flush=True)
sys.stdin.read()
"""


def names() -> set[str]:
    return {path.name for path in shared.FOLDER.glob("*lwlive-*")}


@pytest.mark.slow
def test_what_a_group_that_was_killed_left_is_removed_at_the_next_start() -> None:
    command = [sys.executable, "-c", KILLED]
    maker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert maker.stdout is not None
    name = maker.stdout.readline().decode().strip()
    mine = f"-{maker.pid}-"
    shared.sweep()
    assert name in names(), "it is still in use"
    os.killpg(maker.pid, signal.SIGKILL)  # Python's own tracker of such names, too
    maker.wait()
    maker.stdout.close()
    assert len([left for left in names() if mine in left]) == 3, "memory and two semaphores"
    assert shared.sweep() >= 3
    assert not [left for left in names() if mine in left]


def test_names_of_others_are_left_alone(tmp_path: Path) -> None:
    here = shared._space()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    kept = [f"lwlive-{here}-{os.getpid()}-a", f"lwlive-beef-{gone.pid}-a", f"psm-{gone.pid}", "x"]
    removed = [f"lwlive-{here}-{gone.pid}-a", f"sem.lwlive-{here}-{gone.pid}-a"]
    for name in (*kept, *removed, f"lwlive-{here}-x-y"):
        (tmp_path / name).touch()
    assert shared.sweep(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {*kept, f"lwlive-{here}-x-y"}


def test_a_ring_that_both_have_open_has_no_name_and_still_works() -> None:
    from fakes import flat

    from lwlive.ring import Frame

    reader = Ring.create(SPAWN, 4, 8, 8)
    writer = Ring.attach(reader.handle)
    assert (shared.FOLDER / reader.handle.name).exists()
    reader.attached()
    reader.attached()
    assert not (shared.FOLDER / reader.handle.name).exists()
    assert writer.put(Frame(flat(7), 0, 0, 0.0, True))
    frame = reader.take(time.perf_counter())
    assert frame is not None
    assert (frame.pixels == 7).all()
    del frame
    writer.close()
    reader.close()
