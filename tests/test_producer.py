"""The producer keeps the ring filled, answers controls soon, and never jumps."""

import multiprocessing
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lwlive.commands import Fire, Set
from lwlive.controls import Controls
from lwlive.engine.keyframe import Cond
from lwlive.engine.lastgood import LastGood
from lwlive.engine.producer import Producer
from lwlive.engine.sampler import evened
from lwlive.engine.schedule import Schedule, Step
from lwlive.params import Params
from lwlive.ring import AHEAD_S, Frame, Pixels, Ring, slots

FPS = 30.0


class Timer:
    """Time that passes only when something is said to take it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class FakeModel:
    """A model whose pictures show its latents and conditioning; evaluations take simulated time."""

    name, device, dtype, compiled = "fake", "cpu", "float32", False
    embeds_guidance = False
    replaced = 0
    shape = (4, 2, 2)

    def __init__(self, timer: Timer, denoise_s: float, decode_s: float, batch: int = 4) -> None:
        self.own: dict[str, Any] = {"steps": 1, "guidance": 1.0}
        self.batch, self._timer = batch, timer
        self._denoise_s, self._decode_s = denoise_s, decode_s
        self.encoded: list[str] = []
        self.notes: list[str] = []

    def encode(self, prompts: Sequence[str]) -> Cond:
        """A number for each prompt."""
        self.encoded += prompts
        return (torch.tensor([[float(len(text)) / 400] for text in prompts]),)

    def denoise(self, x: Tensor, _timestep: float, cond: Cond) -> Tensor:
        """The latents, moved by the conditioning."""
        self._timer.now += self._denoise_s * len(x)
        return x + cond[0].view(-1, 1, 1, 1)

    def decode(self, latents: Tensor) -> Pixels:
        """Each latent pixel as 8x8 pixels of grey."""
        self._timer.now += self._decode_s * len(latents)
        grey = (latents.mean(1) * 40 + 128).clamp(0, 255).byte().numpy()
        return np.repeat(np.repeat(grey, 8, 1), 8, 2)[..., None].repeat(3, 3)

    def schedule(self, steps: int, begin: int) -> Schedule:
        """Each step takes over the model's output."""
        rows = [Step(999.0, 1.0, (), ((i, 1.0),), ()) for i in range(begin, steps)]
        return Schedule(1.0, begin, tuple(rows))


class Bench:
    """A producer with a reader that shows one frame per tick of simulated time."""

    def __init__(self, ring: Ring, denoise_s: float, decode_s: float, **values: Any) -> None:
        self.timer = Timer()
        self.model = FakeModel(self.timer, denoise_s, decode_s)
        self.controls = Controls(Params(**{**self.model.own, **values}))
        self.ring = ring
        self.producer = Producer(
            model=self.model,
            ring=ring,
            fps=FPS,
            inbox=lambda: self.controls.snapshot,
            timer=self.timer,
            phase=0.0,
        )
        self.frames: list[Frame] = []
        self.late = 0

    def run(self, ticks: int) -> None:
        """So many ticks of the display; the producer works in the time between."""
        for _ in range(ticks):
            due = (self.late + len(self.frames) + 1) / FPS
            while self.timer.now < due and self.producer.advance():
                pass
            self.timer.now = max(self.timer.now, due)
            frame = self.ring.take(self.timer.now)
            if frame is None:
                self.late += 1
            else:
                kept = Frame(
                    frame.pixels.copy(), frame.number, frame.version, frame.phase, frame.sampled
                )
                self.frames.append(kept)


@pytest.fixture
def ring() -> Iterator[Ring]:
    """A ring in this process alone."""
    made = Ring.create(multiprocessing.get_context("spawn"), slots(FPS), 16, 16)
    yield made
    made.close()


def test_with_time_to_spare_every_frame_is_sampled_and_none_is_late(ring: Ring) -> None:
    bench = Bench(ring, denoise_s=0.004, decode_s=0.002)
    bench.run(300)
    assert [frame.number for frame in bench.frames] == list(range(300 - bench.late))
    assert bench.late <= 1
    assert all(frame.sampled for frame in bench.frames)


def test_the_first_frame_alone_does_not_make_the_machine_seem_slow(ring: Ring) -> None:
    bench = Bench(ring, denoise_s=0.005, decode_s=0.002)
    padded = bench.model.denoise

    def whole(x: Tensor, _timestep: float, cond: Cond) -> Tensor:
        bench.timer.now += 0.005 * (4 - len(x))
        return padded(x, _timestep, cond)

    bench.model.denoise = whole  # type: ignore[method-assign] # as compiled code is: one size
    bench.run(40)
    assert bench.producer.stride == 1
    assert all(frame.sampled for frame in bench.frames)


