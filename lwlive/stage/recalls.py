"""Recalls: the presets that are asked for in a show, read aside, and those that it saves.

Files are read and written by `disk`; what was read is handed over on a later tick. Of several
presets for one moment only the newest is. All of it runs in the show's thread, but for what reads.
"""

import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from lwlive import preset
from lwlive.files import claimed, stamped
from lwlive.routes import Routes
from lwlive.snapshot import Snapshot
from lwlive.stage.disk import Disk

Refuse = Callable[[str], None]  # with a sentence


class Recalled(NamedTuple):
    """A preset as it was read."""

    name: str
    values: dict[str, object]
    routes: Routes
    notes: list[str]  # sentences about what was passed over


class Recalls:
    """Presets of a folder, each with a number that it keeps until the show ends."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder, self._disk = folder, disk
        self._order: tuple[str, ...] = ()
        with contextlib.suppress(OSError):  # whoever asks for a number hears of it
            self._order = preset.appended((), preset.listed(folder))
        # being read, by recall, and their moments: one counts only while nothing newer comes for
        # the same moment
        self._reading: dict[int, float | None] = {}
        self._count = 0

    def ask(
        self,
        which: str | int,
        due: float | None,
        take_up: Callable[[Recalled], None],
        refuse: Refuse,
    ) -> None:
        """Have a preset read, by its name or its number, for a moment or, if None, for now.

        `take_up` gets it, unless something newer has come for that moment. Raises ControlError.
        """
        number = self._count + 1

        order = self._order

        def read() -> tuple[Recalled, list[Path]]:
            there = [] if isinstance(which, str) else preset.listed(self._folder)
            path = self._found(which, preset.appended(order, there), there)
            notes: list[str] = []
            return Recalled(path.stem, *preset.load_look(path, notes.append), notes), there

        def done(found: tuple[Recalled, list[Path]]) -> None:
            recalled, there = found
            self._order = preset.appended(self._order, there)
            if number in self._reading:
                del self._reading[number]
                take_up(recalled)

        def failed(why: str) -> None:
            self._reading.pop(number, None)
            refuse(why)

        self._disk.do(f"preset {which}", read, done, failed)
        self.overtake(due)
        self._count = number
        self._reading[number] = due

    def overtake(self, due: float | None) -> None:
        """Something newer comes for a moment, None for now: a preset still read gives way."""
        self._reading = {number: when for number, when in self._reading.items() if when != due}

    def clear(self) -> None:
        """Take up nothing of what is being read."""
        self._reading.clear()

    def save(self, snapshot: Snapshot, saved: Callable[[Path], None], refuse: Refuse) -> None:
        """Have values saved under a new name. Raises ControlError."""
        wanted = self._folder / stamped(datetime.now(), ".toml")

        def write() -> Path:
            path = claimed(wanted)
            try:
                preset.save(path, snapshot.params, snapshot.routes)
            except preset.PresetError:
                path.unlink(missing_ok=True)  # what claimed the name
                raise
            return path

        def done(path: Any) -> None:
            self._order = preset.appended(self._order, [path])
            saved(path)

        self._disk.do("saving a preset", write, done, refuse)

    def _found(self, which: str | int, order: tuple[str, ...], there: list[Path]) -> Path:
        """The file of a preset, by its name or its number in the order. Raises PresetError."""
        if isinstance(which, str):
            return preset.named(which, self._folder)
        if not 1 <= which <= len(order):
            raise preset.PresetError(f"there is no preset {which}; there are {len(order)}")
        name = order[which - 1]
        for path in there:
            if path.stem == name:
                return path
        raise preset.PresetError(f"preset {which} was {name}, which is no longer there")
