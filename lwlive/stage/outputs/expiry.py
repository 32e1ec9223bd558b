"""Expiry: recordings that are older than `--keep-days` are removed, once an hour.

Only files named as lwlive names its recordings are looked at: `lwlive-DATE-TIME` in the show's
folder, and the file of `--record` with those that follow it. The look runs aside (see `disk`).

The machine's clock may be wrong. It is often early at a start, until a server corrects it, and some
are set wrong by hand. So what it is ahead of the show's own clock counts as the least of a day:
set forward, it ages nothing until it has stood for a day. Where it was wrong for longer, years may
lie between two recordings: such a gap does not count.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from lwlive.params import ControlError
from lwlive.stage.disk import Disk
from lwlive.stage.parts import Source
from lwlive.stage.status import Status

EVERY_S = 3600.0
DAY_S = 86_400.0
LOOKS = round(DAY_S / EVERY_S) + 1  # over which a clock has to agree with itself
GAP_S = 30 * DAY_S  # without a recording: the machine was off, or its clock is wrong
SUFFIXES = (".mp4", ".mov", ".mkv", ".avi")
_STAMPED = re.compile(r"lwlive-\d{8}-\d{6}(-\d+)?")  # see recorder.stamped and recorder.free


class Expiry(Source):
    """Removes old recordings of one show. wall: seconds since 1970."""

    name = "expiry"

    def __init__(
        self,
        folder: Path,
        record: Path | None,
        days: float,
        say: Callable[[str], None],
        disk: Disk | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._record, self._days, self._say = folder, record, days, say
        self._disk = disk or Disk(say)
        self._wall = wall
        self._ahead: deque[float] = deque(maxlen=LOOKS)  # of the show's clock, newest last
        self._next: float | None = None
        self._told = ""  # what went wrong at the last look: it is said once

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:  # noqa: ARG002
        """Look, where it is time."""
        self._disk.poll(now)
        if self._next is not None and now < self._next:
            return
        self._next = now + EVERY_S
        self._ahead.append(self._wall() - now)
        wall = now + min(self._ahead)
        try:
            self._disk.do("old recordings", lambda: self._removed(wall), self._done, self._once)
        except ControlError:  # the disk does not answer, which it says itself
            return

    def _removed(self, wall: float) -> tuple[int, list[str]]:
        """Remove what is too old at that time: how many, and why not the others.

        Raises OSError where the folder cannot be read.
        """
        count, kept, age, after = 0, [], 0.0, wall
        for written, path in sorted(self._dated(), reverse=True):
            gap = after - written
            age += gap if 0 < gap < GAP_S else 0.0
            after = min(after, written)
            if age <= self._days * DAY_S:
                continue
            try:
                path.unlink()
                count += 1
            except FileNotFoundError:  # somebody else has removed it just now
                continue
            except OSError as error:  # on Windows, a player has it open
                kept.append(f"{path}: {error.strerror or error}")
        return count, kept

    def _dated(self) -> Iterator[tuple[float, Path]]:
        """The recordings, with when they were last written."""
        for path in self._recordings():
            with suppress(FileNotFoundError):
                yield path.stat().st_mtime, path

    def _recordings(self) -> Iterator[Path]:
        for path in sorted(self._folder.iterdir()):
            if path.suffix in SUFFIXES and _STAMPED.fullmatch(path.stem) and path.is_file():
                yield path
        if self._record is not None:
            ours = re.compile(rf"{re.escape(self._record.stem)}(-\d+)*")
            for path in sorted(self._record.parent.glob(f"*{self._record.suffix}")):
                if ours.fullmatch(path.stem) and path.is_file() and not path.is_symlink():
                    yield path

    def _done(self, done: tuple[int, list[str]]) -> None:
        count, kept = done
        if count:
            many = "a recording" if count == 1 else f"{count} recordings"
            self._say(f"{many} older than {self._days:g} days removed (--keep-days)")
        if not kept:
            self._told = ""
            return
        many = "1 old recording" if len(kept) == 1 else f"{len(kept)} old recordings"
        self._once(f"{many} could not be removed, the first {kept[0]}")

    def _once(self, sentence: str) -> None:
        if sentence != self._told:
            self._say(sentence)
        self._told = sentence
