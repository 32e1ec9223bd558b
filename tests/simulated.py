"""A show on simulated time that passes inside the work: the display ticks beside the model."""

import multiprocessing
from collections.abc import Callable
from typing import Any

from test_producer import FakeModel, Timer

from lwlive.controls import Controls
from lwlive.engine.producer import Producer
from lwlive.engine.slew import most
from lwlive.engine.turn import Made
from lwlive.params import Params
from lwlive.ring import Frame, Ring, slots

IDLE_S = 0.002
READING_S = 1e-6  # that reading the clock takes


class Machine:
    """A show of `fps` ticks a second, on a machine whose calls of the model take simulated time.

    A batch that is not full costs as much as a full one, as compiled code does. `slower` is asked
    for the factor of each call, and may be a busy neighbour. `hands` is called before each tick.
    """

    def __init__(
        self,
        denoise_s: float,
        decode_s: float,
        batch: int = 1,
        fps: float = 30.0,
        since: float | None = None,
        model: Any = None,
        size: tuple[int, int] = (16, 16),
        threads: int = 1,
        **values: Any,
    ) -> None:
        self.now, self.ticks, self.fps = 0.0, 0, fps
        self.tick_s = 1 / fps
        self.slower: Callable[[float], float] = lambda _now: 1.0
        self.hands: Callable[[Machine], None] = lambda _show: None
        self.watch: Callable[[Frame | None], None] = lambda _frame: None
        self.ring = Ring.create(
            multiprocessing.get_context("spawn"), slots(fps), size[1], size[0], self.tick_s
        )
        plain = model or FakeModel(Timer(), 0, 0, batch)
        self.model = Timed(plain, self, denoise_s, decode_s)
        self.controls = Controls(Params(**{**self.model.own, **values}))
        self.snapshots = {0: self.controls.snapshot}
        self.frames: list[Frame] = []  # shown, each with pixels of its own
        self.made: list[Made] = []
        self.shown_at: list[float] = []
        self.late = 0
        self.latencies_s: list[float] = []
        self._asked: list[tuple[int, float]] = []
        self._version = 0
        self._stands = 0
        self._threads = threads
        self.start(0.0, since)

    def start(self, phase: float, since: float | None) -> None:
        """A producer begins, as a new engine's does."""
        self.producer = Producer(
            self.model,
            self.ring,
            self.fps,
            lambda: self.controls.snapshot,
            self.clock,
            phase,
            since,
            threads=self._threads,
        )

    def clock(self) -> float:
        """The time of stage and engine. Two readings never give the same."""
        self.spend(READING_S)
        return self.now

    def spend(self, seconds: float) -> None:
        """Let time pass; every tick in it brings controls and shows a picture."""
        until = self.now + seconds
        while self._next_tick <= until:
            self.now = self._next_tick
            self.ticks += 1
            self._tick()
        self.now = until

    @property
    def _next_tick(self) -> float:
        return (self.ticks + 1) * self.tick_s

    def play(self, seconds: float) -> "Machine":
        """The producer's thread, for so long."""
        until = self.now + seconds
        while self.now < until:
            if not self.producer.advance():
                self.spend(IDLE_S)
        return self

    def close(self) -> None:
        """Give the memory back."""
        self.ring.close()

    def _tick(self) -> None:
        self.hands(self)
        self.controls.turn(self.now)
        for each in (self.controls.snapshot, *self.controls.snapshot.later):
            self.snapshots[each.version] = each
        if self.controls.snapshot.version != self._version:
            self._version = self.controls.snapshot.version
            self._asked.append((self._version, self.now))
        if self._stands:
            self._stands -= 1
            frame = None
        else:
            frame = self.ring.take(self.now)
        if frame is None:
            self.late += bool(self.frames)
        else:
            self._stands = frame.ticks - 1
            values = {**vars(frame), "pixels": frame.pixels.copy()}
            self.frames.append(Frame(**values))
            self.made.append(self._made(frame))
            self.shown_at.append(self.now)
            while self._asked and self._asked[0][0] <= frame.version:
                self.latencies_s.append(self.now - self._asked.pop(0)[1])
        self.watch(frame)

    def _made(self, frame: Frame) -> Made:
        """What was made of this very frame, whether or not it was taken back meanwhile."""
        ahead = self.producer.ahead
        known = [*ahead._line, *ahead._old.values(), *ahead._dead.values()]
        key = (frame.number, frame.epoch)
        return next(put.made for put in known if (put.number, put.epoch) == key)

    def jumps(self) -> list[float]:
        """Of each picture, how far it is from the one before, in what a steered walk may go."""
        found = []
        for before, after, frame in zip(self.made, self.made[1:], self.frames[1:], strict=False):
            far = float((after.latents - before.latents).square().mean().sqrt())
            found.append(far / most(after.walk, frame.turn.step_s))
        return found


class Timed:
    """A model whose calls take the show's time, each as long as that of a whole batch."""

    def __init__(self, model: Any, show: Machine, denoise_s: float, decode_s: float) -> None:
        self._model, self._show, self.calls = model, show, 0
        self.denoise_s, self.decode_s = denoise_s, decode_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def denoise(self, x: Any, timestep: float, cond: Any) -> Any:
        """What the model gives, later."""
        self.calls += 1
        self._show.spend(self.denoise_s * self._show.slower(self._show.now))
        return self._model.denoise(x, timestep, cond)

    def decode(self, latents: Any) -> Any:
        """What the model gives, later."""
        for _ in range(-(-len(latents) // self._model.batch)):
            self._show.spend(self.decode_s * self._show.slower(self._show.now))
        return self._model.decode(latents)
