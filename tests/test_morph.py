"""Morph: a hand between two presets; every parameter in proportion, and cheap for the engine."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import Machine
from test_cues import Hand
from test_producer import FakeModel, Timer

from lwlive import mix, preset
from lwlive.commands import (
    Command,
    Fire,
    Move,
    Nudge,
    Recall,
    Set,
)
from lwlive.controls import Controls
from lwlive.engine.prompt import Conds
from lwlive.params import LOOK, SPECS, ControlError, Params
from lwlive.routes import Lfo, Route
from lwlive.stage.desk import Desk
from lwlive.stage.disk import Disk
from lwlive.stage.morph import FOLLOWED_S, Look, Morph, between
from lwlive.stage.parts import Arrived

UNIT = st.floats(0, 1)
WORDS = st.sampled_from(["smoke", "gold rings", "blue waves", "lava", "a clock at 10 :5"])
PROMPTS = st.one_of(
    WORDS,
    st.lists(st.tuples(WORDS, st.floats(0, 100)), min_size=2, max_size=5).map(
        lambda parts: " | ".join(f"{text} :{weight:.3g}" for text, weight in parts)
    ),
)


def value(name: str) -> st.SearchStrategy[Any]:
    """Any value of a parameter."""
    spec = SPECS[name]
    if spec.kind is str:
        return PROMPTS | st.just("")
    if spec.kind is bool:
        return st.booleans()
    if spec.kind is int:
        return st.integers(int(spec.low), int(spec.travel[1]))
    return st.floats(*spec.travel)


LOOKS = st.fixed_dictionaries({}, optional={name: value(name) for name in LOOK}).map(Look)


# What it sets


@given(LOOKS, LOOKS)
@settings(deadline=None)
def test_at_its_ends_each_preset_is_itself_but_for_the_seed(a: Look, b: Look) -> None:
    start, end = between(a, b, 0.0), between(a, b, 1.0)
    assert {n: start.values[n] for n in a.values} == a.values
    seed = {"seed": a.values["seed"]} if "seed" in a.values else {}
    assert {n: end.values[n] for n in b.values if n != "seed"} | seed == {
        n: v for n, v in b.values.items() if n != "seed"
    } | seed
    one_side = set(a.values) ^ set(b.values) - {"seed"}
    for name in one_side - {"seed"}:
        assert start.values[name] == end.values[name]


@given(LOOKS, LOOKS, st.lists(UNIT, min_size=2, max_size=6).map(sorted))
@settings(deadline=None)
def test_numbers_go_one_way_along_their_faders_and_all_values_are_valid(
    a: Look, b: Look, way: list[float]
) -> None:
    looks = [between(a, b, x) for x in way]
    for name in set(a.values) & set(b.values):
        row = SPECS[name]
        values = [row.checked(look.values[name]) for look in looks]
        if row.kind in (int, float) and name != "seed":
            places = [row.position(value) for value in values]
            rising = row.position(b.values[name]) >= row.position(a.values[name])
            assert places == pytest.approx(sorted(places, reverse=not rising))
        if row.kind is float:
            ends = row.position(a.values[name]), row.position(b.values[name])
            expected = [(1 - x) * ends[0] + x * ends[1] for x in way]
            assert places == pytest.approx(expected, abs=1e-6)


@given(PROMPTS, PROMPTS, UNIT)
def test_prompts_are_mixed_by_weight_and_the_weights_of_mixes_multiply(
    one: str, other: str, x: float
) -> None:
    expected: dict[str, float] = {}
    for prompt, factor in ((one, 1 - x), (other, x)):
        for text, share in mix.shares(prompt):
            expected[text] = expected.get(text, 0.0) + factor * share
    found: dict[str, float] = {}
    for text, share in mix.shares(mix.mixed(one, other, x)):
        found[text] = found.get(text, 0.0) + share
    for text, share in expected.items():
        assert found.get(text, 0.0) == pytest.approx(share, abs=0.01)


def test_a_mix_reads_as_one_would_write_it() -> None:
    assert mix.mixed("smoke", "gold", 0.3) == "smoke :0.7 | gold :0.3"
    assert mix.mixed("smoke", "smoke :3 | gold :1", 0.5) == "smoke :0.875 | gold :0.125"
    assert mix.mixed("smoke", "smoke", 0.3) == "smoke"


def test_switches_texts_that_are_empty_whole_numbers_and_seeds() -> None:
    a = Look({"steps": 1, "seed": 3, "negative": "", "loop": 0, "speed": 0.0})
    b = Look({"steps": 4, "seed": 9, "negative": "fog", "loop": 8, "speed": 1.0, "depth": 0.5})
    look = between(a, b, 0.4).values
    assert look == {
        "steps": 2,
        "seed": 3,
        "negative": "",
        "loop": 3,
        "speed": look["speed"],
        "depth": 0.5,
    }
    assert look["speed"] == pytest.approx(0.16)
    assert between(a, b, 0.6).values["negative"] == "fog"
    assert "seed" not in between(Look({}), b, 0.5).values


def test_routes_that_both_have_are_mixed_and_the_others_fade() -> None:
    wave, other = Lfo(period=2.0), Lfo("saw", 8.0)
    a = (Route("speed", 0.2, wave), Route("pace", 0.4, wave, 2))
    b = (Route("speed", 0.6, wave), Route("depth", -0.8, other, 2))
    for x, expected in {
        0.25: [("speed", 0.3, wave), ("pace", 0.2, wave)],
        0.75: [("speed", 0.5, wave), ("depth", -0.4, other)],
    }.items():
        found = between(Look({}, a), Look({}, b), x).routes or ()
        assert [route.number for route in found] == [1, 2]
        amounts: list[Any] = [(r.name, pytest.approx(r.amount), r.source) for r in found]
        assert amounts == expected
    assert between(Look({}), Look({}), 0.5).routes is None
    assert between(Look({}, a), Look({}), 1.0).routes == ()


# The hand


class Table:
    """A desk whose hand is on morph."""

    def __init__(self, folder: Path, **start: Any) -> None:
        for name, text in {
            "a": 'prompt = "smoke"\nspeed = 0.0\ntransition = 6',
            "b": 'prompt = "gold :1 | rings :3"\nspeed = 1.0\ntransition = 6',
            "slow": 'prompt = "gold :1 | rings :3"\nspeed = 0.3',
            "long": f'prompt = "{"x" * 300}"',
            "longer": f'prompt = "{"y" * 300}"',
            "bad": "speed = 99",
        }.items():
            (folder / f"{name}.toml").write_text(text)
        self.controls = Controls(Params(**{"steps": 1, "guidance": 1.0, **start}))
        self.desk = Desk(folder, self.controls, Disk(lambda _: None, lambda job: job()))
        self.hand, self.now = Hand(), 10.0

    def do(self, *commands: Command) -> "Table":
        for command in commands:
            self.desk.do(Arrived(command, "hand", self.now), self.hand)
            self.desk.poll(self.now)
        return self

    @property
    def look(self) -> tuple[str, float]:
        return self.controls.params.prompt, self.controls.params.speed


def test_a_hand_on_morph_sets_both_looks_in_proportion(tmp_path: Path) -> None:
    table = Table(tmp_path).do(Set("morph_a", "a"), Set("morph_b", "b"))
    assert table.look == ("blueberry spaghetti", 0.25)  # nothing yet
    table.do(Set("morph", 0.5))
    assert table.look == ("smoke :0.5 | gold :0.125 | rings :0.375", 0.25)
    table.do(Move("morph", 1.0))
    assert table.look == ("gold :1 | rings :3", 1.0)
    table.do(Nudge("morph", -1))
    assert table.controls.params.morph == pytest.approx(0.98)
    assert table.hand.refusals == []


def test_what_a_hand_sets_stays_until_morph_moves_again(tmp_path: Path) -> None:
    table = Table(tmp_path, morph_a="a", morph_b="b").do(Set("morph", 0.5), Set("speed", 3.0))
    table.do(Set("brightness", 0.5))
    assert table.look[1] == 3.0
    table.do(Set("morph", 0.6))
    assert table.look[1] == pytest.approx(0.36)


def test_the_first_move_takes_transition_and_the_next_ones_follow_the_hand(tmp_path: Path) -> None:
    table = Table(tmp_path, morph_a="a", morph_b="b", transition=4.0).do(Set("morph", 0.1))
    overs = [table.controls.snapshot.over["prompt"]]
    for tenth in (2, 3, 4, 5, 6, 7):
        table.now += 1.0
        overs.append(table.do(Set("morph", tenth / 10)).controls.snapshot.over["prompt"])
    assert overs == [4, 3, 2, 1, FOLLOWED_S, FOLLOWED_S, FOLLOWED_S]
    table.do(Recall("nebula"), Set("morph", 0.5))
    assert table.controls.snapshot.over["prompt"] == 15  # as nebula says


def test_what_cannot_be_chosen_or_mixed_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    table = Table(tmp_path).do(Set("morph", 0.5), Set("morph_a", "a"), Set("morph", 0.5))
    assert table.hand.refusals == [
        "morph moves between two presets: give morph_a and morph_b a preset first",
        "morph moves between two presets: give morph_b a preset first",
    ]
    table.hand.refusals.clear()
    table.do(Set("morph_b", "nowhere"), Set("morph_b", "../b"), Set("morph_b", "bad"))
    table.do(Set("morph_a", "long"), Set("morph_b", "longer"), Set("morph_b", 5))
    one, path, bad, pair, wrong = table.hand.refusals
    assert "there is no preset 'nowhere'" in one
    assert "there is no preset '../b'" in path
    assert "speed takes a number" in bad
    assert pair == (
        "long and longer cannot be mixed: the prompt of both together is too long: it has "
        "617 characters, 500 at most"
    )
    assert "morph_b takes text" in wrong
    assert (table.controls.params.morph_a, table.controls.params.morph_b) == ("long", "")


def test_names_given_at_the_start_are_there_and_wrong_ones_end_it(tmp_path: Path) -> None:
    table = Table(tmp_path, morph_a="a", morph_b="b", morph=0.5)
    assert table.look == ("smoke :0.5 | gold :0.125 | rings :0.375", 0.25)
    with pytest.raises(preset.PresetError, match="nowhere"):
        Table(tmp_path, morph_a="nowhere")


def test_after_a_panic_morph_moves_between_what_the_show_started_with(tmp_path: Path) -> None:
    table = Table(tmp_path, morph_a="a", morph_b="b").do(Set("morph_b", "sea"), Set("morph", 1.0))
    assert table.look[0] == "teal and indigo waves"
    table.do(Fire("panic"), Set("morph", 1.0))
    assert table.look == ("gold :1 | rings :3", 1.0)


def test_who_moves_morph_hears_of_all_that_it_moves(tmp_path: Path) -> None:
    table = Table(tmp_path, morph_a="a", morph_b="b")
    version = table.controls.snapshot.version
    table.do(Set("morph", 0.7))
    changed = table.controls.changed(version)
    assert changed == {"morph": "hand", "prompt": "", "speed": "", "transition": ""}


# The engine


@pytest.mark.slow
def test_a_fader_on_morph_encodes_each_text_once_and_costs_what_any_fader_costs(
    tmp_path: Path,
) -> None:
    costs = {}
    for what in ("speed", "morph"):
        model = FakeModel(Timer(), 0, 0, 2)
        show = Machine(0.012, 0.004, batch=2, model=model, morph_a="a", morph_b="slow")
        table = Table(tmp_path, **vars(show.controls.params))
        show.controls = table.controls

        def hands(show: Machine, table: Table = table, what: str = what) -> None:
            table.now = show.now
            if show.ticks > 60:
                x = abs((show.ticks - 60) / 90 % 2 - 1)  # up and down in six seconds
                table.do(Set(what, x if what == "morph" else 0.25 + 0.1 * x))

        show.hands = hands
        show.play(10)
        encoded = [text for text in model.encoded if text]
        assert len(encoded) == len(set(encoded)), "a text was encoded twice"
        assert set(encoded) <= {"blueberry spaghetti", "smoke", "gold", "rings"}
        assert max(show.jumps()) <= 1 + 1e-5
        costs[what] = show.model.calls * 2 / len(show.frames)
        assert show.late <= 2
        show.close()
    assert costs["morph"] <= 1.1 * costs["speed"]


def test_a_mix_of_known_texts_takes_no_time() -> None:
    model = FakeModel(Timer(), 0, 0, 2)
    conds = Conds(model.encode)
    begun = time.process_time()
    for step in range(300):
        conds(mix.mixed("smoke", "gold :1 | rings :3", step / 300), "")
    assert model.encoded == ["smoke", "gold", "rings", ""]
    assert (time.process_time() - begun) / 300 < 0.002


def test_a_morph_that_is_refused_changes_nothing() -> None:
    controls = Controls(Params())
    with pytest.raises(ControlError, match="give morph_a and morph_b a preset first"):
        Morph(controls).move(Set("morph", 0.5), "hand", 0.0, None)
    assert controls.snapshot.version == 0
