"""Changes that take their time: all that a cue moves arrives together, and nothing jumps."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import Machine
from test_walk import FPS, SHAPE, cond

from lwlive.commands import Fire, Set, Toggle
from lwlive.controls import Controls
from lwlive.cuelist import Cue, CueList
from lwlive.engine.glide import EASE_S
from lwlive.engine.place import LOOK_S
from lwlive.engine.slew import most
from lwlive.engine.walk import Walk, begin
from lwlive.params import SPECS, Params
from lwlive.stage.desk import Desk
from lwlive.stage.master import Master

START = Params(steps=4, guidance=1.0, speed=0.5, transition=1.0)
CUE: dict[str, Any] = {
    "prompt": "smoke",
    "speed": 1.5,
    "guidance": 5.0,
    "damping": 0.8,
    "pace": 0.0,
    "brightness": 0.2,
    "transition": 9.0,
}


class Played:
    """Controls, and the walk and the master that follow them."""

    def __init__(self, start: Params = START) -> None:
        self.controls = Controls(start)
        self.walk: Walk = begin(self.controls.snapshot, cond(0), SHAPE, "cpu")
        self.master = Master(self.controls.snapshot)
        self.level = 1.0
        self.target = 0.0  # of the conditioning

    def play(self, seconds: float, prompt: float | None = None) -> "Played":
        """So much time under the newest controls, whose prompt is encoded as this number."""
        self.target = self.target if prompt is None else prompt
        snapshot = self.controls.snapshot
        if snapshot.version != self.walk.snapshot.version:
            self.walk = self.walk.steered(snapshot, cond(self.target))
        for _ in range(round(seconds * FPS)):
            self.walk = self.walk.after(1 / FPS)
            self.level = self.master.step(snapshot, 1 / FPS)
        return self

    @property
    def along(self) -> dict[str, float]:
        """How far each thing that CUE moves is on its way there."""
        start = {**vars(START), "brightness": 1.0}
        moved = {n: self.walk.glides[n].value for n in ("speed", "guidance", "damping", "pace")}
        moved["brightness"] = self.level
        found = {n: (v - start[n]) / (CUE[n] - start[n]) for n, v in moved.items()}
        return found | {"prompt": float(self.walk.cond()[0].mean())}


@pytest.mark.parametrize("over", [0.5, 3.0, 20.0])
def test_all_that_a_cue_moves_arrives_together(over: float) -> None:
    played = Played()
    played.controls.load(CUE, over=over)
    played.play(over / 2, prompt=1.0)
    slow = {n for n, spec in SPECS.items() if spec.glide > over}
    halfway = {n: x for n, x in played.along.items() if n not in slow}
    assert halfway == pytest.approx(dict.fromkeys(halfway, 0.5), abs=0.02 + 0.5 / FPS / over)
    assert played.walk.arrived < 1
    played.play(over / 2 + 2 / FPS)
    there = {n: x for n, x in played.along.items() if n not in slow}
    assert there == pytest.approx(dict.fromkeys(there, 1.0))
    assert played.walk.arrived == 1
    assert played.controls.params.transition == 9.0


def test_a_cue_in_the_middle_of_another_starts_from_what_is_on_screen() -> None:
    played = Played()
    played.controls.load(CUE, over=4.0)
    played.play(1.0, prompt=1.0)
    before, level = played.along, played.level
    played.controls.load({**CUE, "prompt": "gold", "speed": 0.1, "brightness": 1.0}, over=2.0)
    played.play(0.0, prompt=5.0)
    assert played.along == before
    played.play(1.0)
    assert played.walk.glides["speed"].value == pytest.approx((0.5 + 0.25 + 0.1) / 2, abs=0.03)
    assert level < played.level < 1
    played.play(1.1)
    assert played.walk.glides["speed"].value == pytest.approx(0.1)
    assert (played.level, float(played.walk.cond()[0].mean())) == pytest.approx((1.0, 5.0))
    assert played.along["guidance"] == 1.0  # the same in both, and no later than the second


def test_a_hand_takes_what_it_moves_and_leaves_the_rest_to_the_cue() -> None:
    played = Played()
    played.controls.load(CUE, over=20.0)
    played.play(2.0, prompt=1.0)
    played.controls.do(Set("speed", 3.0))
    played.play(0.3)
    assert played.walk.glides["speed"].value == 3.0
    assert 0.1 < played.along["prompt"] < 0.2
    played.controls.do(Toggle("hold"))
    played.play(0.3)
    assert played.walk.glides["speed"].value == 0.0
    played.controls.do(Set("transition", 1.0))
    played.play(1.0)
    assert played.along["prompt"] == 1.0
    assert played.along["brightness"] < 0.25


def test_a_panic_takes_no_longer_than_always() -> None:
    played = Played()
    played.controls.load({**CUE, "speed": 0.5, "steps": 2}, over=60.0)
    played.play(1.0, prompt=1.0)
    played.controls.load({"speed": 4.0}, over=60.0)
    played.play(1.0)
    played.controls.load({"speed": 0.5}, over=60.0)  # on its way to where the show started
    played.play(1.0)
    played.controls.do(Fire("panic"))
    assert played.controls.snapshot.over == {}
    played.play(0.3, prompt=0.0)
    assert played.walk.glides["speed"].value == 0.5
    assert played.level == 1.0
    played.play(1.0)
    assert played.along["prompt"] == 0.0


def test_a_change_that_another_overtakes_still_takes_its_time() -> None:
    played = Played()
    played.controls.load(CUE, over=8.0)
    played.controls.do(Set("crossfeed_decay", 0.5))  # before the engine has seen the cue
    played.play(4.0, prompt=1.0)
    assert played.along["speed"] == pytest.approx(0.5, abs=0.01)
    assert played.along["prompt"] == pytest.approx(0.5, abs=0.01)


def test_a_look_cross_fades_over_the_cue() -> None:
    still = Params(steps=4, guidance=1.0, speed=0.0, transition=1.0)
    for over in (0.5, 3.0, 12.0):
        played = Played(still)
        played.controls.load({"steps": 2}, over=over)
        played.play(0.0)
        rate = most(played.walk, 1.0)
        assert rate == pytest.approx(1.1 * 1.4 / (over if over > LOOK_S else 1.0))
        played.play(over - 2 / FPS)
        assert played.walk.bending
        played.play(4 / FPS)
        assert not played.walk.bending


def test_a_blackout_in_a_cue_closes_over_its_seconds_and_one_by_hand_over_fade() -> None:
    played = Played()
    played.controls.load({"blackout": True}, over=4.0)
    played.play(2.0)
    assert played.level == pytest.approx(0.5, abs=0.02)
    played.controls.do(Toggle("blackout"))
    played.play(0.3)
    assert played.level == 1.0


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "prompt": st.sampled_from(["a", "b", "c"]),
        "speed": st.floats(0, 2),
        "guidance": st.floats(0, 20),
        "damping": st.floats(0, 1),
        "brightness": st.floats(0, 1),
        "blackout": st.booleans(),
        "hold": st.booleans(),
        "seed": st.integers(0, 5),
    },
)
CHANGES = st.tuples(VALUES, st.none() | st.floats(0.25, 5), st.floats(0, 0.5), st.booleans())


@given(st.lists(CHANGES, max_size=12))
@settings(max_examples=15, deadline=None)
def test_numbers_brightness_and_conditioning_never_jump_and_all_arrives(
    storm: list[tuple[dict[str, Any], float | None, float, bool]],
) -> None:
    played, words = Played(), {"a": 0.0, "b": 0.5, "c": 1.0}
    played.controls.load({"prompt": "a"})
    least = {n: SPECS[n].glide for n in ("speed", "guidance", "damping")}
    for values, over, seconds, panics in storm:
        if panics:
            played.controls.do(Fire("panic"))
            played.controls.load({"prompt": "a"})
        else:
            played.controls.load(values, over=over)
        rows = [seen(played)]
        for _ in range(1 + int(seconds * FPS)):
            played.play(1 / FPS, prompt=words[played.controls.params.prompt])
            rows.append(seen(played))
        for before, after in pairwise(rows):
            for name, glide in least.items():
                assert abs(after[name] - before[name]) <= 20 / glide / FPS + 1e-6
            assert abs(after["cond"] - before["cond"]) <= 2 / EASE_S / FPS
            assert abs(after["level"] - before["level"]) <= 2 / 0.25 / FPS + 1e-6
    played.play(5.5)
    params = played.controls.params
    now = seen(played)
    assert now["speed"] == pytest.approx(0.0 if params.hold else params.speed)
    assert now["guidance"] == pytest.approx(params.guidance)
    assert now["cond"] == pytest.approx(words[params.prompt])
    assert now["level"] == pytest.approx(0.0 if params.blackout else params.brightness)


def seen(played: Played) -> dict[str, float]:
    """What an audience sees, as numbers."""
    found = {n: glide.value for n, glide in played.walk.glides.items()}
    return found | {"cond": float(played.walk.cond()[0].mean()), "level": played.level}


def test_brightness_over_seconds_is_even() -> None:
    played = Played()
    played.controls.load({"brightness": 0.0}, over=2.0)
    levels = []
    for _ in range(60):
        played.play(1 / FPS)
        levels.append(played.level)
    assert np.diff(levels) == pytest.approx(-1 / 60)


@pytest.mark.parametrize(
    ("denoise_s", "batch"), [pytest.param(0.008, 1, marks=pytest.mark.slow), (0.012, 2)]
)
def test_cues_that_follow_in_beats_are_seen_on_the_beat_and_nothing_jumps(
    tmp_path: Path, denoise_s: float, batch: int
) -> None:
    words = [{"prompt": "x" * n, "speed": n / 20, "seed": n} for n in (4, 12, 30, 55)]
    cues = CueList(
        tuple(
            Cue(f"cue {n}", values, beats=2.0, follow_beats=4.0) for n, values in enumerate(words)
        ),
        loop=True,
    )
    show = Machine(denoise_s, 0.003, batch=batch, bpm=126.0, quantise=4.0)
    desk = Desk(tmp_path, show.controls, cues=cues)
    desk.pictures = True
    assert desk.cues is not None
    came: list[tuple[float, int]] = []  # each cue, and the version that it is in effect with
    desk.cues.say = lambda _: came.append((show.now, show.controls.snapshot.version))
    show.hands = lambda show: desk.poll(show.now)
    show.play(32)
    tempo, frame_s = show.controls.snapshot.tempo, 1 / 30
    assert len(came) >= 15
    for i, (now, version) in enumerate(came[1:], 1):
        due = tempo.next(4.0, now - frame_s)
        first = next(
            at
            for at, frame in zip(show.shown_at, show.frames, strict=True)
            if frame.version >= version
        )
        assert abs(first - due) <= frame_s + 1e-6, i
    assert max(show.jumps()) <= 1 + 1e-5
    assert show.late <= 2
    show.close()
