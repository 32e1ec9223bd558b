"""Changes that wait for their moment: nothing is lost, and nothing comes early or twice."""

import time
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lwlive.commands import (
    Amount,
    Command,
    Fire,
    Move,
    Nudge,
    Offer,
    Patch,
    Set,
    Toggle,
    Unpatch,
)
from lwlive.controls import WAITING, Controls
from lwlive.params import ControlError, Params
from lwlive.routes import Lfo, Route
from lwlive.tempo import Tempo

COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(Set, st.just("prompt"), st.sampled_from(["rings", "smoke", "lava"])),
    st.builds(Set, st.just("speed"), st.floats(0, 4)),
    st.builds(Move, st.just("pace"), st.floats(0, 1)),
    st.builds(Nudge, st.just("speed"), st.integers(-3, 3)),
    st.builds(Toggle, st.just("hold")),
    st.just(Fire("next")),
    st.just(Fire("beat")),
    st.builds(Offer, st.builds(Tempo, st.floats(20, 300), st.floats(0, 9), st.floats(0, 9))),
    st.builds(Patch, st.builds(Route, st.just("speed"), st.floats(-1, 1), st.just(Lfo()))),
    st.builds(Amount, st.just(1), st.floats(-1, 1)),
    st.just(Unpatch(1)),
)
PLANS = st.lists(st.tuples(st.floats(0, 5), st.floats(0, 4), COMMANDS), max_size=12)
Plan = Sequence[tuple[float, float, Command]]  # when it is asked for, how much later it is due


def played(plan: Plan) -> tuple[Controls, list[tuple[float, Command]]]:
    """Controls polled every 50 ms for ten seconds, and the commands that were accepted."""
    controls, accepted = Controls(Params(guidance=1.0, steps=1)), []
    waiting = sorted(plan, key=lambda each: each[0])
    for tick in range(200):
        now = tick / 20
        while waiting and waiting[0][0] <= now:
            _, later, command = waiting.pop(0)
            due = now + later if later else None
            try:
                controls.do(command, "hand", now, due)
            except ControlError:
                assert isinstance(command, Amount | Unpatch)
            else:
                accepted.append((now if due is None else due, command))
        controls.turn(now)
    return controls, accepted


@given(PLANS)
@example([(1.3125, 3.0625, Set("prompt", "rings")), (4.4375, 0.0, Set("prompt", "smoke"))])
@settings(max_examples=200, deadline=None)
def test_what_waited_ends_as_if_it_had_been_done_when_it_was_due(plan: Plan) -> None:
    controls, accepted = played(plan)
    plain = Controls(Params(guidance=1.0, steps=1))
    for due, command in sorted(accepted, key=lambda each: each[0]):
        try:
            plain.do(command, "hand", due)
        except ControlError:  # of a route that was taken away meanwhile
            assert isinstance(command, Amount | Unpatch)
    ours, theirs = controls.snapshot, plain.snapshot
    assert (ours.params, ours.nexts, ours.routes) == (theirs.params, theirs.nexts, theirs.routes)
    assert ours.later == ()


@given(PLANS)
@settings(max_examples=100, deadline=None)
def test_nothing_takes_effect_before_it_is_due_and_versions_only_grow(plan: Plan) -> None:
    controls, prompts = Controls(Params()), [p for p in plan if p[2] == Set("prompt", "lava")]
    if not prompts:
        return
    due = min(at + later for at, later, _ in prompts)
    versions, asked = [], sorted(prompts, key=lambda each: each[0])
    for tick in range(200):
        now = tick / 20
        while asked and asked[0][0] <= now:
            at, later, command = asked.pop(0)
            controls.do(command, "hand", at, at + later)
        controls.turn(now)
        versions.append(controls.snapshot.version)
        told = [each.due or 0.0 for each in controls.snapshot.later]
        assert told == sorted(told)
        if now < due:
            assert controls.params.prompt != "lava"
    assert versions == sorted(versions)
    assert controls.params.prompt == "lava"


def test_what_is_due_soon_is_told_with_the_version_that_it_then_has() -> None:
    controls = Controls(Params())
    controls.do(Set("prompt", "lava"), "osc", at=10.0, due=11.0)
    (told,) = controls.snapshot.later
    assert (told.due, told.params.prompt) == (11.0, "lava")
    assert controls.snapshot.at(10.9) is controls.snapshot
    assert controls.snapshot.at(11.0) is told
    controls.turn(11.0)
    assert controls.snapshot.version == told.version
    assert controls.changed(0) == {"prompt": "osc"}


