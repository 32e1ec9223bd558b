"""A journal read: what took effect on which tick.

The format is told in lwlive/stage/journal.py. This file knows nothing of torch.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lwlive.config import Config
from lwlive.params import ControlError, checked
from lwlive.render.settings import SOURCES, RenderError
from lwlive.stage.journal import Between


@dataclass
class Tick:
    """What a tick brought. `params` and `master` are whole, None where nothing changed."""

    begin: float | None = None  # a walk begins at this phase
    back: int = 0
    nexts: int = 0
    between: Between | None = None  # None where it follows from the frame before
    paced: bool | None = None
    eased: bool | None = None
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
        config = {n: v for n, v in head["config"].items() if n in (*SOURCES, "fps")}
        found = Performance(Config(**config), (int(width), int(height)))
        params: dict[str, Any] = {}
        for line in lines[1:]:
            number += 1
            _take(found, json.loads(line), params)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ControlError) as error:
        raise RenderError(f"{path} is no journal of lwlive: line {number + 1}: {error}") from None
    if 0 not in found.changes or found.changes[0].begin is None:
        raise RenderError(f"{path} ends before the first picture; there is nothing to render")
    return found


def _take(found: Performance, line: dict[str, Any], params: dict[str, Any]) -> None:
    """One line into the performance. `params`: those in effect, brought up to date."""
    tick = int(line["tick"])
    found.ticks = max(found.ticks, tick + int(line.get("repeat", 1)))
    if "repeat" in line:
        found.repeats |= set(range(tick, tick + int(line["repeat"])))
    found.dtype = line.get("dtype", found.dtype)
    if not {"begin", "back", "params", "master", "between", "paced", "eased"} & set(line):
        return
    change = found.changes.setdefault(tick, Tick())
    change.begin = line.get("begin", change.begin)
    change.back += int(line.get("back", 0))
    if "params" in line:
        for name, value in line["params"].items():
            params[name] = None if value is None else checked(name, value)
        change.params, change.nexts = dict(params), int(line["nexts"])
    if "between" in line:
        which, stride = line["between"]
        if not 0 <= which < stride:
            raise ValueError("there is no such in-between")
        change.between = int(which), int(stride)
    change.paced = line.get("paced", change.paced)
    change.eased = line.get("eased", change.eased)
    if "master" in line:
        change.master = {n: checked(n, value) for n, value in line["master"].items()}
