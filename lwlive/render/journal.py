"""A journal read: what took effect on which tick.

The format is told in lwlive/stage/journal.py. This file knows nothing of torch.
"""

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lwlive.config import Config
from lwlive.link import Turn
from lwlive.params import ControlError, spec
from lwlive.render.settings import SOURCES, RenderError
from lwlive.stage.journal import FORMAT

MOST_FRAMES = 4096  # of a turn


@dataclass
class Tick:
    """What a tick brought. `params` and `master` are whole, None where nothing changed."""

    begin: float | None = None  # a walk begins at this phase
    at: int | None = None  # which frame of a turn that begins, None where it follows
    turn: Turn | None = None  # how that turn was made
    nexts: int = 0
    params: dict[str, Any] | None = None
    master: dict[str, Any] | None = None


@dataclass
class Performance:
    """A show as its journal tells it."""

    config: Config
    size: tuple[int, int]
    ticks: int = 0  # pictures, repeated ones included
    changes: dict[int, Tick] = field(default_factory=dict)
    repeats: set[int] = field(default_factory=set)
    dtype: str | None = None


def read(path: Path) -> Performance:
    """Read a journal up to its last whole line. Raises RenderError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RenderError(f"cannot read the journal {path}: {error.strerror}") from None
    lines = text.split(b"\n")[:-1]  # what follows the last line's end is not whole
    if not lines:
        raise RenderError(f"{path} is no journal of lwlive: there is no whole line in it")
    number = 0
    try:
        head = json.loads(lines[0])
        width, height = head["size"]
        if "lwlive" in head and head.get("journal") != FORMAT:
            raise RenderError(
                f"{path} was written by another version of lwlive ({head.get('lwlive')}), which "
                "can render it; this one cannot"
            )
        config = {n: v for n, v in head["config"].items() if n in (*SOURCES, "fps")}
        found = Performance(Config(**config), (int(width), int(height)))
        reading = _Reading()
        for line in lines[1:]:
            number += 1
            _take(found, json.loads(line), reading)
    except RenderError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ControlError) as error:
        raise RenderError(f"{path} is no journal of lwlive: line {number + 1}: {error}") from None
    if 0 not in found.changes or found.changes[0].begin is None:
        raise RenderError(f"{path} ends before the first picture; there is nothing to render")
    return found


@dataclass
class _Reading:
    """What is in effect where a journal is being read."""

    params: dict[str, Any] = field(default_factory=dict)
    turn: Turn = field(default_factory=Turn)


def _take(found: Performance, line: dict[str, Any], reading: _Reading) -> None:
    """One line into the performance, and what is in effect brought up to date."""
    tick = int(line["tick"])
    found.ticks = max(found.ticks, tick + int(line.get("repeat", 1)))
    if "repeat" in line:
        found.repeats |= set(range(tick, tick + int(line["repeat"])))
    found.dtype = line.get("dtype", found.dtype)
    if not {"begin", "at", "params", "master"} & set(line):
        return
    change = found.changes.setdefault(tick, Tick())
    change.begin = line.get("begin", change.begin)
    if "at" in line:
        reading.turn = _turn(reading.turn, line.get("turn", {}))
        change.at, change.turn = int(line["at"]), reading.turn
        if not reading.turn.joined <= change.at < reading.turn.frames:
            raise ValueError(f"there is no frame {change.at} in that turn")
    if "params" in line:
        for name, value in line["params"].items():
            reading.params[name] = None if value is None else spec(name).checked(value)
        change.params, change.nexts = dict(reading.params), int(line["nexts"])
    if "master" in line:
        change.master = {n: spec(n).checked(value) for n, value in line["master"].items()}


def _turn(before: Turn, told: dict[str, Any]) -> Turn:
    """How a turn was made, from what differs from the one before. Raises ValueError, TypeError."""
    kinds: dict[str, Any] = {each.name: each.type for each in fields(Turn)}
    turn = replace(before, **{name: kinds[name](value) for name, value in told.items()})
    whole = 1 <= turn.stride <= turn.frames <= MOST_FRAMES and turn.frames % turn.stride == 0
    if not whole or not 0 <= turn.step_s < 1e3 or not 0 <= turn.joined < turn.frames:
        raise ValueError(f"there is no such turn: {told}")
    return turn