def test_a_hand_meanwhile_is_kept_when_what_waited_comes() -> None:
    controls = Controls(Params())
    controls.do(Set("prompt", "lava"), at=10.0, due=11.0)
    controls.do(Set("speed", 2.0), at=10.5)
    assert controls.snapshot.later[0].params.speed == 2.0
    controls.turn(11.5)
    assert (controls.params.prompt, controls.params.speed) == ("lava", 2.0)


def test_what_is_far_off_is_told_in_time() -> None:
    controls = Controls(Params())
    controls.do(Set("prompt", "lava"), at=0.0, due=9.0)
    assert not controls.snapshot.later
    controls.turn(7.5)
    assert controls.snapshot.later[0].due == 9.0


def test_a_stage_that_stood_still_does_all_that_was_due_meanwhile() -> None:
    controls = Controls(Params())
    for i in range(5):
        controls.do(Set("prompt", f"prompt {i}"), at=0.0, due=1.0 + i)
    controls.do(Set("speed", 3.0), at=0.0, due=60.0)
    controls.turn(30.0)
    assert (controls.params.prompt, controls.params.speed) == ("prompt 4", 0.25)


def test_panic_forgets_what_waits_and_keeps_the_rooms_tempo() -> None:
    controls = Controls(Params())
    controls.do(Offer(Tempo(133.0, 4.0, 1.0, "clock")), at=1.0)
    controls.do(Set("prompt", "lava"), at=1.0, due=2.0)
    controls.do(Fire("panic"), at=1.5)
    controls.turn(3.0)
    assert controls.params == Params(bpm=133.0)
    assert controls.snapshot.tempo.by == "clock"


def test_panic_takes_back_what_was_told_of_later_also_where_nothing_else_has_changed() -> None:
    controls = Controls(Params())
    controls.do(Set("prompt", "lava"), "hand", 0.0, due=1.0)
    controls.do(Fire("panic"), "hand", 0.5)
    assert controls.snapshot.at(2.0).params.prompt == Params().prompt  # as the engine makes it


def test_more_than_can_wait_is_refused_with_a_sentence() -> None:
    controls = Controls(Params())
    for i in range(WAITING):
        controls.do(Set("speed", 1.0), at=0.0, due=5.0 + i / WAITING)
    with pytest.raises(ControlError, match="wait for their moment"):
        controls.do(Set("pace", 1.0), at=0.0, due=5.0)


def test_a_new_bpm_keeps_the_beat() -> None:
    controls = Controls(Params())
    controls.do(Offer(Tempo(120.0, 8.0, 2.0)), at=2.0)
    controls.do(Set("bpm", 90.0), at=5.0)
    assert controls.snapshot.tempo.beats(5.0) == pytest.approx(14.0)
    assert controls.snapshot.tempo.bpm == 90.0
    with pytest.raises(ControlError, match="bpm takes a number from 20 to 300"):
        controls.do(Offer(Tempo(5.0)))


def test_a_knob_that_waits_for_the_beat_waits_once_and_its_newest_value_counts() -> None:
    controls = Controls(Params())
    for i in range(5000):
        controls.do(Set("seed", i), at=i / 1000, due=8.0, every=4.0)
    assert len(controls.snapshot.later) <= 1
    controls.turn(8.0)
    assert controls.params.seed == 4999


def test_many_moments_are_told_in_order_and_cost_little_each() -> None:
    controls = Controls(Params())
    started = time.process_time()
    for i in range(WAITING):
        controls.do(Set("speed", i / WAITING), at=0.0, due=0.5 + i / WAITING)
    assert time.process_time() - started < 1.0
    versions = [each.version for each in controls.snapshot.later]
    assert len(versions) == WAITING
    assert versions == sorted(set(versions))
    controls.turn(0.5 + 99.5 / WAITING)
    assert controls.params.speed == 99 / WAITING


@given(st.floats(40, 240), st.floats(0.05, 1.9))
def test_what_waits_for_a_beat_falls_on_it_whatever_the_tempo_does(bpm: float, when: float) -> None:
    controls = Controls(Params())
    controls.do(Offer(Tempo(120.0, 0.0, 0.0), jump=True))
    controls.do(Fire("next"), at=0.1, due=controls.snapshot.tempo.next(4, 0.1), every=4.0)
    controls.turn(when)
    controls.do(Set("bpm", bpm), at=when)
    (told,) = controls.snapshot.later or [None]
    if told is not None and told.due is not None:
        beats = controls.snapshot.tempo.beats(told.due)
        assert beats == pytest.approx(4.0, abs=1e-6)
    controls.turn(10.0)
    assert controls.snapshot.nexts == 1
