"""Shared memory and semaphores, named after the process that makes them.

A process that is killed together with its whole group leaves its names behind, and the memory with
them. `sweep` removes the names of processes that are gone. Memory that both sides have open needs
no name any more; who made it takes the name away early (`Ring.attached`).
"""

import contextlib
import multiprocessing
import os
import secrets
from multiprocessing.context import BaseContext
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Semaphore
from pathlib import Path

FOLDER = Path("/dev/shm")  # where Linux keeps them; elsewhere they have no folder
SEMAPHORES = "semprefix"  # what Python calls the beginning of a semaphore's name


def memory(size: int) -> SharedMemory:
    """So many bytes or a few more. Raises OSError."""
    return SharedMemory(f"{_beginning()}-{secrets.token_hex(4)}", create=True, size=size)


def semaphore(context: BaseContext, value: int) -> Semaphore:
    """A semaphore that a spawned child can be given."""
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined] # not in stubs
    before = config.get(SEMAPHORES)
    config[SEMAPHORES] = f"/{_beginning()}"
    try:
        return context.Semaphore(value)
    finally:
        config[SEMAPHORES] = before


def sweep(folder: Path = FOLDER) -> int:
    """Remove what processes that are gone have left; how many names."""
    import psutil

    count = 0
    for kind in ("", "sem."):
        for path in folder.glob(f"{kind}lwlive-{_space()}-*"):
            pid = path.name.removeprefix(kind).split("-")[2]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                with contextlib.suppress(OSError):
                    path.unlink()
                    count += 1
    return count


def _beginning() -> str:
    return f"lwlive-{_space()}-{os.getpid()}"


def _space() -> str:
    """The numbers of processes that count here; containers may share memory but no numbers."""
    try:
        return f"{os.stat('/proc/self/ns/pid').st_ino & 0xFFFFFFFF:x}"
    except OSError:
        return "0"
