"""Parameters: one declaration, one door in, and what is refused changes nothing."""

import math
import re
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwlive.commands import (
    Command,
    Fire,
    Move,
    Nudge,
    Recall,
    Set,
    Toggle,
)
from lwlive.config import Config
from lwlive.controls import Controls
from lwlive.params import LOOK, SAMPLED, SPECS, TRIGGERS, ControlError, Params, spec, table

NAMES = tuple(SPECS)
NUMBERS = tuple(name for name in NAMES if SPECS[name].kind in (int, float))
SWITCHES = tuple(name for name in NAMES if SPECS[name].kind is bool)
TEXTS = tuple(name for name in NAMES if SPECS[name].kind is str)
NOT_NUMBERS: tuple[object, ...] = (
    math.nan,
    math.inf,
    -math.inf,
    "1",
    True,
    None,
    b"1",
    [1],
    {},
    Decimal(1),
    1j,
)


def refused(controls: Controls, name: str, value: object) -> str:
    """The sentence with which a value is refused; nothing may change."""
    before = controls.snapshot
    with pytest.raises(ControlError) as caught:
        controls.do(Set(name, value))
    assert controls.snapshot is before
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_every_default_is_a_value_of_its_parameter(name: str) -> None:
    default = SPECS[name].default
    if default is None:
        assert name in ("guidance", "steps")  # the model's own
        return
    assert type(default) is SPECS[name].kind
    assert spec(name).checked(default) == default


def test_the_config_accepts_its_own_defaults() -> None:
    assert Config(**Config().model_dump()) == Config()


@pytest.mark.parametrize("name", NUMBERS)
def test_the_ends_of_a_range_are_in_it_and_what_is_beyond_is_refused(name: str) -> None:
    controls = Controls(Params())
    low, high = SPECS[name].low, SPECS[name].high
    step = 1 if SPECS[name].kind is int else 1e-6
    for end in (low, high):
        controls.do(Set(name, end))
        assert getattr(controls.params, name) == end
    for beyond in (low - step, high + step, -(10**400), 10**400):
        sentence = refused(controls, name, beyond)
        assert sentence.startswith(f"{name} takes {SPECS[name].expected()}, not ")
        assert len(sentence) < 200


@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_number_is_refused_with_what_was_expected(name: str) -> None:
    for value in NOT_NUMBERS:
        assert SPECS[name].expected() in refused(Controls(Params()), name, value)


@pytest.mark.parametrize("name", [name for name in NUMBERS if SPECS[name].kind is int])
def test_a_whole_number_takes_a_float_only_where_it_is_whole(name: str) -> None:
    controls = Controls(Params())
    controls.do(Set(name, 2.0))
    assert getattr(controls.params, name) == 2
    assert type(getattr(controls.params, name)) is int
    assert "a whole number" in refused(controls, name, 2.5)


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_takes_true_false_one_and_zero_and_nothing_else(name: str) -> None:
    controls = Controls(Params())
    for value in (True, False, 1, 0, 1.0, 0.0):
        controls.do(Set(name, value))
        assert getattr(controls.params, name) is bool(value)
    wrongs: tuple[object, ...] = (2, -1, 0.5, math.nan, math.inf, "on", "true", None, [])
    for wrong in wrongs:
        assert "on or off" in refused(controls, name, wrong)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_takes_any_text_up_to_its_length(name: str) -> None:
    controls = Controls(Params())
    longest = int(SPECS[name].high)
    for text in ("", "x" * longest, "\N{SNOWMAN}" * longest, "a :1 | b :0.4", "\0", "rm -rf"):
        controls.do(Set(name, text))
        assert getattr(controls.params, name) == text
    for wrong in ("x" * (longest + 1), 1, 1.5, True, None, b"bytes", ["a"], "\ud800"):
        assert f"text of up to {longest} characters" in refused(controls, name, wrong)


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    for name in ("sped", "", "__class__", "model_config", "next"):
        assert "speed" in refused(Controls(Params()), name, 1)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_fader_maps_its_ends_onto_the_ends_of_the_range_and_rises_between(name: str) -> None:
    controls = Controls(Params())
    values = []
    for i in range(101):
        controls.do(Move(name, i / 100))
        values.append(getattr(controls.params, name))
        assert type(values[-1]) is SPECS[name].kind
    assert (values[0], values[-1]) == SPECS[name].travel
    assert values == sorted(values)
    assert len(set(values)) > 5


