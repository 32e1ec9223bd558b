"""The show: one tick after the other, controls in, a picture out, until it ends.

All of it runs in the stage's main thread, which waits for nothing but its next tick. The clock is
injected. The recorder and OSC have threads of their own (see there).
"""

import json
import logging
import platform
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from lwlive import __version__, preset
from lwlive.movie import RecordError
from lwlive.params import SAMPLED, Config, ControlError, Controls, bounds, kind
from lwlive.ring import Pixels
from lwlive.stage import hud, memory
from lwlive.stage.figures import Figures
from lwlive.stage.journal import Journal
from lwlive.stage.master import Master, dimmed
from lwlive.stage.osc import Osc, OscError
from lwlive.stage.recorder import free_path
from lwlive.stage.supply import EngineFailure, Shown, Supply
from lwlive.stage.takes import Takes

log = logging.getLogger(__name__)

NOTICE_S = 5.0  # how long a sentence stays on screen
STEPS = {"speed": 0.05, "guidance": 0.5}  # of a key's press


class Clock(Protocol):
    """Time, as the show sees it."""

    def now(self) -> float:
        """Seconds, from any start, never backwards."""

    def sleep_until(self, due: float) -> None:
        """Wait until `due`."""


class WallClock:
    """The real one."""

    def now(self) -> float:
        """Seconds since some moment before the start."""
        return time.perf_counter()

    def sleep_until(self, due: float) -> None:
        """Sleep until `due`; returns at once when that is past."""
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)


class Screen(Protocol):
    """What the show needs of a window; `Display` is one."""

    def events(self) -> list[Any]:
        """Actions asked for by keys since the last call."""

    def show(
        self, pixels: Pixels, master: float, hud: list[str] | None, notice: str | None
    ) -> None:
        """Show one picture."""

    def splash(self, lines: list[str], elapsed: float, master: float, notice: str | None) -> None:
        """Show what is being loaded."""


