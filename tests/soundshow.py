"""A show that listens, in a process of its own as a real one is, watched by a test.

What a test's process does meanwhile (starting programs, collecting a large heap) stops every thread
of it for as long as a busy machine likes, and says nothing about a show.
"""

import multiprocessing
import queue
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from fakes import SPAWN, FakeSupply, flat

from lwlive.checkpoint import Size
from lwlive.config import Config
from lwlive.controls import Controls
from lwlive.params import Params
from lwlive.routes import BANDS, Route
from lwlive.stage.clock import WallClock
from lwlive.stage.desk import Desk
from lwlive.stage.outputs.takes import Takes
from lwlive.stage.parts import Output, Picture
from lwlive.stage.rig import rigged
from lwlive.stage.show import Show
from lwlive.tempo import Tempo

SIDE, LEVEL = 64, 200  # of the pictures
LONGEST_S = 300.0  # a show that nobody ends
PATIENCE_S = 60.0


class Tick(NamedTuple):
    """One picture: when it was there, and what it was made with."""

    at: float  # of time.perf_counter, which all processes share
    bands: tuple[float, ...]
    tempo: Tempo
    notice: str | None


class _Watch(Output):
    def __init__(self, desk: Desk, ticks: Any, ends: Any) -> None:
        self._desk, self._ticks, self._ends = desk, ticks, ends

    def put(self, picture: Picture) -> None:
        bands = self._desk.bands or (0.0,) * len(BANDS)
        status = picture.status
        self._ticks.put(Tick(time.perf_counter(), bands, status.tempo, status.notice))
        if self._ends.is_set():
            self._desk.end()


def _play(about: Config, route: Route, ticks: Any, ends: Any) -> None:
    """The show's process."""
    clock = WallClock()
    controls = Controls(Params(steps=1, guidance=1, brightness=0.1), (route,))
    desk = Desk(about.folder, controls)
    supply: Any = FakeSupply()
    supply.pixels = flat(LEVEL, SIDE)
    size = Size(SIDE, SIDE)
    sources, outputs = rigged(about, size, desk, None, None)
    assert any(isinstance(output, Takes) for output in outputs)
    watch = _Watch(desk, ticks, ends)
    Show(about, desk, supply, size, clock, clock.now(), sources, [*outputs, watch]).run()


class SoundShow:
    """A show without a model that listens to the input "rig", for so long or until it leaves."""

    def __init__(
        self, folder: Path, route: Route, seconds: float = LONGEST_S, **config: Any
    ) -> None:
        self._about = Config(
            duration=seconds, audio_in="rig", osc=False, folder=folder, no_midi=True, **config
        )
        self._queue: multiprocessing.Queue[Tick] = SPAWN.Queue()
        self._ends = SPAWN.Event()
        self._process = SPAWN.Process(
            target=_play, args=(self._about, route, self._queue, self._ends), daemon=True
        )
        self.ticks: list[Tick] = []

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._ends.set()
            self.wait()
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def until(self, done: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> float:
        """Watch the show until something is so; returns the moment."""
        patience = time.monotonic() + seconds
        while not done():
            self._watch()
            assert time.monotonic() < patience, f"{what} never came; it said {self.said}"
        return self.ticks[-1].at if self.ticks else time.perf_counter()

    def watch(self, seconds: float) -> None:
        """Watch it for so long."""
        ends = time.perf_counter() + seconds
        self.until(lambda: time.perf_counter() >= ends, "the time")

    def wait(self) -> None:
        """Watch it to its end."""
        self.until(lambda: not self._process.is_alive(), "the end", LONGEST_S)
        while not self._queue.empty():
            self._watch()
        assert self._process.exitcode == 0

    def _watch(self) -> None:
        try:
            self.ticks.append(self._queue.get(timeout=0.05))
        except queue.Empty:
            return

    @property
    def said(self) -> list[str]:
        """What it said, each sentence once where it stands for a while."""
        spoken = [tick.notice for tick in self.ticks if tick.notice is not None]
        return [text for n, text in enumerate(spoken) if n == 0 or spoken[n - 1] != text]

    @property
    def at(self) -> npt.NDArray[np.float64]:
        """The moment of each picture."""
        return np.array([tick.at for tick in self.ticks])

    def band(self, name: str) -> npt.NDArray[np.float64]:
        """A band as it was with each picture."""
        return np.array([tick.bands[BANDS.index(name)] for tick in self.ticks])
