"""The show: one tick after the other. Poll the sources, one picture, put it, tell how it stands.

All of it runs in the stage's main thread, which waits for nothing but its next tick. The clock is
injected. It knows no source and no output by name (see `rig`); those that take time have threads
of their own.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from lwlive.checkpoint import Size
from lwlive.config import Config
from lwlive.params import SPECS
from lwlive.routes import modulated
from lwlive.stage import memory
from lwlive.stage.clock import Clock
from lwlive.stage.desk import Desk
from lwlive.stage.figures import Figures
from lwlive.stage.machine import Look, Machine
from lwlive.stage.master import Master, dimmed
from lwlive.stage.parts import Output, Picture, Source
from lwlive.stage.status import Status, statistics
from lwlive.stage.supply import EngineFailure, Shown, Supply
from lwlive.stage.ticks import Ticks

POLL_S = 0.005  # between two looks at the sources


class Show:
    """One run, from the first tick to the last."""

    def __init__(
        self,
        config: Config,
        desk: Desk,
        supply: Supply,
        size: Size,
        clock: Clock,
        started: float,
        sources: Sequence[Source],
        outputs: Sequence[Output],
        machine: Machine | None = None,
        restarts: int = 0,
    ) -> None:
        self.config, self.desk, self.supply, self.size = config, desk, supply, size
        self.clock, self.started = clock, started
        self.sources, self.outputs = sources, outputs
        self.machine, self.restarts = machine, restarts
        self.figures = Figures(config.fps)
        self._sent = desk.controls.snapshot  # that the engine has, or will
        self._looked_at = self._sent
        self._told = self._sent.version  # of the controls that the sources know
        self._delay_s = config.delay_ms / 1e3
        self._master = Master(desk.controls.snapshot, clock.now() + self._delay_s)
        self._level = 1.0  # of the master on the last tick
        self._first: tuple[int, float] | None = None  # tick and time of the first picture
        self._rss_start: float | None = None
        self._engine_own: object = None

    def run(self) -> None:
        """Tick until the end. Raises EngineFailure."""
        ticks = Ticks(self.config.fps, self.clock.now())
        with ExitStack() as stack:
            for part in dict.fromkeys((*self.sources, *self.outputs)):
                stack.callback(part.close)
            while not self.desk.ended:
                self._await(ticks.due)
                self._tick(ticks.number, self.clock.now())
                missed = ticks.done(self.clock.now())
                if missed and self._first is not None:
                    self.figures.missed(missed)
                self._follow(ticks)

    def _await(self, due: float) -> None:
        """Wait for a tick. Meanwhile controls go down to the engine as they come."""
        while (now := self.clock.now()) < due - POLL_S and not self.desk.ended:
            self._poll(now)
            self.clock.sleep_until(min(due, now + POLL_S))
        self.clock.sleep_until(due)

    def _follow(self, ticks: Ticks) -> None:
        """Keep the monitor's time, where an output knows it, and let the engine know."""
        rates = (output.refresh_hz for output in self.outputs)
        ticks.follow(next((hz for hz in rates if hz is not None), None))
        if ticks.seconds != self.supply.tick_s:
            self.supply.tick_s = ticks.seconds

    def _poll(self, now: float) -> None:
        """Do what sources ask for."""
        self.desk.poll(now)
        for source in self.sources:
            for arrived in source.poll(now):
                self.desk.do(arrived, source)
        if self.desk.bands is not None:
            self.supply.bands = self.desk.bands
        self._send()

    def _tick(self, n: int, now: float) -> None:
        self._poll(now)
        shown = self.supply.tick(now)
        self._hear_engine(now)
        self._level = level = self._master.step(
            self.desk.controls.snapshot, 1 / self.config.fps, now + self._delay_s, self.supply.bands
        )
        begun = shown is not None and not shown.before
        status = self._status(begun, now)
        if shown is not None:
            picture = Picture(dimmed(shown.pixels, level), n, level, shown, status)
            for output in self.outputs:
                if begun or output.on_screen:  # what is of the show before, an audience sees only
                    output.put(picture)
        if shown is not None and begun:
            self._count(shown, n)
        else:
            self._give_up(now)
        changes = self.desk.controls.changed(self._told)
        self._told = self.desk.controls.snapshot.version
        for source in self.sources:
            source.tell(status, changes, now)
        if self.figures.window_s is None and any(output.on_screen for output in self.outputs):
            self.figures.window_s = self.clock.now() - self.started

    def _send(self) -> None:
        """What the engine needs to know goes down to it."""
        new, asked_at = self.desk.controls.snapshot, self.desk.asked_at
        if new is self._looked_at:
            return
        self._looked_at, self.desk.asked_at = new, None
        if new.sampled != self._sent.sampled:
            self._sent = new
            self.supply.send(new, asked_at)

    def _hear_engine(self, now: float) -> None:
        loaded = self.supply.loaded
        if loaded is not None and loaded is not self._engine_own:
            self._engine_own = loaded
            self.desk.controls.adopt(loaded.own)
            self._sent = self.desk.controls.snapshot  # which the engine waits for
            self.supply.send(self._sent, now)
        while self.supply.notes:
            self.desk.say(self.supply.notes.popleft())

    def _count(self, shown: Shown, n: int) -> None:
        """Once the picture is out: the counting, the end."""
        now = self.clock.now()
        self.figures.showed(shown, now, now - self.started, self._delay_s)
        if self._first is None:
            self._first = n, now
            self.desk.pictures = True
        first, first_at = self._first
        if self._rss_start is None and now - first_at > 1.0:
            self._rss_start = memory.resident_mb(self.supply.pid)
        duration = self.config.duration
        if duration is not None and n + 1 - first >= round(duration * self.config.fps):
            self.desk.end()

    def _give_up(self, now: float) -> None:
        """End a show that was to be over by now, and whose engines die before the first picture.

        Raises EngineFailure. Without a duration they are started again for ever.
        """
        duration = self.config.duration
        if duration is not None and self.supply.deaths and now - self.started >= duration:
            raise EngineFailure(
                f"no picture in {now - self.started:.0f} seconds; {self.supply.trouble}"
            )

    def _status(self, pictures: bool, now: float) -> Status:
        return Status.taken(
            self.desk.controls.params,
            self.config.model,
            self.figures,
            self.supply,
            self._parts(),
            now=now,
            since_start_s=now - self.started,
            level=self._level,
            notice=self.desk.notices.current(now),
            tempo=self.desk.controls.snapshot.tempo,
            routes=self.desk.controls.snapshot.routes,
            outputs=self.desk.switches.levels,
            snapshots=self.desk.snapshots,
            over=self.desk.controls.snapshot.over,
            moved=self._moved(now),
            learning=self.desk.learning,
            preset=self.desk.preset,
            cue=self.desk.cues.standing(now) if self.desk.cues is not None else None,
            bands=self.desk.bands,
            restarts=self.restarts,
            machine=Look() if self.machine is None else self.machine.now,
            pictures=pictures,
        )

    def _moved(self, now: float) -> dict[str, float]:
        """Where the routes have each fader that they move, 0 to 1."""
        controls = self.desk.controls.snapshot
        if not controls.routes:
            return {}
        now, bands = now + self._delay_s, self.supply.bands
        moved = modulated(controls.params, controls.routes, now, controls.tempo, bands)
        names = {route.name for route in controls.routes}
        values = {name: getattr(moved, name) for name in names}
        return {n: SPECS[n].position(v) for n, v in values.items() if v is not None}

    def _parts(self) -> dict[str, Any]:
        """What sources and outputs say of themselves, by name."""
        said = {part.name: part.summary() for part in (*self.sources, *self.outputs)}
        return {name: summary for name, summary in said.items() if summary is not None}

    def statistics(self) -> dict[str, Any]:
        """The figures of the whole run, as the statistics file has them."""
        rss = self._rss_start, memory.resident_mb(self.supply.pid)
        status = self._status(self._first is not None, self.clock.now())
        return statistics(status, self.size, self.figures, self.supply, rss)
