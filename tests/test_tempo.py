"""Tempo: taps, MIDI's clock, and the law that beats never run backwards, on simulated time."""

import random
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwlive.commands import Command, Fire, Offer, Set
from lwlive.controls import Controls
from lwlive.params import Params
from lwlive.stage.desk import Desk
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.tempo import MidiClock
from lwlive.stage.taps import Taps
from lwlive.tempo import FASTEST, SLOWEST, Tempo

TICK, START, CONTINUE, STOP = b"\xf8", b"\xfa", b"\xfb", b"\xfc"


def position(beats: float) -> bytes:
    sixteenths = round(4 * beats)
    return bytes([0xF2, sixteenths & 0x7F, sixteenths >> 7])


# What a tempo is


@given(
    bpm=st.floats(SLOWEST, FASTEST),
    beat=st.floats(-1e3, 1e6),
    at=st.floats(0, 1e6),
    other=st.floats(SLOWEST, FASTEST),
    behind=st.floats(-100, 100),
    now=st.floats(0, 1e6),
)
def test_no_beat_runs_backwards_when_another_line_takes_over(
    bpm: float, beat: float, at: float, other: float, behind: float, now: float
) -> None:
    before = Tempo(bpm, beat, at)
    after = Tempo(other, before.beats(now) - behind, now).after(before, now)
    moments = [now + n / 50 for n in range(500)]
    beats = [after.beats(moment) for moment in moments]
    assert beats[0] >= before.beats(now)
    assert all(one <= two for one, two in pairwise(beats))
    # it is waited for a beat at most, and bars keep their ones
    assert after.beats(now) <= max(before.beats(now), before.beats(now) - behind) + 3 + 1e-6
    line = Tempo(other, before.beats(now) - behind, now).beats(now + 60)
    assert (after.beats(now + 60) - line) % 4 == pytest.approx(0, abs=1e-6) or behind > 0
    if 0 < behind <= 1:
        caught_up = now + 60 / other + 1e-6
        assert after.beats(caught_up) == pytest.approx(
            Tempo(other, before.beats(now) - behind, now).beats(caught_up), abs=1e-6
        )


@given(beats=st.floats(0, 1000), of=st.sampled_from([1, 4]))
def test_a_beat_struck_is_one_to_come_or_one_just_gone(beats: float, of: int) -> None:
    struck = Tempo(120, beats, 5.0).struck(5.0, of=of)
    assert struck.beats(5.0) % of == 0
    assert -0.5 <= struck.beats(5.0) - beats < of - 0.5 + 1e-9


def test_a_beat_that_is_struck_late_stands_until_its_line_has_caught_up() -> None:
    controls = Controls(Params(bpm=60))
    controls.turn(4.3)
    assert controls.snapshot.tempo.beats(4.3) == pytest.approx(4.3)
    controls.do(Fire("beat"), at=4.3)
    tempo = controls.snapshot.tempo
    assert [tempo.beats(t) for t in (4.3, 4.5, 4.6)] == pytest.approx([4.3, 4.3, 4.3])
    assert tempo.beats(5.3) == pytest.approx(5.0)
    assert tempo.next(1, 4.3) == pytest.approx(5.3)
    assert tempo.next(4, 4.3) == pytest.approx(8.3)


# Taps


def tapped(taps: Taps, moments: Iterable[float], before: Tempo | None = None) -> Tempo | None:
    found, before = None, before or Tempo()
    for at in moments:
        found = taps.tapped(at, before)
        before = found or before
    return found


@given(
    bpm=st.floats(40, 240),
    seed=st.integers(0, 1000),
    count=st.integers(4, 20),
    left_out=st.integers(1, 19),
)
def test_taps_of_a_shaky_hand_make_the_tempo(
    bpm: float, seed: int, count: int, left_out: int
) -> None:
    rng, period = random.Random(seed), 60 / bpm
    moments = [100 + n * period + rng.uniform(-0.03, 0.03) * period for n in range(count)]
    if 3 < left_out < count - 1:
        del moments[left_out]
    found = tapped(Taps(), moments)
    assert found is not None
    assert found.bpm == pytest.approx(bpm, rel=0.04)
    assert found.at == moments[-1]
    assert found.beat == round(found.beat)
    assert found.by == "tap"


