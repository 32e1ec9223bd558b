"""What frames owe to the moment at which they are due: waiting changes, beats, routes.

All of it on simulated time that passes inside the work.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from simulated import Machine
from test_time import EASY, Storm

from lwlive.commands import Fire, Offer, Patch, Set, Unpatch
from lwlive.routes import BANDS, Band, Lfo, Route
from lwlive.tempo import Tempo

Make = Callable[..., Machine]
TEMPO = Tempo(126.0, 0.0, 0.3)
BAR = 4


@pytest.fixture
def machine() -> Iterator[Make]:
    """Makes machines, whose memory is given back in the end."""
    made: list[Machine] = []

    def make(*args: Any, **more: Any) -> Machine:
        made.append(Machine(*args, **more))
        made[-1].controls.do(Offer(TEMPO))
        return made[-1]

    yield make
    for each in made:
        each.close()


def prompts(show: Machine) -> list[tuple[float, str]]:
    """When the first picture made with each prompt was shown."""
    found: list[tuple[float, str]] = []
    for at, made in zip(show.shown_at, show.made, strict=True):
        if not found or made.walk.params.prompt != found[-1][1]:
            found.append((at, made.walk.params.prompt))
    return found[1:]


@pytest.mark.parametrize(
    ("denoise_s", "batch", "fps", "delay_s"),
    [
        pytest.param(0.004, 1, 60.0, 0.0, marks=pytest.mark.slow),
        (0.01, 4, 60.0, 0.085),
        (0.05, 2, 30.0, 0.0),
    ],
)
def test_a_prompt_sent_anywhere_in_a_bar_changes_on_the_frame_due_on_the_next(
    machine: Make, denoise_s: float, batch: int, fps: float, delay_s: float
) -> None:
    show = machine(denoise_s, 0.002, batch, fps)
    show.producer.aim.delay_s = delay_s
    rng = np.random.default_rng(5)
    sent: list[tuple[float, str]] = []
    bar_s = BAR * 60 / TEMPO.bpm
    send_at = [1.0]

    def hands(show: Machine) -> None:
        if show.now < send_at[0]:
            return
        due = TEMPO.next(BAR, show.now)
        if due - show.now < 0.5:  # a slow machine would be late, which the next law is about
            send_at[0] = due
            return
        sent.append((due, f"prompt {len(sent)}"))
        show.controls.do(Set("prompt", sent[-1][1]), at=show.now, due=due)
        send_at[0] = due + float(rng.uniform(0.01, bar_s - 0.5))

    show.hands = hands
    show.play(25)
    changed = prompts(show)
    assert len(changed) > 8
    for (due, sent_text), (at, text) in zip(sent, changed, strict=False):
        assert text == sent_text
        assert due - 1e-6 <= at + delay_s < due + show.tick_s + 1e-6


def test_what_waits_takes_no_frame_back_before_its_moment(machine: Make) -> None:
    show = machine(0.004, 0.002, 1, 60.0, pace=0.0)
    show.play(3)
    calls, shown = show.model.calls, len(show.frames)

    def hands(show: Machine) -> None:
        if show.ticks % 120 == 0:
            due = show.now + 0.9  # beyond all that is made
            show.controls.do(Set("prompt", f"at {show.ticks}"), at=show.now, due=due)

    show.hands = hands
    show.play(10)
    assert show.model.calls - calls <= (len(show.frames) - shown) + 2
    assert {frame.epoch for frame in show.frames} == {0}
    assert len(prompts(show)) >= 4


def test_what_comes_late_is_seen_as_soon_as_may_be_and_its_latency_counts_from_its_moment(
    machine: Make,
) -> None:
    show = machine(0.004, 0.002, 1, 60.0)
    show.play(3)
    due = show.now + 0.03
    show.controls.do(Set("prompt", "late"), at=show.now, due=due)
    show.play(1)
    ((at, _),) = prompts(show)
    assert due <= at <= due + 0.05


def test_a_storm_of_waiting_changes_never_jumps_and_ends_as_it_should(machine: Make) -> None:
    show = machine(0.009, 0.003, 2, 60.0)
    rng, storm = np.random.default_rng(8), Storm(8, 0.3)

    def hands(show: Machine) -> None:
        storm(show)
        if rng.random() < 0.08:
            due = show.now + float(rng.uniform(0, 1.2))
            prompt = Set("prompt", "y" * int(rng.integers(1, 60)))
            show.controls.do(prompt if rng.random() < 0.5 else Fire("next"), at=show.now, due=due)

    show.hands = hands
    show.play(15)
    assert [frame.number for frame in show.frames] == list(range(len(show.frames)))
    assert max(show.jumps()) < 1.05
    versions = [frame.version for frame in show.frames]
    assert versions == sorted(versions)


def arrivals(show: Machine, after_s: float) -> list[float]:
    """When the walk came to keyframes, between two frames."""
    found = []
    for (t0, a), (t1, b) in pairwise(zip(show.shown_at, show.frames, strict=True)):
        if t0 > after_s and int(b.phase) > int(a.phase):
            found.append(t0 + (t1 - t0) * (int(b.phase) - a.phase) / (b.phase - a.phase))
    return found


def off_beat(show: Machine, tempo: Tempo, every: float, after_s: float) -> list[float]:
    """By how many seconds each arrival is off its beat."""
    beats = [tempo.beats(at) / every for at in arrivals(show, after_s)]
    return [(beat - round(beat)) * every * 60 / tempo.bpm for beat in beats]


@pytest.mark.parametrize(
    ("every", "denoise_s", "batch"),
    [
        (1, 0.03, 4),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((4, 0.004, 1), (8, 0.03, 4))),
    ],
)
def test_keyframes_come_on_the_beat(
    machine: Make, every: int, denoise_s: float, batch: int
) -> None:
    show = machine(denoise_s, 0.002, batch, 60.0, sync=float(every), pace=0.0)
    show.play(8 + 4 * every)
    gaps = off_beat(show, TEMPO, every, 3.0 * every * 60 / TEMPO.bpm)
    assert len(gaps) >= 3
    assert max(map(abs, gaps)) < show.tick_s


@pytest.mark.slow
def test_after_a_bend_the_walk_is_on_the_beat_within_three_keyframes(machine: Make) -> None:
    show = machine(0.004, 0.002, 1, 60.0, sync=4.0, pace=0.0)
    beat_s = 60 / TEMPO.bpm
    bends = [20.3, 41.0, 59.9]

    def hands(show: Machine) -> None:
        if bends and show.now >= bends[0]:
            show.controls.do(Fire("next"))
            bends.pop(0)

    show.hands = hands
    for until in (20.0, 40.5, 59.5, 80.0):
        show.play(until - show.now)
        gaps = off_beat(show, TEMPO, 4, until - 4 * beat_s - 0.5)
        assert gaps
        assert max(map(abs, gaps)) < show.tick_s
    steps = np.diff([frame.phase for frame in show.frames]) / show.tick_s
    going = steps[steps >= 0]  # `next` counts a keyframe on
    assert going.min() >= 0.5 / (4 * beat_s) - 1e-6
    bent = sorted(going)[-3:]
    assert going[going < bent[0]].max() <= 1.5 / (4 * beat_s) + 1e-6


@pytest.mark.slow
def test_a_jittering_lost_and_changed_tempo_moves_the_walk_smoothly(machine: Make) -> None:
    show = machine(0.004, 0.002, 1, 60.0, sync=4.0, pace=0.0)
    rng, told = np.random.default_rng(2), TEMPO
    epochs = []

    def hands(show: Machine) -> None:
        nonlocal told
        if show.ticks % 29 == 0 and show.now < 30:
            told = told.turned(126 + float(rng.normal(0, 0.05)), show.now)
            jitter = float(rng.normal(0, 0.003))
            show.controls.do(Offer(Tempo(told.bpm, told.beat, told.at + jitter)), at=show.now)
        if show.ticks == 60 * 40:
            told = told.turned(140, show.now)
            show.controls.do(Offer(told), at=show.now)
        epochs.append(show.producer.ahead.epoch)

    show.hands = hands
    show.play(39)
    assert max(map(abs, off_beat(show, told, 4, 8.0))) < 2 * show.tick_s
    assert epochs[-1] == 0  # jitter takes nothing back
    steps = np.diff([frame.phase for frame in show.frames][300:]) / show.tick_s
    rate = 126 / 60 / 4
    assert np.percentile(np.abs(steps / rate - 1), 99) < 0.05
    assert np.abs(np.diff(steps)).max() < 0.05 * rate
    show.play(21)
    assert max(map(abs, off_beat(show, told, 4, 50.0))) < show.tick_s
    steps = np.diff([frame.phase for frame in show.frames]) / show.tick_s
    assert np.abs(np.diff(steps[300:])).max() < 0.1 * rate


@pytest.mark.slow
def test_without_sync_speed_tells_again_and_nothing_jumps(machine: Make) -> None:
    show = machine(0.004, 0.002, 1, 60.0, sync=4.0, speed=1.0, pace=0.0)
    show.play(10)
    show.controls.do(Set("sync", 0.0))
    show.play(10)
    show.controls.do(Set("sync", 2.0))
    show.play(10)
    show.controls.do(Set("hold", True))
    show.play(5)
    assert show.frames[-1].phase == show.frames[-60].phase
    steps = np.diff([frame.phase for frame in show.frames]) / show.tick_s
    assert np.abs(np.diff(steps)).max() < 0.15
    assert steps[60 * 15] == pytest.approx(1.0)
    assert show.late <= 1


NUMBERS = ("guidance", "crossfeed_range", "damping", "transition", "pace", "loop", "seed")
SLOWER = [pytest.param(name, marks=pytest.mark.slow) for name in NUMBERS]


@pytest.mark.parametrize("name", ["speed", *SLOWER])
def test_an_oscillator_takes_nothing_back_and_costs_no_samples(machine: Make, name: str) -> None:
    def samples(routed: bool) -> tuple[float, Machine]:
        pace = 0.5 if name == "pace" else 0.0  # measuring a pace costs samples
        show = machine(0.006, 0.002, 1, 60.0, pace=pace, guidance=0.5, speed=0.5)
        show.play(2)
        if routed:
            amount = 0.02 if name == "guidance" else 0.2
            show.controls.do(Patch(Route(name, amount, Lfo("sine", 1.5))))
        show.play(2)
        calls, shown = show.model.calls, len(show.frames)
        show.play(8)
        return (show.model.calls - calls) / (len(show.frames) - shown), show

    plain, _ = samples(False)
    routed, show = samples(True)
    assert routed <= 1.02 * plain
    assert show.producer.ahead.epoch <= 1  # when the hand has put the route there
    assert show.late <= 1
    assert max(show.jumps()) < 1.05
    values = [made.walk.number(name) for made in show.made[300:] if name in made.walk.glides]
    if values:
        assert max(values) > min(values)


def test_an_oscillator_is_followed_without_lag_at_the_moment_a_frame_is_due(machine: Make) -> None:
    show = machine(0.006, 0.002, 4, 60.0, pace=0.0)
    lfo = Lfo("triangle", 2.0)
    show.controls.do(Patch(Route("crossfeed_range", -0.5, lfo)))
    show.play(10)
    for at, made in list(zip(show.shown_at, show.made, strict=True))[200:]:
        wanted = 1.0 - 0.5 * lfo.value(at, TEMPO, 0)
        assert made.walk.number("crossfeed_range") == pytest.approx(min(1.0, wanted), abs=0.01)


@pytest.mark.parametrize("denoise_s", [pytest.param(0.009, marks=pytest.mark.slow), 0.03])
def test_a_storm_with_routes_on_everything_never_jumps(machine: Make, denoise_s: float) -> None:
    show = machine(denoise_s, 0.003, 2)
    names = ("speed", "guidance", "depth", "steps", "crossfeed", "transition", "seed", "sync")
    shapes = ("sine", "square", "saw", "stepped", "smooth", "triangle", "stepped", "sine")
    for number, (name, shape) in enumerate(zip(names, shapes, strict=True), 1):
        show.controls.do(Patch(Route(name, 0.2, Lfo(shape, 0.7 * number, "seconds"), number)))
    rng, storm = np.random.default_rng(1), Storm(1)

    def hands(show: Machine) -> None:
        storm(show)
        if rng.random() < 0.05:
            number = int(rng.integers(1, 9))
            amount = float(rng.uniform(-0.3, 0.3))
            lfo = Lfo(shapes[number - 1], float(rng.uniform(0.3, 5)), "beats")
            show.controls.do(Patch(Route(names[number - 1], amount, lfo, number)))
        if rng.random() < 0.01:
            show.controls.do(Set("sync", float(rng.integers(0, 3))))

    show.hands = hands
    show.play(12)
    assert [frame.number for frame in show.frames] == list(range(len(show.frames)))
    steps = np.diff([frame.phase for frame in show.frames])
    assert steps.max() < 5.0
    assert show.late < 0.35 * len(show.frames)


def test_a_band_is_followed_by_the_frames_made_from_now_on(machine: Make) -> None:
    show = machine(0.006, 0.002, 1, 60.0, speed=0.5, pace=0.0)
    show.controls.do(Patch(Route("speed", 0.3, Band("level"))))
    show.play(3)
    quiet = show.made[-1].walk.number("speed")
    assert quiet == pytest.approx(0.5)
    show.ring.bands = [1.0 if name == "level" else 0.0 for name in BANDS]
    show.play(1.5)
    assert show.made[-1].walk.number("speed") > 1.5
    assert show.frames[-1].turn.bands[BANDS.index("level")] == 1.0
    assert show.producer.ahead.epoch <= 1
    steps = np.diff([made.walk.number("speed") for made in show.made])
    assert np.abs(steps).max() < 1.0  # over a few frames


def test_a_route_that_comes_or_goes_is_eased(machine: Make) -> None:
    show = machine(0.006, 0.002, 1, 60.0, pace=0.0, speed=1.0)
    show.play(2)
    show.controls.do(Patch(Route("speed", 0.5, Lfo("square", 1000.0, "seconds"))))
    show.play(2)
    there = show.made[-1].walk.number("speed")
    show.controls.do(Unpatch(1))
    show.play(2)
    speeds = [made.walk.number("speed") for made in show.made]
    assert there == pytest.approx(4.0)
    assert speeds[-1] == pytest.approx(1.0)
    assert np.abs(np.diff(speeds)).max() < 0.35


def test_hold_holds_whatever_routes_do(machine: Make) -> None:
    show = machine(0.006, 0.002, 1, 60.0, pace=0.0, speed=1.0)
    show.controls.do(Patch(Route("speed", 0.5, Lfo("sine", 0.5, "seconds"))))
    show.controls.do(Set("hold", True))
    show.play(4)
    assert show.frames[-1].phase == show.frames[-60].phase


@pytest.mark.parametrize("kinds", [EASY])
def test_routes_and_hands_together_answer_in_time(machine: Make, kinds: tuple[str, ...]) -> None:
    show = machine(0.8 / 60, 0.2 / 60, 1)
    show.controls.do(Patch(Route("speed", 0.2, Lfo("sine", 1.0))))
    show.controls.do(Patch(Route("crossfeed_decay", 0.2, Lfo("saw", 2.0), 2)))
    show.hands = Storm(7, kinds=kinds)
    show.play(20)
    assert np.percentile(show.latencies_s[3:], 95) <= 0.12
