"""Whatever is played, a replay makes the pictures that were shown.

On simulated time that passes inside the work, with a model whose pictures are plain numbers: what
was shown and what the replay makes are compared before they are pixels.
"""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from simulated import Machine
from test_producer import FakeModel, Timer
from test_time import Storm

from lwlive.checkpoint import Size
from lwlive.commands import Command, Fire, Offer, Patch, Set, Unpatch
from lwlive.config import Config
from lwlive.engine.sampler import Sampler
from lwlive.engine.schedule import Schedule, ScheduleError
from lwlive.engine.steps import Steps
from lwlive.render.replay import Replay
from lwlive.ring import Frame
from lwlive.routes import Band, Lfo, Route
from lwlive.stage.outputs.journal import Journal
from lwlive.stage.supply import Shown
from lwlive.tempo import Tempo

FPS = 30.0
CLOSE = 1e-4  # that numbers of about 1 may differ by, since they are rounded
BUSY = (1.0, 1.0, 1.0, 1.5, 6.0)  # how many times as long calls of the model take
TOGETHER = 8  # pictures that a render asks for
SWAY = Route("speed", 0.3, Lfo("sine", 2.0, "seconds"))
BEAT = Route("depth", 0.4, Lfo("saw", 1.5, "beats"))


def slow(values: tuple[Any, ...]) -> Any:
    """A further value of a law."""
    return pytest.param(*values, marks=pytest.mark.slow)


class Played:
    """A show of which a journal is written."""

    def __init__(self, file: Path, denoise_s: float = 0.004, batch: int = 1, **values: Any) -> None:
        self.file = file
        self.journal = Journal(file, Config(model="ember", fps=FPS), Size(16, 16))
        self.show = Machine(denoise_s, denoise_s / 2, batch, **{"speed": 1.5, **values})
        self.show.watch = self._watch
        self.which: list[int] = []  # of show.made is on screen, for each tick

    def busy(self, seed: int) -> "Played":
        """On a machine where other programs take the time, now and then."""
        rng = np.random.default_rng(seed)
        self.show.slower = lambda _now: float(rng.choice(BUSY))
        return self

    def play(self, seconds: float, *script: tuple[float, Command]) -> "Played":
        """So many seconds, with commands at seconds of the show."""
        left, others = list(script), self.show.hands

        def hands(show: Machine) -> None:
            others(show)
            while left and show.now >= left[0][0]:
                show.controls.do(left.pop(0)[1], at=show.now)

        self.show.hands = hands
        self.show.play(seconds)
        self.show.hands = others
        return self

    def end(self) -> "Played":
        """The show is over."""
        self.journal.close()
        self.show.close()
        return self

    def replay(self) -> Replay:
        """The show, made again."""
        render: Any = SimpleNamespace(journal=self.file, fps=FPS)
        settings: Any = SimpleNamespace(render=render, overrides={}, again=True)
        return Replay(settings, Sampler(self.show.model._model))

    def gaps(self) -> list[float]:
        """By how much each picture of the replay differs from the one shown."""
        replay = self.end().replay()
        assert replay.played.ticks == len(self.which)
        ticks = range(replay.played.ticks)
        again = torch.cat([replay.latents(ticks[i : i + TOGETHER]) for i in ticks[::TOGETHER]])
        shown = torch.stack([self.show.made[i].latents for i in self.which])
        return (again - shown).abs().amax((1, 2, 3)).tolist()

    def _watch(self, frame: Frame | None) -> None:
        show = self.show
        if not show.frames:
            return  # the first ticks have no picture
        snapshot = show.snapshots[frame.version] if frame is not None else None
        shown = Shown(show.frames[-1].pixels, frame, frame is None, snapshot)
        controls = show.controls
        about = controls.params, 1, "float32", FPS, 1.0, controls.snapshot.over
        self.journal.tick(show.ticks, shown, *about)
        self.which.append(len(show.made) - 1)


class Everything:
    """All that a show may do, at any time and in any order."""

    def __init__(self, seed: int, every_s: float = 0.25) -> None:
        self.rng, self.every_s, self.next_s = np.random.default_rng(seed), every_s, 1.0
        self.storm = Storm(seed, 2 * every_s)

    def __call__(self, show: Machine) -> None:
        """The hands of a tick."""
        self.storm(show)
        rng, controls = self.rng, show.controls
        show.ring.bands = rng.uniform(0, 1, 6).tolist()
        if show.now < self.next_s:
            return
        self.next_s += float(rng.exponential(self.every_s))
        number, share = int(rng.integers(1, 5)), float(rng.uniform())
        there = [route.number for route in controls.snapshot.routes]
        moved = str(rng.choice(["speed", "guidance", "crossfeed", "depth", "steps", "seed"]))
        shape = str(rng.choice(["sine", "stepped", "saw", "smooth"]))
        commands: list[Command] = [
            Patch(Route(moved, share - 0.5, Lfo(shape, 0.2 + 4 * share, "beats"), number)),
            Patch(Route(moved, share - 0.5, Lfo(shape, 0.2 + 4 * share, "seconds"), number)),
            Patch(Route("damping", share, Band("onset"), number)),
            Unpatch(number) if number in there else Fire("next"),
            Set("sync", float(rng.choice([0.0, 1.0, 2.0, 4.0]))),
            Set("speed", 2 * share),
            Set("transition", 2 * share),
            Set("loop", number - 1),
            Offer(Tempo(60 + 120 * share, float(number), show.now)),
        ]
        command = commands[int(rng.integers(len(commands)))]
        waits = isinstance(command, Set) and rng.uniform() < 0.3
        controls.do(command, at=show.now, due=show.now + share if waits else None)


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize(("route", "sync"), [(SWAY, 0.0), (BEAT, 0.0), (None, 2.0)])
def test_what_follows_time_is_as_far_after_a_change_as_it_was(
    tmp_path: Path, batch: int, route: Route | None, sync: float
) -> None:
    show = Played(tmp_path / "j", 0.004, batch, sync=sync, steps=3)
    if route is not None:
        show.show.controls.do(Patch(route))
    script = [(1 + 0.73 * k, Set("damping", 0.1 * k)) for k in range(6)]
    assert max(show.play(5.5, *script).gaps()) < CLOSE


