"""The supply: a picture for every tick, whatever the engine does. No process, no waiting."""

import functools
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import pytest
from fakes import RUNNING, SPAWN, FakeEngine, FakeEngines, flat

from lwlive.commands import Fire, Set
from lwlive.controls import WAITING, Controls
from lwlive.messages import LEAD_S, Begin, Doing, Failed, Heard, Loaded, Note
from lwlive.params import Params
from lwlive.ring import Pixels, Ring
from lwlive.stage.engine import LOADING_S
from lwlive.stage.host import FIRST_S, MINUTE_S, STALL_S, STALL_TURNS, EngineFailure
from lwlive.stage.standby import KEPT_S
from lwlive.stage.supply import FREEZE_S, Shown, Supply

FPS = 30
STEP = 2  # how much a pixel of the fake pictures changes from frame to frame
APART = 60  # how far the pictures of one fake engine are from those of the next


def look(engine: int) -> Callable[[float], Pixels]:
    """Grey that rises and falls with the phase; every other engine's is much brighter."""

    def draw(phase: float) -> Pixels:
        at = phase * FPS * STEP % 160
        return flat(20 + (engine % 2) * APART + (at if at < 80 else 160 - at))

    return draw


ORDINARY = STEP + APART / FPS + 2  # of a step of the walk, in the midst of a fade, rounded


class Stage:
    """A supply on simulated time, and what it showed."""

    def __init__(self, fps: float = FPS, side: int = 8) -> None:
        self.controls = Controls(Params())
        self.engines = FakeEngines(look)
        self.fps, self.time = fps, 100.0
        self.rings: list[Ring] = []
        self.shown: list[Shown] = []
        self.said: list[str] = []
        self.short_of_memory = False

        def make_ring() -> Ring:
            if self.short_of_memory:
                raise OSError(28, "No space left on device")
            self.rings.append(Ring.create(SPAWN, 12, side, side))
            return self.rings[-1]

        self.supply = Supply(self.engines, make_ring, fps, self.controls.snapshot, self.time)

    @property
    def engine(self) -> FakeEngine:
        return self.engines.last

    def tick(self, frames: int = 0) -> Shown | None:
        if frames:
            self.engine.make(frames)
        shown = self.supply.tick(self.time)
        self.time += 1 / self.fps
        self.said += self.supply.host.notes
        self.supply.host.notes.clear()
        if shown is not None:
            self.shown.append(shown)
        return shown

    def play(self, seconds: float) -> None:
        for _ in range(round(seconds * self.fps)):
            self.tick(frames=1)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * self.fps)):
            self.tick()

    def wait_for_engine(self, number: int, at_most_s: float) -> float:
        """Tick until this engine is started; the seconds that took."""
        start = self.time
        while len(self.engines.all) < number:
            assert self.time - start < at_most_s, f"engine {number} was not started"
            self.tick()
        return self.time - start

    def largest_jump(self) -> int:
        levels = [shown.pixels.astype(int) for shown in self.shown]
        pairs = itertools.pairwise(levels)
        return max(int(np.abs(b - a).max()) for a, b in pairs)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.supply.close()


def test_before_the_first_frame_there_is_nothing_and_from_then_on_a_picture_every_tick(
    stage: Stage,
) -> None:
    assert [stage.tick() for _ in range(50)] == [None] * 50
    stage.play(0.2)
    assert all(stage.tick() is not None for _ in range(3000))
    stage.engine.die()
    assert all(stage.tick() is not None for _ in range(3000))


@pytest.mark.parametrize("second_s", [0.0, 0.03, 0.5])
def test_a_first_frame_waits_a_moment_for_the_second_and_not_for_long(
    stage: Stage, second_s: float
) -> None:
    begun = stage.time
    stage.tick(frames=1)
    stage.wait(second_s)
    first_s = stage.time - begun - len(stage.shown) / FPS
    stage.play(1)
    numbers = [shown.frame.number for shown in stage.shown if shown.frame]
    assert numbers == list(range(len(numbers)))
    assert first_s <= FIRST_S + 1 / FPS
    assert any(shown.late for shown in stage.shown) == (second_s > FIRST_S)


