"""Folders written whole or not at all, and folders that ended processes have left behind."""

import contextlib
import os
import shutil
from pathlib import Path

import psutil

from lwlive.files import settle_names


def keep(making: Path, to: Path) -> None:
    """Give a finished folder its name, in the place of an older one. Raises OSError.

    What is in it reaches the disk before the name does, so that a power cut leaves no half.
    """
    for path in making.rglob("*"):
        if path.is_dir():
            settle_names(path)
        else:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    settle_names(making)
    shutil.rmtree(to, ignore_errors=True)
    making.rename(to)
    settle_names(to.parent)


def sweep(folder: Path, pattern: str = "*") -> None:
    """Remove what processes that are gone have left: its name is or ends with their number."""
    for left in folder.glob(pattern):
        number = left.name.rpartition(".")[2]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            with contextlib.suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
