"""The shelf: every box that is known in a show; files are read and written aside.

Used by the show's thread, which no disk holds up. Mapping files are read at the start, and again
when one has changed; what is learnt counts immediately and is saved behind it, one file at a time.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from lwlive.params import ControlError
from lwlive.stage.disk import Disk
from lwlive.stage.sources.midi import box as files
from lwlive.stage.sources.midi.binding import Binding
from lwlive.stage.sources.midi.box import Box

LOOK_S = 2.0  # between two looks at the files
CLOSE_S, CLOSE_TRIES = 1.0, 100  # how long the end of a show waits for a disk

T = TypeVar("T")
Found = tuple[object, list[Box], list[str]]  # what marks the files, boxes, refusals


class Shelf:
    """The boxes in use. folder: the user's files. say: gets what is wrong with them."""

    def __init__(self, folder: Path, disk: Disk, say: Callable[[str], None]) -> None:
        self._folder, self._disk, self._say = folder, disk, say
        self.boxes: list[Box] = []
        self._marks: object = None  # of the files that were read
        self._look_at = 0.0
        self._unsaved: dict[str, Box] = {}  # by device
        self._busy = False  # a file is being read or written
        self._new = False

    def poll(self, now: float) -> bool:
        """Whether the boxes are others than at the last call."""
        self._disk.poll(now)
        if self._unsaved and not self._busy:
            self._save(self._unsaved.pop(next(iter(self._unsaved))))
        if now >= self._look_at and not self._busy:
            self._look_at = now + LOOK_S
            known = self._marks
            self._do("MIDI mappings", lambda: self._look(known), self._looked, self._say)
        new, self._new = self._new, False
        return new

    def learn(self, device: str, binding: Binding) -> None:
        """A binding for a device, in memory now and in the user's file soon."""
        old = files.find(device, self.boxes)
        box = Box(device) if old is None else old
        if box.device.casefold() != device.casefold():  # that one keeps a file of its own
            box, old = replace(box, device=device, path=None), None
        box = box.learnt(binding)
        self.boxes = [one for one in self.boxes if one is not old] + [box]
        self._unsaved[box.device] = box

    def close(self) -> None:
        """Wait for a moment until everything is saved."""
        for _ in range(CLOSE_TRIES):
            if not self._unsaved and not self._busy:
                return
            self.poll(-math.inf)
            time.sleep(CLOSE_S / CLOSE_TRIES)

    def _save(self, box: Box) -> None:
        def save() -> tuple[Box, object]:
            return files.save(box, self._folder), files.marks(self._folder)

        def saved(found: tuple[Box, object]) -> None:
            self.boxes = [found[0] if one is box else one for one in self.boxes]
            self._marks = found[1]

        def failed(why: str) -> None:
            self._say(f"what was learnt holds for this show only: {why}")

        self._do("saving a MIDI mapping", save, saved, failed)

    def _look(self, known: object) -> Found | None:
        """Runs aside. None where nothing has changed."""
        found = files.marks(self._folder)
        if found == known:
            return None
        own, refusals = files.own(self._folder)
        return found, [*own, *files.ready()], refusals

    def _looked(self, found: Found | None) -> None:
        if found is not None and not self._unsaved:  # else they are read again once it is saved
            self._marks, self.boxes, refusals = found
            self._new = True
            for why in refusals:
                self._say(why)

    def _do(
        self,
        about: str,
        job: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[str], None],
    ) -> None:
        """Run a job aside. No files are read while one is being written."""

        def finished(result: T) -> None:
            self._busy = False
            done(result)

        def refused(why: str) -> None:
            self._busy = False
            failed(why)

        self._busy = True
        try:
            self._disk.do(about, job, finished, refused)
        except ControlError as error:
            refused(str(error))
