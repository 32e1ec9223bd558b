"""Cue lists: TOML -> cues, strict. A cue sets what its preset says, and its own lines on top.

Everything is read and checked when the list is loaded, its presets too, so that no file can stop a
show. Of what is wrong the file, the cue and the key are named. This file knows nothing of the show,
of clocks or of torch.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any

from lwlive import preset
from lwlive.changes import LONGEST_S
from lwlive.params import SPECS, ControlError, within
from lwlive.preset import CUES, PresetError
from lwlive.routes import Routes, from_tables
from lwlive.spelling import did_you_mean

log = logging.getLogger(__name__)

LONGEST_NAME, LONGEST_NOTE = 60, 200  # characters
MOST_BEATS = 4096.0
DAY_S = 86400.0
HANDS = ("morph", "morph_a", "morph_b")  # parameters that cues leave to the hand
_TIME = re.compile(r"(\d?\d):(\d\d)(?::(\d\d))?", re.ASCII)


class CueListError(PresetError):
    """A cue list cannot be used: its file, or a preset that it names."""


@dataclass(frozen=True)
class Cue:
    """One cue. `values` are all that it sets, those of its preset included."""

    name: str
    values: Mapping[str, Any]
    routes: Routes | None = None  # None leaves those there are
    seconds: float | None = None  # of its transition; with `beats` None too: its `transition`
    beats: float | None = None
    follow: float | None = None  # seconds after which the next cue comes by itself
    follow_beats: float | None = None
    at: time | None = None  # of every day
    note: str = ""


@dataclass(frozen=True)
class CueList:
    """The cues in their order. `loop`: the first follows the last, and begins with the show."""

    cues: tuple[Cue, ...]
    loop: bool = False

    def found(self, which: str | int) -> int:
        """Where in the list a cue is, by its name or its number from 1. Raises ControlError."""
        names = [cue.name for cue in self.cues]
        if which in names:
            return names.index(str(which))
        number = int(which) if str(which).isdecimal() and len(str(which)) < 10 else 0
        if 1 <= number <= len(names):
            return number - 1
        known = ", ".join(f"{n} {name}" for n, name in enumerate(names, 1))
        raise ControlError(
            f"there is no cue {which!r:.60}{did_you_mean(str(which), names)}; {known:.300}"
        )

    def reached(self, place: int) -> tuple[dict[str, Any], Routes | None]:
        """What the list has set once it comes to a place in its order: the newest of each."""
        values: dict[str, Any] = {}
        given: Routes | None = None
        for cue in self.cues[: place + 1]:
            values |= cue.values
            given = given if cue.routes is None else cue.routes
        return values, given

    @property
    def names(self) -> set[str]:
        """Every parameter that some cue sets."""
        return {name for cue in self.cues for name in cue.values}

    @property
    def routed(self) -> bool:
        """Whether some cue sets the routes."""
        return any(cue.routes is not None for cue in self.cues)


def load(path: Path, folder: Path, say: Callable[[str], object] = log.warning) -> CueList:
    """The cue list in a file. `folder`: where a show's presets are.

    Presets are looked for beside the file, then there, then among those of lwlive. `say` gets a
    sentence about what was passed over. Raises CueListError.
    """
    try:
        return _loaded(path, folder, say)
    except PresetError as error:
        raise CueListError(str(error)) from None


def _loaded(path: Path, folder: Path, say: Callable[[str], object]) -> CueList:
    """The same. Raises PresetError."""
    found = preset.read(path, "cue list")
    loop, tables = found.pop("loop", False), found.pop(CUES, None)
    if found:
        key = next(iter(found))
        raise PresetError(
            f"{path}: there is no {key!r:.60}{did_you_mean(key, ('loop', CUES))}; a cue list takes "
            f"loop and [[{CUES}]]"
        )
    if not isinstance(loop, bool):
        raise PresetError(f"{path}: loop takes true or false, not {loop!r:.60}")
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise PresetError(f"{path} has no cues: each stands under a line [[{CUES}]]")
    cues: list[Cue] = []
    for number, table in enumerate(tables, 1):
        where = f"{path}: cue {number}"
        if isinstance(table.get("name"), str):
            where += f" ({table['name']:.60})"
        try:
            cues.append(_cue(table, number, {cue.name for cue in cues}, path.parent, folder, say))
        except ControlError as error:
            raise PresetError(f"{where}: {error}") from None
    return CueList(tuple(cues), loop)


def _cue(
    table: dict[str, Any],
    number: int,
    taken: set[str],
    beside: Path,
    folder: Path,
    say: Callable[[str], object],
) -> Cue:
    """One cue from its table. Raises ControlError."""
    values: dict[str, Any] = {}
    patched: Routes | None = None
    if "preset" in table:
        values, patched = _preset(table["preset"], beside, folder, say)
    for key, value in table.items():
        if key == "routes":
            patched = _routes(value)
        elif key in SPECS:
            if key in HANDS:
                raise ControlError(f"{key} is moved by hand and not by a cue")
            values[key] = SPECS[key].checked(value)
        elif key not in _OWN:
            known = [*_OWN, "routes", *(name for name in SPECS if name not in HANDS)]
            raise ControlError(
                f"there is no {key!r:.60}{did_you_mean(key, known)}; a cue takes {', '.join(known)}"
            )
    own = {key: _OWN[key](key, table[key]) for key in _OWN if key in table}
    for one, other in (("seconds", "beats"), ("follow", "follow_beats")):
        if one in own and other in own:
            raise ControlError(f"it has {one} and {other}: leave one out")
    if not values and patched is None:
        raise ControlError("it sets nothing: give it a preset or values such as prompt")
    named = own.pop("name", None)
    chosen = own.pop("preset", None)
    name = named or (Path(chosen).stem if chosen else f"cue {number}")
    if name in taken:
        if named:
            raise ControlError(f"name: another cue is called {name!r} already")
        name = f"{name} {number}"
    return Cue(name, values, patched, **own)


def _preset(
    name: object, beside: Path, folder: Path, say: Callable[[str], object]
) -> tuple[dict[str, Any], Routes]:
    """The values of a preset, and its routes. Raises ControlError."""
    chosen = _text("preset", name)
    if re.search(r"[/\\]|\.toml$", chosen):
        path = beside / chosen
    elif not (path := beside / f"{chosen}.toml").is_file():
        path = preset.named(chosen, folder)
    return preset.load_look(path, say)


def _routes(tables: object) -> Routes:
    """The routes of a cue, as a preset has them. Raises ControlError."""
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ControlError(f"each route stands under a line [[{CUES}.routes]]")
    return from_tables(tables)


def _text(key: str, value: object, most: int = LONGEST_NAME) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise ControlError(f"{key} takes a line of up to {most} characters, not {value!r:.60}")
    return value


def _name(key: str, value: object) -> str:
    name = _text(key, value)
    if name.isdecimal():
        raise ControlError(f"{key}: {name!r} is a number, and cues have those already")
    return name


def _number(low: float, high: float, unit: str) -> Callable[[str, object], float]:
    def checked(key: str, value: object) -> float:
        if not within(value, low, high):
            expected = f"a number from {low:g} to {high:g} {unit}"
            raise ControlError(f"{key} takes {expected}, not {value!r:.60}")
        return float(value)

    return checked


def _time(key: str, value: object) -> time:
    """A time of day: TOML's own, or text."""
    if isinstance(value, time):
        return value
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        if found is not None:
            hour, minute, second = (int(part or 0) for part in found.groups())
            return time(hour, minute, second)
    except ValueError:  # 25:00
        pass
    raise ControlError(f'{key} takes a time of day such as "22:00", not {value!r:.60}')


# What a cue takes beside parameters and routes.
_OWN: Mapping[str, Callable[[str, object], Any]] = {
    "name": _name,
    "preset": _text,
    "seconds": _number(0, LONGEST_S, "s"),
    "beats": _number(0, MOST_BEATS, "beats"),
    "follow": _number(0.1, DAY_S, "s"),
    "follow_beats": _number(0.25, MOST_BEATS, "beats"),
    "at": _time,
    "note": lambda key, value: _text(key, value, LONGEST_NOTE),
}
