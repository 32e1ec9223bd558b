"""The laws of the walk: nothing jumps, ends are exact, seeds are seeds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lwlive.commands import Fire, Set
from lwlive.controls import Controls
from lwlive.engine.glide import Glide
from lwlive.engine.keyframe import NOISES, Cond, mix, noise_of, slerp
from lwlive.engine.place import LOOK_S, PINNED
from lwlive.engine.walk import Walk, begin
from lwlive.params import Params
from lwlive.seeds import FIRST_PHASE
from lwlive.snapshot import Snapshot

SHAPE = (4, 8, 8)
FPS = 30.0
UNIT = st.floats(0, 1, allow_nan=False)
SEED = st.integers(0, 2**63 - 1)


def cond(number: float) -> Cond:
    """A conditioning that can be told apart."""
    return (torch.full((2, 3, 5), float(number)),)


def snapshot(version: int = 0, nexts: int = 0, **values: Any) -> Snapshot:
    """Controls with the model's own values filled in."""
    return Snapshot(version, Params(**{"steps": 2, "guidance": 1.0, **values}), nexts)


def start(phase: float = 0.0, **values: Any) -> Walk:
    """A walk under these controls."""
    return begin(snapshot(**values), cond(0.0), SHAPE, "cpu", phase)


def steps(walk: Walk, count: int) -> list[Walk]:
    """The walk and the frames after it."""
    found = [walk]
    for _ in range(count):
        found.append(found[-1].after(1 / FPS))
    return found


def angle(a: Tensor, b: Tensor) -> float:
    """Angle between two tensors seen as vectors, radians."""
    cos = torch.sum(a * b) / torch.linalg.vector_norm(a) / torch.linalg.vector_norm(b)
    return float(torch.acos(cos.double().clamp(-1, 1)))


@given(SEED, SEED, UNIT)
@settings(deadline=None)
def test_slerp_keeps_the_norm_between_its_ends(one: int, other: int, f: float) -> None:
    a, b = noise_of(one, 0, SHAPE, "cpu")[0], noise_of(other, 1, SHAPE, "cpu")[0]
    norm = float(torch.linalg.vector_norm(slerp(a, b, f)))
    ends = [float(torch.linalg.vector_norm(x)) for x in (a, b)]
    assert min(ends) * 0.999 <= norm <= max(ends) * 1.001


@given(SEED, UNIT)
@settings(deadline=None)
def test_slerp_turns_evenly(seed: int, f: float) -> None:
    a, b = noise_of(seed, 0, SHAPE, "cpu")[0], noise_of(seed, 1, SHAPE, "cpu")[0]
    assert angle(a, slerp(a, b, f)) == pytest.approx(f * angle(a, b), abs=2e-3)


def test_slerp_is_exact_at_both_ends() -> None:
    a, b = torch.randn(SHAPE), torch.randn(SHAPE)
    assert torch.equal(slerp(a, b, 0.0), a)
    assert torch.equal(slerp(a, b, 1.0), b)


@pytest.mark.parametrize("other", [1.0, 1.0 + 1e-5, -1.0])
def test_slerp_of_parallel_vectors_is_finite(other: float) -> None:
    a = torch.randn(SHAPE)
    middle = slerp(a, a * other, 0.5)
    assert bool(torch.isfinite(middle).all())
    assert torch.allclose(middle, (a + a * other) / 2, atol=1e-5)


@given(st.integers(-3, 100), SEED)
@settings(deadline=None)
def test_noise_belongs_to_its_seed_and_keyframe(index: int, seed: int) -> None:
    noise = noise_of(seed, index, SHAPE, "cpu")
    assert noise.shape == (NOISES, *SHAPE)
    assert torch.equal(noise, noise_of(seed, index, SHAPE, "cpu"))
    assert not torch.equal(noise, noise_of(seed, index + 1, SHAPE, "cpu"))


def test_seed_zero_is_a_seed() -> None:
    zero, one = start(seed=0), start(seed=1)
    drawn = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(zero.noise(0), drawn)
    assert not torch.equal(zero.noise(0), one.noise(0))