def test_a_frame_is_shown_once_and_what_is_missing_repeats_the_last_and_is_late(
    stage: Stage,
) -> None:
    stage.tick(frames=2)
    stage.tick()
    assert [shown.frame.number for shown in stage.shown if shown.frame] == [0, 1]
    late = stage.tick()
    assert late is not None
    assert late.late
    assert late.frame is None
    assert np.array_equal(late.pixels, stage.shown[1].pixels)
    back = stage.tick(frames=1)
    assert back is not None
    assert not back.late
    assert back.frame is not None
    assert back.frame.number == 2
    assert stage.supply.host.phase == pytest.approx(3 / FPS)


def test_what_was_shown_is_not_written_over_later(stage: Stage) -> None:
    stage.play(1)
    before = [shown.pixels.copy() for shown in stage.shown]
    stage.play(2)
    stage.engine.die()
    stage.wait(2)
    for shown, pixels in zip(stage.shown, before, strict=False):
        assert np.array_equal(shown.pixels, pixels)


def test_a_killed_engine_costs_no_late_frame_and_the_pictures_go_on_moving(stage: Stage) -> None:
    stage.play(4)
    stage.engine.die()
    before = len(stage.shown)
    stage.wait(20)
    after = stage.shown[before:]
    assert not any(shown.late or shown.frame for shown in after)
    levels = [int(shown.pixels[0, 0, 0]) for shown in after]
    still = [len(set(levels[i : i + 5])) == 1 for i in range(len(levels) - 5)]
    assert not any(still)
    assert stage.largest_jump() <= STEP


def test_the_new_engine_starts_at_once_with_the_present_controls_and_phase(stage: Stage) -> None:
    stage.play(1)
    phase = stage.supply.host.phase
    stage.controls.do(Set("speed", 3))
    stage.supply.host.send(stage.controls.snapshot, stage.time)
    stage.engine.die()
    stage.tick()
    stage.controls.do(Set("prompt", "rings"))  # after its death was noticed, before the next start
    stage.supply.host.send(stage.controls.snapshot, stage.time)
    stage.tick()
    assert len(stage.engines.all) == 2
    assert stage.engine.first == stage.controls.snapshot
    assert stage.engine.phase == phase
    stage.controls.do(Set("prompt", "gold rings"))  # while it is loading
    stage.supply.host.send(stage.controls.snapshot, stage.time)
    stage.engine.make(1)
    assert stage.engine.newest == stage.controls.snapshot


def test_the_walk_fades_back_without_a_jump(stage: Stage) -> None:
    stage.play(4)
    stage.engine.die()
    stage.wait(3)
    stage.play(5)
    assert stage.largest_jump() <= ORDINARY
    assert np.array_equal(stage.shown[-1].pixels, look(1)(stage.supply.host.phase))


def test_a_late_frame_in_the_midst_of_the_fade_does_not_jump(stage: Stage) -> None:
    stage.play(4)
    stage.engine.die()
    stage.wait(2)
    stage.tick(frames=1)
    stage.wait(2 * FIRST_S)
    for _ in range(20):
        stage.tick(frames=1)
        shown = stage.tick()
        assert shown is not None
        assert shown.late
    stage.play(2)
    assert stage.largest_jump() <= ORDINARY


@pytest.mark.parametrize("ticks", [0, 1, 7, 20, 29, 30, 31])
def test_an_engine_that_dies_before_or_in_its_fade_does_not_make_the_pictures_jump(
    stage: Stage, ticks: int
) -> None:
    stage.play(4)
    stage.engine.die()
    stage.wait(1.5)
    for _ in range(ticks):
        stage.tick(frames=1)
    stage.engine.die()
    stage.wait(1.5)
    stage.play(3)
    assert stage.largest_jump() <= ORDINARY


def test_deaths_in_a_row_make_the_pauses_grow_and_the_notes_say_what_and_how_often(
    stage: Stage,
) -> None:
    stage.play(4)
    pauses = []
    for death in range(1, 9):
        stage.engine.die(-9)
        pauses.append(stage.wait_for_engine(death + 1, at_most_s=120))
        stage.wait(3)  # loading, until it dies again
    assert pauses[0] <= 2.1 / FPS
    assert pauses == pytest.approx(sorted(pauses), abs=1.1 / FPS)
    assert pauses[-1] == pytest.approx(60, abs=1)
    assert len(stage.said) == 8
    assert "SIGKILL" in stage.said[0]
    assert "in a row" not in stage.said[0]
    for count, note in enumerate(stage.said[2:], 3):
        assert f"{count} times in a row" in note
        assert "starting again in " in note
    assert stage.supply.host.deaths == 8


