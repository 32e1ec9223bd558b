"""Whatever is played, a replay makes the pictures that were shown.

On simulated time that passes inside the work, with a model whose pictures are plain numbers: what
was shown and what the replay makes are compared before they are pixels.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from simulated import Machine
from test_time import Storm

from lwlive.checkpoint import Size
from lwlive.commands import Command, Patch, Set
from lwlive.config import Config
from lwlive.engine.sampler import Sampler
from lwlive.render.replay import Replay
from lwlive.ring import Frame
from lwlive.routes import Lfo, Route
from lwlive.stage.outputs.journal import Journal
from lwlive.stage.supply import Shown

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

    def gaps(self) -> list[float]:
        """End the show. By how much each picture of its replay differs from the one shown."""
        self.journal.close()
        self.show.close()
        render: Any = SimpleNamespace(journal=self.file, fps=FPS)
        settings: Any = SimpleNamespace(render=render, overrides={}, again=True)
        replay = Replay(settings, Sampler(self.show.model._model))
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
