"""Two hours of a show in simulated time: the stage, its supply, the ring and a producer at work."""

import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fakes import SPAWN, FakeEngine, FakeOsc, SimulatedClock
from test_producer import FakeModel, Timer

from lwlive.checkpoint import Size
from lwlive.commands import Command, Fire, Set
from lwlive.config import Config
from lwlive.controls import Controls
from lwlive.engine.producer import Producer
from lwlive.messages import Begin, Loaded
from lwlive.params import Params
from lwlive.ring import Pixels, Ring, slots
from lwlive.snapshot import Snapshot
from lwlive.stage.desk import Desk
from lwlive.stage.parts import Arrived
from lwlive.stage.rig import rigged
from lwlive.stage.show import Show
from lwlive.stage.supply import Supply

pytestmark = pytest.mark.slow

FPS = 2.0
HOUR_S = 3600.0
OFTEN_S = 4  # between controls
LIVES_S = 900  # of an engine
RESTS_S = 0.05  # a producer with nothing to do, which here would look for work 200 times a second


class Time(SimulatedClock):
    """The show's clock, which is the model's timer as well; the producer works between ticks."""

    def __init__(self) -> None:
        super().__init__()
        self.producer: Producer | None = None
        self._rests_until = 0.0

    def __call__(self) -> float:
        return self.time

    def sleep_until(self, due: float) -> None:
        while self.producer is not None and self._rests_until <= self.time < due:
            if not self.producer.advance():
                self._rests_until = self.time + RESTS_S
        super().sleep_until(due)


class Model(FakeModel):
    """A model whose evaluations take the show's time."""

    def __init__(self, clock: "Time") -> None:
        super().__init__(Timer(), 0, 0)
        self.clock = clock

    def denoise(self, x: Any, _timestep: float, cond: Any) -> Any:
        self.clock.time += 0.003 * len(x)
        return x + cond[0].view(-1, 1, 1, 1)

    def decode(self, latents: Any) -> Pixels:
        self.clock.time += 0.005 * len(latents)
        grey = (latents.mean(1) * 40 + 128).clamp(0, 255).byte().numpy()
        return np.repeat(np.repeat(grey, 8, 1), 8, 2)[..., None].repeat(3, 3)


class Engines:
    """Starts engines whose producers work in this thread."""

    def __init__(self, clock: Time) -> None:
        self.clock = clock
        self.rings: list[Ring] = []

    def __call__(self, ring: Ring, snapshot: Snapshot, begin: Begin) -> tuple[Any, Any]:
        nothing = np.zeros(0, np.uint8)
        self.last = engine = FakeEngine(ring, snapshot, begin, lambda _: nothing)

        def inbox() -> Snapshot:
            engine.hear()  # and wait for the model's own values, as the process does
            return engine.newest if engine.newest.params.complete else snapshot

        model = Model(self.clock)
        engine.say(Loaded("fake", model.own))
        snapshot = Snapshot(snapshot.version, replace(snapshot.params, **model.own))
        engine.newest = snapshot
        self.rings.append(Ring.attach(ring.handle))
        self.clock.producer = Producer(
            model, self.rings[-1], FPS, inbox, self.clock, begin.phase, begin.since
        )
        return engine, engine.ours

    def die(self) -> None:
        """End the present engine as a crash would."""
        self.clock.producer = None
        self.last.die()
        self.rings.pop().close()


def in_use() -> dict[str, float]:
    """What this process uses."""
    gc.collect()
    process = psutil.Process()
    return {
        "objects": len(gc.get_objects()),
        "megabytes": process.memory_info().rss / 2**20,
        "threads": threading.active_count(),
        "files": len(process.open_files()) + len(process.net_connections("all")),
        "handles": process.num_fds() if hasattr(process, "num_fds") else 0,
    }


class Storm(FakeOsc):
    """A control every few seconds, a death now and then, and a look at what is in use."""

    def __init__(self, engines: Engines, look: Callable[[], dict[str, float]]) -> None:
        super().__init__()
        self.engines, self.look = engines, look
        self.looks: dict[int, dict[str, float]] = {}  # minute -> what is in use
        self._random = np.random.default_rng(5)
        self._polled = 0  # the tick that controls were given for last

    def poll(self, now: float) -> list[Arrived]:
        if self.tick == self._polled:
            return []
        self._polled, second = self.tick, self.tick / FPS
        if second % (10 * 60) == 300 and second > 600:
            self.looks[round(second / 60)] = self.look()
        if second % LIVES_S == LIVES_S / 2:
            self.engines.die()
        return [Arrived(self._steer(), "storm", now)] if second % OFTEN_S == 0 else []

    def _steer(self) -> Command:
        pick = self._random
        what = str(
            pick.choice(["prompt", "negative", "seed", "next", "steps", "guidance", "depth"])
        )
        if what in ("prompt", "negative"):
            return Set(what, "x" * int(pick.integers(1, 400)))
        if what == "next":
            return Fire(what)
        if what in ("seed", "steps"):
            return Set(what, int(pick.integers(1, 9)))
        return Set(what, float(pick.uniform(0, 0.9)) * (5 if what == "guidance" else 1))


@pytest.fixture
def engines() -> Iterator[Engines]:
    """Engines, whose rings are closed in the end."""
    made = Engines(Time())
    yield made
    for ring in made.rings:
        ring.close()


def test_two_hours_leave_memory_queues_threads_and_files_as_they_were(
    engines: Engines, tmp_path: Path
) -> None:
    clock, controls = engines.clock, Controls(Params(speed=0.1, transition=3.0))
    supply = Supply(
        engines, lambda: Ring.create(SPAWN, slots(FPS), 16, 16), FPS, controls.snapshot, clock.now()
    )

    def look() -> dict[str, float]:
        return in_use() | {
            "queued": supply.host.queued,
            "late": show.report.figures.late,
        }

    storm = Storm(engines, look)
    config = Config(fps=FPS, duration=2 * HOUR_S, folder=tmp_path)
    with supply:
        desk = Desk(tmp_path, controls)
        sources, outputs = rigged(config, Size(16, 16), desk, None, None)
        show = Show(
            config, desk, supply, Size(16, 16), clock, clock.now(), [*sources, storm], outputs
        )
        show.run()
    minutes = sorted(storm.looks)
    assert minutes == list(range(15, 120, 10))
    early, last = storm.looks[75], storm.looks[115]
    print(early, last)
    assert supply.host.deaths == 2 * HOUR_S // LIVES_S
    # The newest thousand controls are kept: 67 minutes of them. 600 more came after that.
    assert last["objects"] < early["objects"] + 300
    assert last["megabytes"] < early["megabytes"] + 32
    for same in ("threads", "files", "handles"):
        assert last[same] == early[same], same
    assert max(found["queued"] for found in storm.looks.values()) <= slots(FPS)
    assert last["late"] == early["late"] <= 2
    assert show.report.figures.ticks == 2 * HOUR_S * FPS
    assert len(show.report.figures.latencies_ms) > 500