def test_ends_of_segments_are_not_repeated() -> None:
    frames = steps(start(speed=1.0), 90)
    noises = torch.stack([walk.noise(0).flatten() for walk in frames])
    gaps = torch.linalg.vector_norm(noises[1:] - noises[:-1], dim=1)
    assert float(gaps.min()) > 0.5 * float(gaps.median())
    assert float(gaps.max()) < 1.5 * float(gaps.median())


def test_a_segment_ends_where_the_next_begins() -> None:
    walk = start(speed=1.0)
    later = steps(walk, 30)[-1]
    assert later.phase == pytest.approx(1.0)
    assert angle(later.noise(0), walk.b.noise[0]) < 1e-3


def test_phase_goes_as_fast_as_speed_says() -> None:
    assert steps(start(speed=0.5), 120)[-1].phase == pytest.approx(2.0)
    assert steps(start(speed=4.0), 30)[-1].phase == pytest.approx(4.0)


def test_a_fast_walk_passes_several_keyframes_in_one_frame() -> None:
    walk = begin(snapshot(speed=4.0), cond(0), SHAPE, "cpu")
    assert walk.after(1.0).phase == pytest.approx(4.0)


def test_hold_stands_still_and_lets_go_again() -> None:
    walk = start(speed=1.0)
    held = steps(walk.steered(snapshot(1, speed=1.0, hold=True), cond(0)), 60)
    assert held[-1].phase == held[-10].phase
    assert 0 < held[-1].phase < 0.5
    going = held[-1].steered(snapshot(2, speed=1.0), cond(0))
    assert steps(going, 30)[-1].phase > held[-1].phase + 0.5


@given(st.integers(1, 6), st.sampled_from([0.25, 1.0, 3.0]))
@settings(deadline=None, max_examples=20)
def test_a_loop_closes_where_it_began(length: int, speed: float) -> None:
    walk = start(speed=speed, loop=length)
    frames = round(length * FPS / speed)
    there = steps(walk, frames)[-1]
    assert there.phase % length == pytest.approx(walk.phase, abs=1e-6) or there.phase == (
        pytest.approx(length)
    )
    assert angle(there.noise(0), walk.noise(0)) < 1e-2


def test_the_walk_begins_at_any_phase_as_if_on_its_way() -> None:
    there = steps(start(speed=0.5), 200)[-1]
    again = begin(snapshot(speed=0.5), cond(0.0), SHAPE, "cpu", there.phase)
    assert torch.allclose(again.noise(0), there.noise(0), atol=1e-5)


def test_a_new_prompt_arrives_over_transition() -> None:
    walk = start(transition=2.0).steered(snapshot(1, prompt="x", transition=2.0), cond(1))
    values = [float(frame.cond()[0].mean()) for frame in steps(walk, 75)]
    assert values[0] == 0.0
    assert values[30] == pytest.approx(0.5)
    assert values[60:] == [1.0] * 16
    even = 1 / 60
    assert 0 < np.diff(values[:61]).min() < 0.7 * even  # halfway, where pictures change most
    assert np.diff(values).max() < 1.5 * even


def test_a_prompt_changed_halfway_bends_from_the_present_mix() -> None:
    walk = start(transition=2.0).steered(snapshot(1, prompt="x", transition=2.0), cond(1))
    half = steps(walk, 30)[-1]
    bent = half.steered(snapshot(2, prompt="y", transition=2.0), cond(5))
    assert torch.equal(bent.cond()[0], half.cond()[0])
    assert float(steps(bent, 61)[-1].cond()[0].mean()) == 5.0


@pytest.mark.parametrize("change", [{"seed": 7}, {"nexts": 1}])
def test_a_bend_starts_at_the_present_mix(change: dict[str, int]) -> None:
    walk = steps(start(), 50)[-1]
    bent = walk.steered(snapshot(1, **change), cond(0))
    for i in range(NOISES):
        assert torch.allclose(bent.noise(i), walk.noise(i), atol=1e-5)
    assert angle(bent.after(1 / FPS).noise(0), walk.noise(0)) < 0.03


