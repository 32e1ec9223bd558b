"""From a control to its picture, on simulated time: the show ticks while the producer works."""

import multiprocessing

import numpy as np
import pytest
from test_producer import FPS, FakeModel, Timer

from lwlive.controls import Controls, Set
from lwlive.engine.loop import LATENCY_S, batch_for
from lwlive.engine.measure import a_frame
from lwlive.engine.producer import Producer
from lwlive.params import Params
from lwlive.ring import Ring, slots

IDLE_S = 0.002
FRAME_S = 1 / 35  # of a machine that samples 35 frames a second, whatever the batch
STEPS, DENOISE_S, DECODE_S = 2, 0.0105, FRAME_S - 2 * 0.0105


class Ticking(Timer):
    """Time that passes where it is said to, and shows a frame whenever one is due."""

    def __init__(self, ring: Ring, controls: Controls, seed: int) -> None:
        super().__init__()
        self.ring, self.controls = ring, controls
        self.ticks = self.late = 0
        self.asked: list[tuple[int, int]] = []  # (version, tick), not seen yet
        self.latencies_s: list[float] = []
        self._random = np.random.default_rng(seed)
        self._next_control = 60

    def spend(self, seconds: float) -> None:
        """Let time pass; every tick in it shows a frame and may bring a control."""
        until = self.now + seconds
        while (self.ticks + 1) / FPS <= until:
            self.ticks += 1
            self.now = self.ticks / FPS
            self._tick()
        self.now = until

    def _tick(self) -> None:
        if self.ticks >= self._next_control:
            self.controls.do(Set("prompt", f"prompt {self.ticks}"))
            self.asked.append((self.controls.snapshot.version, self.ticks))
            self._next_control = self.ticks + int(self._random.integers(5, 60))
        frame = self.ring.take()
        if frame is None:
            self.late += self.ticks > 60
            return
        while self.asked and self.asked[0][0] <= frame.version:
            self.latencies_s.append((self.ticks - self.asked.pop(0)[1]) / FPS)


class Packaged(FakeModel):
    """A compiled model: a batch that is not full costs as much as a full one."""

    timer: Ticking

    def denoise(self, x, timestep, cond):  # type: ignore[no-untyped-def]
        self.timer.spend(self.batch * DENOISE_S)
        return super().denoise(x, timestep, cond)

    def decode(self, latents):  # type: ignore[no-untyped-def]
        parts = -(-len(latents) // self.batch)
        self.timer.spend(parts * self.batch * DECODE_S)
        return super().decode(latents)


def performed(batch: int, seconds: float, steps: int = STEPS) -> Ticking:
    """A show of so many simulated seconds, with a control now and then."""
    ring = Ring.create(multiprocessing.get_context("spawn"), slots(FPS), 16, 16)
    controls = Controls(Params(steps=steps, guidance=1, pace=0))
    timer = Ticking(ring, controls, seed=batch)
    model = Packaged(timer, 0.0, 0.0, batch)
    model.timer = timer
    producer = Producer(model, ring, FPS, lambda: controls.snapshot, timer, phase=0.0)
    while timer.now < seconds:
        if not producer.advance():
            timer.spend(IDLE_S)
    ring.close()
    return timer


def test_a_machine_hardly_faster_than_the_show_answers_controls_in_a_fifth_of_a_second() -> None:
    costs = {n: (n * DENOISE_S, n * DECODE_S) for n in (1, 2, 4, 8)}
    batch = batch_for(a_frame(costs, STEPS), FPS)
    show = performed(batch, 120)
    assert len(show.latencies_s) > 80
    assert np.percentile(show.latencies_s, 95) <= LATENCY_S + 1e-6
    assert show.late <= 0.01 * show.ticks


@pytest.mark.parametrize("batch", [4, 8])
def test_larger_batches_would_make_that_machine_feel_slow(batch: int) -> None:
    assert np.percentile(performed(batch, 60).latencies_s, 95) > LATENCY_S


def test_a_machine_that_needs_in_betweens_answers_as_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are seen while others of the same turn are decoded; whole turns would take 0.25 s."""
    monkeypatch.setattr("test_latency.DENOISE_S", 0.0195)
    monkeypatch.setattr("test_latency.DECODE_S", 0.0153)
    show = performed(2, 60, steps=1)
    assert len(show.latencies_s) > 40
    assert np.percentile(show.latencies_s, 95) <= LATENCY_S + 1e-6
    assert show.late <= 0.01 * show.ticks