def test_a_slow_model_keeps_real_time_with_in_betweens(ring: Ring) -> None:
    bench = Bench(ring, denoise_s=0.080, decode_s=0.004)
    bench.run(900)
    steady = bench.frames[300:]
    assert bench.producer.stride > 1
    assert bench.late < 40
    share = sum(frame.sampled for frame in steady) / len(steady)
    assert share == pytest.approx(1 / bench.producer.stride, abs=0.05)
    phases = np.diff([frame.phase for frame in bench.frames])
    assert phases.max() < 1.5 * 0.25 / FPS


def test_the_ring_is_kept_filled_but_not_far_ahead(ring: Ring) -> None:
    bench = Bench(ring, denoise_s=0.002, decode_s=0.001)
    for _ in range(60):
        bench.run(1)
        assert ring.queued <= AHEAD_S * FPS + bench.model.batch


@pytest.mark.parametrize(("denoise_s", "ticks"), [(0.004, 3), (0.020, 6)])
def test_a_control_is_seen_soon_though_the_ring_was_full(
    ring: Ring, denoise_s: float, ticks: int
) -> None:
    bench = Bench(ring, denoise_s=denoise_s, decode_s=0.001)
    bench.run(60)
    assert ring.queued > 10
    bench.controls.do(Set("prompt", "something else"))
    bench.run(ticks)
    assert bench.frames[-1].version == bench.controls.snapshot.version
    assert bench.late <= 1


@pytest.mark.slow
def test_a_fader_in_motion_never_makes_the_producer_wait_for_a_slot(ring: Ring) -> None:
    bench = Bench(ring, denoise_s=0.0005, decode_s=0.0001)
    bench.run(60)
    for i in range(200):  # in one thread: a put that waited would wait for ever
        bench.controls.do(Set("crossfeed", i / 200))
        bench.run(1)
    assert bench.late <= 1
    assert bench.controls.snapshot.version - bench.frames[-1].version <= 4


def test_a_prompt_is_encoded_once(ring: Ring) -> None:
    bench = Bench(ring, denoise_s=0.004, decode_s=0.001, prompt="one")
    bench.run(50)
    bench.controls.do(Set("prompt", "two"))
    bench.run(200)
    bench.controls.do(Set("prompt", "one"))
    bench.run(200)
    assert bench.model.encoded.count("one") == 1
    assert bench.model.encoded.count("two") == 1


@pytest.mark.parametrize("denoise_s", [0.004, 0.060])
def test_no_frame_jumps_under_a_storm_of_controls(ring: Ring, denoise_s: float) -> None:
    bench = Bench(ring, denoise_s=denoise_s, decode_s=0.002)
    bench.run(60)
    rng = np.random.default_rng(3)
    for _ in range(300):
        what = rng.choice(["prompt", "seed", "next", "negative", "crossfeed", "depth", "steps"])
        if what in ("prompt", "negative"):
            bench.controls.do(Set(what, "x" * int(rng.integers(1, 60))))
        elif what == "next":
            bench.controls.do(Fire("next"))
        elif what in ("crossfeed", "depth"):
            bench.controls.do(Set(what, float(rng.uniform(0, 0.9))))
        else:
            bench.controls.do(Set(what, int(rng.integers(1, 5))))
        bench.run(int(rng.integers(1, 4)))
    numbers = [frame.number for frame in bench.frames]
    assert numbers == sorted(set(numbers))
    pictures = np.stack([frame.pixels for frame in bench.frames]).astype(float)
    changes = np.abs(np.diff(pictures, axis=0)).mean((1, 2, 3))
    ordinary = np.median(changes[:60])
    assert changes.max() < 8 * max(ordinary, 0.5)


def test_the_same_controls_give_the_same_frames_whatever_the_batch() -> None:
    def shown(batch: int) -> np.ndarray:
        ring = Ring.create(multiprocessing.get_context("spawn"), slots(FPS), 16, 16)
        bench = Bench(ring, denoise_s=0.001, decode_s=0.001, speed=1.0)
        bench.model.batch = batch
        bench.run(100)
        ring.close()
        return np.stack([frame.pixels for frame in bench.frames[:90]]).astype(int)

    one = shown(1)
    for batch in (2, 4, 7):
        assert np.abs(shown(batch) - one).max() <= 1


def test_pictures_that_are_no_numbers_are_replaced_by_the_last_good_one_and_counted() -> None:
    good = LastGood()
    pictures = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 2, 2, 3)
    shown = [good([(pictures, torch.tensor(row))])[:, 0, 0, 0].tolist() for row in PATTERN]
    assert shown == [[0, 1, 2, 3], [3, 1, 1, 3], [3, 3, 3, 3], [3, 3, 3, 3]]
    assert good.replaced == 2 + 4 + 3


PATTERN = [[True] * 4, [False, True, False, True], [False] * 4, [False, False, False, True]]


def test_latents_that_are_no_numbers_leave_a_segment_unpaced() -> None:
    latents = torch.randn(5, 4, 2, 2)
    latents[2, 0, 0, 0] = float("nan")
    assert evened(latents) == ()