def test_a_new_seed_arrives_at_that_very_seed() -> None:
    walk = steps(start(speed=1.0), 50)[-1]
    bent = walk.steered(snapshot(1, seed=42, speed=1.0), cond(0))
    there = steps(bent, 30)[-1]
    assert there.phase == pytest.approx(0.0, abs=1e-6)
    assert angle(there.noise(0), noise_of(42, 0, SHAPE, "cpu")[0]) < 1e-3


@given(st.floats(0, 20), st.floats(0, 20), st.floats(0.01, 5))
def test_a_glide_arrives_in_time_and_evenly(one: float, other: float, seconds: float) -> None:
    glide = Glide(one, one).towards(other, seconds)
    values = [glide.value]
    for _ in range(20):
        glide = glide.after(seconds / 20)
        values.append(glide.value)
    assert glide.after(1e-3).value == pytest.approx(other, abs=1e-6)
    assert np.abs(np.diff(values)).max() <= abs(other - one) / 20 + 1e-9


def test_a_new_look_is_taken_up_and_followed_for_a_while() -> None:
    walk = start().steered(snapshot(1, steps=4), cond(0))
    frames = [walk, *steps(walk, 50)]
    assert {frame.look.steps for frame in frames} == {4}
    bending = [frame.bending for frame in frames]
    assert all(bending[: round(LOOK_S * FPS)])
    assert not any(bending[round(LOOK_S * FPS) + 2 :])


def test_three_presses_of_next_move_three_keyframes() -> None:
    one, three = (start().steered(Snapshot(n, start().params, n), cond(0)) for n in (1, 3))
    assert (one.index, three.index) == (start().index + 1, start().index + 3)
    assert not torch.equal(one.b.noise, three.b.noise)


def test_a_keyframe_to_come_is_the_same_one_whenever_it_is_asked_for() -> None:
    walk = start()
    assert walk.next_segment().b is walk.next_segment().b
    entered = steps(walk, 200)
    first = next(frame for frame in entered if frame.index == walk.index + 1)
    assert first.b is walk.next_segment().b
    louder = walk.steered(snapshot(1, guidance=5.0), cond(0))  # its trajectory would be another
    assert louder.next_segment().b is not walk.next_segment().b


def test_a_warp_moves_no_end_and_pace_zero_ignores_it() -> None:
    bowed = (0.0, 0.5, 0.8, 1.0)
    walk = replace(start(speed=1.0), warp=bowed, fresh=False)
    half = replace(walk, fraction=0.5)
    assert half.way == pytest.approx(0.65)
    assert replace(walk, fraction=0.0).way == 0.0
    assert replace(walk, fraction=1.0).way == pytest.approx(1.0)
    raw = start(speed=1.0, pace=0.0)
    assert replace(raw, warp=bowed, fraction=0.5).way == 0.5


@given(st.lists(st.sampled_from(["prompt", "seed", "next", "speed", "hold", "loop", "panic"])))
@settings(deadline=None, max_examples=60)
def test_noise_and_conditioning_never_jump(storm: list[str]) -> None:
    controls = Controls(Params(steps=2, guidance=1.0, speed=0.5, transition=1.0))
    walk, rng = begin(controls.snapshot, cond(0.0), SHAPE, "cpu"), np.random.default_rng(0)
    target = 0.0
    for what in storm:
        if what == "prompt":
            target = float(rng.uniform(-1, 1))
            controls.do(Set("prompt", str(target)))
        elif what == "hold":
            controls.do(Set("hold", bool(rng.integers(2))))
        elif what == "panic":
            controls.do(Fire("panic"))
            target = 0.0
        elif what == "next":
            controls.do(Fire("next"))
        elif what == "speed":
            controls.do(Set("speed", float(rng.uniform(0, 0.5))))
        else:
            controls.do(Set(what, int(rng.integers(0, 10))))
        before = walk
        walk = walk.steered(controls.snapshot, cond(target))
        for _ in range(3):
            walk = walk.after(1 / FPS)
            assert angle(walk.noise(0), before.noise(0)) <= 1.1 * (np.pi / 2) * 0.5 / FPS + 2e-3
            assert float((walk.cond()[0] - before.cond()[0]).abs().max()) <= 2.1 / FPS
            before = walk