def test_an_engine_that_gave_pictures_for_more_than_a_minute_ends_the_row(stage: Stage) -> None:
    stage.play(1)
    for _ in range(3):
        stage.engine.die()
        stage.wait(4)
    stage.play(MINUTE_S + 5)
    stage.engine.die()
    assert stage.wait_for_engine(len(stage.engines.all) + 1, 10) <= 2.1 / FPS
    assert "in a row" not in stage.said[-1]


def test_a_note_tells_an_exit_code_and_what_the_engine_said_before_it_ended(stage: Stage) -> None:
    stage.play(1)
    stage.engine.die(3)
    stage.wait(1)
    stage.engine.say(Failed("RuntimeError: out of memory", "Traceback ..."))
    stage.engine.die(3)
    stage.wait(1)
    assert "exit code 3" in stage.said[0]
    assert "RuntimeError: out of memory" in stage.said[1]
    assert "Traceback" not in " ".join(stage.said)


def test_an_engine_that_stands_still_is_killed_and_replaced(stage: Stage) -> None:
    stage.play(2)
    first = stage.engine
    stage.wait(STALL_S - 1)
    assert not first.killed
    stage.wait(2)
    assert first.killed
    assert len(stage.engines.all) == 2
    assert "no picture for 6 seconds" in stage.said[0]


def test_a_slow_engine_is_given_as_long_as_its_turns_take(stage: Stage) -> None:
    stage.play(2)
    stage.engine.say(replace(RUNNING, turn_s=5.0))
    stage.wait(STALL_TURNS * 5.0 - 1)
    assert not stage.engine.killed
    stage.wait(2)
    assert len(stage.engines.all) == 2


def test_an_engine_may_load_something_large_in_mid_show(stage: Stage) -> None:
    stage.play(2)
    first = stage.engine
    first.say(Doing("switching to the compiled networks"))
    for _ in range(4):  # a hand moves meanwhile: what is heard is no picture
        stage.wait(0.5)
        first.say(Heard(1))
    assert stage.supply.host.still_s(stage.time) > 1.9
    stage.wait(LOADING_S - 3)
    assert not first.killed
    first.say(RUNNING)  # what it loaded is open, and the first turn with it is being made
    stage.wait(STALL_S - 1)
    assert not first.killed
    stage.wait(2)
    assert first.killed


def test_loading_may_take_long_but_not_for_ever(stage: Stage) -> None:
    stage.wait(LOADING_S - 1)
    assert len(stage.engines.all) == 1
    stage.wait(2)
    assert len(stage.engines.all) == 2


def test_an_engine_that_does_not_go_when_killed_is_not_waited_for(stage: Stage) -> None:
    stage.play(1)
    stage.engine.lingers = True
    stage.engine.say(Failed("RuntimeError: CUDA error"))
    stage.engine.theirs.close()
    stage.wait(1)
    assert len(stage.engines.all) == 2
    assert "CUDA error" in stage.said[0]
    stage.engines.all[0].die()


def test_a_lasting_failure_before_any_picture_ends_the_show(stage: Stage) -> None:
    stage.engine.say(Failed("'x' is not a model", "Traceback ...", lasting=True))
    stage.engine.die(3)
    with pytest.raises(EngineFailure, match=r"^'x' is not a model$"):
        stage.tick()


def test_a_lasting_failure_after_pictures_never_does(stage: Stage) -> None:
    stage.play(1)
    for _ in range(8):
        stage.engine.say(Failed("'x' is not a model", lasting=True))
        stage.engine.die(3)
        stage.wait_for_engine(len(stage.engines.all) + 1, 120)
    assert "'x' is not a model" in stage.said[-1]


def test_other_failures_before_any_picture_are_tried_again(stage: Stage) -> None:
    stage.engine.die(-11)
    stage.wait(1)
    assert len(stage.engines.all) == 2
    assert "SIGSEGV" in stage.said[0]