@pytest.mark.parametrize("name", [*NUMBERS, *SWITCHES])
def test_a_fader_beyond_its_ends_is_clamped(name: str) -> None:
    controls = Controls(Params())
    for position, end in ((-0.1, 0.0), (-1e300, 0.0), (1.1, 1.0), (5, 1.0), (10**400, 1.0)):
        controls.do(Move(name, end))
        value = getattr(controls.params, name)
        controls.do(Move(name, 0.5))
        controls.do(Move(name, position))
        assert getattr(controls.params, name) == value


@pytest.mark.parametrize("name", [*NUMBERS, *SWITCHES])
def test_a_fader_refuses_what_is_no_number(name: str) -> None:
    controls = Controls(Params())
    for position in NOT_NUMBERS:
        with pytest.raises(ControlError, match="fader takes a number from 0 to 1"):
            controls.do(Move(name, position))  # type: ignore[arg-type] # as a sender may
    assert controls.snapshot.version == 0


def test_text_and_unknown_names_have_no_fader() -> None:
    for name in (*TEXTS, "sped", "next"):
        with pytest.raises(ControlError, match=f"'{name}'"):
            Controls(Params()).do(Move(name, 0.5))


FADED = [name for name in NAMES if SPECS[name].kind is not str]


@pytest.mark.parametrize("name", FADED)
@given(position=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_position_of_a_value_gives_the_value_again(name: str, position: float) -> None:
    spec = SPECS[name]
    value = spec.value(position)
    assert spec.checked(value) == value
    assert type(value) is spec.kind
    assert 0 <= spec.position(value) <= 1
    assert spec.value(spec.position(value)) == pytest.approx(value, abs=1e-12 * spec.high)
    if spec.kind is float:
        assert spec.position(value) == pytest.approx(position, abs=1e-6)


@pytest.mark.parametrize("name", FADED)
def test_every_value_within_a_faders_travel_has_its_own_position(name: str) -> None:
    spec = SPECS[name]
    low, high = spec.travel
    values = [low + (high - low) * i / 100 for i in range(101)]
    values = [spec.checked(round(v)) if spec.kind is not float else v for v in values]
    for value in values:
        assert spec.value(spec.position(value)) == pytest.approx(value, abs=1e-9)
    assert (spec.position(values[0]), spec.position(values[-1])) == (0, 1)
    if spec.high > high:  # a value beyond is at the end
        assert spec.position(spec.high) == 1


@pytest.mark.parametrize("name", NUMBERS)
def test_steps_move_a_number_within_its_range_and_back(name: str) -> None:
    controls = Controls(replace(Params(), steps=4, guidance=5.0))
    low, high = SPECS[name].low, SPECS[name].high
    controls.do(Set(name, round(low + (min(high, 100) - low) / 2)))
    if SPECS[name].kind is float:
        controls.do(Set(name, (low + high) / 2))
    before = getattr(controls.params, name)
    for steps in (1, 0.1, 3):
        controls.do(Nudge(name, steps))
        assert getattr(controls.params, name) > before
        controls.do(Nudge(name, -steps))
        assert getattr(controls.params, name) == pytest.approx(before)
    controls.do(Nudge(name, -1e300))
    assert getattr(controls.params, name) == low
    controls.do(Nudge(name, 1e300))
    assert getattr(controls.params, name) == high


@pytest.mark.parametrize("name", NAMES)
def test_only_switches_are_toggled_and_only_numbers_stepped(name: str) -> None:
    controls = Controls(Params(steps=2, guidance=1.0))
    for command, kinds in ((Toggle(name), (bool,)), (Nudge(name, 1), (int, float))):
        before = controls.snapshot
        if SPECS[name].kind in kinds:
            controls.do(command)
            assert controls.snapshot is not before or getattr(before.params, name) == 1
        else:
            with pytest.raises(ControlError, match=name):
                controls.do(command)
            assert controls.snapshot is before


def test_who_changed_what_is_told_and_nobody_knows_what_was_not_his_own_value() -> None:
    controls = Controls(Params())
    controls.do(Set("speed", 1), "osc a")
    controls.do(Move("pace", 0.5), "osc b")
    assert controls.changed(0) == {"speed": "osc a", "pace": "osc b"}
    since = controls.snapshot.version
    assert controls.changed(since) == {}
    controls.do(Set("speed", 2), "osc b")
    controls.do(Set("depth", 0.0), "osc b")  # what it was already
    controls.do(Toggle("hold"), "osc a")
    controls.do(Nudge("pace", -1), "osc a")
    assert controls.changed(since) == {"speed": "osc b", "hold": "", "pace": ""}
    since = controls.snapshot.version
    controls.do(Fire("panic"), "osc a")
    assert controls.changed(since) == {"speed": "", "hold": "", "pace": ""}
    since = controls.snapshot.version
    controls.do(Fire("next"), "osc a")
    assert controls.changed(since) == {}


ANY = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.sampled_from([0, 0.5, 1, 4, "rings"]),
)
NAMED = st.sampled_from([*NAMES, *TRIGGERS, "save", "quit", "__class__", ""])
COMMANDS = st.one_of(
    st.builds(Set, NAMED, ANY),
    st.builds(Move, NAMED, st.floats()),
    st.builds(Nudge, NAMED, st.floats()),
    st.builds(Toggle, NAMED),
    st.builds(Fire, NAMED),
    st.builds(Recall, st.text(max_size=3)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(COMMANDS, max_size=20))
def test_any_command_leaves_the_values_valid_or_is_a_sentence_that_changed_nothing(
    commands: list[Command],
) -> None:
    controls = Controls(Params())
    for command in commands:
        before, why = controls.snapshot, "it was done"
        try:
            controls.do(command, "anyone")
        except ControlError as error:
            why, after = str(error), controls.snapshot
            assert after is before
        assert 5 < len(why) < 400
        for name, row in SPECS.items():
            value = getattr(controls.params, name)
            assert value is None or repr(row.checked(value)) == repr(value)


def test_several_values_are_set_as_one_change_or_not_at_all() -> None:
    controls = Controls(Params())
    controls.load({"speed": 1, "prompt": "rings", "hold": 1})
    assert (controls.params.speed, controls.params.prompt, controls.params.hold) == (1, "rings", 1)
    assert controls.snapshot.version == 1
    before = controls.snapshot
    for wrong in ({"speed": 2, "pace": 7}, {"pace": 0, "sped": 1}, {"speed": 2, "seed": None}):
        with pytest.raises(ControlError):
            controls.load(wrong)
        assert controls.snapshot is before


CHANGES = st.one_of(
    st.tuples(st.sampled_from(["speed", "pace", "guidance"]), st.sampled_from([0, 0.5, 1, -3])),
    st.tuples(st.just("hold"), st.sampled_from([True, False, "x"])),
    st.tuples(st.sampled_from(["next", "panic", "boom"]), st.none()),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(CHANGES, max_size=30))
def test_the_version_grows_by_one_with_every_change_and_by_nothing_else(
    changes: list[tuple[str, object]],
) -> None:
    controls = Controls(Params())
    for name, value in changes:
        before = controls.snapshot
        try:
            if name in NAMES:
                controls.do(Set(name, value))
            else:
                controls.do(Fire(name))
        except ControlError:
            assert controls.snapshot is before
            continue
        after = controls.snapshot
        changed = (after.params, after.nexts) != (before.params, before.nexts)
        assert after.version == before.version + changed
        assert changed or after is before


def test_a_snapshot_that_was_taken_never_changes() -> None:
    controls = Controls(Params())
    taken = controls.snapshot
    controls.do(Set("speed", 3))
    assert taken.params.speed == 0.25
    with pytest.raises(FrozenInstanceError):
        taken.params.speed = 1  # type: ignore[misc] # what is refused


def test_next_is_a_level_that_only_grows() -> None:
    controls = Controls(Params())
    controls.do(Fire("next"))
    controls.do(Fire("next"))
    assert controls.snapshot.nexts == 2
    controls.do(Fire("panic"))
    assert controls.snapshot.nexts == 2


def test_panic_brings_back_where_the_show_started_and_keeps_record_and_hud() -> None:
    start = Params(prompt="rings", speed=1.5)
    controls = Controls(start)
    controls.load({"prompt": "x", "speed": 4, "blackout": True, "hold": True, "brightness": 0})
    controls.load({"record": True, "hud": True})
    controls.do(Fire("panic"))
    assert controls.params == replace(start, record=True, hud=True)


def test_an_unknown_trigger_is_refused_with_those_there_are() -> None:
    with pytest.raises(ControlError, match=r"next, .*, panic"):
        Controls(Params()).do(Fire("quit"))


def test_the_models_own_values_fill_only_what_was_left_to_the_model() -> None:
    controls = Controls(Params(steps=2))
    controls.adopt({"steps": 4, "guidance": 1.0})
    assert (controls.params.steps, controls.params.guidance) == (2, 1.0)
    controls.load({"steps": 5, "guidance": 9})
    controls.adopt({"steps": 4, "guidance": 1.0})  # another engine, the same model
    assert (controls.params.steps, controls.params.guidance) == (5, 9)
    controls.do(Fire("panic"))
    assert (controls.params.steps, controls.params.guidance) == (2, 1.0)


def test_what_was_chosen_before_the_model_was_there_gives_way_to_its_own_in_a_panic() -> None:
    controls = Controls(Params())
    controls.do(Set("steps", 3))
    controls.adopt({"steps": 4, "guidance": 7.5})
    assert controls.params.steps == 3
    controls.do(Fire("panic"))
    assert (controls.params.steps, controls.params.guidance) == (4, 7.5)


@pytest.mark.parametrize("own", [{"steps": 99}, {"guidance": math.nan}, {"stepps": 4}])
def test_a_models_wrong_own_values_are_refused_and_change_nothing(own: dict[str, object]) -> None:
    controls = Controls(Params())
    controls.do(Set("steps", 2))
    with pytest.raises(ControlError):
        controls.adopt(own)
    controls.do(Fire("panic"))
    assert controls.params == Params()


def test_what_makes_the_picture_is_saved_and_what_the_engine_needs_is_sent() -> None:
    room = {"brightness", "blackout", "hud", "record", "quantise", "bpm"}
    room |= {"morph", "morph_a", "morph_b"}
    assert set(LOOK) == set(NAMES) - room - {"hold"}
    assert set(SAMPLED) == set(NAMES) - room - {"fade"}
    assert not set(TRIGGERS) & set(NAMES)


def test_the_table_has_a_row_for_every_parameter_that_markdown_can_read() -> None:
    head, line, *rows = table().splitlines()
    assert len(rows) == len(NAMES)
    for name, row in zip(NAMES, rows, strict=True):
        assert len(re.split(r"(?<!\\)\|", row)) == len(head.split("|")) == len(line.split("|"))
        assert f"`{name}`" in row
        assert SPECS[name].expected() in row