def test_one_bad_tap_does_not_move_the_tempo() -> None:
    taps = Taps()
    moments = [n * 0.5 for n in range(8)]
    moments[4] += 0.12
    found = tapped(taps, moments)
    assert found is not None
    assert found.bpm == pytest.approx(120, rel=0.005)


def test_three_taps_are_too_few_and_a_pause_starts_again() -> None:
    taps = Taps()
    assert tapped(taps, [0.0, 0.5, 1.0]) is None
    assert tapped(taps, [1.5]) is not None
    assert tapped(taps, [10.0, 10.4, 10.8]) is None
    found = tapped(taps, [11.2])
    assert found is not None
    assert found.bpm == pytest.approx(150)


def test_another_tempo_is_taken_up_without_a_pause() -> None:
    taps = Taps()
    assert tapped(taps, [n * 0.6 for n in range(8)]) is not None
    found = tapped(taps, [4.2 + n * 0.4 for n in range(1, 5)])
    assert found is not None
    assert found.bpm == pytest.approx(150, rel=0.01)


def test_a_button_that_bounces_is_one_tap() -> None:
    found = tapped(Taps(), [t for n in range(5) for t in (n * 0.5, n * 0.5 + 0.02)][:-1])
    assert found is not None
    assert found.bpm == pytest.approx(120)


@given(st.lists(st.floats(-10, 100) | st.sampled_from([0.0, 1.0, 1.0, 1e9]), max_size=30))
def test_whatever_is_tapped_gives_a_tempo_in_range_or_none(moments: list[float]) -> None:
    taps = Taps()
    for at in moments:
        found = taps.tapped(at, Tempo())
        assert found is None or SLOWEST <= found.bpm <= FASTEST


def test_a_tap_comes_through_the_desk(tmp_path: Path) -> None:
    controls = Controls(Params())
    desk = Desk(tmp_path, controls)
    for n in range(4):
        assert controls.params.bpm == 120
        desk.poll(n * 0.4)
        desk.do(Arrived(Fire("tap"), "keys", n * 0.4), Source())
    tempo = controls.snapshot.tempo
    assert controls.params.bpm == pytest.approx(150)
    assert tempo.bpm == pytest.approx(150)
    assert tempo.by == "tap"
    assert (tempo.beats(1.2 + 4 * 0.4) + 0.5) % 1 == pytest.approx(0.5, abs=1e-6)


# MIDI's clock


class Show:
    """The controls of a show, which a MIDI clock keeps."""

    def __init__(self, bpm: float = 120.0, now: float = 1000.0) -> None:
        self.clock, self.controls, self.now = MidiClock(), Controls(Params(bpm=bpm)), now
        self.controls.turn(now)
        self.clock.told(self.tempo)
        self.offers: list[Offer] = []

    @property
    def tempo(self) -> Tempo:
        return self.controls.snapshot.tempo

    @property
    def beat(self) -> float:
        return self.tempo.beats(self.now)

    def hear(self, data: bytes, stamp_off: float = 0.0) -> None:
        offer = self.clock.heard(data, self.now + stamp_off)
        if offer is not None:
            self.offers.append(offer)
            self.do(offer)

    def do(self, command: Command) -> None:
        self.controls.turn(self.now)
        self.controls.do(command, at=self.now)
        self.clock.told(self.tempo)

    def play(
        self, bpm: float, beats: float, jitter_s: float = 0.0, seed: int = 1
    ) -> Iterator[float]:
        """Ticks for so many beats; after each, how many beats have passed."""
        rng = random.Random(seed)
        for n in range(round(beats * 24)):
            self.hear(TICK, rng.gauss(0, jitter_s) if jitter_s else 0.0)
            yield n / 24
            self.now += 60 / bpm / 24


@pytest.mark.parametrize(
    ("jitter_s", "bpm_off", "beat_off_s", "offers"),
    [(0.0, 1e-6, 1e-6, 3), (3e-5, 1e-3, 1e-3, 5), (3e-3, 3e-3, 5e-3, 60)],
)
def test_a_clock_that_jitters_gives_a_steady_tempo(
    jitter_s: float, bpm_off: float, beat_off_s: float, offers: int
) -> None:
    """At 126 beats a minute, four seconds after it has started; a minute of it."""
    show = Show()
    show.hear(START)
    for beat in show.play(126, 126, jitter_s):
        if beat > 4 * 126 / 60:
            assert show.tempo.bpm == pytest.approx(126, rel=bpm_off)
            assert abs(show.beat - beat) * 60 / 126 < beat_off_s
    assert len(show.offers) <= offers


