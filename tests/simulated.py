"""A show on simulated time that passes inside the work: the display ticks beside the model."""

import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
from test_producer import FakeModel

from lwlive.controls import Controls
from lwlive.engine.producer import Producer
from lwlive.engine.slew import most
from lwlive.engine.turn import Made
from lwlive.params import Params
from lwlive.ring import Frame, Ring, slots

IDLE_S = 0.002


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
        **values: Any,
    ) -> None:
        self.now, self.ticks, self.fps = 0.0, 0, fps
        self.tick_s = 1 / fps
        self.slower: Callable[[float], float] = lambda _now: 1.0
        self.hands: Callable[[Machine], None] = lambda _show: None
        self.watch: Callable[[Frame | None], None] = lambda _frame: None
        self.ring = Ring.create(
            multiprocessing.get_context("spawn"), slots(fps), 16, 16, self.tick_s
        )
        self.model = TimedModel(self, denoise_s, decode_s, batch)
        self.controls = Controls(Params(**{**self.model.own, **values}))
        self.frames: list[Frame] = []  # shown, each with pixels of its own
        self.made: list[Made] = []
        self.shown_at: list[float] = []
        self.late = 0
        self.latencies_s: list[float] = []
        self._asked: list[tuple[int, float]] = []
        self._version = 0
        self._stands = 0
        self.producer = Producer(
            self.model, self.ring, fps, lambda: self.controls.snapshot, self.clock, 0.0, since
        )

    def clock(self) -> float:
        """The time of stage and engine."""
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


class TimedModel(FakeModel):
    """A model whose calls take the show's time."""

    def __init__(self, show: Machine, denoise_s: float, decode_s: float, batch: int) -> None:
        super().__init__(lambda: show.now, denoise_s, decode_s, batch)  # type: ignore[arg-type]
        self.show, self.calls, self.sampled = show, 0, 0

    def denoise(self, x: Any, _timestep: float, cond: Any) -> Any:
        """The latents, moved by the conditioning."""
        self.calls += 1
        self.show.spend(self._denoise_s * self.show.slower(self.show.now))
        return x + cond[0].view(-1, 1, 1, 1)

    def decode(self, latents: Any) -> Any:
        """Each latent pixel as 8x8 pixels of grey."""
        for _ in range(-(-len(latents) // self.batch)):
            self.show.spend(self._decode_s * self.show.slower(self.show.now))
        grey = (latents.mean(1) * 40 + 128).clamp(0, 255).byte().numpy()
        return np.repeat(np.repeat(grey, 8, 1), 8, 2)[..., None].repeat(3, 3)
