"""The state of a show: what the next one needs to continue where this one stopped.

Values, routes, phase and cue are written once a minute, when the cue changes and at the end; whole
or not at all, and aside (see `disk`). A state that cannot be read, or that belongs to other
settings, is left out with a sentence. This file knows nothing of engines.

The state file is JSON. Beside it are FILE.pictures, the last pictures (lastseen.py), and
FILE.starts, which counts starts that failed (starts.py).
"""

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lwlive import __version__, files
from lwlive.params import ControlError, Params, spec
from lwlive.ring import Pixels
from lwlive.routes import Routes, checked, table
from lwlive.seeds import FIRST_PHASE
from lwlive.stage import lastseen
from lwlive.stage.disk import Disk
from lwlive.stage.lastseen import Recent
from lwlive.stage.parts import Output, Picture
from lwlive.stage.starts import WELL_S, Starts
from lwlive.stage.status import Status

EVERY_S = 60.0
PICTURES_S = 600.0  # between two writings of the last pictures, which are larger
RETRY_S = 10.0  # after a state that could not be written
MOST_BYTES = 2**20
LATEST = 3e10  # seconds since 1970: in 2920; dates end soon after that on some systems
LEFT_OUT = ("record",)  # what a show records, its own settings say
_DAMAGED = (  # what may be raised where a file is another one than was written
    *(ControlError, ValueError, TypeError, KeyError),
    *(AttributeError, OverflowError, RecursionError),
)


@dataclass(frozen=True)
class State:
    """What a show was when it was last heard of."""

    values: Mapping[str, object]
    routes: Routes = ()
    phase: float = 0.0
    cue: str | None = None
    settings: Mapping[str, object] | None = None  # the values it was started with
    restarts: int = 0  # of shows that did not end in order, since one that did
    ended: bool = False  # it ended in order
    at: float = 0.0  # seconds since 1970


class StateError(ValueError):
    """A state file is not what was written. The message says why."""