@pytest.mark.parametrize("lack", ["process", "memory"])
def test_an_engine_that_cannot_be_started_in_mid_show_is_tried_again_with_pauses(
    stage: Stage, lack: str
) -> None:
    stage.play(2)
    stage.engine.die()
    stage.engines.refuse = lack == "process"
    stage.short_of_memory = lack == "memory"
    stage.wait(10)
    assert len(stage.engines.all) == 1
    assert "cannot be started" in stage.said[-1]
    assert len(stage.said) < 6
    stage.engines.refuse = stage.short_of_memory = False
    stage.wait_for_engine(2, 60)
    stage.play(2)
    assert stage.shown[-1].frame is not None
    for ring in stage.rings[:-1]:
        with pytest.raises(FileNotFoundError):
            Ring.attach(ring.handle)


def test_an_engine_that_does_not_read_never_makes_the_stage_wait(stage: Stage) -> None:
    stage.play(1)
    for i in range(3000):  # several times what the pipe holds
        stage.controls.load({"prompt": f"{i} " + "x" * 400, "negative": "\N{SNOWMAN}" * 500})
        stage.supply.host.send(stage.controls.snapshot, stage.time)
    stage.play(1)
    assert stage.engine.newest == stage.controls.snapshot


def test_an_engine_that_does_not_read_holds_nothing_up_whatever_waits_for_its_moment(
    stage: Stage,
) -> None:
    stage.play(1)
    host, began = stage.supply.host, stage.time
    for i in range(WAITING):
        text = f"{i} " + "\N{SNOWMAN}" * 490
        stage.controls.do(Set("prompt", text), at=began, due=began + 0.1 + i / 200)
    sends = threading.Thread(
        target=host.send, args=(stage.controls.snapshot, stage.time), daemon=True
    )
    sends.start()
    sends.join(10)
    assert not sends.is_alive()
    while stage.time < began + 2:  # then it reads, and hears of each in time
        stage.controls.turn(stage.time)
        host.send(stage.controls.snapshot, None)
        stage.tick(frames=1)
        for ahead_s in (0.0, 0.1):
            moment = stage.time + ahead_s
            heard, known = stage.engine.newest.at(moment), stage.controls.snapshot.at(moment)
            assert heard.params == known.params


def test_the_newest_controls_arrive_within_a_frame_of_being_sent(stage: Stage) -> None:
    stage.play(1)
    for i in range(200):
        stage.controls.do(Set("seed", i))
        stage.supply.host.send(stage.controls.snapshot, stage.time)
        stage.tick(frames=1)
        assert stage.engine.newest == stage.controls.snapshot


def test_what_the_engine_says_is_known(stage: Stage) -> None:
    stage.engine.say(Doing("loading ember"))
    stage.tick()
    assert stage.supply.host.doing == stage.supply.host.state == "loading ember"
    stage.engine.say(Loaded("ember", {"steps": 4}))
    stage.engine.say(Note("no compiler here"))
    stage.engine.say(RUNNING)
    stage.tick(frames=2)
    assert stage.supply.host.loaded == Loaded("ember", {"steps": 4})
    assert stage.supply.host.running == RUNNING
    assert stage.supply.host.state == "not compiled"
    assert stage.said == ["no compiler here"]


def test_a_lost_engine_is_told_until_the_next_one_gives_pictures(stage: Stage) -> None:
    stage.play(1)
    stage.engine.die()
    stage.tick()
    assert stage.supply.host.state == "lost (1 so far), starting again"
    assert stage.supply.host.queued == 0
    assert stage.supply.host.pid is None
    stage.tick()
    assert stage.supply.host.state == "lost (1 so far), starting"
    stage.engine.say(Doing("loading ember"))
    stage.engine.say(RUNNING)
    stage.wait(5)
    assert stage.supply.host.state == "lost (1 so far), loading ember"
    stage.tick(frames=2)
    assert stage.supply.host.state == "not compiled"


@pytest.mark.slow
def test_the_pictures_kept_are_a_few_seconds_and_never_more() -> None:
    for fps, side in ((30, 8), (240, 8), (30, 2048)):
        stage = Stage(fps, side)
        black = np.zeros((side, side, 3), np.uint8)
        stage.engine.look = functools.partial(lambda pixels, _phase: pixels, black)
        most = min(KEPT_S * fps, 2**28 / (side * side * 3)) + 1
        for _ in range(30 if side > 8 else 2000):
            stage.tick(frames=1)
            stage.shown.clear()
            assert len(stage.supply._kept) + len(stage.supply._coming) <= most
        stage.supply.close()


