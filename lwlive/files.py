"""Files written whole or not at all, and names for new ones that nothing has yet.

They are written beside their name, onto the disk, and then moved there: whenever the process is
killed or the power fails, a name has its old contents or its new ones.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; `settle` moves it there, else it is removed.

    Raises OSError naming `path`, whatever went wrong with the draft.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(beside)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def settle(beside: Path, path: Path) -> None:
    """Give a draft its name. What is in it reaches the disk before the name does."""
    with beside.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(beside, path)


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all. Raises OSError naming it."""
    with draft(path) as beside:
        beside.write_bytes(data)
        settle(beside, path)


def settle_names(folder: Path) -> None:
    """Let the names in a folder reach the disk, where the system can be asked for that."""
    with suppress(OSError):  # Windows opens no folders; some file systems sync none
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def stamped(when: datetime, suffix: str = ".mp4") -> str:
    """`lwlive-YYYYMMDD-HHMMSS.mp4`."""
    return f"lwlive-{when:%Y%m%d-%H%M%S}{suffix}"


def free(path: Path) -> Path:
    """The path itself, or the first of `name-2`, `name-3` ... that nothing has yet."""
    found, n = path, 1
    while os.path.lexists(found):  # a link that leads nowhere is something, too
        n += 1
        found = path.with_stem(f"{path.stem}-{n}")
    return found


def claimed(path: Path) -> Path:
    """The same, and an empty file is there now, so that nobody else takes it. Raises OSError."""
    while True:
        found = free(path)
        with suppress(FileExistsError), found.open("xb"):
            return found
