"""Children end with whoever started them, also where that was killed or gone before they began."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from feeds import until

PARENT = """
import os, subprocess, sys
child = "import ctypes, os, sys; from lwlive.parent import end_with; end_with(int(sys.argv[1])); "
child += sys.argv[1]
subprocess.run([sys.executable, "-c", child, str(os.getpid())])
"""
LOCKED = "print('ready', flush=True); ctypes.PyDLL(None).sleep(600)"  # with Python's lock
AWAKE = "print('ready', flush=True); import time; time.sleep(600)"
WAITING = """
import subprocess, sys
from lwlive.parent import _end_after
subprocess.Popen([sys.executable, "-c", "print('ready', flush=True); import time; time.sleep(600)"])
_end_after(int(sys.argv[1]))
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that a test starts, ended after it, and their children first."""
    found: list[subprocess.Popen[str]] = []
    yield found
    for process in found:
        for child in below(process):
            child.kill()
        process.kill()
        process.communicate()


def below(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """What it has started."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def run(*command: str) -> "subprocess.Popen[str]":
    """A process of Python that has said that it is ready."""
    process = subprocess.Popen([sys.executable, "-c", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: psutil.Process) -> bool:
    """Whether it has ended, with or without somebody to take note of it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's way")
@pytest.mark.parametrize("how", [AWAKE, LOCKED])
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_parent_whatever_it_does(
    how: str, by: signal.Signals, started: list[subprocess.Popen[str]]
) -> None:
    parent = run(PARENT, how)
    started.append(parent)
    (child,) = below(parent)
    os.kill(parent.pid, by)
    until(lambda: ended(child), "it stays", 5)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's way")
def test_a_child_whose_parent_was_gone_before_ends_too() -> None:
    code = "import os; from lwlive.parent import end_with; end_with(os.getppid() + 1); print('on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_without_the_kernels_help_a_child_ends_what_it_has_started_and_itself(
    started: list[subprocess.Popen[str]],
) -> None:
    parent = run("print('ready', flush=True); import time; time.sleep(600)")
    child = run(WAITING, str(parent.pid))
    started += [parent, child]
    (grandchild,) = below(child)
    assert child.poll() is None
    parent.kill()
    parent.wait()
    until(lambda: child.poll() is not None and ended(grandchild), "it stays", 5)
    assert child.returncode == 1
