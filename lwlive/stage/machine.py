"""The machine a show runs on: memory, disk and temperature, looked at aside.

| thread | runs | may wait for |
|---|---|---|
| the show's | `Machine(...)`, `now` | nothing |
| machine | the looks, one every few seconds | a disk that hangs, a slow sensor |

A look is one frozen value, swapped whole.
"""

import os
import platform
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from lwlive import __version__

EVERY_S = 10.0


@dataclass(frozen=True)
class Look:
    """How the machine stands. None where the system does not tell."""

    memory_mb: float | None = None  # of the show: stage, engine, window and whatever they started
    disk_free_mb: float | None = None  # where recordings go
    temperature_c: float | None = None  # of the warmest sensor


class Machine:
    """Looks at the machine every few seconds, until `close`."""

    def __init__(
        self, folder: Path, every_s: float = EVERY_S, look: "Callable[[Path], Look] | None" = None
    ) -> None:
        self._folder, self._every_s, self._look = folder, every_s, look or looked
        self.now = Look()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more. It does not wait: a disk may hang."""
        self._ended.set()

    def _run(self) -> None:
        while True:
            self.now = self._look(self._folder)
            if self._ended.wait(self._every_s):
                return


def looked(folder: Path) -> Look:
    """One look."""
    try:
        free: float | None = round(shutil.disk_usage(folder).free / 2**20, 1)
    except OSError:
        free = None
    return Look(memory_mb(), free, _temperature())


def memory_mb() -> float | None:
    """Memory of this process and all that it has started, shared pages counted once each."""
    stage = psutil.Process(os.getpid())
    return _total(_own, [stage, *_children(stage)])


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _total(
    size: Callable[[psutil.Process], int], processes: Iterable[psutil.Process]
) -> float | None:
    total = 0
    for process in processes:
        try:
            total += size(process)
        except psutil.Error:  # it has ended just now
            continue
    return round(total / 2**20, 1) if total else None


def _own(process: psutil.Process) -> int:
    """Bytes that would be free without this process; what is shared is not counted."""
    found = process.memory_info()
    return int(found.rss - getattr(found, "shared", 0))


def _temperature() -> float | None:
    sensors = getattr(psutil, "sensors_temperatures", None)  # Linux and FreeBSD have them
    if sensors is None:
        return None
    try:
        found = [one.current for chip in sensors().values() for one in chip]
    except (OSError, ValueError, RuntimeError):
        return None
    real = [float(one) for one in found if one is not None and 0 < one < 150]
    return round(max(real), 1) if real else None


def about() -> str:
    """lwlive and the machine in a line, for the top of a log."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"lwlive {__version__}, Python {platform.python_version()}, {platform.system()} "
        f"{platform.release()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB"
    )