@pytest.mark.parametrize(
    "jitter_s", [0.0, *(pytest.param(s, marks=pytest.mark.slow) for s in (3e-5, 1e-3)), 3e-3]
)
@pytest.mark.parametrize("bpm", [63, 90, 120, 128, 140, 252])
def test_a_new_tempo_is_followed_within_two_beats(bpm: float, jitter_s: float) -> None:
    show = Show()
    show.hear(START)
    list(show.play(126, 16, jitter_s))
    for beat in show.play(bpm, 16, jitter_s):
        if beat > 2:
            assert show.tempo.bpm == pytest.approx(bpm, rel=max(0.001, 6 * jitter_s))
            assert abs(show.beat - 16 - beat) * 60 / bpm < max(0.002, 3 * jitter_s)


def test_a_tempo_that_glides_is_followed() -> None:
    show = Show()
    show.hear(START)
    list(show.play(100, 8))
    passed = 8.0
    for n in range(64):  # a quarter of a beat each, 100 to 132
        for _ in show.play(100 + n / 2, 0.25):
            pass
        passed += 0.25
        assert abs(show.beat - passed) < 0.03


def test_a_lost_clock_keeps_the_tempo_and_its_beats_run_on() -> None:
    show = Show()
    show.hear(START)
    list(show.play(126, 20))
    show.now += 30
    assert show.beat == pytest.approx(20 + 30 * 126 / 60, abs=1e-3)
    offers = len(show.offers)
    for beat in show.play(126, 8):
        assert show.beat == pytest.approx(20 + 30 * 126 / 60 + beat, abs=0.5 / 24 + 1e-3)
    assert len(show.offers) <= offers + 2


def test_ticks_that_were_lost_are_counted() -> None:
    show = Show()
    show.hear(START)
    list(show.play(126, 8, 3e-5))
    for lost in (1, 2, 5, 9):
        show.now += lost * 60 / 126 / 24
        list(show.play(126, 4 - lost / 24, 3e-5))
    assert show.beat == pytest.approx(24, abs=0.005)


@pytest.mark.slow
@given(seed=st.integers(0, 10**6), bpm=st.floats(60, 200))
@settings(max_examples=30)
def test_ticks_that_a_busy_sender_loses_now_and_then_cost_no_beat(seed: int, bpm: float) -> None:
    """As a program on JACK that is not scheduled in time: seen on a busy machine."""
    show, rng, tick = Show(), random.Random(seed), 60 / bpm / 24
    show.hear(START)
    list(show.play(bpm, 4, 3e-5))
    passed, worst = 4.0, 0.0
    while passed < 40:
        lost = rng.choice([1, 1, 2, 3])
        show.now += lost * tick
        sent = rng.randrange(12, 60) / 24
        for beat in show.play(bpm, sent, 3e-5, seed):
            worst = max(worst, abs(show.beat - passed - lost / 24 - beat) * 60 / bpm)
        passed += lost / 24 + sent
    assert worst < 0.002


def test_ticks_that_come_in_a_heap_are_counted_once() -> None:
    """A machine that stood still for a second stamps what it missed all together."""
    show = Show()
    show.hear(START)
    list(show.play(120, 8))
    show.now += 1.0
    for _ in range(49):
        show.hear(TICK)
    show.now += 60 / 120 / 24
    list(show.play(120, 8))
    assert show.beat == pytest.approx(18 + 1 / 24, abs=0.01)


def test_a_start_from_the_top_is_beat_zero() -> None:
    show = Show()
    list(show.play(126, 10))
    show.hear(STOP)
    list(show.play(126, 5.5))  # most sequencers let their clock run
    show.hear(START)
    show.hear(TICK)
    assert show.offers[-1].jump
    assert show.beat == pytest.approx(0, abs=1e-3)
    assert show.tempo.bpm == pytest.approx(126)


