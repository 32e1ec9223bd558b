"""Frames on disk: a folder of numbered pictures and their settings, resumed or begun anew.

A frame is written beside its name and then moved there, so one that is there is whole, whenever
the process was killed.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from glob import escape
from pathlib import Path

from lwlive.render.settings import RenderError, Settings, differences, told

SETTINGS = "settings.json"
PLACES = 6  # digits of a frame number
_OURS = re.compile(rf"(\.?frame\d{{{PLACES},}}\.(jpg|png)(\.\d+)?|\.?settings\.json(\.\d+)?)")


class Frames:
    """The frames of one render, and its movie beside them. `open_folder` makes it."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.movie = folder.with_name(f"{folder.name}.mp4")

    def path(self, number: int) -> Path:
        """The file of a frame."""
        return self.folder / f"frame{number:0{PLACES}d}.{self.settings.render.format}"

    def paths(self) -> Iterator[Path]:
        """The files of all frames in their order."""
        return (self.path(n) for n in range(self.settings.frames))

    def missing(self) -> list[int]:
        """Frames that are not there yet."""
        there = {entry.name for entry in os.scandir(self.folder)}
        return [n for n in range(self.settings.frames) if self.path(n).name not in there]

    def write(self, number: int, data: bytes) -> None:
        """Write one frame, whole or not at all. Raises OSError."""
        _write(self.path(number), data)

    def remove(self) -> None:
        """Remove the frames and their settings, and the folder where nothing else is in it."""
        _clear(self.folder)
        with suppress(OSError):
            self.folder.rmdir()


def open_folder(folder: Path, settings: Settings, overwrite: bool) -> Frames:
    """The folder, made, continued or begun anew. Raises RenderError where it holds other frames."""
    if folder.exists() and not folder.is_dir():
        raise RenderError(f"{folder} is a file and no folder; choose another --name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RenderError(
            f"the folder {folder} cannot be made: {error.strerror}; choose another --folder"
        ) from None
    frames = Frames(folder, settings)
    if overwrite:
        _clear(folder)
        frames.movie.unlink(missing_ok=True)
    for draft in folder.parent.glob(f".{escape(frames.movie.name)}.*"):  # of a killed process
        draft.unlink(missing_ok=True)
    if (folder / SETTINGS).exists():
        _compare(folder, settings)
    elif any(_ours(folder)):
        raise RenderError(
            f"{folder} holds frames whose settings are not known; choose another --name, or give "
            "--overwrite to remove them"
        )
    for path in list(_ours(folder)):
        if path.name.startswith("."):  # half written when a process was killed
            path.unlink(missing_ok=True)
    _write(folder / SETTINGS, told(settings).encode())
    return frames


def stored_budget(folder: Path) -> int | None:
    """The budget that the frames there were begun with, None where there are none."""
    try:
        told_of = json.loads((folder / SETTINGS).read_text("utf-8"))
        return int(told_of["settings"]["render"]["budget"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _compare(folder: Path, settings: Settings) -> None:
    advice = "give the same settings, another --name, or --overwrite to begin anew"
    try:
        old = json.loads((folder / SETTINGS).read_text("utf-8"))["settings"]
        found = differences(old, json.loads(told(settings))["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        raise RenderError(f"{folder / SETTINGS} cannot be read; {advice}") from None
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


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def check_room(folder: Path, frames: int, each: int) -> None:
    """Raises RenderError where the disk has no room for so many frames of so many bytes."""
    free = shutil.disk_usage(folder).free
    if frames * each > free:
        raise RenderError(
            f"{frames} frames take about {frames * each / 2**20:.0f} MB and {folder} has "
            f"{free / 2**20:.0f} MB free"
        )
