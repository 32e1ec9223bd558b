"""The journal: what was performed, as JSON lines, so that it can be rendered again.

| thread | runs | may wait for |
|---|---|---|
| the show's | `Journal(...)`, `put`, `tick`, `close` | `close`: a second at most, nothing else |

The file has a thread of its own (lines.py). A journal that is lost begins again in another file,
as its lines tell only what changes; each one can be rendered. Its lines are described
in lwlive/journalfile.py. The journal knows nothing of the walk.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lwlive import __version__
from lwlive.checkpoint import Size
from lwlive.config import Config
from lwlive.journalfile import FORMAT, MASTER, alike, following
from lwlive.messages import Turn
from lwlive.params import SAMPLED, ControlError, Params
from lwlive.routes import tables
from lwlive.snapshot import EASED, Snapshot
from lwlive.stage.master import Master
from lwlive.stage.outputs.lines import Lines
from lwlive.stage.parts import Output, Picture
from lwlive.stage.supply import Shown

log = logging.getLogger(__name__)

CLOSE_S = 1.0
ABOUT = "the journal"


class Journal(Output):
    """Writes the journal of one show. Raises ControlError where the file cannot be opened.

    waits: its place may be away. It is opened as soon as that is there, and misses nothing.
    """

    name = "journal"

    def __init__(
        self,
        path: Path,
        config: Config,
        size: Size,
        say: Callable[[str], None] = log.warning,
        waits: bool = False,
    ) -> None:
        self._say = say
        try:
            self._lines = Lines(path, ABOUT, later=waits)
        except OSError as error:
            raise ControlError(f"--journal: cannot write {path}: {error.strerror}") from None
        self._config, self._size = config.model_dump(mode="json"), size
        self._begin()

    def _begin(self) -> None:
        """The first line, and nothing told yet."""
        self._params: dict[str, Any] = {}
        self._master: dict[str, Any] = {}
        self._over: dict[str, float] = {}  # of the walk; `_master_over`: of the stage
        self._master_over: dict[str, float] = {}
        self._version = -1
        self._engine = -1  # number of the engine whose walk this is
        self._dtype: str | None = None
        self._at, self._turn = 0, Turn()  # of the frame before, as a reader knows them
        self._told = Turn()  # the turn told last
        self._timed: dict[str, Any] = {}  # the tempo and the routes told last
        self._master_alone: Master | None = None
        self._mastered = Snapshot(0, Params())  # its controls on the tick before
        self._level_told: float | None = None
        self._first: int | None = None
        self._last = 0
        self._second = 0
        self._put(lwlive=__version__, journal=FORMAT, config=self._config, size=self._size)

    def put(self, picture: Picture) -> None:
        """Write what was shown on a tick, and say where that has failed."""
        status = picture.status
        self.tick(
            picture.tick,
            picture.shown,
            status.params,
            status.starts,
            status.dtype,
            status.fps_target,
            picture.level,
            status.over,
        )
        while news := self._lines.news():
            self._say(news)
        if self._lines.over:
            try:
                lines = Lines(self._lines.path, ABOUT, later=True)
            except RuntimeError:  # no memory for a thread, or too many: with the next picture
                return
            self._lines.close(0.0)
            self._lines = lines
            self._begin()

    def tick(
        self,
        n: int,
        shown: Shown,
        params: Params,
        engine: int,
        dtype: str | None,
        fps: float,
        level: float,
        over: Mapping[str, float],
    ) -> None:
        """What was shown on tick n.

        engine: how many were started; params: the present ones; level: of the master; over: see
        `Snapshot`.
        """
        if self._first is None:
            self._first, self._last = n, n - 1
        now = n - self._first
        if n - self._last > 1:
            self._put(tick=self._last + 1 - self._first, repeat=n - self._last - 1)
        missed, self._last = n - self._last - 1, n
        if shown.frame is None:
            self._put(tick=now, repeat=1)
        else:
            self._frame(now, shown, engine)
        master = {name: getattr(params, name) for name in MASTER}
        seconds = {name: over[name] for name in MASTER if name in over}
        if (master, seconds) != (self._master, self._master_over):
            told = {"over": seconds} if seconds != self._master_over else {}
            self._master, self._master_over = master, seconds
            self._put(tick=now, master=master, **told)
        self._level(now, Snapshot(0, params, over=seconds), level, missed, fps)
        if dtype is not None and dtype != self._dtype:
            self._dtype = dtype
            self._put(tick=now, dtype=dtype)
        if int(now / fps) > self._second:
            self._second = int(now / fps)
            self._put(tick=now)

    def _frame(self, now: int, shown: Shown, engine: int) -> None:
        frame, snapshot = shown.frame, shown.snapshot
        assert frame is not None
        assert snapshot is not None
        line: dict[str, Any] = {}
        if engine != self._engine:
            self._engine, self._params, self._at, self._over = engine, {}, -1, {}
            line["begin"] = frame.phase
        ended = self._at + 1 == self._turn.frames
        expected = following(self._turn) if ended else self._turn
        new = frame.version != self._version or "begin" in line
        if new or frame.at != (0 if ended else self._at + 1) or not alike(frame.turn, expected):
            line["at"] = frame.at
            old = asdict(self._told)
            line["turn"] = {n: v for n, v in asdict(frame.turn).items() if v != old[n]}
            self._told = expected = frame.turn
        self._at, self._turn = frame.at, expected
        if new:
            self._version = frame.version
            values = {name: getattr(snapshot.params, name) for name in SAMPLED}
            before = self._params
            line |= {
                "nexts": snapshot.nexts,
                "params": {k: v for k, v in values.items() if k not in before or before[k] != v},
            }
            self._params = values
            timed = {"tempo": asdict(snapshot.tempo), "routes": tables(snapshot.inner)}
            line |= {k: v for k, v in timed.items() if v != self._timed.get(k)}
            self._timed = timed
            over = {name: snapshot.over[name] for name in EASED if name in snapshot.over}
            if over != self._over:
                self._over = line["over"] = over
        if line:
            self._put(tick=now, **line)

    def _level(self, now: int, controls: Snapshot, level: float, missed: int, fps: float) -> None:
        """Tell the master's level while it is another one than its parameters alone make."""
        if self._master_alone is None:
            self._master_alone, self._mastered = Master(controls), controls
        if missed:  # a fade is a straight line: one long step ends where the short ones do
            self._master_alone.step(self._mastered, missed / fps)
        self._mastered = controls
        alone = self._master_alone.step(controls, 1 / fps)
        shown = round(256 * level)
        told = None if shown == round(256 * alone) else shown / 256
        if told != self._level_told:
            self._level_told = told
            self._put(tick=now, level=told)

    def close(self) -> None:
        """Write what is left, for a second at most."""
        if self._first is not None:
            self._put(tick=self._last - self._first)
        self._lines.close(CLOSE_S)

    def _put(self, **line: Any) -> None:
        self._lines.put(json.dumps(line, ensure_ascii=False))
