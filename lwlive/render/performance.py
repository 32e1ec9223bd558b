"""A performance: its journal read, and what took effect on which tick.

The format is described in lwlive/journalfile.py. A journal may come from anybody, so each line is
held against what the show writes. This file knows nothing of torch.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lwlive import routes
from lwlive.changes import LONGEST_S
from lwlive.checkpoint import Size
from lwlive.config import Config
from lwlive.journalfile import FORMAT
from lwlive.messages import Turn
from lwlive.params import SPECS, spec, within
from lwlive.render.settings import SOURCES, RenderError, regular
from lwlive.routes import SILENCE, Routes
from lwlive.seeds import FIRST_PHASE
from lwlive.snapshot import EASED
from lwlive.tempo import UNTOLD, Tempo

LONGEST_LINE = 2**20  # bytes
LEAP_S = 60.0  # between two lines; what is repeated for longer says so
MOST = 10_000_000  # pictures: ninety hours at 30 a second
FAR = 1e9  # keyframes
LARGEST = 16_384  # pixels
DTYPES = ("float32", "bfloat16", "float16")
MOST_FRAMES = 4096  # of a turn
LONGEST_STEP_S = 1e3  # from frame to frame
OWN = tuple(name for name, each in SPECS.items() if each.default is None)


@dataclass
class Tick:
    """What a tick brought. `params` and `master` are whole, None where nothing changed."""

    begin: float | None = None  # a walk begins at this phase
    at: int | None = None  # which frame of a turn that begins, None where it follows
    turn: Turn | None = None  # how that turn was made
    nexts: int = 0
    params: dict[str, Any] | None = None
    tempo: Tempo = UNTOLD  # these two with `params`
    routes: Routes = ()
    level: float | None = None  # of the master from here on, where `levelled`; None: its own
    levelled: bool = False
    master: dict[str, Any] | None = None
    over: dict[str, float] = field(default_factory=dict)  # of `params`: see `Snapshot`
    master_over: dict[str, float] = field(default_factory=dict)


@dataclass
class Performance:
    """A show as its journal tells it."""

    config: Config
    size: Size
    ticks: int = 0  # pictures, repeated ones included
    changes: dict[int, Tick] = field(default_factory=dict)
    repeats: set[int] = field(default_factory=set)
    dtype: str | None = None


def read(path: Path) -> Performance:
    """Read a journal up to its last whole line. Raises RenderError."""
    regular(path)
    number, found, reading = 0, None, _Reading()
    try:
        with path.open("rb") as file:
            while (line := file.readline(LONGEST_LINE)).endswith(b"\n"):  # else it is not whole
                number += 1
                told = json.loads(line, parse_constant=_no_number)
                if found is None:
                    found = _begun(path, told)
                else:
                    _take(found, told, reading)
            if len(line) == LONGEST_LINE:
                raise ValueError("it is longer than any that a show writes")
    except OSError as error:
        raise RenderError(f"cannot read the journal {path}: {error.strerror}") from None
    except RenderError:
        raise
    except ValueError as error:
        raise _refused(path, number, _first_line(error)) from None
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise _refused(path, number, "it has another form than those that a show writes") from None
    if found is None:
        raise RenderError(f"{path} is no journal of lwlive: there is no whole line in it")
    if 0 not in found.changes or found.changes[0].begin is None or 0 in found.repeats:
        raise RenderError(f"{path} ends before the first picture; there is nothing to render")
    return found


def _refused(path: Path, number: int, why: str) -> RenderError:
    return RenderError(f"{path} is no journal of lwlive: line {max(1, number)}: {why}")


def _first_line(error: Exception) -> str:
    """What is wrong, in one line: pydantic has several."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return _short(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", 300)
    return _short(" ".join(str(error).splitlines()), 300)


def _short(value: object, most: int = 40) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number that a show writes")


