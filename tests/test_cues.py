"""Cues: a list is checked when it is read, and any way through it ends in the cue's own values."""

import re
from dataclasses import MISSING, fields
from datetime import datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lwlive import cuelist, preset
from lwlive.cli import subcommands
from lwlive.commands import (
    Command,
    Fire,
    Go,
    Offer,
    Recall,
    Set,
    Toggle,
)
from lwlive.controls import Controls
from lwlive.cuelist import Cue, CueList
from lwlive.params import ControlError, Params
from lwlive.preset import PresetError
from lwlive.routes import Lfo
from lwlive.stage.cues import Cues, Standing
from lwlive.stage.desk import Desk
from lwlive.stage.disk import Disk
from lwlive.stage.outputs.window import hud
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.status import Status
from lwlive.tempo import Tempo

STEP_S = 0.1  # between two polls
ROOT = Path(__file__).resolve().parents[1]


def write(folder: Path, text: str, name: str = "show.toml") -> Path:
    """A file in a folder."""
    path = folder / name
    path.write_text(text, "utf-8")
    return path


# The list


def test_a_list_says_what_each_cue_sets(tmp_path: Path) -> None:
    write(tmp_path, 'prompt = "smoke"\nspeed = 0.5\ntransition = 9', "mine.toml")
    found = cuelist.load(
        write(
            tmp_path,
            """
            loop = true
            [[cues]]
            preset = "mine"
            seconds = 8
            follow = 30
            [[cues]]
            name = "drop"
            preset = "tunnel"
            speed = 2
            brightness = 0.5
            beats = 4
            follow_beats = 64
            note = "after the singer's bow"
            [[cues.routes]]
            parameter = "brightness"
            amount = 0.2
            [[cues]]
            prompt = "gold rings"
            at = "22:00"
            [[cues]]
            prompt = "sea"
            at = 23:30:15
            """,
        ),
        Path("elsewhere"),
    )
    mine, drop, third, last = found.cues
    assert found.loop
    assert mine == Cue(
        "mine", {"prompt": "smoke", "speed": 0.5, "transition": 9}, (), seconds=8, follow=30
    )
    tunnel = preset.load(preset.named("tunnel", tmp_path))
    assert drop.values == tunnel | {"speed": 2, "brightness": 0.5}
    assert (drop.beats, drop.follow_beats, drop.note) == (4, 64, "after the singer's bow")
    assert third.routes is None
    assert drop.routes is not None
    assert drop.routes[0].source == Lfo()
    assert (third.name, third.at, last.at) == ("cue 3", time(22), time(23, 30, 15))
    assert [found.found(which) for which in ("drop", 2, "2", "mine", 4)] == [1, 1, 1, 0, 3]
    for wrong in ("dorp", 0, 5, "", "9" * 40):
        with pytest.raises(ControlError, match="there is no cue"):
            found.found(wrong)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["has no cues", "[[cues]]"]),
        ("cues = 3", ["has no cues"]),
        ("loop = 1\n[[cues]]\nspeed = 1", ["loop takes true or false, not 1"]),
        ("lop = true\n[[cues]]\nspeed = 1", ["'lop'", "did you mean loop?"]),
        ("[[cues]]\nspeed = 1\n[[cues]]\nname = 'x'", ["cue 2 (x)", "sets nothing"]),
        ("[[cues]]\nname = 'x'\nspeed = 9", ["cue 1 (x)", "speed", "from 0 to 4", "9"]),
        ("[[cues]]\nsped = 1", ["cue 1", "'sped'", "did you mean speed?"]),
        ("[[cues]]\npreset = 'tunel'", ["cue 1", "'tunel'", "did you mean tunnel?"]),
        ("[[cues]]\npreset = 'bad'", ["cue 1", "bad.toml", "speed", "from 0 to 4"]),
        ("[[cues]]\npreset = 'sub/none.toml'", ["cue 1", "cannot read the preset"]),
        ("[[cues]]\npreset = 'show.toml'", ["cue 1", "is a cue list"]),
        ("[[cues]]\npreset = 5", ["cue 1", "preset takes a line", "5"]),
        ("[[cues]]\nspeed = 1\nseconds = -1", ["cue 1", "seconds", "0 to 3600 s", "-1"]),
        ("[[cues]]\nspeed = 1\nseconds = true", ["cue 1", "seconds", "True"]),
        ("[[cues]]\nspeed = 1\nseconds = nan", ["cue 1", "seconds", "nan"]),
        ("[[cues]]\nspeed = 1\nseconds = 1\nbeats = 1", ["cue 1", "seconds and beats"]),
        ("[[cues]]\nspeed = 1\nfollow = 1\nfollow_beats = 1", ["follow and follow_beats"]),
        ("[[cues]]\nspeed = 1\nfollow = 0", ["cue 1", "follow", "0.1 to 86400 s"]),
        ("[[cues]]\nspeed = 1\nat = '25:00'", ["cue 1", "at takes a time of day", "'25:00'"]),
        ("[[cues]]\nspeed = 1\nat = 22", ["cue 1", "at takes a time of day", "22"]),
        ("[[cues]]\nspeed = 1\nnote = 'a\\nb'\n".replace("'", '"'), ["cue 1", "note"]),
        ("[[cues]]\nspeed = 1\nname = '3'", ["cue 1", "name", "is a number"]),
        ("[[cues]]\nspeed=1\nname='a'\n[[cues]]\nspeed=1\nname='a'", ["cue 2 (a)", "already"]),
        ("[[cues]]\nmorph = 0.5", ["cue 1", "morph is moved by hand"]),
        ("[[cues]]\nroutes = 3", ["cue 1", "[[cues.routes]]"]),
        ("[[cues]]\n[[cues.routes]]\nparameter = 'hold'", ["cue 1", "route 1", "hold"]),
        ("[[cues]]\n[[cues.routes]]\nparameter = 'speed'\nbeets = 1", ["route 1", "'beets'"]),
        ("[[cues]\n", ["not valid TOML"]),
    ],
)
def test_a_wrong_list_says_file_cue_and_key(tmp_path: Path, text: str, told: list[str]) -> None:
    write(tmp_path, "speed = 7", "bad.toml")
    with pytest.raises(PresetError) as caught:
        cuelist.load(write(tmp_path, text), tmp_path)
    for words in ("show.toml", *told):
        assert words in str(caught.value)


