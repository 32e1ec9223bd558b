"""The report: how a show stands at one tick, and what came of it at its end.

Used by the show's thread. It asks desk, supply and parts, and counts what was shown; it changes
none of them.
"""

from collections.abc import Sequence
from typing import Any

from lwlive.checkpoint import Size
from lwlive.config import Config
from lwlive.params import SPECS
from lwlive.routes import modulated
from lwlive.stage import memory
from lwlive.stage.desk import Desk
from lwlive.stage.figures import Figures
from lwlive.stage.machine import Look, Machine
from lwlive.stage.parts import Part
from lwlive.stage.status import Status, statistics
from lwlive.stage.supply import Shown, Supply

SETTLED_S = 1.0  # after the first picture, memory is looked at for the first time


class Report:
    """Tells of one show. started: by the show's clock; restarts: of shows before this one."""

    def __init__(
        self,
        config: Config,
        desk: Desk,
        supply: Supply,
        size: Size,
        started: float,
        parts: Sequence[Part],
        machine: Machine | None = None,
        restarts: int = 0,
    ) -> None:
        self._config, self._desk, self._supply, self._size = config, desk, supply, size
        self._started, self._asked = started, parts
        self._machine, self._restarts = machine, restarts
        self.figures = Figures(config.fps)
        self.level = 1.0  # of the master on the last tick
        self._first_at: float | None = None  # when the first picture was out
        self._rss_start: float | None = None

    def showed(self, shown: Shown, now: float) -> None:
        """A picture is out."""
        self.figures.showed(shown, now, now - self._started, self._config.delay_ms / 1e3)
        if self._first_at is None:
            self._first_at = now
        if self._rss_start is None and now - self._first_at > SETTLED_S:
            self._rss_start = memory.resident_mb(self._supply.host.pid)

    def window_opened(self, now: float) -> None:
        """There is a window; only the first time counts."""
        if self.figures.window_s is None:
            self.figures.window_s = now - self._started

    def status(self, pictures: bool, now: float) -> Status:
        """How things stand. pictures: whether the show has one of its own."""
        desk = self._desk
        snapshot = desk.controls.snapshot
        return Status.taken(
            snapshot.params,
            self._config.model,
            self.figures,
            self._supply,
            self._parts(),
            now=now,
            since_start_s=now - self._started,
            level=self.level,
            notice=desk.notices.current(now),
            tempo=snapshot.tempo,
            routes=snapshot.routes,
            outputs=desk.switches.levels,
            snapshots=desk.snapshots,
            over=snapshot.over,
            moved=self._moved(now),
            learning=desk.learning,
            preset=desk.preset,
            cue=desk.cues.standing(now) if desk.cues is not None else None,
            bands=desk.bands,
            restarts=self._restarts,
            machine=Look() if self._machine is None else self._machine.now,
            pictures=pictures,
        )

    def statistics(self, now: float) -> dict[str, Any]:
        """The figures of the whole run, as the statistics file has them."""
        rss = self._rss_start, memory.resident_mb(self._supply.host.pid)
        status = self.status(self._first_at is not None, now)
        return statistics(status, self._size, self.figures, self._supply, rss)

    def _moved(self, now: float) -> dict[str, float]:
        """Where the routes have each fader that they move, 0 to 1."""
        snapshot = self._desk.controls.snapshot
        if not snapshot.routes:
            return {}
        seen, bands = now + self._config.delay_ms / 1e3, self._supply.host.bands
        moved = modulated(snapshot.params, snapshot.routes, seen, snapshot.tempo, bands)
        values = {route.name: getattr(moved, route.name) for route in snapshot.routes}
        return {n: SPECS[n].position(v) for n, v in values.items() if v is not None}

    def _parts(self) -> dict[str, Any]:
        """What sources and outputs say of themselves, by name."""
        said = {part.name: part.summary() for part in self._asked}
        return {name: summary for name, summary in said.items() if summary is not None}
