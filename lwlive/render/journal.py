"""A journal read: what took effect on which tick.

The format is told in lwlive/stage/journal.py. A journal may come from anybody, so each line is held
against what the show writes. This file knows nothing of torch.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lwlive.checkpoint import FACTOR
from lwlive.params import Config, Params, checked
from lwlive.render.settings import SOURCES, RenderError, regular
from lwlive.stage.journal import Between

LONGEST_LINE = 2**20  # bytes
LEAP_S = 60.0  # between two lines; what is repeated for longer says so
MOST = 10_000_000  # pictures: ninety hours at 30 a second
FAR = 1e9  # keyframes
LARGEST = 16_384  # pixels
DTYPES = ("float32", "bfloat16", "float16")
OWN = tuple(n for n, field in Params.model_fields.items() if field.default is None)


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
    regular(path)
    number, found = 0, None
    params: dict[str, Any] = {}
    try:
        with path.open("rb") as file:
            while (line := file.readline(LONGEST_LINE)).endswith(b"\n"):  # else it is not whole
                number += 1
                told = json.loads(line, parse_constant=_no_number)
                if found is None:
                    found = _begun(told)
                else:
                    _take(found, told, params)
            if len(line) == LONGEST_LINE:
                raise ValueError("it is longer than any that a show writes")
    except OSError as error:
        raise RenderError(f"cannot read the journal {path}: {error.strerror}") from None
    except ValueError as error:
        raise _refused(path, number, _first_line(error)) from None
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise _refused(path, number, "it has another form than those that a show writes") from None
    if found is None:
        raise RenderError(f"{path} is no journal of lwlive: there is no whole line in it")
    if 0 not in found.changes or found.changes[0].begin is None:
        raise RenderError(f"{path} ends before the first picture; there is nothing to render")
    return found


def _refused(path: Path, number: int, why: str) -> RenderError:
    return RenderError(f"{path} is no journal of lwlive: line {max(1, number)}: {why}")


def _first_line(error: Exception) -> str:
    """What is wrong, in one line: pydantic has several."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(error).splitlines())


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number that a show writes")


def _whole(value: Any, low: int, high: int, what: str) -> int:
    """A whole number in its range. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} is a whole number from {low} to {high}, not {str(value)[:40]}")
    return value


def _switch(value: Any, what: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{what} is true or false, not {str(value)[:40]}")
    return value


def _begun(head: dict[str, Any]) -> Performance:
    """A performance of which only the first line is known."""
    sides = head["size"]
    if not isinstance(sides, list) or len(sides) != 2:
        raise ValueError(f"size is a width and a height, not {str(sides)[:40]}")
    width, height = (_whole(side, FACTOR, LARGEST, "a side in pixels") for side in sides)
    if width % FACTOR or height % FACTOR:
        raise ValueError(f"the sides of a picture are multiples of {FACTOR}, not {width}x{height}")
    config = {n: v for n, v in head["config"].items() if n in (*SOURCES, "fps")}
    return Performance(Config(**config), (width, height))


def _take(found: Performance, line: dict[str, Any], params: dict[str, Any]) -> None:
    """One line into the performance. `params`: those in effect, brought up to date."""
    fps = found.config.fps
    tick = _whole(line["tick"], 0, MOST, "tick")
    if tick > found.ticks + LEAP_S * fps:  # it writes a line a second
        raise ValueError(f"tick {tick} does not follow {found.ticks}")
    if "repeat" in line:
        repeat = _whole(line["repeat"], 1, MOST - tick, "repeat")
        found.repeats |= set(range(tick, tick + repeat))
        found.ticks = max(found.ticks, tick + repeat)
    found.ticks = max(found.ticks, tick + 1)
    if line.get("dtype", found.dtype) not in (None, *DTYPES):
        raise ValueError(f"dtype is one of {', '.join(DTYPES)}, not {str(line['dtype'])[:40]}")
    found.dtype = line.get("dtype", found.dtype)
    if not {"begin", "back", "params", "master", "between", "paced", "eased"} & set(line):
        return
    change = found.changes.setdefault(tick, Tick())
    if "begin" in line:
        begin = line["begin"]
        if isinstance(begin, bool) or not isinstance(begin, int | float) or not 0 <= begin <= FAR:
            raise ValueError(f"a phase is a number from 0 to {FAR:g}, not {str(begin)[:40]}")
        change.begin = float(begin)
        if "params" not in line and change.params is None:
            raise ValueError("a walk begins without params")
    change.back += _whole(line.get("back", 0), 0, MOST, "back")
    if "params" in line:
        for name, value in line["params"].items():
            params[name] = None if value is None and name in OWN else checked(name, value)
        change.params = dict(params)
        change.nexts = _whole(line["nexts"], 0, 2**53, "nexts")
    if "between" in line:
        which, stride = line["between"]
        stride = _whole(stride, 1, 2**16, "the stride of an in-between")
        change.between = _whole(which, 0, stride - 1, "the number of an in-between"), stride
    change.paced = _switch(line.get("paced", change.paced), "paced")
    change.eased = _switch(line.get("eased", change.eased), "eased")
    if "master" in line:
        change.master = {n: checked(n, value) for n, value in line["master"].items()}
