"""The number of threads follows what the machine gives, and trials cost little."""

import random
from collections.abc import Callable
from functools import partial

import pytest
import torch
from simulated import Machine

from lwlive.engine.governor import RECENT
from lwlive.engine.threads import LONGEST_PAUSE_S, TURNS, Threads

# Seconds of a turn with two threads and with one, measured on two cores (see scripts/README.md)
QUIET, BUSY = {2: 0.0085, 1: 0.0125}, {2: 0.240, 1: 0.066}


def played(
    seconds: float, at: Callable[[float], dict[int, float]], noise: float = 0.15, seed: int = 1
) -> list[tuple[float, int, float]]:
    """Turn by turn: when, with how many threads, and how long it took."""
    rng, threads, now, turns = random.Random(seed), Threads(2), 0.0, []
    while now < seconds:
        count = threads.choose(0.5, now)
        took = at(now)[count] * rng.uniform(1 - noise, 1 + noise)
        now += max(took, 1 / 30)
        threads.learned(0.7 * took, 0.3 * took, now)
        turns.append((now, count, took))
    return turns


def test_a_quiet_machine_keeps_all_threads_but_for_a_trial_at_the_beginning() -> None:
    turns = played(120, lambda _: QUIET)
    alone = [i for i, (_, count, _) in enumerate(turns) if count == 1]
    assert set(alone) <= set(range(RECENT, RECENT + TURNS))


def test_beside_others_that_were_there_first_a_single_thread_is_taken_as_soon() -> None:
    turns = played(30, lambda _: BUSY)
    late = [count for now, count, _ in turns if now > 3]
    assert late.count(2) / len(late) < 0.03


def test_beside_others_a_single_thread_is_taken_within_three_seconds() -> None:
    turns = played(60, lambda now: QUIET if now < 10 else BUSY)
    late = [count for now, count, _ in turns if now > 13]
    assert late.count(2) / len(late) < 0.03  # a trial now and then


def test_when_the_others_have_gone_all_threads_come_back() -> None:
    turns = played(200, lambda now: BUSY if 10 < now < 100 else QUIET)
    back = [count for now, count, _ in turns if now > 100 + LONGEST_PAUSE_S + 2]
    assert set(back) == {2}


@pytest.mark.parametrize("seed", range(8))
def test_over_a_long_time_it_costs_at_most_a_quarter_more_than_knowing(seed: int) -> None:
    rng = random.Random(seed)
    stretches = [rng.choice([QUIET, BUSY]) for _ in range(20)]
    turns = played(400, lambda now: stretches[min(19, int(now / 20))], seed=seed)
    spent = sum(took for _, _, took in turns)
    best = sum(min(stretches[min(19, int(now / 20))].values()) for now, _, _ in turns)
    assert spent < 1.25 * best


def test_a_trial_is_compared_with_what_the_other_number_takes_by_now() -> None:
    """Milliseconds of evaluations and decodes as a show had them when four programs came."""
    threads, now = Threads(2), 0.0
    slow = [(44.6, 6.8), (37.3, 22.4), (39.6, 12.9), (36.8, 17.1)]
    trial = [(28.8, 15.9), (26.9, 19.1), (25.2, 13.0)]
    for evaluation, decode in [(8.2, 3.4)] * 2 * RECENT + slow + trial:
        count = threads.choose(0.1, now)  # no room for a trial before they come
        assert count == (1 if (evaluation, decode) in trial else 2)
        threads.learned(evaluation / 1e3, decode / 1e3, now)
        now += 0.06
    assert threads.choose(0.1, now) == 1


def test_one_core_has_nothing_to_choose() -> None:
    threads = Threads(1)
    for turn in range(100):
        assert threads.choose(0.5, turn) == 1
        threads.learned(0.1 * (1 + turn % 7), 0.1, turn)
    assert threads.costs.known


@pytest.mark.slow
def test_a_show_beside_busy_programs_samples_with_one_thread_and_later_with_all() -> None:
    fixed = Machine(0.0060, 0.0025)
    fixed.slower = partial(_slower, 2)
    with_two = _sampled(fixed.play(40), 14)
    fixed.close()
    show = Machine(0.0060, 0.0025, threads=2)

    def slower(now: float) -> float:
        costs = BUSY if 10 < now < 40 else QUIET
        return costs[min(2, torch.get_num_threads())] / QUIET[2]

    show.slower = slower
    try:
        torch.set_num_threads(2)
        show.play(40)
        assert torch.get_num_threads() == 1
        assert _sampled(show, 14) > 2 * with_two
        late = show.late
        show.play(40)
        assert torch.get_num_threads() == 2
        assert show.late - late < 10
        assert all(frame.sampled for frame in show.frames[-60:])
    finally:
        show.close()


def _slower(count: int, now: float) -> float:
    """The factor of a call with so many threads; others are busy from the tenth second on."""
    return (BUSY if now > 10 else QUIET)[count] / QUIET[2]


def _sampled(show: Machine, since: float) -> int:
    """Frames that went through the model after that second."""
    pairs = zip(show.shown_at, show.frames, strict=True)
    return sum(frame.sampled for at, frame in pairs if at > since)