def test_a_wrong_list_ends_the_program_with_its_sentence_before_anything_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from lwlive.cli.perform import perform
    from lwlive.config import Config

    path = write(tmp_path, "[[cues]]\nname = 'x'\nspeed = 9")
    assert perform(Config(cues=path, headless=True, folder=tmp_path), Params()) == 1
    assert "show.toml: cue 1 (x): speed takes" in caplog.text


def test_a_cue_list_is_not_a_preset(tmp_path: Path) -> None:
    write(tmp_path, "loop = true\ncues = [{speed = 1}]", "inline.toml")
    path = write(tmp_path, "loop = true\n[[cues]]\nspeed = 1")
    assert preset.listed(tmp_path) == preset.bundled()
    with pytest.raises(PresetError, match="is a cue list, for --cues"):
        preset.load(path)


def test_the_list_in_the_readme_is_one(tmp_path: Path) -> None:
    text = (ROOT / "lwlive/stage/README.md").read_text("utf-8")
    examples = [part.split("```", 1)[0] for part in text.split("```toml\n")[1:]]
    (example,) = [each for each in examples if "[[cues]]" in each]
    found = cuelist.load(write(tmp_path, example), tmp_path)
    assert len(found.cues) == 4


def test_a_list_is_checked_and_printed_without_a_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
        loop = true
        [[cues]]
        preset = "aurora"
        follow = 30
        [[cues]]
        name = "late"
        prompt = "smoke"
        seconds = 2.5
        at = "22:00"
        note = "doors"
        """
    assert subcommands.main(["cues", str(write(tmp_path, text))]) == 0
    head, first, second, again = capsys.readouterr().out.splitlines()
    assert head.split() == ["cue", "sets", "transition", "then", "at", "note"]
    assert re.fullmatch(r"1 +aurora +turquoise aurora .* 8 s +30 s", first)
    assert re.fullmatch(r"2 +late +smoke +2\.5 s +22:00 +doors", second)
    assert again == "and from the first again"
    assert subcommands.main(["cues", str(write(tmp_path, "[[cues]]\nspeed = 9"))]) == 1
    assert "show.toml: cue 1: speed takes" in capsys.readouterr().err


# What is played


class Hand(Source):
    """Who asks; what is refused is kept."""

    def __init__(self) -> None:
        self.refusals: list[str] = []

    def refused(self, arrived: Arrived, why: str) -> None:
        assert arrived.by == "hand"
        self.refusals.append(why)


class Stage:
    """A desk with a cue list, polled every STEP_S on a clock of its own."""

    def __init__(self, folder: Path, cues: CueList, delay_s: float = 0.0, **start: Any) -> None:
        self.controls = Controls(Params(**{"steps": 1, "guidance": 1.0, **start}))
        disk = Disk(lambda text: self.desk.say(text), lambda job: job())
        self.desk = Desk(folder, self.controls, disk, delay_s, cues)
        self.desk.pictures = True
        assert self.desk.cues is not None
        self.cues: Cues = self.desk.cues
        self.there = datetime(2026, 3, 1, 12)
        self.cues.now_there = lambda: self.there
        self.now, self.hand = 10.0, Hand()
        self.taken: list[tuple[float, str]] = []  # each cue that came, and when
        self.desk.say = self._said  # type: ignore[method-assign] # what is said tells what came
        self.cues.say = self._said
        self.wait(0)

    def _said(self, text: str) -> None:
        if text.startswith("cue "):
            self.taken.append((round(self.now, 3), text.split(": ")[1]))

    def do(self, command: Command, due: float | None = None) -> "Stage":
        self.desk.do(Arrived(command, "hand", self.now, due), self.hand)
        return self

    def wait(self, seconds: float) -> "Stage":
        for _ in range(round(seconds / STEP_S) or 1):
            self.now += STEP_S
            self.there += timedelta(seconds=STEP_S)
            self.desk.poll(self.now)
        return self

    @property
    def standing(self) -> Standing:
        return self.cues.standing(self.now)

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.taken]


def listed(*cues: Cue, loop: bool = False) -> CueList:
    return CueList(cues, loop)


A = Cue("a", {"prompt": "aurora", "speed": 0.1, "transition": 8.0}, note="house out")
B = Cue("b", {"prompt": "tunnel", "depth": 0.5}, seconds=2.0, note="the drop")
C = Cue("c", {"speed": 1.5, "brightness": 0.4}, beats=4.0)
D = Cue("d", {"prompt": "gold", "seed": 5, "speed": 0.3})
FOUR = listed(A, B, C, D)

STEPS: st.SearchStrategy[Command] = st.one_of(
    st.just(Fire("go")),
    st.just(Fire("back")),
    st.builds(Go, st.sampled_from([1, 2, 3, 4, "a", "b", "c", "d"])),
)
HANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(Recall, st.sampled_from(["sea", "nebula", 1]), st.none() | st.just(3.0)),
    st.just(Fire("panic")),
    st.just(Toggle("blackout")),
    st.builds(Set, st.just("speed"), st.floats(0, 4)),
    st.builds(Set, st.just("quantise"), st.sampled_from([0, 1, 4])),
)
WAITS = st.floats(0, 3)


@given(st.lists(st.tuples(STEPS | HANDS, WAITS), max_size=14), st.booleans(), STEPS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_way_through_the_list_ends_in_the_cues_own_values(
    tmp_path: Path, way: list[tuple[Command, float]], loop: bool, last: Command
) -> None:
    stage = Stage(tmp_path, CueList(FOUR.cues, loop))
    for command, seconds in way:
        stage.do(command).wait(seconds)
    stage.wait(3).do(last).wait(3)
    if stage.standing.number is None:  # nothing came after a panic, or ever
        assert stage.hand.refusals
        return
    refused = [why for why in stage.hand.refusals if "cue" not in why]
    assert not refused
    cue = FOUR.cues[stage.standing.number - 1]
    if stage.taken[-1][0] > stage.now - 3 - STEP_S:
        assert {n: getattr(stage.controls.params, n) for n in cue.values} == cue.values
    assert stage.controls.snapshot.later == ()


@given(st.lists(st.tuples(STEPS, WAITS), max_size=14), st.booleans(), st.sampled_from([0, 4]))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_cue_looks_the_same_whichever_way_led_to_it(
    tmp_path: Path, way: list[tuple[Command, float]], loop: bool, quantise: float
) -> None:
    stage = Stage(tmp_path, CueList(FOUR.cues, loop), quantise=quantise)
    for command, seconds in way:
        stage.do(command).wait(seconds)
    stage.wait(3)
    if stage.standing.number is None:
        return
    values, _ = FOUR.reached(stage.standing.number - 1)
    start = vars(stage.controls.start)
    assert vars(stage.controls.params) == start | values


def test_what_a_hand_sets_stays_until_a_cue_names_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FOUR).do(Fire("go")).wait(1).do(Set("speed", 3.0))
    stage.do(Set("negative", "smoke")).do(Fire("go")).wait(1)
    assert (stage.controls.params.speed, stage.controls.params.prompt) == (3.0, "tunnel")
    stage.do(Fire("go")).wait(1)
    assert (stage.controls.params.speed, stage.controls.params.negative) == (1.5, "smoke")


def test_after_a_recall_or_a_panic_the_next_cue_sets_all_that_the_list_has_set(
    tmp_path: Path,
) -> None:
    for strange in (Recall("nebula"), Fire("panic")):
        stage = Stage(tmp_path, FOUR).do(Go(2)).wait(1).do(strange).wait(1).do(Fire("go")).wait(1)
        assert stage.standing.name == "c"
        values, _ = FOUR.reached(2)
        assert {n: getattr(stage.controls.params, n) for n in values} == values


def test_a_recall_shortly_before_a_cue_that_waits_leaves_nothing_of_its_own(tmp_path: Path) -> None:
    cues = listed(Cue("a", {"depth": 0.2, "speed": 1.0}, follow=3.0), Cue("b", {"speed": 2.0}))
    stage = Stage(tmp_path, cues).do(Fire("go")).wait(2)
    assert stage.controls.snapshot.later  # b is known already
    stage.do(Recall("nebula")).do(Set("depth", 0.7)).wait(2)
    assert (stage.controls.params.depth, stage.controls.params.speed) == (0.2, 2.0)
    stage = Stage(tmp_path, FOUR, quantise=4.0).do(Fire("go")).do(Recall("nebula")).wait(3)
    assert stage.standing.name == "a"
    assert stage.controls.params.speed == 0.08  # nebula's, asked for last


def test_after_a_panic_back_is_what_was_on_and_go_what_would_have_come(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FOUR).do(Go(2)).wait(1).do(Fire("panic")).wait(1)
    assert (stage.standing.name, stage.standing.next_name) == (None, "c")
    assert stage.controls.params == stage.controls.start
    assert stage.do(Fire("back")).wait(1).standing.name == "b"
    stage.do(Fire("panic")).wait(1).do(Fire("go")).wait(1)
    assert stage.standing.name == "c"


def test_the_ends_of_a_list_are_told_and_those_of_a_playlist_meet(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FOUR).do(Fire("back"))
    assert stage.hand.refusals == ["there is no cue before this one"]
    stage.do(Go(4)).wait(1).do(Fire("go"))
    assert stage.hand.refusals[1:] == ["that was the last cue, d"]
    assert stage.standing == Standing(4, "d", None, None, "", None, 4)
    stage = Stage(tmp_path, CueList(FOUR.cues, loop=True))
    assert stage.names == ["a"]  # with the show
    stage.do(Fire("back")).wait(1).do(Fire("go")).wait(1)
    assert stage.names == ["a", "d", "a"]


def test_without_a_list_a_cue_is_refused_with_what_to_do(tmp_path: Path) -> None:
    desk, hand = Desk(tmp_path, Controls(Params())), Hand()
    for command in (Fire("go"), Fire("back"), Go("x")):
        desk.do(Arrived(command, "hand", 1.0), hand)
    assert hand.refusals == ["there are no cues: start the show with --cues FILE"] * 3


@pytest.mark.parametrize("name", ["a", "b", "d"])
def test_a_show_that_continues_stands_at_its_cue_and_goes_on_from_there(
    tmp_path: Path, name: str
) -> None:
    cues = (Cue("a", A.values), Cue("b", B.values, follow=2.0), C, Cue("d", D.values, follow=2.0))
    stage = Stage(tmp_path, CueList(cues))
    stage.cues.resume(name, stage.now, stage.there.timestamp())
    assert stage.standing.name == name
    stage.wait(3)
    assert stage.names == (["c"] if name == "b" else [])
    if name == "a":
        assert stage.do(Fire("go")).wait(1).standing.name == "b"
    since = stage.there.timestamp()
    stage.cues.resume("gone", stage.now, since)  # of a list that has another one by now


# Time


def test_a_transition_takes_its_seconds_its_beats_or_that_of_its_look(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FOUR, bpm=60.0)
    overs = []
    for _ in range(4):
        stage.do(Fire("go")).wait(1)
        overs.append(stage.controls.snapshot.over)
    assert [over.get("prompt") for over in overs] == [8, 2, 2, 8]  # d: as `transition` stands
    assert [over.get("speed") for over in overs] == [8, 8, 4, 8]
    assert stage.controls.params.transition == 8


def test_a_quantised_go_is_known_ahead_and_comes_on_the_beat(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FOUR, quantise=4.0)  # 120 beats a minute: every two seconds
    stage.do(Fire("go"))
    (told,) = stage.controls.snapshot.later
    assert (told.due, told.params.prompt) == (12.0, "aurora")
    assert stage.standing == Standing(None, None, 1, "a", "house out", 12.0 - stage.now, 4)
    stage.do(Fire("go"))
    told = stage.controls.snapshot.later[-1]
    assert (told.due, told.params.prompt, told.params.speed) == (12.0, "tunnel", 0.1)
    stage.wait(3)
    assert stage.names == ["a", "b"]
    assert [at for at, _ in stage.taken] == pytest.approx([12.0, 12.0], abs=STEP_S + 1e-6)


def test_what_waits_leads_on_from_what_comes_first(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FOUR).do(Go("c")).wait(1)
    stage.do(Fire("back"), due=stage.now + 1.0).do(Go("d")).wait(2)
    assert stage.names == ["c", "d", "c"]
    values, _ = FOUR.reached(2)
    assert {n: getattr(stage.controls.params, n) for n in values} == values


def test_a_cue_is_followed_after_its_seconds_and_the_frame_of_that_moment_is_known(
    tmp_path: Path,
) -> None:
    cues = listed(Cue("a", A.values, follow=5.0), Cue("b", B.values, follow=2.5), C)
    stage = Stage(tmp_path, cues).do(Fire("go")).wait(4)
    began = stage.taken[0][0]
    assert [each.due for each in stage.controls.snapshot.later] == [pytest.approx(began + 5)]
    assert stage.standing.until_s == pytest.approx(began + 5 - stage.now)
    stage.wait(10)
    assert [name for _, name in stage.taken] == ["a", "b", "c"]
    assert [at - began for at, _ in stage.taken] == pytest.approx([0, 5, 7.5], abs=STEP_S)


@pytest.mark.parametrize("command", [Fire("go"), Fire("back"), Go("c"), Fire("panic")])
def test_a_hand_takes_the_place_of_following_and_panic_stops_it(
    tmp_path: Path, command: Command
) -> None:
    cues = listed(A, Cue("b", B.values, follow=2.0), C, D)
    stage = Stage(tmp_path, cues).do(Go("b")).wait(1.5).do(command).wait(5)
    expected = {Fire("go"): ["b", "c"], Fire("back"): ["b", "a"], Go("c"): ["b", "c"]}
    assert stage.names == expected.get(command, ["b"])
    assert stage.standing.until_s is None


def test_recall_and_blackout_leave_a_playlist_going(tmp_path: Path) -> None:
    cues = CueList(tuple(Cue(c.name, c.values, follow=1.0) for c in FOUR.cues), loop=True)
    stage = Stage(tmp_path, cues).do(Toggle("blackout")).wait(0.5).do(Recall("sea")).wait(8)
    assert stage.names[:9] == [*"abcdabcda"]
    assert stage.controls.params.blackout


@pytest.mark.parametrize("stall_s", [3.0, 59.0, 3600.0])
def test_after_a_stall_one_cue_follows_and_the_next_in_its_own_time(
    tmp_path: Path, stall_s: float
) -> None:
    cues = CueList(tuple(Cue(c.name, c.values, follow=1.0) for c in FOUR.cues), loop=True)
    stage = Stage(tmp_path, cues)
    stage.taken.clear()
    stage.now += stall_s
    back = stage.now
    stage.wait(3.5)
    assert len(stage.taken) == 4
    assert [at - back for at, _ in stage.taken] == pytest.approx([0, 1, 2, 3], abs=3 * STEP_S)


def test_a_playlist_counts_from_the_first_picture(tmp_path: Path) -> None:
    cues = listed(Cue("a", A.values, follow=2.0), B, loop=True)
    stage = Stage(tmp_path, cues)
    stage.desk.pictures = False
    stage.wait(60)
    assert stage.names == ["a"]
    stage.desk.pictures = True
    stage.wait(1.9)
    assert stage.names == ["a"]
    stage.wait(0.2)
    assert stage.names == ["a", "b"]


PHASES = st.floats(-0.45, 0.45)  # more than half a beat would be one that is numbered otherwise
LATE = st.floats(0, 0.45)  # so many seconds ago a tempo that is told now has begun
GAPS = st.sampled_from(["polled", "stalled", "none"])  # half a second, or in one poll
TURNS = st.tuples(GAPS, st.floats(40, 240), st.integers(-64, 64), PHASES, LATE)


@given(st.lists(TURNS, max_size=6), st.sampled_from([0.0, 0.1, 0.5]))
@example([("polled", 228.0, 0, 0.0, 0.0), ("polled", 40.0, 0, -0.15, 0.0)], 0.0)
@example([("stalled", 200.0, 0, 0.0, 0.4), ("none", 40.0, 0, 0.0, 0.1)], 0.0)
@example([("polled", 240.0, 64, 0.0, 0.0)], 0.5)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_beats_are_counted_through_any_tempo(
    tmp_path: Path, turns: list[tuple[str, float, int, float, float]], delay_s: float
) -> None:
    cues = listed(Cue("a", A.values, follow_beats=32.0), B)
    stage = Stage(tmp_path, cues, delay_s).do(Fire("go"))
    began = since = stage.now
    counted = 0.0
    for gap, bpm, renumbered, phase, late in turns:
        if gap == "polled":
            stage.wait(0.5)
        elif gap == "stalled":
            stage.now += 0.5
        before, at = stage.controls.snapshot.tempo, max(since, stage.now - late)
        counted += (at - since) * before.bpm / 60 + phase
        since = at
        stage.do(Offer(Tempo(bpm, before.line(at) + renumbered + phase, at)))
    falls = since + (32.0 - counted) * 60 / stage.controls.snapshot.tempo.bpm
    stage.wait(60)
    assert stage.names == ["a", "b"]
    assert stage.taken[1][0] - began == pytest.approx(falls - delay_s - began, abs=1.5 * STEP_S)


# The clock


def days(stage: Stage, seconds: float, step: float = 60.0) -> None:
    """Time passes quickly: a poll a minute."""
    for _ in range(int(seconds / step)):
        stage.now += step
        stage.there += timedelta(seconds=step)
        stage.desk.poll(stage.now)


NIGHT = listed(A, Cue("night", {"prompt": "nebula"}, at=time(22)), C)


def test_a_cue_comes_by_the_clock_once_a_day(tmp_path: Path) -> None:
    stage = Stage(tmp_path, NIGHT)
    days(stage, 3 * 86400)
    assert stage.names == ["night"] * 3
    assert stage.controls.params.prompt == "nebula"


@pytest.mark.parametrize(
    ("at", "jump_h", "times"),
    [
        ((21, 30), 1, 1),  # over it: summer time, or a clock that is put right
        ((22, 30), -1, 1),  # back over it: the end of summer time
        ((22, 1), -5, 1),
        ((23, 59), -2, 1),
        ((20, 0), 3, 1),
        ((12, 0), 24 * 30, 1),  # a machine that had lost its date
    ],
)
def test_a_clock_that_jumps_starts_its_cue_once(
    tmp_path: Path, at: tuple[int, int], jump_h: float, times: int
) -> None:
    stage = Stage(tmp_path, NIGHT)
    while (stage.there.hour, stage.there.minute) != at:
        days(stage, 60)
    stage.there += timedelta(hours=jump_h)
    days(stage, 9 * 3600 if jump_h < 0 else 60)
    assert stage.names == ["night"] * times


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(-5, 5)), max_size=8))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_however_the_clock_jumps_a_cue_never_comes_twice_an_evening(
    tmp_path: Path, jumps: list[tuple[float, float]]
) -> None:
    stage = Stage(tmp_path, NIGHT)
    stage.there = datetime(2026, 3, 1, 18)
    stage.desk.poll(stage.now)
    for hours, jump in jumps:
        days(stage, hours * 3600, 300)
        stage.there += timedelta(hours=jump)
    days(stage, 3600, 300)
    at = [when for when, _ in stage.taken]
    dates = len({(datetime(2026, 3, 1, 18) + timedelta(days=n)).date() for n in range(4)})
    assert len(at) <= dates
    assert all(b - a > 3600 for a, b in pairwise(at))


def test_a_clock_set_back_for_a_while_does_not_bring_the_cue_of_the_morning_again(
    tmp_path: Path,
) -> None:
    day = Cue("day", {"prompt": "sea"}, at=time(10))
    night = Cue("night", {"prompt": "nebula"}, at=time(22))
    stage = Stage(tmp_path, listed(day, night))
    stage.there = datetime(2026, 3, 1, 9, 59)
    stage.desk.poll(stage.now)
    days(stage, 12 * 3600 + 300)
    stage.there -= timedelta(hours=49)
    days(stage, 60)
    stage.there += timedelta(hours=49)
    days(stage, 11 * 3600)
    assert stage.names == ["day", "night"]


@pytest.mark.parametrize("on_at", [(22, 0), (22, 10), (9, 59)])
@pytest.mark.parametrize("loop", [False, True])
def test_a_time_of_day_that_passed_while_the_machine_was_off_starts_its_cue(
    tmp_path: Path, on_at: tuple[int, int], loop: bool
) -> None:
    day = Cue("day", {"prompt": "sea"}, at=time(10))
    night = Cue("night", {"prompt": "nebula"}, at=time(22))
    stage = Stage(tmp_path, listed(day, night, loop=loop))
    stage.cues = stage.desk.cues = Cues(stage.cues.cues, stage.controls, stage._said)
    stage.cues.now_there = lambda: stage.there
    stage.taken.clear()
    cut = datetime(2026, 3, 1, 21, 50)
    stage.there = datetime(2026, 3, 1 + (on_at < (21, 50)), *on_at)
    stage.cues.resume("day", stage.now, cut.timestamp())
    stage.wait(1)
    assert (stage.names, stage.standing.name) == (["night"], "night")
    assert stage.controls.params.prompt == "nebula"


def test_a_show_that_continues_hears_only_of_times_since_it_was_written(tmp_path: Path) -> None:
    stage = Stage(tmp_path, NIGHT)
    stage.there = datetime(2026, 3, 1, 22, 10)
    stage.cues.resume("c", stage.now, datetime(2026, 3, 1, 22, 0, 30).timestamp())
    stage.wait(1)
    assert (stage.names, stage.standing.name) == ([], "c")


def test_a_playlist_begins_with_what_the_clock_has_started_last(tmp_path: Path) -> None:
    day = Cue("day", {"prompt": "sea"}, at=time(10))
    night = Cue("night", {"prompt": "nebula"}, at=time(22))
    stage = Stage(tmp_path, listed(A, day, night, loop=True))
    assert stage.names == ["day"]  # at noon
    assert Stage(tmp_path, listed(A, C, loop=True)).names == ["a"]


# What is told


def test_hud_and_status_tell_the_next_cue_and_its_note(tmp_path: Path) -> None:
    cues = listed(A, Cue("b", B.values, follow=9.0, note="n " * 60), C)
    stage = Stage(tmp_path, cues)
    assert told(stage)[:3] == [f"cue\t{hud.UNKNOWN}", "next\t1: a", "note\thouse out"]
    stage.do(Fire("go")).wait(1)
    lines = told(stage)
    assert lines[:2] == ["cue\t1 of 3: a", "next\t2: b"]
    assert " ".join(line.split("\t")[1] for line in lines[2:5]) == ("n " * 60).strip()
    assert max(len(line) for line in lines[2:5]) < 60
    stage.do(Fire("go")).wait(1.2)
    assert told(stage)[:3] == ["cue\t2 of 3: b", "next\t3: c", "in\t8\ts"]
    values = status(stage).values()
    assert [values[n] for n in ("cue", "cue_next", "cue_note", "cue_until")] == ["b", "c", "", 8]
    stage.do(Fire("go")).wait(1)
    assert status(stage).values()["cue_until"] == -1


def told(stage: Stage) -> list[str]:
    """The HUD's lines from that of the cue on."""
    lines = hud.lines(status(stage))
    return lines[next(i for i, line in enumerate(lines) if line.startswith("cue\t")) :]


def status(stage: Stage) -> Status:
    needed = [f for f in fields(Status) if f.default is f.default_factory is MISSING]
    figures = {field.name: 0 for field in needed}
    values: dict[str, Any] = figures | {"params": stage.controls.params, "parts": {}}
    return Status(**values, cue=stage.standing)


def test_a_show_that_continues_stands_at_its_cue_and_follows_from_there(tmp_path: Path) -> None:
    stage = Stage(tmp_path, listed(A, Cue("x", {"speed": 1.0}, follow=5.0), D, loop=True))
    stage.cues._begun = False  # as before the first poll
    stage.cues.resume("x", stage.now, stage.there.timestamp())
    before = stage.controls.snapshot
    assert (stage.wait(1).standing.name, stage.standing.next_name) == ("x", "d")
    assert stage.controls.snapshot.params == before.params  # the state has brought the values
    stage.wait(5)
    assert stage.standing.name == "d"
    stage.cues.resume("gone", stage.now, stage.there.timestamp())
    assert stage.standing.name == "d"