@pytest.mark.slow
def test_fifty_deaths_leave_no_memory_and_no_handle_behind(stage: Stage) -> None:
    def handles() -> int:
        process: Any = psutil.Process()  # which of the two it has hangs on the system
        return int(process.num_fds() if psutil.POSIX else process.num_handles())

    for death in range(51):
        if death == 1:
            before = handles()
        stage.play(0.2)
        stage.shown.clear()
        stage.engine.die()
        stage.wait_for_engine(death + 2, 120)
        stage.engines.all[-2].ours = None  # type: ignore[assignment] # the test's own reference
    assert handles() <= before + 3
    for ring in stage.rings[:-1]:
        with pytest.raises(FileNotFoundError):
            Ring.attach(ring.handle)
    stage.supply.close()
    with pytest.raises(FileNotFoundError):
        Ring.attach(stage.rings[-1].handle)


@pytest.mark.slow
def test_a_storm_of_deaths_stalls_and_late_frames_never_blacks_out_and_never_jumps(
    stage: Stage,
) -> None:
    draw = random.Random(11)
    stage.play(2)
    for _ in range(20_000):
        alive = stage.supply.host.pid is not None and stage.engine.is_alive()
        chance = draw.random()
        if chance < 0.01 and alive:
            stage.engine.die(draw.choice([-9, -11, 1, 3]))
        elif chance < 0.012 and alive:
            stage.wait(7)  # it stands still
        elif chance < 0.7 and alive and stage.supply.host.queued < 4:
            stage.engine.make(draw.randint(1, 4))
        if draw.random() < 0.1:
            stage.controls.do(Set("seed", draw.randint(0, 99)))
            stage.supply.host.send(stage.controls.snapshot, stage.time)
        before = len(stage.shown)
        stage.tick()
        assert len(stage.shown) == before + 1
    assert stage.supply.host.deaths > 10
    assert stage.largest_jump() <= ORDINARY + STEP


def test_an_engine_that_pauses_leaves_no_picture_standing_still(stage: Stage) -> None:
    stage.play(2)
    for _ in range(round(3 * FPS)):  # shorter than what ends an engine
        stage.tick()
    assert stage.supply.host.deaths == 0
    waited = [shown.pixels.tobytes() for shown in stage.shown[-round(2 * FPS) :]]
    assert len(set(waited)) > len(waited) / 4, "the picture froze"
    stage.play(2)
    assert stage.supply.host.deaths == 0
    assert stage.largest_jump() <= ORDINARY + STEP


def test_an_engine_that_reads_slowly_gets_the_newest_controls_whenever_it_reads(
    stage: Stage,
) -> None:
    """A turn takes longer than a second: what the hand did meanwhile is one snapshot, the last."""
    stage.play(1)
    heard = []
    for turn in range(20):
        for i in range(45):
            stage.controls.do(Set("seed", turn * 100 + i))
            stage.supply.host.send(stage.controls.snapshot, stage.time)
            stage.tick()
        stage.engine.hear()
        heard.append(stage.engine.newest.params.seed)
        stage.tick()
        stage.engine.hear()
        assert stage.engine.newest == stage.controls.snapshot
        stage.engine.make(1)
    assert heard == sorted(heard)


def test_every_sign_of_life_counts_while_an_engine_loads(stage: Stage) -> None:
    for part in range(200):
        stage.engine.say(Doing(f"loading, part {part}"))
        stage.wait(5)
    assert len(stage.engines.all) == 1
    stage.play(1)
    assert stage.supply.host.deaths == 0


def test_no_picture_stands_still_for_long_while_the_walk_fades_back(stage: Stage) -> None:
    """An engine that pauses in the midst of its fade, over and over."""
    stage.play(3)
    stage.engine.die()
    stage.wait(2)
    for _ in range(6):
        for _ in range(5):
            stage.tick(frames=1)
        stage.wait(4)
    stage.play(3)
    still = longest = 0
    for before, after in itertools.pairwise(stage.shown):
        still = still + 1 if np.array_equal(before.pixels, after.pixels) else 0
        longest = max(longest, still)
    assert longest <= 1.1 * FREEZE_S * FPS
    assert stage.largest_jump() <= ORDINARY + STEP


