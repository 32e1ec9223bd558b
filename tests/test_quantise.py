"""What waits for a beat comes on it: early hands, clocks that turn, stalls, late projectors.

On a simulated clock. A desk is polled as a show polls it: first what is due, then what has come in
since the last poll, stamped with its own moment.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lwlive.commands import Command, Fire, Go, Offer, Recall, Set
from lwlive.controls import Controls
from lwlive.cuelist import Cue, CueList
from lwlive.params import Params
from lwlive.stage.cues import NEARLY_S
from lwlive.stage.desk import Desk
from lwlive.stage.disk import Disk
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.tempo import MidiClock
from lwlive.tempo import Tempo, multiple

EASY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LONGEST_S = 0.03  # from one poll to the next, but for a stall
Happens = tuple[float, Command]  # when, and what
Step = Callable[[float], float]  # from a moment to the next poll


class Stage:
    """A desk that is polled at irregular moments, from second 0 on. The first bar begins there."""

    def __init__(
        self,
        folder: Path,
        bpm: float,
        every: float,
        delay_s: float = 0.0,
        cues: CueList | None = None,
    ) -> None:
        self.controls = Controls(Params(steps=1, guidance=1.0, quantise=every, bpm=bpm))
        disk = Disk(print, lambda job: job())
        self.desk = Desk(folder, self.controls, disk, delay_s, cues)
        self.desk.pictures = True
        self.now, self.delay_s, self.polls = 0.0, delay_s, 0
        self.seen: list[tuple[int, float, str]] = []  # poll, moment on the screen, prompt
        self.came: dict[float, int] = {}  # the poll in which each command came in, by its moment

    def poll(self, step_s: float, coming: list[Happens]) -> None:
        """The next poll, so much later; what has come in by then is taken from a list."""
        self.now, self.polls = self.now + step_s, self.polls + 1
        before = self.controls.params.prompt
        self.desk.poll(self.now)
        while coming and coming[0][0] <= self.now:
            at, command = coming.pop(0)
            self.came[at] = self.polls
            self.desk.do(Arrived(command, "hand", at), Source())
        if self.controls.params.prompt != before:
            self.seen.append((self.polls, self.now + self.delay_s, self.controls.params.prompt))

    def play(self, happens: Sequence[Happens], until: float, step: Step) -> None:
        """Play on. step: how long it is from a moment to the next poll."""
        coming = sorted(happens, key=lambda each: each[0])
        while self.now < until:
            self.poll(step(self.now), coming)


def steps(seed: int, stall: tuple[float, float] | None = None) -> Step:
    """LONGEST_S at most, and once, from a moment on, a stall of some seconds."""
    rng, stalls = random.Random(seed), [stall] if stall else []

    def step(now: float) -> float:
        if stalls and now >= stalls[0][0]:
            return stalls.pop()[1]
        return rng.uniform(0.001, LONGEST_S)

    return step


DELAYS = st.sampled_from([0.0, 0.085, 0.3])


@given(
    bpm=st.floats(40, 240),
    every=st.sampled_from([1.0, 2.0, 4.0]),
    early=st.floats(1e-3, 3.4),
    stall_s=st.none() | st.floats(0, 1),
    delay_s=DELAYS,
    seed=st.integers(0, 999),
)
@example(bpm=120.0, every=4.0, early=0.036, stall_s=None, delay_s=0.0, seed=1)
@EASY
def test_a_beat_struck_before_the_awaited_one_takes_its_place(
    tmp_path: Path,
    bpm: float,
    every: float,
    early: float,
    stall_s: float | None,
    delay_s: float,
    seed: int,
) -> None:
    stage, beat_s = Stage(tmp_path, bpm, every, delay_s), 60 / bpm
    struck = (8 - early) * beat_s
    asked = (8 - early - (8 - early) % every / 2) * beat_s
    stall = None if stall_s is None else (struck - stall_s / 2, stall_s)
    happens: list[Happens] = [(asked, Set("prompt", "drop")), (struck, Fire("beat"))]
    stage.play(happens, 12 * beat_s, steps(seed, stall))
    ((poll, at, _),) = stage.seen
    assert poll <= stage.came[struck] + 1
    assert at >= struck


@pytest.mark.parametrize("early_s", [0.002, 0.012, 0.06])
@pytest.mark.parametrize("every", [1.0, 4.0])
def test_what_waits_comes_on_the_beat_that_taps_have_put_a_little_earlier(
    tmp_path: Path, every: float, early_s: float
) -> None:
    stage = Stage(tmp_path, 120.0, every)
    taps: list[Happens] = [(2.0 - early_s - 0.5 * k, Fire("tap")) for k in range(4)]
    stage.play([(1.6, Set("prompt", "drop")), *taps], 5.0, steps(1))
    ((_, at, _),) = stage.seen
    assert 2.0 - early_s <= at <= 2.0 - early_s + 0.06


@pytest.mark.parametrize(("bpm", "then"), [(120, 184), (120, 128), (120, 90), (87, 174)])
def test_a_clock_that_turns_just_before_the_awaited_bar_costs_no_bar(bpm: int, then: int) -> None:
    """It tells of its tempo some ticks late. A bar missed would be four beats."""
    for seed in range(12):
        rng, controls, clock = random.Random(seed), Controls(Params()), MidiClock()
        turns_at = 0.5 + (19 - seed / 20) * 60 / bpm
        ticks = [0.5]
        while len(ticks) < 24 * 24:
            ticks.append(ticks[-1] + 60 / (bpm if ticks[-1] < turns_at else then) / 24)
        bar, asked = ticks[19 * 24], False  # the clock's first tick is beat 1
        now, coming = 0.0, [at + abs(rng.gauss(0, 3e-4)) for at in ticks]
        while controls.params.prompt != "drop" and coming:
            now += 0.005
            controls.turn(now)
            while coming and coming[0] <= now:
                at = coming.pop(0)
                offer = clock.heard(b"\xf8", at)
                if offer is not None:
                    controls.do(offer, at=at)
                    clock.told(controls.snapshot.tempo)
            if not asked and now > bar - 1.5:
                asked, tempo = True, controls.snapshot.tempo
                controls.do(Set("prompt", "drop"), at=now, due=tempo.when(20), every=4.0)
        assert abs(now - bar) < 0.26 * 60 / min(bpm, then) + 0.01


@given(
    changes=st.lists(st.tuples(st.floats(0.001, 1.5), st.floats(20, 300)), max_size=6),
    after=st.floats(0.001, 1.9),
    every=st.sampled_from([0.5, 1.0, 4.0, 16.0]),
    stall=st.none() | st.tuples(st.floats(2, 6), st.floats(0, 2)),
    delay_s=DELAYS,
    seed=st.integers(0, 999),
)
@example([(0.002, 240.0)], 0.005, 1.0, None, 0.0, 1)
@example([(0.1, 20.0)], 0.3, 0.5, None, 0.3, 1)
@example([(0.0625, 151.0), (0.015625, 150.0)], 0.015625, 0.5, None, 0.0, 0)
@EASY
def test_what_waits_comes_on_the_first_beat_after_it_was_asked_for_through_any_tempo(
    tmp_path: Path,
    changes: list[tuple[float, float]],
    after: float,
    every: float,
    stall: tuple[float, float] | None,
    delay_s: float,
    seed: int,
) -> None:
    stage, step = Stage(tmp_path, 120.0, every, delay_s), steps(seed, stall)
    asked = 2.0 + after  # a bar begins at second 2
    coming: list[Happens] = [(asked, Set("prompt", "drop"))]
    for later, bpm in changes:
        coming.append((coming[-1][0] + later, Set("bpm", bpm)))
    beat = every * -(-2 * asked // every)
    passed = []
    while not stage.seen and stage.now < 200:
        passed.append(stage.controls.snapshot.tempo.beats(stage.now + delay_s))
        stage.poll(step(stage.now), coming)
    ((poll, at, _),) = stage.seen
    assert stage.controls.snapshot.tempo.beats(at) >= beat - 1e-6
    assert passed[-1] < beat or poll <= stage.came[asked] + 1


@given(
    bpm=st.floats(20, 300),
    phase=st.floats(-0.2, 0.2),
    after=st.floats(0.002, 0.3),
    every=st.sampled_from([1.0, 4.0]),
    told=st.floats(0.001, 0.15),
)
@example(bpm=60.0, phase=-0.05, after=0.01, every=4.0, told=0.1)
@example(bpm=300.0, phase=0.0, after=0.01, every=1.0, told=0.02)
@EASY
def test_what_is_asked_for_just_after_a_beat_waits_for_the_next_also_where_that_beat_is_moved(
    bpm: float, phase: float, after: float, every: float, told: float
) -> None:
    controls = Controls(Params(bpm=60.0))
    asked = 4.0 + after
    controls.turn(asked)
    controls.do(Set("prompt", "drop"), at=asked, due=4.0 + every, every=every)
    now = asked + told
    controls.turn(now)
    controls.do(Offer(Tempo(bpm, now + phase, now)), at=now)
    controls.turn(now + 0.01)
    assert controls.params.prompt != "drop"
    due = max(now, controls.snapshot.tempo.when(4.0 + every))
    controls.turn(due - 0.001)
    assert controls.params.prompt != "drop"
    controls.turn(due)
    assert controls.params.prompt == "drop"


# Cues

TURNS: st.SearchStrategy[Command] = st.one_of(
    st.builds(Set, st.just("bpm"), st.floats(20, 300)),
    st.just(Fire("beat")),
    st.builds(
        lambda bpm, beat, at: Offer(Tempo(bpm, beat, at, "clock")),
        st.floats(20, 300),
        st.floats(-64, 64),
        st.floats(0, 6),
    ),
)
PLAYLIST = CueList((Cue("a", {"speed": 0.1}), Cue("b", {"speed": 0.2}, beats=4.0)), loop=True)


@given(
    turns=st.lists(st.tuples(st.floats(0, 8), TURNS), max_size=8),
    recalled=st.lists(st.floats(0, 8), max_size=2),
    asked=st.floats(0.1, 6),
    every=st.sampled_from([1.0, 4.0, 16.0]),
    stall=st.none() | st.tuples(st.floats(0, 8), st.floats(0, 2)),
    delay_s=DELAYS,
    seed=st.integers(0, 999),
)
@example([(2.0, Set("bpm", 140.0))], [], 1.0, 16.0, None, 0.0, 1)
@example([(2.0, Set("bpm", 140.0)), (3.0, Set("bpm", 100.0))], [2.5], 1.0, 16.0, None, 0.3, 1)
@example([(1.99, Fire("beat"))], [], 1.0, 4.0, None, 0.0, 1)
@EASY
def test_a_cue_comes_on_the_same_beat_as_a_prompt_that_was_asked_for_with_it(
    tmp_path: Path,
    turns: list[tuple[float, Command]],
    recalled: list[float],
    asked: float,
    every: float,
    stall: tuple[float, float] | None,
    delay_s: float,
    seed: int,
) -> None:
    (tmp_path / "depth.toml").write_text("depth = 0.3")
    stage, step = Stage(tmp_path, 120.0, every, delay_s, PLAYLIST), steps(seed, stall)
    assert stage.desk.cues is not None
    stage.poll(0.001, [])  # a playlist begins by itself
    coming: list[Happens] = [(asked, Set("prompt", "drop")), (asked, Fire("go")), *turns]
    coming += [(at, Recall("depth")) for at in recalled]  # what waits is prepared again
    coming.sort(key=lambda each: each[0])
    while stage.now < 8 or stage.controls.snapshot.later or not stage.seen:
        known = bool(stage.seen)
        stage.poll(step(stage.now), coming)
        assert stage.controls.params.speed == (0.2 if stage.seen else 0.1)
        assert stage.desk.cues.taken in ((2,) if known else (1, 2) if stage.seen else (1,))
        assert stage.now < 8 + 16 * 60 / 20 + 3


def test_what_is_asked_for_after_a_beat_that_came_meanwhile_leads_on_from_the_cue_of_that_beat(
    tmp_path: Path,
) -> None:
    three = CueList(tuple(Cue(name, {"speed": n / 10}) for n, name in enumerate("abc")))
    stage, said = Stage(tmp_path, 120.0, 1.0, 0.0, three), list[str]()
    assert stage.desk.cues is not None
    stage.desk.cues.say = said.append
    coming: list[Happens] = [(0.25, Fire("go")), (0.375, Fire("beat")), (0.375, Go("c"))]
    for _ in range(3):
        stage.poll(0.5, coming)  # all three come in one stall
    assert said == ["cue 1: a", "cue 3: c"]
    assert stage.controls.params.speed == 0.2


@given(
    turns=st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(20, 300)), max_size=4),
    follow=st.floats(0.1, 4),
    every=st.sampled_from([1.0, 4.0]),
    seed=st.integers(0, 999),
)
@example([(1.0, 300.0)], 0.2, 4.0, 1)
@example([(0.0625, 129.0), (1.125, 251.0), (0.328125, 20.0)], 1.0, 4.0, 0)
@example([(0.0625, 20.0), (0.25, 66.0)], 0.125, 1.0, 0)
@EASY
def test_a_cue_that_follows_comes_on_the_first_beat_after_its_time_through_any_tempo(
    tmp_path: Path, turns: list[tuple[float, float]], follow: float, every: float, seed: int
) -> None:
    cues = CueList((Cue("a", {"speed": 0.1}, follow=follow), Cue("b", {"speed": 0.2})))
    stage, step = Stage(tmp_path, 120.0, every, 0.0, cues), steps(seed)
    assert stage.desk.cues is not None
    coming: list[Happens] = [(1.999, Fire("go"))]  # the first cue comes at second 2
    at = 2.0
    for later, bpm in turns:
        at += later
        coming.append((at, Set("bpm", bpm)))
    over = 2 + follow - NEARLY_S
    reached, passed = 0.0, 0.0  # beats: when the first cue's time is over, and at the last poll
    tempo = before = stage.controls.snapshot.tempo
    while stage.desk.cues.taken < 2 and stage.now < 60:
        before, tempo = tempo, stage.controls.snapshot.tempo
        passed = tempo.beats(stage.now)
        if stage.now <= over:
            reached = passed = tempo.beats(over)
        stage.poll(step(stage.now), coming)
    assert stage.desk.cues.taken == 2
    assert stage.now >= over
    assert passed <= multiple(reached, every) + 1e-6
    # a tempo that comes within the poll before the beat is too late for it
    ago = [(t.beats(stage.now) + 1e-6) % every * 60 / t.bpm for t in (before, tempo)]
    assert min(ago) <= LONGEST_S + NEARLY_S


@pytest.mark.parametrize("early", [0.03, 0.05, 0.1])
def test_a_cue_that_follows_comes_with_a_beat_that_is_put_a_little_earlier(
    tmp_path: Path, early: float
) -> None:
    cues = CueList((Cue("a", {"speed": 0.1}, follow=1.5), Cue("b", {"speed": 0.2})))
    stage, step = Stage(tmp_path, 120.0, 4.0, 0.0, cues), steps(0)
    assert stage.desk.cues is not None
    coming: list[Happens] = [(1.999, Fire("go")), (4 - early, Fire("beat"))]
    while stage.desk.cues.taken < 2 and stage.now < 60:
        stage.poll(step(stage.now), coming)
    assert 0 <= stage.now - (4 - early) <= 2 * LONGEST_S  # `beat` is heard, then it comes
