"""Where a run writes: checked at the start, so that nothing is found out at the end.

The show says when a recording cannot be written, and continues without it. One that nobody watches
over says so of every place that is away, and waits for it.
"""

import errno
import logging
import os
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
    if missing := _missing(config):
        raise ControlError(next(iter(missing.values())))
    refuse(config)


def waited_for(config: Config) -> tuple[Config, list[str]]:
    """The settings of a show that nobody watches over, and a sentence for each place that is away.

    It plays, and writes there as soon as that can be done. Its log is in the state folder then.
    Raises ControlError for what is wrong whatever the disk does.
    """
    missing = _missing(config)
    if config.log is not None and "log" not in missing and (why := _closed(config.log)):
        missing["log"] = f"--log: {short(str(config.log))} cannot be written to: {why}"
    if "log" in missing:
        missing["log"] += "; the log is in the state folder"
        config = config.model_copy(update={"log": None})
    refuse(config)
    return config, list(missing.values())


def _missing(config: Config) -> dict[str, str]:
    """Why nothing can be written now where these settings say, a sentence by name."""
    found = {}
    for name in ("folder", *FILES):
        path = getattr(config, name)
        try:
            why = None if path is None else _away(name, path)
        except OSError as error:  # the system cannot even look at it
            why = _unusable(name, error)
        if why is not None:
            found[name] = why
    return found


def _away(name: str, path: Path) -> str | None:
    """Why nothing can be written there now. Raises OSError."""
    if name == "folder":
        if not path.is_dir():
            return _no_folder(name, path)
        next(path.iterdir(), None)  # that of a stick that was pulled may be there all the same
        return None
    path.is_dir()  # may it be looked at?
    if name == "state":
        path.parent.mkdir(parents=True, exist_ok=True)
    if name != "record" and not path.parent.is_dir():
        return _no_folder(name, path.parent)
    if name in ("stats", "log") and not _writable(path):
        return f"--{name}: {short(str(path))} cannot be written to"
    return None


def refuse(config: Config) -> None:
    """Raises ControlError for what is wrong whatever the disk does."""
    wanted = [(n, path) for n in FILES if (path := getattr(config, n)) is not None]
    for name, path in [("folder", config.folder), *wanted]:
        try:
            os.stat(path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise ControlError(_unusable(name, error)) from None
        if name != "folder" and os.path.isdir(path):
            raise ControlError(f"--{name}: {short(str(path))} is a folder; give a file's name")
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


def write_statistics(path: Path, figures: dict[str, Any]) -> bool:
    """Write the figures of a run. False where that fails, which is said."""
    from lwlive.stage.status import write_statistics as write

    try:
        write(path, figures)
    except OSError as error:
        log.error(f"--stats: {path} cannot be written: {error.strerror}")
        return False
    return True


def _closed(path: Path) -> str | None:
    """Why a log cannot be opened."""
    try:
        with path.open("ab"):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _writable(path: Path) -> bool:
    return os.access(path if path.exists() else path.parent, os.W_OK)


def _same(one: Path, other: Path) -> bool:
    """Whether two paths mean one file, by whatever names."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return os.path.exists(one) and os.path.exists(other) and one.samefile(other)


def _unusable(name: str, error: OSError) -> str:
    return f"--{name}: {short(str(error.filename))} cannot be used: {error.strerror}"


def _no_folder(name: str, folder: Path) -> str:
    return f"--{name}: there is no folder {short(str(folder))}; make it or choose another"
