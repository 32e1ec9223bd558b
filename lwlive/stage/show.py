"""The show: one tick after the other. Poll the sources, one picture, put it, tell how it stands.

All of it runs in the stage's main thread, which waits for nothing but its next tick. The clock is
injected. It knows no source and no output by name (see `rig`); those that take time have threads
of their own.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from lwlive.checkpoint import Size
from lwlive.config import Config
from lwlive.stage.clock import Clock
from lwlive.stage.desk import Desk
from lwlive.stage.length import Length
from lwlive.stage.machine import Machine
from lwlive.stage.master import Master, dimmed
from lwlive.stage.parts import Output, Picture, Source
from lwlive.stage.report import Report
from lwlive.stage.supply import Supply
from lwlive.stage.ticks import Ticks
from lwlive.stage.watchdog import SOCKET

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
        self.config, self.desk, self.supply, self.clock = config, desk, supply, clock
        self.sources, self.outputs = sources, outputs
        parts = dict.fromkeys((*sources, *outputs))
        self.report = Report(config, desk, supply, size, started, list(parts), machine, restarts)
        kept = config.state is not None and SOCKET in os.environ
        self.length = Length(config.duration, config.fps, started, kept)
        self._sent = desk.controls.snapshot  # that the engine has, or will
        self._looked_at = self._sent
        self._told = self._sent.version  # of the controls that the sources know
        self._delay_s = config.delay_ms / 1e3
        self._master = Master(desk.controls.snapshot, clock.now() + self._delay_s)
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
                if missed and self.length.begun:
                    self.report.figures.missed(missed)
                self._follow(ticks)

    def statistics(self) -> dict[str, Any]:
        """The figures of the whole run, as the statistics file has them."""
        return self.report.statistics(self.clock.now())

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
        if ticks.seconds != self.supply.host.tick_s:
            self.supply.host.tick_s = ticks.seconds

    def _poll(self, now: float) -> None:
        """Do what sources ask for, and let the engine know."""
        self.desk.poll(now)
        for source in self.sources:
            for arrived in source.poll(now):
                self.desk.do(arrived, source)
        if self.desk.bands is not None:
            self.supply.host.bands = self.desk.bands
        new, asked_at = self.desk.controls.snapshot, self.desk.asked_at
        if new is self._looked_at:
            return
        self._looked_at, self.desk.asked_at = new, None
        if new.sampled != self._sent.sampled:
            self._sent = new
            self.supply.host.send(new, asked_at)

    def _tick(self, n: int, now: float) -> None:
        if n or not self.supply.continues:  # an audience waits: sources start after its picture
            self._poll(now)
        shown = self.supply.tick(now)
        self._hear_engine(now)
        self.report.level = level = self._master.step(
            self.desk.controls.snapshot,
            1 / self.config.fps,
            now + self._delay_s,
            self.supply.host.bands,
        )
        begun = shown is not None and not shown.before
        status = self.report.status(begun, now)
        if shown is not None:
            picture = Picture(dimmed(shown.pixels, level), n, level, shown, status)
            for output in self.outputs:
                if begun or output.on_screen:  # what is of the show before, an audience sees only
                    output.put(picture)
        if shown is not None and begun:
            self.report.showed(shown, self.clock.now())
            self.desk.pictures = True
            if self.length.over(n):
                self.desk.end()
        else:
            self.length.check(self.supply.host.deaths, self.supply.host.trouble, now)
        changes = self.desk.controls.changed(self._told)
        self._told = self.desk.controls.snapshot.version
        for source in self.sources:
            source.tell(status, changes, now)
        if any(output.on_screen for output in self.outputs):
            self.report.window_opened(self.clock.now())

    def _hear_engine(self, now: float) -> None:
        """Take up what a new engine says of itself, and pass on what it has to say."""
        loaded = self.supply.host.loaded
        if loaded is not None and loaded is not self._engine_own:
            self._engine_own = loaded
            self.desk.controls.adopt(loaded.own)
            self._sent = self.desk.controls.snapshot  # which the engine waits for
            self.supply.host.send(self._sent, now)
        while self.supply.host.notes:
            self.desk.say(self.supply.host.notes.popleft())