def test_a_frame_that_stands_for_several_ticks_is_shown_so_long_and_counted_late(
    stage: Stage,
) -> None:
    stage.play(1)
    stage.tick()
    before = len(stage.shown)
    stage.engine.make(4, ticks=3)
    stage.wait(12 / FPS)
    new = stage.shown[before:]
    assert [shown.frame is not None for shown in new] == [True, False, False] * 4
    assert [shown.late for shown in new] == [False, True, True] * 4


def test_a_picture_tells_what_it_was_made_with_and_when_that_was_asked_for(stage: Stage) -> None:
    stage.play(1)
    asked = []
    for seed in (1, 2):
        stage.controls.do(Set("seed", seed))
        asked.append(stage.time - 0.004)
        stage.supply.host.send(stage.controls.snapshot, asked[-1])
    stage.engine.hear()  # the first: only one message is under way
    stage.tick()
    stage.tick(frames=2)  # the second
    shown = stage.shown[-1]
    assert shown.snapshot == stage.controls.snapshot
    assert shown.asked == tuple(asked)
    stage.tick()
    assert stage.shown[-1].asked == ()


def test_a_new_engine_is_told_since_when_the_walk_waits(stage: Stage) -> None:
    assert stage.engine.begin.since is None
    stage.play(1)
    last = stage.time - 1 / FPS
    stage.engine.die()
    stage.wait(1)
    assert stage.engine.begin.since == pytest.approx(last)
    assert not stage.engine.begin.beside


def test_a_slower_monitor_is_told_to_this_engine_and_the_next(stage: Stage) -> None:
    stage.play(0.5)
    stage.supply.host.tick_s = 1 / 50
    assert stage.rings[-1].tick_s == 1 / 50
    stage.engine.die()
    stage.wait(1)
    assert len(stage.rings) == 2
    assert stage.rings[-1].tick_s == 1 / 50


@pytest.mark.parametrize("speed", [0.0, 0.25, 4.0])
def test_a_renewed_engine_begins_no_further_back_than_the_one_beside_it_has_come(
    stage: Stage, speed: float
) -> None:
    stage.play(4)
    assert stage.supply.renew(stage.time)
    begin, loaded = stage.engine.begin, stage.time + 9.0
    assert begin.since is not None
    new = begin.at(loaded, speed)
    for seconds in (0.0, 0.4, LEAD_S):  # until it takes over
        old = begin.phase + speed * (loaded + seconds - begin.since)
        assert old - 1e-9 <= new.phase <= old + speed * LEAD_S + 1e-9
    stage.engines.all[0].die()  # one that is lost stands still instead
    stage.wait(1)
    lost = Begin(2.5, 10.0)
    assert lost.at(60.0, speed) == lost


def test_a_renewed_engine_costs_no_late_frame_and_no_jump(stage: Stage) -> None:
    stage.play(4)
    old = stage.engine
    assert stage.supply.renew(stage.time)
    assert not stage.supply.renew(stage.time), "one at a time"
    new = stage.engine
    assert (new.phase, new.first) == (stage.supply.host.phase, stage.controls.snapshot)
    stage.controls.do(Set("speed", 1.0))
    stage.supply.host.send(stage.controls.snapshot, stage.time)
    for tick in range(240):
        if not old.killed:
            old.make(1)
        if tick == 100:
            new.make(9)
        elif tick > 100:
            new.make(1)
        assert old.killed == (tick > 100) or tick == 100
        stage.tick()
    assert old.killed
    assert stage.shown[-1].snapshot == stage.controls.snapshot
    assert not stage.supply.host.renewing
    assert [shown.late for shown in stage.shown] == [False] * len(stage.shown)
    assert stage.largest_jump() <= ORDINARY
    assert new.newest == stage.controls.snapshot, "what was changed meanwhile"
    assert (stage.supply.host.deaths, stage.supply.host.starts) == (0, 2)
    assert np.array_equal(stage.shown[-1].pixels, look(1)(stage.supply.host.phase))
    assert stage.said == []