def _whole(value: Any, low: int, high: int, what: str) -> int:
    """A whole number in its range. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} is a whole number from {low} to {high}, not {_short(value)}")
    return value


@dataclass
class _Reading:
    """What is in effect where a journal is being read."""

    params: dict[str, Any] = field(default_factory=dict)
    turn: Turn = field(default_factory=Turn)
    tempo: Tempo = UNTOLD
    routes: Routes = ()
    over: dict[str, float] = field(default_factory=dict)
    master_over: dict[str, float] = field(default_factory=dict)


def _begun(path: Path, head: dict[str, Any]) -> Performance:
    """A performance of which only the first line is known."""
    if "lwlive" in head and head.get("journal") != FORMAT:
        raise RenderError(
            f"{path} was written by another version of lwlive ({_short(head['lwlive'])!r}), which "
            "can render it; this one cannot"
        )
    sides = head["size"]
    if not isinstance(sides, list) or len(sides) != 2:
        raise ValueError(f"size is a width and a height, not {_short(sides)}")
    width, height = (_whole(side, 1, LARGEST, "a side in pixels") for side in sides)
    config = {n: v for n, v in head["config"].items() if n in (*SOURCES, "fps")}
    return Performance(Config(**config), Size(width, height))


def _take(found: Performance, line: dict[str, Any], reading: _Reading) -> None:
    """One line into the performance, and what is in effect brought up to date."""
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
        raise ValueError(f"dtype is one of {', '.join(DTYPES)}, not {_short(line['dtype'])}")
    found.dtype = line.get("dtype", found.dtype)
    if not {"begin", "at", "turn", "params", "master", "level"} & set(line):
        return
    change = found.changes.setdefault(tick, Tick())
    if "at" in line:
        reading.turn = _turn(reading.turn, line.get("turn", {}))
        change.turn = reading.turn
        change.at = _whole(line["at"], reading.turn.joined, reading.turn.frames - 1, "at")
    elif {"begin", "turn", "params"} & set(line):
        raise ValueError("it does not say at which frame of a turn it is")
    if "params" in line:
        for name, value in line["params"].items():
            own = value is None and name in OWN
            reading.params[name] = None if own else spec(name).checked(value)
        change.params = dict(reading.params)
        change.nexts = _whole(line["nexts"], 0, 2**53, "nexts")
        if "tempo" in line:
            reading.tempo = _tempo(line["tempo"])
        if "routes" in line:
            reading.routes = routes.from_tables(line["routes"])
        change.tempo, change.routes = reading.tempo, reading.routes
        if "begin" in line or "over" in line:
            reading.over = _over(line.get("over", {}))
        change.over = reading.over
    if "begin" in line:
        change.begin = _number(line["begin"], FAR, "a phase", FIRST_PHASE)
        if change.params is None:
            raise ValueError("a walk begins without params")
        if (reading.turn.joined + 1) % reading.turn.stride:
            raise ValueError("a walk begins with an in-between")
    if "level" in line:
        told = line["level"]
        change.level = None if told is None else _number(told, 1, "the master's level")
        change.levelled = True
    if "master" in line:
        change.master = {n: spec(n).checked(value) for n, value in line["master"].items()}
        reading.master_over = _over(line.get("over", reading.master_over))
        change.master_over = reading.master_over


def _over(told: dict[str, Any]) -> dict[str, float]:
    """Seconds that parameters take. Raises ValueError."""
    for name in told:
        if name not in EASED:
            spec(name)
    return {name: _number(s, LONGEST_S, "seconds of over") for name, s in told.items()}


def _number(value: Any, high: float, what: str, low: float = 0.0) -> float:
    """A number in its range. Raises ValueError."""
    if not within(value, low, high):
        raise ValueError(f"{what} is a number from {low:g} to {high:g}, not {_short(value)}")
    return float(value)


def _turn(before: Turn, told: dict[str, Any]) -> Turn:
    """How a turn was made, from what differs from the one before. Raises ValueError, TypeError."""
    turn = replace(before, **told)
    frames = _whole(turn.frames, 1, MOST_FRAMES, "frames of a turn")
    stride = _whole(turn.stride, 1, frames, "the stride of a turn")
    if frames % stride:
        raise ValueError(f"a turn of {frames} frames has no stride of {stride}")
    _whole(turn.joined, 0, frames - 1, "joined")
    for name in ("behind", "paced", "free", "lone"):
        if not isinstance(getattr(turn, name), bool):
            raise ValueError(f"{name} is true or false, not {_short(getattr(turn, name))}")
    if not isinstance(turn.bands, list | tuple) or len(turn.bands) != len(SILENCE):
        raise ValueError(f"bands are {len(SILENCE)} numbers, not {_short(turn.bands)}")
    return replace(
        turn,
        step_s=_number(turn.step_s, LONGEST_STEP_S, "step_s"),
        due=_number(turn.due, FAR, "due"),
        every_s=_number(turn.every_s, LONGEST_STEP_S, "every_s"),
        bands=tuple(_number(band, 1, "a band") for band in turn.bands),
    )


def _tempo(told: dict[str, Any]) -> Tempo:
    """Raises ValueError, TypeError."""
    tempo = Tempo(**told)
    spec("bpm").checked(tempo.bpm)
    for what in (tempo.beat, tempo.at, tempo.floor or 0.0):
        _number(abs(what), FAR, "a beat or its second")
    if not isinstance(tempo.by, str):
        raise ValueError(f"who keeps the tempo is a text, not {_short(tempo.by)}")
    return tempo
