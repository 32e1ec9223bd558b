"""The list of what may be learnt: keys in, one Learn out, and nothing else while it is open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwlive.commands import (
    Command,
    Fire,
    Learn,
    Nudge,
    Recall,
    Toggle,
)
from lwlive.params import SPECS, TRIGGERS
from lwlive.stage.outputs.window import rail
from lwlive.stage.outputs.window.choice import LEARN, LEAVE, ROWS, Choice
from lwlive.stage.sources.keys import BY_CODE

UP, DOWN = Nudge("guidance", 1), Nudge("guidance", -1)
LEFT, RIGHT = Nudge("speed", -1), Nudge("speed", 1)
NAMES = ["preset tunnel", "preset gold"]
TEXTS = [name for name, spec in SPECS.items() if spec.kind is str]
TARGETS = [*(name for name in SPECS if name not in TEXTS), *TRIGGERS, *NAMES, *TEXTS]


def marked(choice: Choice) -> str:
    """The target that the list has its mark on."""
    lines = choice.lines()
    assert lines is not None
    (line,) = [line for line in lines if " >\t" in line]
    return line.partition(" >\t")[0]


def test_a_closed_list_changes_no_key() -> None:
    choice = Choice(NAMES)
    for _, command in BY_CODE.values():
        if command != LEARN:
            assert choice.press(command) == command
    assert choice.lines() is None


def test_the_arrows_choose_and_l_takes_what_is_chosen() -> None:
    choice = Choice(NAMES)
    assert choice.press(LEARN) is None
    assert marked(choice) == TARGETS[0]
    assert [choice.press(one) for one in (DOWN, DOWN, UP)] == [None] * 3
    assert choice.press(LEARN) == Learn(TARGETS[1])
    assert choice.lines() is None


@given(st.lists(st.sampled_from([UP, DOWN, LEFT, RIGHT]), max_size=80))
def test_wherever_the_arrows_go_the_list_shows_what_is_chosen(presses: list[Command]) -> None:
    choice, at = Choice(NAMES), 0
    choice.press(LEARN)
    for press in presses:
        choice.press(press)
        at += {UP: -1, DOWN: 1, LEFT: -5, RIGHT: 5}[press]  # type: ignore[index] # one of them
    assert marked(choice) == TARGETS[at % len(TARGETS)]
    assert len(choice.lines() or []) == ROWS + 4


def test_every_target_can_be_reached_and_every_target_fits_the_window() -> None:
    choice = Choice(NAMES)
    for target in TARGETS:
        choice.press(LEARN)
        assert marked(choice) == target
        assert choice.press(LEARN) == Learn(target)
        choice.press(LEARN)
        choice.press(DOWN)
        choice.press(LEAVE)


@pytest.mark.parametrize(
    ("key", "target"),
    [
        (Toggle("blackout"), "blackout"),
        (Toggle("hold"), "hold"),
        (Fire("next"), "next"),
        (Fire("panic"), "panic"),
        (Recall(3), "preset 3"),
    ],
)
def test_the_key_of_a_thing_takes_that_thing(key: Command, target: str) -> None:
    choice = Choice(NAMES)
    choice.press(LEARN)
    assert choice.press(key) == Learn(target)
    assert choice.press(key) == key


def test_a_key_that_no_control_can_have_does_what_it_always_does() -> None:
    choice = Choice(NAMES)
    choice.press(LEARN)
    assert choice.press(Fire("save")) == Fire("save")
    assert choice.lines() is not None


def test_esc_closes_the_list_and_does_not_end_the_show() -> None:
    choice = Choice(NAMES)
    choice.press(LEARN)
    assert choice.press(LEAVE) is None
    assert choice.lines() is None
    assert choice.press(LEAVE) == LEAVE


@pytest.mark.parametrize("key", [LEARN, LEAVE])
def test_what_is_being_learnt_is_shown_until_a_control_moves_or_a_key_leaves_it(
    key: Command,
) -> None:
    choice = Choice(NAMES)
    choice.told("speed")
    assert "learn\tspeed" in (choice.lines() or [])
    assert choice.press(key) == Learn(None)
    choice.told(None)
    assert choice.lines() is None


def test_odd_letters_in_a_name_are_words_and_no_rail() -> None:
    choice = Choice(["preset a\x1fb\tc"])
    choice.press(LEARN)
    choice.press(Nudge("guidance", len(TEXTS) + 1))  # up, to the texts at the end of the list
    assert all(rail.parted(line)[1] is None for line in choice.lines() or ())
    choice.told("preset a\x1fb")
    assert all(rail.parted(line)[1] is None for line in choice.lines() or ())