@pytest.mark.slow
@pytest.mark.parametrize("fails", ["dies", "fails", "hangs"])
def test_an_engine_that_cannot_be_renewed_plays_on(stage: Stage, fails: str) -> None:
    stage.play(4)
    old = stage.engine
    assert stage.supply.renew(stage.time)
    new = stage.engine
    if fails == "dies":
        new.die()
    elif fails == "fails":
        new.say(Failed("no memory"))
    for _ in range(round(30 * (LOADING_S + 1)) if fails == "hangs" else 60):
        old.make(1)
        stage.tick()
    assert not old.killed
    assert new.exitcode is not None
    assert len(stage.said) == 1
    assert "could not be renewed" in stage.said[0]
    assert not any(shown.late for shown in stage.shown)
    assert stage.supply.renew(stage.time), "later it may succeed"


def test_an_engine_that_dies_while_another_loads_is_followed_by_that_one(stage: Stage) -> None:
    stage.play(4)
    old = stage.engine
    assert stage.supply.renew(stage.time)
    new = stage.engine
    stage.wait(0.2)
    old.die()
    stage.wait(1)
    assert len(stage.engines.all) == 2
    assert stage.supply.host.deaths == 1
    for _ in range(90):
        new.make(1)
        stage.tick()
    assert stage.largest_jump() <= ORDINARY
    assert stage.supply.host.state != "lost"


def test_without_memory_or_pictures_nothing_is_renewed(stage: Stage) -> None:
    assert not stage.supply.renew(stage.time), "it has just started"
    stage.play(2)
    stage.short_of_memory = True
    assert not stage.supply.renew(stage.time)
    stage.short_of_memory = False
    stage.engines.refuse = True
    assert not stage.supply.renew(stage.time)
    stage.engines.refuse = False
    rings = len(stage.rings)
    assert stage.supply.renew(stage.time)
    assert len(stage.rings) == rings + 1


@pytest.mark.parametrize("seconds", [5.0, 3600.0, 86400.0])
def test_a_stage_that_slept_does_not_blame_its_engine(stage: Stage, seconds: float) -> None:
    stage.play(4)
    first = stage.engine
    stage.time += seconds
    stage.wait(0.2)
    stage.play(2)
    assert not first.killed
    assert len(stage.engines.all) == 1
    assert not stage.said


def test_fifty_renewals_leave_no_memory_and_no_handle_behind(stage: Stage) -> None:
    before = 0
    for number in range(50):
        old = stage.engine
        stage.play(2.5)
        assert stage.supply.renew(stage.time)
        stage.engine.make(9)
        stage.wait(0.1)
        assert old.killed
        old.die()
        if number == 5:
            before = psutil.Process().num_fds() if psutil.POSIX else 0
    after = psutil.Process().num_fds() if psutil.POSIX else 0
    assert after <= before + 8


def test_a_change_that_waits_is_asked_for_at_its_moment_and_one_called_off_never(
    stage: Stage,
) -> None:
    stage.play(0.5)
    due = stage.time + 0.2
    stage.controls.do(Set("prompt", "smoke"), at=stage.time, due=due)
    stage.supply.host.send(stage.controls.snapshot, None)
    stage.play(0.1)
    assert stage.shown[-1].asked == ()  # nothing is answered before it is due
    (waiting,) = stage.controls.snapshot.later
    stage.tick()
    stage.time = due + 0.01
    stage.engine.hear()
    stage.engine.newest = waiting  # the frame that is due then is made with it
    shown = stage.tick(frames=1)
    assert shown is not None
    assert shown.asked == (due,)
    assert shown.snapshot == waiting
    stage.controls.turn(due)  # the stage takes it up, and nothing is asked for again
    stage.supply.host.send(stage.controls.snapshot, None)
    stage.play(0.1)
    assert stage.shown[-1].asked == ()

    stage.controls.do(Set("prompt", "lava"), at=stage.time, due=stage.time + 9)
    stage.controls.turn(stage.time + 8)
    stage.supply.host.send(stage.controls.snapshot, None)
    stage.controls.do(Fire("panic"), at=stage.time)
    stage.supply.host.send(stage.controls.snapshot, stage.time)
    asked = stage.time
    stage.play(0.2)
    assert [at for shown in stage.shown[-6:] for at in shown.asked] == [asked]