LATE = [(0, 0.01, 1), (2, 0.02, 1), (3, 0.02, 2)]
LATE += [(2, 0.01, 1), (3, 0.01, 1), (4, 0.01, 1)]


@pytest.mark.parametrize(("seed", "denoise_s", "batch"), [*LATE[:3], *map(slow, LATE[3:])])
def test_a_bend_that_came_too_late_for_its_frame_begins_with_the_next_one(
    tmp_path: Path, seed: int, denoise_s: float, batch: int
) -> None:
    show = Played(tmp_path / "j", denoise_s, batch, pace=0.0).busy(seed)
    show.show.hands = Storm(seed, kinds=("seed", "prompt", "next"))
    assert max(show.play(15).gaps()) < CLOSE
    assert show.show.late > 50


@pytest.mark.parametrize(("denoise_s", "batch"), [(0.004, 1), (0.012, 2), (0.005, 4)])
@pytest.mark.parametrize("first", ["depth", "seed"])
def test_a_trajectory_is_the_same_whenever_it_is_made(
    tmp_path: Path, first: str, denoise_s: float, batch: int
) -> None:
    """Guidance moves when a keyframe may have its trajectory, and no picture shows that yet."""
    raised: list[Command] = [Set("depth", 0.0), Fire("next"), Set("depth", 0.75)]
    depth = 0.0 if first == "depth" else 0.75
    show = Played(tmp_path / "j", denoise_s, batch, steps=4, depth=depth, speed=0.25, pace=0.0)
    script: list[tuple[float, Command]] = []
    for k in range(9):
        bends = raised if first == "depth" else [Set("seed", k)]
        script += [(1.5 * k + 1 + 0.5 * i, bend) for i, bend in enumerate(bends)]
        script.append((script[-1][0] + 0.01 + 0.04 * k, Set("guidance", 1.5 + k % 4)))
    assert max(show.play(15, *script).gaps()) < CLOSE


def test_a_loop_whose_guidance_moves_is_paced_as_it_was(tmp_path: Path) -> None:
    """The same segment comes again, and its keyframes are traced with another guidance."""
    show = Played(tmp_path / "j", 0.004, 4, steps=4, depth=0.75, loop=2, speed=0.5)
    rng = np.random.default_rng(1)
    script: list[tuple[float, Command]] = []
    at = 1.0
    while at < 18:
        choices: list[Command] = [
            Set("guidance", float(rng.choice([1.5, 5.0]))),
            Set("speed", float(rng.choice([0.25, 0.5]))),
            Fire("next"),
        ]
        at += float(rng.uniform(0.3, 1.5))
        script.append((at, choices[int(rng.integers(3))]))
    assert max(show.play(20, *script).gaps()) < CLOSE


ANYTHING = [(8, 0.004, 1), (8, 0.004, 2), (4, 0.012, 4)]
MORE = [(5, 0.02, 1), (5, 0.02, 2), (7, 0.02, 4), (9, 0.004, 1), (14, 0.004, 2), (14, 0.004, 4)]


@pytest.mark.parametrize(("seed", "denoise_s", "batch"), [*ANYTHING, *map(slow, MORE)])
def test_whatever_is_played_a_replay_makes_what_was_shown(
    tmp_path: Path, seed: int, denoise_s: float, batch: int
) -> None:
    show = Played(tmp_path / "j", denoise_s, batch, steps=3, depth=0.5).busy(seed)
    show.show.hands = Everything(seed)
    assert max(show.play(20).gaps()) < CLOSE


def test_a_journal_may_skip_as_many_keyframes_as_it_says(tmp_path: Path) -> None:
    """Somebody may have written it who wants a machine to be busy for ever."""
    show = Played(tmp_path / "j").play(2, (1, Fire("next"))).end()
    text = show.file.read_text()
    assert text.count('"nexts": 1') == 1
    show.file.write_text(text.replace('"nexts": 1', f'"nexts": {2**53}'))
    started = time.process_time()
    assert len(show.replay().latents(range(50))) == 50
    assert time.process_time() - started < 2


class Choosy(FakeModel):
    """A model whose scheduler has a table for some numbers of steps."""

    def schedule(self, steps: int, begin: int) -> Schedule:
        """That of two, three or six steps."""
        if steps not in (2, 3, 6):
            raise ScheduleError(f"no {steps} steps")
        return super().schedule(steps, begin)


def test_steps_that_a_model_does_not_have_are_those_that_were_taken_instead(
    tmp_path: Path,
) -> None:
    show = Played(tmp_path / "j", model=Choosy(Timer(), 0, 0, 1), steps=4, depth=0.5)
    engine, controls = show.show.producer, show.show.controls
    steps = Steps(engine.model, lambda _: None)
    engine.aim._inbox = lambda: steps.allowed(controls.snapshot)
    engine.aim.begin(0.0)
    asked = [(k, Set("steps", steps)) for k, steps in enumerate([1, 8, 5, 3], 1)]
    routed = Patch(Route("steps", 0.5, Lfo("stepped", 0.3, "seconds")))
    assert max(show.play(7, *asked, (5, routed), (6, Set("steps", 7))).gaps()) < CLOSE
    assert {made.walk.look.steps for made in show.show.made} == {3, 2, 6}
