"""Frames on disk: a folder of numbered pictures and their settings, resumed or begun again.

A frame is written beside its name, onto the disk, and then moved there; the settings are there
before it. One that is empty, cut or of another size all the same, as old disks and other programs
leave them, counts as missing.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from glob import escape
from pathlib import Path

from lwlive import files, movie
from lwlive.render import picture
from lwlive.render.identity import MOVIE, differences
from lwlive.render.settings import RenderError, Settings, told
from lwlive.ring import Pixels

SETTINGS = "settings.json"
PLACES = 6  # digits of a frame number
_OURS = re.compile(rf"(\.?frame\d{{{PLACES},}}\.(jpg|png)(\.\d+)?|\.?settings\.json(\.\d+)?)")


class SpoiltError(RenderError):
    """A frame on disk is no picture, though it looks whole; it is to be made again."""

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(sentence)
        self.number = number


class Frames:
    """The frames of one render, and its movie beside them. `open_folder` makes it."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.movie = folder.with_name(f"{folder.name}.mp4")

    def path(self, number: int) -> Path:
        """The file of a frame."""
        return self.folder / f"frame{number:0{PLACES}d}.{self.settings.render.format}"

    def pictures(self) -> Iterator[Pixels]:
        """All frames in their order. Raises SpoiltError for one that cannot be read."""
        for n in range(self.settings.frames):
            try:
                yield picture.frame(self.path(n))
            except RenderError as error:
                raise SpoiltError(n, str(error)) from None

    def missing(self) -> list[int]:
        """Frames that are not there yet, or not whole."""
        there = {entry.name for entry in os.scandir(self.folder)}
        size = self.settings.size
        return [
            n
            for n in range(self.settings.frames)
            if self.path(n).name not in there or not picture.is_whole(self.path(n), size)
        ]

    def write(self, number: int, data: bytes) -> None:
        """Write one frame, whole or not at all. Raises OSError."""
        files.write(self.path(number), data)

    def movie_is_made(self) -> bool:
        """Whether the movie there is the one that these settings give."""
        try:
            old = json.loads(movie.metadata_of(self.movie)["comment"])["settings"]
            new = json.loads(told(self.settings))["settings"]
            of_movie = all(old["render"][name] == new["render"][name] for name in MOVIE)
            return of_movie and old["frames"] == new["frames"] and not differences(old, new)
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            return False

    def remove(self) -> None:
        """Remove the frames and their settings, and the folder where nothing else is in it."""
        _clear(self.folder)
        with suppress(OSError):
            self.folder.rmdir()


def place_of(folder: Path, name: str) -> Path:
    """The folder for the frames. Raises RenderError for a name that files cannot have."""
    place = folder / name
    if Path(name).name in ("", ".."):
        raise RenderError(f"--name {name!r} is the name of no new folder; give one such as walk")
    room = _longest_name(folder) - len(os.fsencode(f"..mp4.{2**22}"))  # of the longest, a draft
    length = len(os.fsencode(place.name))
    if length > room:
        raise RenderError(
            f"--name has {length} bytes, too many for the files of a render here: {room} at most"
        )
    return place


def _longest_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):  # Windows has the last
        return 255


def open_folder(folder: Path, settings: Settings, overwrite: bool) -> Frames:
    """The folder, made, continued or begun again. Raises RenderError where it holds other frames.

    Nothing is written where nothing changes, so that a finished render may lie on any disk.
    """
    if folder.exists() and not folder.is_dir():
        raise RenderError(f"{folder} is a file and no folder; choose another --name")
    frames = Frames(folder, settings)
    alone = settings.render.output == "movie" and not overwrite and not folder.exists()
    if alone and frames.movie_is_made():
        return frames
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RenderError(
            f"the folder {folder} cannot be made: {error.strerror}; choose another --folder"
        ) from None
    if frames.movie.is_dir():
        raise RenderError(
            f"{frames.movie} is a folder, where the movie is to be; choose another --name"
        )
    if overwrite:
        _clear(folder)
        frames.movie.unlink(missing_ok=True)
    if (folder / SETTINGS).exists():
        _compare(folder, settings)
    elif any(_ours(folder)):
        raise RenderError(
            f"{folder} holds frames whose settings are not known; choose another --name, or give "
            "--overwrite to remove them"
        )
    drafts = folder.parent.glob(f".{escape(frames.movie.name)}.*")
    for path in [*drafts, *_ours(folder)]:
        if path.name.startswith("."):  # half written when a process was killed
            with suppress(OSError):
                path.unlink(missing_ok=True)
    if _stored(folder) != told(settings).encode():
        try:
            files.write(folder / SETTINGS, told(settings).encode())
        except OSError:
            if frames.missing():
                raise
        files.settle_names(folder)
    return frames


def _stored(folder: Path) -> bytes | None:
    try:
        return (folder / SETTINGS).read_bytes()
    except OSError:
        return None


def stored_budget(folder: Path) -> int | None:
    """The budget that the frames there were begun with, None where there are none."""
    try:
        told_of = json.loads((folder / SETTINGS).read_text("utf-8"))
        return int(told_of["settings"]["render"]["budget"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _compare(folder: Path, settings: Settings) -> None:
    advice = "give the same settings, another --name, or --overwrite to begin again"
    try:
        old = json.loads((folder / SETTINGS).read_text("utf-8"))["settings"]
        found = differences(old, json.loads(told(settings))["settings"])
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise RenderError(
            f"{folder / SETTINGS} cannot be read, or is of another version of lwlive; {advice}"
        ) from None
    there = [n for path in _ours(folder) if (n := _number(path)) is not None]
    if there and found:  # without a frame they bind nobody
        raise RenderError(f"{folder} holds other frames: {'; '.join(found)}; {advice}")
    if max(there, default=-1) >= settings.frames:
        raise RenderError(
            f"{folder} holds {max(there) + 1} frames, more than the {settings.frames} asked for; "
            f"{advice}"
        )


def _number(path: Path) -> int | None:
    found = re.match(r"frame(\d+)", path.name)
    return int(found[1]) if found else None


def _ours(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if _OURS.fullmatch(path.name))


def _clear(folder: Path) -> None:
    for path in list(_ours(folder)):
        path.unlink(missing_ok=True)


def check_room(folder: Path, frames: int, each: int) -> None:
    """Raises RenderError where the disk has no room for so many frames of so many bytes."""
    free = shutil.disk_usage(folder).free
    if frames * each > free:
        raise RenderError(
            f"{frames} frames take about {frames * each / 2**20:.0f} MB and {folder} has "
            f"{free / 2**20:.0f} MB free"
        )
