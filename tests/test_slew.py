"""While the walk is steered, pictures follow at a limited rate; otherwise they are its own."""

import multiprocessing
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from test_producer import FPS, FakeModel, Timer
from torch import Tensor

from lwlive.commands import Set
from lwlive.controls import Controls
from lwlive.engine.keyframe import Cond
from lwlive.engine.producer import Producer
from lwlive.engine.slew import eased, most
from lwlive.engine.turn import Made
from lwlive.params import Params
from lwlive.ring import Ring, slots


def rms(x: Tensor) -> float:
    """Root of the mean square."""
    return float(x.square().mean().sqrt())


@given(seed=st.integers(0, 2**20), far=st.floats(1e-3, 10))
def test_a_frame_goes_no_farther_than_it_may_and_straight_there(seed: int, far: float) -> None:
    before, after = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(seed)).unbind()
    found = eased(before, after, far)
    assert rms(found - before) <= far * 1.001
    assert abs(rms(found - before) + rms(after - found) - rms(after - before)) < 1e-4
    if rms(after - before) <= far:
        assert found.equal(after)


def test_what_is_near_or_no_number_is_left_as_it_is() -> None:
    still, lost = torch.zeros(4, 2, 2), torch.full((4, 2, 2), float("nan"))
    assert eased(still, still, 0.1).equal(still)
    assert eased(lost, still, 0.1).equal(still)
    assert eased(still, lost, 0.1).isnan().all()


class Sudden(FakeModel):
    """A model that answers a steady change of prompt suddenly: halfway everything tips over."""

    def denoise(self, x: Tensor, timestep: float, cond: Cond) -> Tensor:
        """The latents, all moved by one where the conditioning is past the middle."""
        return super().denoise(x, timestep, cond) + (cond[0] > 0.5).float().view(-1, 1, 1, 1)


class Show:
    """A producer without a window, and all that it made."""

    def __init__(self, batch: int = 4, denoise_s: float = 0.0, **values: Any) -> None:
        timer = Timer()
        self.ring = Ring.create(multiprocessing.get_context("spawn"), slots(FPS), 16, 16)
        model = Sudden(timer, denoise_s, 0.0, batch)
        self.controls = Controls(Params(**{**model.own, **values}))
        self.producer = Producer(
            model=model,
            ring=self.ring,
            fps=FPS,
            inbox=lambda: self.controls.snapshot,
            timer=timer,
            phase=0.0,
        )
        self.shown: list[Made] = []

    def play(self, ticks: int) -> None:
        """So many frames are shown."""
        goal = len(self.shown) + ticks
        while len(self.shown) < goal:
            frame = self.ring.take()
            if frame is None:
                self.producer.advance()
            else:
                self.producer.ahead.sync()
                put = self.producer.ahead.shown(frame.number)
                assert put is not None
                self.shown.append(put.made)

    def changes(self) -> list[float]:
        """How far each frame is from the one before."""
        pairs = zip(self.shown[1:], self.shown[:-1], strict=True)
        return [rms(b.latents - a.latents) for b, a in pairs]


def test_a_sudden_model_is_shown_without_a_jump_and_caught_up_with() -> None:
    for batch in (1, 4):
        show = Show(batch, prompt="", pace=0.0)
        show.play(30)
        show.controls.do(Set("prompt", "x" * 400))
        show.play(200)
        show.ring.close()
        allowed = [most(made.walk, 1 / FPS) for made in show.shown[1:]]
        assert all(c <= a * 1.001 for c, a in zip(show.changes(), allowed, strict=True))
        assert any(made.behind for made in show.shown)  # it would have jumped
        assert not show.shown[-1].behind


def test_in_betweens_follow_as_well() -> None:
    show = Show(2, denoise_s=0.08, prompt="", pace=0.0)
    show.play(30)
    show.controls.do(Set("prompt", "x" * 400))
    show.play(240)
    show.ring.close()
    assert show.producer.stride > 1
    assert max(show.changes()) <= most(show.shown[-1].walk, 1 / FPS) * 1.001
    assert not show.shown[-1].behind


def test_without_steering_nothing_is_limited_however_fast_the_walk_is() -> None:
    show = Show(prompt="x" * 250, speed=4.0, pace=0.0)
    show.play(90)
    show.controls.do(Set("speed", 0.5))
    show.play(60)
    show.ring.close()
    for made in show.shown:
        assert not made.behind
        assert made.latents.equal(show.producer.sampler.latents([made.walk])[0])


def test_an_instant_transition_is_not_held_up() -> None:
    show = Show(prompt="", transition=0.0, pace=0.0)
    show.play(30)
    show.controls.do(Set("prompt", "x" * 400))
    show.play(15)
    show.ring.close()
    assert not show.shown[-1].behind
    assert show.shown[-1].walk.arrived == 1