def test_a_position_and_continue_are_where_the_song_says() -> None:
    show = Show()
    show.hear(START)
    list(show.play(126, 10))
    show.hear(STOP)
    list(show.play(126, 3))
    assert show.beat == pytest.approx(13, abs=0.01)  # the beat runs on while the song is stopped
    show.hear(position(64.5))
    assert show.beat == pytest.approx(13, abs=0.01)
    show.hear(CONTINUE)
    for beat in show.play(126, 4):
        assert show.beat == pytest.approx(64.5 + beat, abs=1e-3)
    show.hear(STOP)
    show.now += 5
    show.hear(CONTINUE)
    for beat in show.play(126, 4):
        assert show.beat == pytest.approx(68.5 + beat, abs=1e-3)
    show.hear(position(16))  # a loop, while it plays
    for beat in show.play(126, 4):
        assert show.beat == pytest.approx(16 + beat, abs=1e-3)


def test_a_clock_joined_in_mid_song_takes_its_one_from_the_hand() -> None:
    show = Show()
    list(show.play(126, 10.25))
    show.do(Fire("beat"))
    struck = show.tempo
    assert struck.beat % 4 == 0
    list(show.play(126, 16))
    assert show.tempo.by == "MIDI clock"
    assert (show.beat - struck.beat) == pytest.approx(16, abs=0.005)


def test_a_clock_that_runs_takes_the_tempo_back_from_a_hand_and_not_from_a_clock() -> None:
    show = Show()
    list(show.play(126, 10))
    show.do(Set("bpm", 90))
    assert show.tempo.bpm == 90
    list(show.play(126, 2))
    assert show.tempo.bpm == pytest.approx(126)
    show.do(Offer(Tempo(100, 7, show.now, "link")))
    list(show.play(126, 20, 3e-5))
    assert (show.tempo.bpm, show.tempo.by) == (100, "link")
    list(show.play(130, 4))  # now it has something new to say
    assert show.tempo.bpm == pytest.approx(130)


def test_a_clock_beyond_the_range_says_nothing() -> None:
    show = Show()
    list(show.play(400, 20))
    list(show.play(5, 1))
    assert not show.offers


MESSAGES = st.one_of(
    st.tuples(st.just(TICK), st.floats(0, 0.6)),
    st.tuples(st.just(TICK), st.sampled_from([60 / 126 / 24, 0.0, 0.02, 0.2, 0.51, 100.0])),
    st.tuples(st.binary(max_size=4), st.floats(0, 0.1)),
)
SOMEBODY = st.sampled_from([Fire("beat"), Set("bpm", 60.0), Set("bpm", 180.0)])


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            MESSAGES,
            st.tuples(st.floats(25, 290), st.integers(1, 60), st.floats(0, 5e-3)),
            SOMEBODY,
            st.builds(
                lambda bpm, beat: Tempo(bpm, beat, 1000.0, "link"),
                st.floats(20, 300),
                st.floats(-1e3, 1e4),
            ),
        ),
        max_size=30,
    ),
    st.integers(0, 2**32),
)
def test_beats_never_run_backwards_whatever_the_clock_does(script: list[object], seed: int) -> None:
    show, rng = Show(), random.Random(seed)
    shown = show.beat

    def look() -> None:
        nonlocal shown
        assert show.beat >= shown or (show.offers and show.offers[-1].jump)
        assert SLOWEST <= show.tempo.bpm <= FASTEST
        shown = show.beat

    for step in script:
        if isinstance(step, Tempo):
            show.do(Offer(step))
        elif isinstance(step, tuple) and len(step) == 3:
            bpm, ticks, jitter_s = step
            for _ in range(ticks):
                show.hear(TICK, -abs(rng.gauss(0, jitter_s)))
                look()
                show.now += 60 / bpm / 24
        elif isinstance(step, tuple):
            data, wait = step
            show.hear(data)
            look()
            show.now += wait
        else:
            assert isinstance(step, Fire | Set)
            show.do(step)
        look()


@pytest.mark.slow
@given(st.lists(st.tuples(st.binary(max_size=4), st.floats(allow_nan=True)), max_size=60))
def test_no_bytes_and_no_stamp_stop_a_clock(messages: list[tuple[bytes, float]]) -> None:
    clock = MidiClock()
    for data, at in messages:
        clock.heard(data, at)
    show = Show(now=2e9)
    show.clock = clock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lwlive.stage.sources.tempo.LATEST_S", 1e10)
        show.hear(START)
        list(show.play(126, 10))
    assert show.tempo.bpm == pytest.approx(126, rel=1e-3)
