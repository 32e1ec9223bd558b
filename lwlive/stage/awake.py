"""Awake: the machine does not go to sleep or blank while a show plays.

The window keeps its screen lit by itself, by the system's own means (SDL: the X screen saver, the
desktop's portal on Wayland, Windows, macOS). This keeps the machine from sleeping, with or without
a window: logind on Linux, caffeinate on macOS, the thread's execution state on Windows. Whatever
ends the show releases it: on Linux and macOS it is a child that ends with its parent.
macOS and Windows have not been tried.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator

CONTINUOUS, SYSTEM_REQUIRED = 0x80000000, 0x00000001  # of Windows' SetThreadExecutionState
END_S = 2.0  # how long the end waits for the child


def command(platform: str, pid: int) -> list[str] | None:
    """What holds the machine awake as long as it runs; None where no program does."""
    if platform == "darwin":
        return ["caffeinate", "-i", "-w", str(pid)]
    if platform == "linux":
        # cat ends with its standard input, which is the show's to keep open
        why = ["--who=lwlive", "--why=a show plays", "--mode=block"]
        return ["systemd-inhibit", "--what=idle:sleep:handle-lid-switch", *why, "cat"]
    return None


@contextlib.contextmanager
def awake(platform: str = sys.platform) -> Iterator[None]:
    """Keep the machine awake; where it cannot be, it sleeps when its system says so."""
    if platform == "win32":
        with _windows():
            yield
        return
    wanted = command(platform, os.getpid())
    if wanted is None or shutil.which(wanted[0]) is None:
        yield
        return
    try:
        child = subprocess.Popen(
            wanted, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        yield
        return
    threading.Thread(target=child.wait, name="awake", daemon=True).start()  # it may end early
    try:
        yield
    finally:
        assert child.stdin is not None
        child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(END_S)
        child.kill()
        child.wait()


@contextlib.contextmanager
def _windows() -> Iterator[None]:
    """For the thread that asks, so the show's own."""
    state = ctypes.windll.kernel32.SetThreadExecutionState  # type: ignore[attr-defined] # Windows
    state(CONTINUOUS | SYSTEM_REQUIRED)
    try:
        yield
    finally:
        state(CONTINUOUS)