class Show:
    """One run, from the first tick to the last."""

    def __init__(
        self,
        config: Config,
        controls: Controls,
        supply: Supply,
        size: tuple[int, int],
        clock: Clock,
        started: float,
        screen: Screen | None,
        osc: Osc | None,
    ) -> None:
        self.config, self.controls, self.supply, self.size = config, controls, supply, size
        self.clock, self.started, self.screen, self.osc = clock, started, screen, osc
        self.figures = Figures(config.fps)
        self.ended = False
        self._sent = controls.snapshot
        self._master = Master(controls.params)
        self._notice, self._notice_until = "", 0.0
        self._deaf = False  # OSC has failed
        self._takes = Takes(config.folder, config.record, config.fps, size)
        self._first: tuple[int, float] | None = None  # tick and time of the first picture
        self._rss_start: float | None = None
        self._engine_own: object = None
        self._journal: Journal | None = None
        if config.journal is not None:
            self._journal = Journal(config.journal, config, size, controls.snapshot)

    def end(self) -> None:
        """End after this tick. Safe to call from a signal handler."""
        self.ended = True

    def run(self) -> None:
        """Tick until the end. Raises EngineFailure."""
        if self.config.record is not None:
            self.controls.set("record", True)
        period = 1 / self.config.fps
        start, n = self.clock.now(), 0
        try:
            while not self.ended:
                self.clock.sleep_until(start + n * period)
                self._tick(n, self.clock.now())
                behind = int((self.clock.now() - start) / period) - n
                if behind > 1 and self._first is not None:
                    self.figures.missed(behind - 1)
                n += max(1, behind)
        finally:
            self._takes.close()
            if self._journal is not None:
                self._journal.close()

    def _tick(self, n: int, now: float) -> None:
        self._take_controls(now)
        shown = self.supply.tick(now)
        self._hear_engine(now)
        self._record(now)
        if self._journal is not None and (failed := self._journal.failed()):
            self._say(failed, now)
        params = self.controls.params
        level = self._master.step(params, 1 / self.config.fps)
        notice = self._notice if now < self._notice_until else None
        if shown is None:
            if self.screen is not None:
                elapsed = now - self.started
                words = [self.config.model, self.supply.doing, self.supply.trouble]
                self.screen.splash([line for line in words if line], elapsed, level, notice)
            self._give_up(now)
        else:
            if self.screen is not None:
                lines = hud.lines(params, self._hud_figures()) if params.hud else None
                self.screen.show(shown.pixels, level, lines, notice)
            self._showed(shown, level, n)
        if self.screen is not None and self.figures.window_s is None:
            self.figures.window_s = self.clock.now() - self.started
        if self.osc is not None:
            self.osc.feedback(self._feedback(), now)

    def _showed(self, shown: Shown, level: float, n: int) -> None:
        """What follows a picture on screen: the recording, the counting, the end."""
        if self._takes.going:
            self._takes.put(dimmed(shown.pixels, level), n)
        if self._journal is not None:
            running, params = self.supply.running, self.controls.params
            dtype = running.dtype if running else None
            self._journal.tick(n, shown, params, self.supply.starts, dtype, self.config.fps)
        now = self.clock.now()
        self.figures.showed(shown, now, now - self.started)
        if self._first is None:
            self._first = n, now
        first, first_at = self._first
        if self._rss_start is None and now - first_at > 1.0:
            self._rss_start = memory.resident_mb(self.supply.pid)
        duration = self.config.duration
        if duration is not None and n + 1 - first >= round(duration * self.config.fps):
            self.end()

    def _take_controls(self, now: float) -> None:
        """Keys and OSC, once per tick; what the engine needs to know goes down to it."""
        if self.screen is not None:
            for action in self.screen.events():
                try:
                    self._act(action.kind, action.amount, now)
                except (ControlError, OSError) as error:
                    self._say(str(error), now)
        if self.osc is not None and not self._deaf:
            try:
                self.osc.apply(self.controls, lambda name: self._load_named(name, now))
            except OscError as error:
                self._say(str(error), now)
                self._deaf = True
        new, old = self.controls.snapshot, self._sent
        if new is not old and (new.nexts != old.nexts or _sampled(new) != _sampled(old)):
            self._sent = new
            self.supply.send(new)
            if self._journal is not None:
                self._journal.sent(new)
            self.figures.asked(new.version, now)

    def _act(self, what: str, amount: float, now: float) -> None:
        """Do what a key asks for. Raises ControlError."""
        controls, params = self.controls, self.controls.params
        if what == "quit":
            self.end()
        elif what == "save":
            path = free_path(self.config.folder, datetime.now(), ".toml")
            preset.save(path, params)
            self._say(f"preset saved: {path}", now)
        elif what == "preset":
            known = preset.bundled()
            if amount > len(known):
                raise ControlError(f"there is no preset {amount:.0f}; there are {len(known)}")
            self._load(known[int(amount) - 1], now)
        elif what in STEPS:
            low, high = bounds(what) or (0.0, 1.0)
            value = getattr(params, what)
            if value is None:
                raise ControlError(f"{what} is the model's own, which is not loaded yet")
            value += amount * STEPS[what]
            controls.set(what, round(min(high, max(low, value)), 4))
        elif what in type(params).model_fields and kind(what) is bool:
            controls.set(what, not getattr(params, what))
        else:
            controls.trigger(what)

    def _load_named(self, name: str, now: float) -> None:
        try:
            self._load(preset.named(name, self.config.folder), now)
        except OSError as error:  # the folder is on a disk that is gone
            raise ControlError(str(error)) from error

    def _load(self, path: Path, now: float) -> None:
        """Bend to a preset. Raises ControlError and changes nothing where it is wrong."""
        self.controls.load(preset.load(path))
        self._say(f"preset: {path.stem}", now)

    def _hear_engine(self, now: float) -> None:
        loaded = self.supply.loaded
        if loaded is not None and loaded is not self._engine_own:
            self._engine_own = loaded
            self.controls.adopt(loaded.own)
            self._sent = self.controls.snapshot  # the engine knows its own values
        while self.supply.notes:
            self._say(self.supply.notes.popleft(), now)

    def _record(self, now: float) -> None:
        """Record or not, as the control says; what cannot be is said, and undone."""
        if self._takes.failed is not None:  # the recorder has logged it
            self._notice, self._notice_until = self._takes.failed, now + NOTICE_S
            self._takes.end()
            self.controls.set("record", False)
        params = self.controls.params
        about = {"title": params.prompt, "encoder": f"lwlive {__version__}"}
        try:
            done = self._takes.follow(params.record, now, about)
        except (RecordError, OSError) as error:
            self.controls.set("record", False)
            done = str(error)
        if done is not None:
            self._say(done, now)

    def _give_up(self, now: float) -> None:
        """End a show that was to be over by now, and whose engines die before the first picture.

        Raises EngineFailure. Without a duration they are started again for ever.
        """
        duration = self.config.duration
        if duration is not None and self.supply.deaths and now - self.started >= duration:
            raise EngineFailure(
                f"no picture in {now - self.started:.0f} seconds; {self.supply.trouble}"
            )

    def _say(self, text: str, now: float) -> None:
        self._notice, self._notice_until = text, now + NOTICE_S
        log.info(text)

    def _hud_figures(self) -> dict[str, object]:
        running, figures = self.supply.running, self.figures
        recording = self._takes.summary() if self._takes.going else None
        return {
            "frames/s": (figures.fps_shown, round(self.config.fps, 2)),
            "sampled/s": figures.fps_sampled,
            "late": figures.late,
            "latency_ms": figures.latency_ms,
            "replaced": self.supply.replaced,
            "ring": self.supply.queued,
            "in-betweens": f"{running.stride - 1} of {running.stride}" if running else None,
            "engine": self.supply.state,
            "engine deaths": self.supply.deaths,
            "recording": f"{recording['frames']} frames" if recording else "off",
        }

    def _feedback(self) -> dict[str, object]:
        """Values for OSC subscribers: every parameter, and a few figures."""
        values: dict[str, object] = dict(self.controls.params)
        values |= {
            "fps": self.figures.fps_shown,
            "late": self.figures.late,
            "latency_ms": self.figures.latency_ms,
            "engine": self.supply.state,
            "deaths": self.supply.deaths,  # a level: however short, none goes unseen
            "phase": self.supply.phase,
            "replaced": self.supply.replaced,
        }
        return values

    def statistics(self) -> dict[str, Any]:
        """The figures of the whole run, as the statistics file has them."""
        running, loaded = self.supply.running, self.supply.loaded
        osc = self.osc.counts if self.osc is not None else None
        width, height = self.size
        return {
            "version": __version__,
            "machine": f"{platform.system()} {platform.machine()}",
            "model": loaded.model if loaded else self.config.model,
            "device": running.device if running else None,
            "dtype": running.dtype if running else None,
            "size": f"{width}x{height}",
            "batch": running.batch if running else None,
            "compiled": running.compiled if running else None,
            "stride": running.stride if running else None,
            **self.figures.summary(),
            "replaced": self.supply.replaced,
            "osc": osc._asdict() if osc is not None else None,
            "recording": self._takes.summary(),
            "engine": {"starts": self.supply.starts, "deaths": self.supply.deaths},
            "rss_mb_start": self._rss_start,
            "rss_mb_end": memory.resident_mb(self.supply.pid),
        }


def write_statistics(path: Path, statistics: dict[str, Any]) -> None:
    """Write the statistics file. Raises OSError."""
    path.write_text(json.dumps(statistics, indent=2) + "\n", "utf-8")


def _sampled(snapshot: Any) -> tuple[object, ...]:
    """The part of the controls that the engine needs to know."""
    return tuple(getattr(snapshot.params, name) for name in SAMPLED)
