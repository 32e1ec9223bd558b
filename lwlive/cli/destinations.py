"""Where a run writes: checked at the start, so that nothing is found out at the end.

The show says when a recording cannot be written, and continues without it.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lwlive.cli.flags import short
from lwlive.config import Config
from lwlive.params import ControlError

log = logging.getLogger("lwlive")

MOVS = ("prores", "mjpeg")  # codecs whose files are QuickTime's
FILES = ("record", "journal", "stats", "log", "state")  # that a show writes, of Config


def check(config: Config) -> None:
    """Refuse what cannot be written, and one file for two things. Raises ControlError."""
    with _readable("--folder"):
        if not config.folder.is_dir():
            raise ControlError(_no_folder("folder", config.folder))
    wanted = [(n, path) for n in FILES if (path := getattr(config, n)) is not None]
    for name, path in wanted:
        with _readable(f"--{name}"):
            if path.is_dir():
                raise ControlError(f"--{name}: {short(str(path))} is a folder; give a file's name")
            if name == "state":
                path.parent.mkdir(parents=True, exist_ok=True)
            if name != "record" and not path.parent.is_dir():
                raise ControlError(_no_folder(name, path.parent))
            if name in ("stats", "log") and not _writable(path):
                raise ControlError(f"--{name}: {short(str(path))} cannot be written to")
    path, codec = config.record, config.record_codec
    if path is not None and codec in MOVS and path.suffix.lower() != ".mov":
        raise ControlError(
            f"--record-codec {codec} is kept in .mov files: give --record a name that ends so, "
            f"such as {short(path.with_suffix('.mov').name)}"
        )
    for i, (name, path) in enumerate(wanted):
        for other, place in wanted[i + 1 :]:
            if _same(path, place):
                raise ControlError(
                    f"--{name} and --{other} are the same file, {short(str(path))}: give two names"
                )


def sparing(config: Config) -> Config:
    """What an earlier show recorded is kept: other names where those given are taken."""
    from lwlive.files import free

    taken = {
        name: path
        for name in ("record", "journal")
        if (path := getattr(config, name)) is not None and path.is_file()
    }
    others = {name: free(path) for name, path in taken.items()}
    for name, path in taken.items():
        log.info(f"--{name}: {path} is there already, so this show's is {others[name]}")
    return config.model_copy(update=others)


def write_statistics(path: Path, figures: dict[str, Any]) -> None:
    """Write the figures of a run. Raises ControlError, which names the flag."""
    from lwlive.stage.status import write_statistics as write

    try:
        write(path, figures)
    except OSError as error:
        raise ControlError(f"--stats: {path} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _readable(flag: str) -> Iterator[None]:
    """Say whose path it is that the system cannot even look at, such as one of 5000 letters."""
    try:
        yield
    except OSError as error:
        name = short(str(error.filename))
        raise ControlError(f"{flag}: {name} cannot be used: {error.strerror}") from None


def _writable(path: Path) -> bool:
    return os.access(path if path.exists() else path.parent, os.W_OK)


def _same(one: Path, other: Path) -> bool:
    """Whether two paths mean one file, by whatever names."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return one.exists() and other.exists() and one.samefile(other)


def _no_folder(name: str, folder: Path) -> str:
    return f"--{name}: there is no folder {short(str(folder))}; make it or choose another"