def read(path: Path) -> State | None:
    """The state in a file, None where there is no file. Raises StateError or OSError."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > MOST_BYTES:
        raise StateError("it is larger than a megabyte")
    try:
        found = json.loads(data)
        values = {n: spec(n).checked(v) for n, v in found["values"].items() if v is not None}
        routes = tuple(checked(row, number) for number, row in found["routes"])
        cue, phase, at = found["cue"], float(found["phase"]), float(found["at"])
        restarts, ended = int(found["restarts"]), bool(found["ended"])
        settings = dict(found["settings"])
    except _DAMAGED as error:
        raise StateError(f"it is damaged: {str(error) or type(error).__name__:.200}") from None
    named = cue is None or isinstance(cue, str)
    if not (FIRST_PHASE <= phase < 1e12 and named and 0 <= restarts < 1e9 and 0 <= at < LATEST):
        raise StateError("it is damaged: its phase, cue, restarts or time cannot be")
    return State(values, routes, phase, cue, settings, restarts, ended, at)


def taken_up(path: Path, settings: Params, say: Callable[[str], None]) -> State:
    """The state to continue from: an empty one where there is none that serves.

    settings: the values that the show is started with. Where they are others than the last show's,
    somebody has changed them, and they win.
    """
    fresh = State({}, settings=told(settings))
    try:
        found = read(path)
    except (StateError, OSError) as error:
        say(f"the state in {path} is not taken up: {getattr(error, 'strerror', None) or error}")
        return fresh
    if found is None:
        return fresh
    restarts = 0 if found.ended else found.restarts + 1
    if found.settings != fresh.settings:
        say(f"the settings have changed since {path} was written, so the show starts with them")
        return State({}, settings=fresh.settings, restarts=restarts, at=found.at)
    return State(
        found.values, found.routes, found.phase, found.cue, found.settings, restarts, at=found.at
    )


def pictures_of(path: Path) -> Path:
    """Where the last pictures of a show with this state are."""
    return path.with_name(f"{path.name}.pictures")


def told(params: Params) -> dict[str, object]:
    """The values as a state has them."""
    return {name: value for name, value in asdict(params).items() if name not in LEFT_OUT}


class Keeper(Output):
    """Writes the state of one show."""

    name = "state"

    def __init__(
        self,
        path: Path,
        begun: State,
        say: Callable[[str], None],
        disk: Disk | None = None,
        starts: Starts | None = None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._starts, self._end = starts, end
        self._recent = Recent()
        self._pictures_at = math.inf  # when the last pictures are written again
        self._well_at = math.inf  # when the start counts as good
        self._path, self._begun, self._say = path, begun, say
        self._disk = disk or Disk(say)
        self._cue = begun.cue
        self._next: float | None = None  # when it is written again
        self._busy = self._failing = self._good = False
        self._last: Status | None = None
        self._writing = threading.Lock()  # held by whoever writes; guards the next
        self._over = False  # the last state is written

    def put(self, picture: Picture) -> None:
        """Write the state, where it is time."""
        self._last = status = picture.status
        self._recent.add(picture.shown.pixels, status.now)  # the next show dims them itself
        self._disk.poll(status.now)
        if self._next is None:
            self._next = status.now  # the first is written with the first picture
            self._well_at = status.now + WELL_S
        if status.now >= self._well_at and not self._busy:
            self._well_at, self._next = math.inf, status.now
            self._pictures_at = status.now
            self._good = True
        if self._good and self._starts is not None and self._starts.over():
            self._end()  # and is started again, with everything
        if _cue(status) != self._cue or status.now >= self._next:
            self._write(status)

    def close(self) -> None:
        """The show ends in order: the last state is written here, as far as the disk allows."""
        if self._last is not None:
            self._job(self._last, self._recent.pictures(), ended=True)

    def _write(self, status: Status) -> None:
        if self._busy:
            return
        self._busy, self._cue, self._next = True, _cue(status), status.now + EVERY_S
        pictures: list[Pixels] = []
        if status.now >= self._pictures_at:
            self._pictures_at = status.now + PICTURES_S
            pictures = self._recent.pictures()
        try:
            self._disk.do(
                "the state of the show",
                lambda: self._job(status, pictures),
                self._done,
                self._failed,
            )
        except ControlError:  # the disk does not answer, which it says itself
            self._busy = False

    def _job(
        self, status: Status, pictures: Sequence[Pixels] = (), ended: bool = False
    ) -> str | None:
        """Write it; why that failed. In a thread of its own, but at the end."""
        with self._writing:
            if self._over:
                return None
            self._over = ended
            return self._written(status, pictures, ended)

    def _written(self, status: Status, pictures: Sequence[Pixels], ended: bool) -> str | None:
        if self._good and self._starts is not None and self._starts.record.step:
            self._starts.well()
        routes = [(route.number, table(route)) for route in status.routes]
        state = {
            "lwlive": __version__,
            "values": told(status.params),
            "routes": routes,
            "phase": status.phase,
            "cue": _cue(status),
            "settings": self._begun.settings,
            "restarts": self._begun.restarts,
            "ended": ended,
            "at": time.time(),
        }
        try:
            files.write(self._path, json.dumps(state, indent=1).encode())
            lastseen.write(pictures_of(self._path), list(pictures))
        except OSError as error:
            return f"{error.strerror or error}"
        return None

    def _done(self, failed: Any) -> None:
        self._busy = False
        if failed is None and self._failing:
            self._say(f"the state of the show is written again, into {self._path}")
        elif failed is not None:
            self._failed(f"the state of the show cannot be written into {self._path}: {failed}")
            return
        self._failing = False

    def _failed(self, why: str) -> None:
        self._busy = False
        self._next = (self._next or 0.0) - EVERY_S + RETRY_S
        if not self._failing:
            self._failing = True
            self._say(f"{why}; it is tried again")


def _cue(status: Status) -> str | None:
    """The name of the cue that is on."""
    return status.cue.name if status.cue is not None else None
