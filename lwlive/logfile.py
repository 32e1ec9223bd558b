"""The log as files: rotated while it is written, and read again.

One thread writes (see logs.py). A show has a log of its own: of two on one machine the second one
writes beside the first. This file knows nothing of what the lines say.
"""

import contextlib
import importlib
import io
import os
from pathlib import Path
from typing import Any

NAME = "lwlive.log"  # in the user's state folder
FILES, FILE_BYTES = 5, 1_000_000  # so many of a log, and how large each one grows
SHOWS = 9  # on one machine, each with a log of its own


class Rotated:
    """A file that begins again at a size, with the ones before kept as NAME.1 to NAME.4.

    `write` raises OSError where the disk takes nothing, and tries again the next time: a file that
    was removed, or whose disk has room again, is taken up again. `head` stands at the top of each.
    own: another show's file is left to it, and NAME-2, NAME-3 ... are tried. Used by one thread.
    """

    def __init__(self, path: Path, head: bytes = b"", own: bool = False) -> None:
        self._head, self._file = head, None
        for number in range(1, (SHOWS if own else 1) + 1):
            self.path = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
            self._open()
            if self._locked or not own:
                return
            self.close()
        raise OSError(f"{SHOWS} shows write their logs beside {path}")

    def fileno(self) -> int:
        """Its descriptor."""
        return self._open().fileno()

    def write(self, data: Any, /) -> int | None:
        """Write some of the data. Raises OSError."""
        file = self._open()
        if self._size + len(data) > FILE_BYTES and self._locked:
            self._rotate()
            file = self._open()
        try:
            done = file.write(data)
        except OSError:
            self.close()
            raise
        self._size += done or 0
        return done

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> io.FileIO:
        """The file, opened again where it was moved or removed by somebody else."""
        if self._file is not None and not _same(self._file, self.path):
            self.close()
        if self._file is None:
            self._file = io.FileIO(self.path, "a")
            self._locked = _lock(self._file)
            self._size = self._file.seek(0, os.SEEK_END)
            self._size += self._file.write(self._head) or 0
        return self._file

    def _rotate(self) -> None:
        self.close()
        for number in range(FILES - 1, 0, -1):
            old = self.path if number == 1 else self._numbered(number - 1)
            with contextlib.suppress(OSError):
                old.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _same(file: io.FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _lock(file: io.FileIO) -> bool:
    """Whether the file is this process's alone from now on. Windows keeps a file from being moved
    while anybody has it open, and there a lock would keep readers away: nothing is locked.
    """
    try:
        system = importlib.import_module("fcntl")
    except ImportError:
        return True
    try:
        system.flock(file, system.LOCK_EX | system.LOCK_NB)
    except OSError as error:
        return not isinstance(error, BlockingIOError)  # some file systems have no locks
    return True


def folder() -> Path:
    """Where logs lie that nobody has named."""
    import platformdirs

    return platformdirs.user_state_path("lwlive", appauthor=False)


def files(path: Path | None = None) -> list[Path]:
    """The files of one log, the oldest first: the one named, or the newest in the state folder."""
    if path is None:
        logs = [one for one in folder().glob("lwlive*.log") if one.is_file()]
        if not logs:
            return []
        path = max(logs, key=lambda one: one.stat().st_mtime)
    older = [path.with_name(f"{path.name}.{number}") for number in range(FILES - 1, 0, -1)]
    return [one for one in (*older, path) if one.is_file()]


def tail(lines: int, path: Path | None = None) -> list[str]:
    """The last lines of a log. Raises OSError."""
    found: list[str] = []
    for file in reversed(files(path)):
        text = file.read_bytes().decode("utf-8", "replace").splitlines()
        found = [*text[max(0, len(text) - (lines - len(found))) :], *found]
        if len(found) >= lines:
            break
    return found