@given(st.integers(0, 5), st.integers(-1, 12), st.integers(0, 20))
@settings(deadline=None, max_examples=40)
def test_to_skip_many_keyframes_is_to_skip_one_many_times(
    loop: int, first: int, count: int
) -> None:
    walk = start(float(first), loop=loop)
    many = walk.steered(snapshot(1, count, loop=loop), cond(0.0))
    for n in range(1, count + 1):
        walk = walk.steered(snapshot(n, n, loop=loop), cond(0.0))
    assert (many.index, many.b.origin) == (walk.index, walk.b.origin)


@given(UNIT)
def test_mix_is_exact_at_both_ends(f: float) -> None:
    a, b = cond(2.0), cond(4.0)
    assert mix(a, b, 0.0) is a
    assert mix(a, b, 1.0) is b
    assert float(mix(a, b, f)[0].mean()) == pytest.approx(2 + 2 * f, abs=1e-5)


def test_crossfeed_pulls_over_its_range_and_decays_there() -> None:
    walk = start(steps=8, depth=0.25, crossfeed=0.8, crossfeed_range=0.75, crossfeed_decay=0.5)
    pulls = [walk.pull(i, 2, 8) for i in range(9)]
    assert pulls == pytest.approx([0, 0, 0, 0.8, 0.6, 0.4, 0, 0, 0])
    whole = start(steps=4, crossfeed=0.3)
    assert [whole.pull(i, 0, 4) for i in range(1, 4)] == [0.3, 0.3, 0.3]


def test_guidance_is_damped_halfway_between_prompts_and_nowhere_else() -> None:
    walk = start(guidance=5.0, damping=0.5, transition=2.0)
    assert walk.guidance == 5.0
    values = [
        w.guidance
        for w in steps(
            walk.steered(
                snapshot(1, prompt="x", guidance=5.0, damping=0.5, transition=2.0), cond(1)
            ),
            60,
        )
    ]
    assert values[0] == values[60] == 5.0
    assert values[30] == pytest.approx(3.0)
    assert start(guidance=0.5, damping=1.0).guidance == 0.5


def test_a_tied_walk_mixes_conditioning_and_guidance_with_its_noise() -> None:
    walk = start()
    a, b = replace(walk.a, guidance=2.0), replace(walk.b, guidance=6.0)
    tied = replace(walk, a=a, b=b, cond_b=cond(4), tied=True, warp=(0.0, 0.9, 1.0), fraction=0.5)
    assert float(tied.cond()[0].mean()) == pytest.approx(4 * tied.way)
    assert tied.guidance == pytest.approx(2 + 4 * tied.way)


def test_a_pinned_keyframe_lets_go_evenly() -> None:
    walk = start()
    pinned = replace(walk, b=replace(walk.b, pinned=True))
    holds = [replace(pinned, fraction=1 - PINNED * part).pin() for part in (1.0, 0.5, 0.0)]
    assert holds[0] is None
    assert [hold[1] for hold in holds if hold] == [0.5, 1.0]


def test_a_walk_may_begin_again_in_a_bend_towards_a_seed() -> None:
    bending = start(seed=5, speed=1.0)
    bent = bending.steered(snapshot(1, seed=9, speed=1.0), cond(2.0))
    phase = bent.after(0.25).phase
    assert FIRST_PHASE <= bent.phase < phase < 0
    again = start(phase, seed=9)
    assert again.phase == phase
    assert torch.equal(again.b.noise, noise_of(9, 0, SHAPE, "cpu"))
