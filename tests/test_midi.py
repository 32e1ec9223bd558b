"""MIDI: bytes to controls, bindings and their files, take-over, lamps, learning. No ports."""

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwlive.commands import (
    Amount,
    Command,
    Fire,
    Go,
    Move,
    Nudge,
    Recall,
    Set,
    Toggle,
)
from lwlive.controls import Controls
from lwlive.params import SPECS, TRIGGERS, ControlError, Params, Value
from lwlive.stage.sources.midi import box as boxes
from lwlive.stage.sources.midi.binding import (
    ENCODINGS,
    OFFSET,
    SIGN,
    TWOS,
    Binding,
    clicks,
    of_target,
)
from lwlive.stage.sources.midi.box import Box
from lwlive.stage.sources.midi.device import device, ours, wanted
from lwlive.stage.sources.midi.feedback import BURST, REST_S, Lamps
from lwlive.stage.sources.midi.hands import Hands
from lwlive.stage.sources.midi.learn import LISTEN_S, Learner
from lwlive.stage.sources.midi.message import MOST, PAIR_S, Moved, Parser, Ticked
from lwlive.stage.sources.midi.row import read
from lwlive.stage.sources.midi.takeover import NEAR, Fader

NUMBERS = [name for name, spec in SPECS.items() if spec.kind in (int, float)]
SWITCHES = [name for name, spec in SPECS.items() if spec.kind is bool]
TEXTS = [name for name, spec in SPECS.items() if spec.kind is str]
START: dict[str, Value | None] = {
    name: getattr(Params(guidance=1.0, steps=2), name) for name in SPECS
}


def read_all(*parts: bytes) -> list[Moved | Ticked]:
    parser = Parser()
    return [found for part in parts for found in parser.read(part, 1.0)]


def plain(found: Sequence[Moved | Ticked]) -> list[tuple[str, int, int]]:
    """Name, channel and value of what moved, without the 14-bit controls."""
    return [
        (one.name, one.channel, one.value)
        for one in found
        if isinstance(one, Moved) and one.kind not in ("cc14", "nrpn")
    ]


# Bytes


@given(st.binary(max_size=400), st.lists(st.integers(1, 40), max_size=20))
def test_any_bytes_are_read_without_raising_and_however_they_are_cut_up(
    data: bytes, cuts: list[int]
) -> None:
    parts, rest = [], data
    for cut in cuts:
        parts.append(rest[:cut])
        rest = rest[cut:]
    found = read_all(data)
    assert read_all(*parts, rest) == found
    for one in found:
        if isinstance(one, Moved):
            most = MOST[one.kind]
            assert 1 <= one.channel <= 16
            assert 0 <= one.value <= one.top
            assert one.number is None if most is None else 0 <= (one.number or 0) <= most


@given(st.lists(st.binary(max_size=20), max_size=40))
def test_any_messages_at_any_box_give_commands_that_are_right_or_refused(
    messages: list[bytes],
) -> None:
    parser, controls = Parser(), Controls(Params(guidance=1.0, steps=2))
    all_hands = [Hands(box) for box in boxes.ready()]
    for data in messages:
        for found in [*parser.read(data, 0.0), *parser.waited(1.0)]:
            if not isinstance(found, Moved):
                continue
            values = {name: getattr(controls.params, name) for name in SPECS}
            for hands in all_hands:
                for command in hands.moved(found, values):
                    if isinstance(command, Move | Nudge | Toggle | Set):
                        controls.do(command)


def test_a_clock_tick_in_the_middle_of_a_note_takes_nothing_away() -> None:
    found = read_all(bytes([0x90, 0xF8, 60, 0xFA, 100, 0xFE, 61]), bytes([0xF8, 0]))
    assert plain(found) == [("note 60", 1, 100), ("note 61", 1, 0)]
    assert [one.data for one in found if isinstance(one, Ticked)] == [b"\xf8", b"\xfa", b"\xf8"]


def test_running_status_holds_until_another_status_and_not_through_a_system_message() -> None:
    assert plain(read_all(bytes([0xB2, 7, 1, 7, 2, 10, 3]))) == [
        ("cc 7", 3, 1),
        ("cc 7", 3, 2),
        ("cc 10", 3, 3),
    ]
    assert plain(read_all(bytes([0xB0, 7, 1, 0xF6, 7, 2]))) == [("cc 7", 1, 1)]
    assert plain(read_all(bytes([0xF0, 1, 2, 3, 0xF7, 7, 2, 0x90, 60, 1]))) == [("note 60", 1, 1)]


def test_every_kind_of_control_is_read() -> None:
    found = read_all(bytes([0x80, 60, 64, 0xC4, 9, 0xE0, 0x7F, 0x7F, 0xD0, 55, 0xA0, 60, 1]))
    assert plain(found) == [
        ("note 60", 1, 0),
        ("program 9", 5, 127),
        ("bend", 1, 16383),
        ("pressure", 1, 55),
    ]


def test_a_song_position_and_the_transport_are_handed_on_as_they_came() -> None:
    found = read_all(bytes([0xF2, 0x10, 0x01, 0xFA, 0xFC, 0xFB, 0xF1, 5, 0xF3, 1]))
    assert [one.data for one in found if isinstance(one, Ticked)] == [
        b"\xf2\x10\x01",
        b"\xfa",
        b"\xfc",
        b"\xfb",
    ]


def test_a_system_message_has_no_running_status() -> None:
    found = read_all(bytes([0xF2, 1, 2, 3, 4]))
    assert [one.data for one in found if isinstance(one, Ticked)] == [b"\xf2\x01\x02"]


def fine(found: Sequence[Moved | Ticked]) -> list[tuple[str, int, bool]]:
    return [
        (one.name, one.value, one.whole)
        for one in found
        if isinstance(one, Moved) and one.kind in ("cc14", "nrpn")
    ]


def test_two_halves_make_a_value_of_14_bits_and_never_one_that_was_not_sent() -> None:
    down = read_all(bytes([0xB0, 7, 6, 39, 0, 7, 5, 39, 127, 7, 5, 39, 126]))
    assert fine(down) == [("cc14 7", 768, True), ("cc14 7", 767, True), ("cc14 7", 766, True)]


def test_a_first_half_alone_counts_after_a_moment_with_nothing_behind_it() -> None:
    parser = Parser()
    assert fine(list(parser.read(bytes([0xB0, 7, 6]), 1.0))) == []
    assert fine(list(parser.waited(1.0 + PAIR_S / 2))) == []
    assert fine(list(parser.waited(1.0 + PAIR_S))) == [("cc14 7", 768, False)]
    assert fine(list(parser.waited(2.0))) == []
    assert fine(list(parser.read(bytes([0xB0, 39, 5]), 3.0))) == [("cc14 7", 773, False)]


def test_an_nrpn_is_one_control_and_ends_with_a_registered_one() -> None:
    chosen = bytes([0xB0, 99, 2, 98, 44, 6, 100, 38, 1])
    assert fine(read_all(chosen)) == [("nrpn 300", 12801, True)]
    assert fine(read_all(chosen, bytes([0xB0, 101, 0, 100, 0, 6, 2, 38, 0])))[1:] == [
        ("cc14 6", 256, True)
    ]


# Take-over


@given(
    st.sampled_from(NUMBERS),
    st.lists(
        st.tuples(st.sampled_from(["finger", "other"]), st.floats(0, 1)), min_size=1, max_size=60
    ),
)
def test_a_fader_never_makes_a_value_jump_further_than_it_moves_itself(
    name: str, events: list[tuple[str, float]]
) -> None:
    spec = SPECS[name]
    fader, value, stood = Fader(spec), spec.value(0.3), None
    for who, position in events:
        if who == "other":
            value = spec.value(position)
            fader.changed(value)
            continue
        before = spec.position(value)
        if fader.moved(position, value):
            value = spec.value(position)
            fader.changed(value)
        step = NEAR if stood is None else max(NEAR, abs(position - stood))
        assert abs(spec.position(value) - before) <= step + _coarseness(spec.name)
        stood = position


def _coarseness(name: str) -> float:
    """How far a whole number may be from where its fader stands."""
    spec = SPECS[name]
    if spec.kind is float:
        return 1e-9
    low, high = spec.travel
    return 1 / (high - low)


def test_a_fader_follows_once_it_has_met_the_value_from_either_side() -> None:
    for way in ([0.0, 0.2, 0.4, 0.6], [1.0, 0.8, 0.6, 0.4]):
        fader = Fader(SPECS["brightness"])
        assert [fader.moved(position, 0.5) for position in way] == [False, False, False, True]


def test_whoever_else_changes_the_value_takes_it_from_the_fader() -> None:
    fader = Fader(SPECS["brightness"])
    assert fader.moved(0.5, 0.5)
    fader.changed(0.5)
    assert fader.holds
    fader.changed(0.9)
    assert not fader.moved(0.52, 0.9)
    fader.changed(0.52)  # somebody brings the value to where it stands
    assert fader.moved(0.53, 0.52)


def test_a_value_out_of_a_faders_reach_is_met_at_the_end_next_to_it() -> None:
    fader = Fader(SPECS["brightness"], 0.2, 0.4)
    assert not fader.moved(0.3, 0.9)
    assert fader.moved(0.4, 0.9)


def test_a_value_that_is_not_known_yet_is_left_alone() -> None:
    assert not Fader(SPECS["guidance"]).moved(0.5, None)


# What a control asks for


def asks(
    binding: Binding, values: Sequence[int], known: dict[str, Value | None] | None = None
) -> list[Command]:
    """The commands of a control that goes through these values."""
    hands = Hands(Box("box", (binding,)))
    kind, number = binding.kind, binding.number
    top = 16383 if kind in ("cc14", "bend", "nrpn") else 127
    moves = [Moved(kind, number, binding.channel or 1, value, top, 0.0) for value in values]
    return [command for moved in moves for command in hands.moved(moved, known or START)]


def test_an_absolute_control_moves_the_fader_between_its_ends() -> None:
    free = Binding("cc 1", parameter="speed", takeover=False)
    assert asks(free, [0, 127]) == [Move("speed", 0.0), Move("speed", 1.0)]
    half = replace(free, low=1.0, high=4.0)
    assert asks(half, [0, 127]) == [Move("speed", 0.5), Move("speed", 1.0)]
    assert asks(replace(half, inverted=True), [0, 127]) == [Move("speed", 1.0), Move("speed", 0.5)]
    (curved,) = asks(replace(free, curve=2.0), [64])
    assert isinstance(curved, Move)
    assert curved.position == pytest.approx((64 / 127) ** 2)
    assert asks(Binding("bend", parameter="pace", takeover=False), [16383]) == [Move("pace", 1.0)]


def test_an_absolute_control_waits_for_the_value_unless_its_row_says_otherwise() -> None:
    waiting = Binding("cc 1", parameter="brightness")  # which is at 1
    assert asks(waiting, [10, 60]) == []
    assert asks(waiting, [10, 127, 60]) == [Move("brightness", 1.0), Move("brightness", 60 / 127)]
    assert len(asks(replace(waiting, motor=True), [10, 60])) == 2


def test_a_button_on_a_switch_turns_it_over_or_holds_it() -> None:
    pad = Binding("note 36", parameter="hold")
    assert pad.mode == "toggle"
    assert asks(pad, [100, 0, 90, 0]) == [Toggle("hold"), Toggle("hold")]
    held = replace(pad, mode="momentary")
    assert asks(held, [100, 0]) == [Set("hold", True), Set("hold", False)]
    assert asks(replace(held, inverted=True), [1, 0]) == [Set("hold", False), Set("hold", True)]


def test_a_controllers_button_fires_on_the_press_only_also_where_it_tells_no_release() -> None:
    button = Binding("cc 41", trigger="next")
    assert asks(button, [127, 0, 127, 0]) == [Fire("next")] * 2
    assert asks(button, [127, 127]) == [Fire("next")] * 2
    assert asks(button, [30, 70, 90, 120]) == [Fire("next")]  # a fader's way up is one press


def test_a_button_on_a_number_goes_to_one_end_and_back() -> None:
    pad = Binding("note 36", parameter="brightness", low=0.2, high=0.8)
    assert pad.mode == "momentary"
    assert asks(pad, [100, 0]) == [Move("brightness", 0.8), Move("brightness", 0.2)]
    over = replace(pad, mode="toggle")
    assert asks(over, [100], {"brightness": 0.7}) == [Move("brightness", 0.2)]
    assert asks(over, [100], {"brightness": 0.3}) == [Move("brightness", 0.8)]


def test_a_press_can_set_a_value_a_prompt_too() -> None:
    assert asks(Binding("note 1", parameter="speed", value=0.5), [9, 0]) == [Set("speed", 0.5)]
    words = Binding("note 1", parameter="prompt", value="gold rings")
    assert asks(words, [9, 0]) == [Set("prompt", "gold rings")]


def test_presets_cues_and_programs_are_called_by_name_or_number() -> None:
    assert asks(Binding("note 1", preset="tunnel", seconds=8.0), [9]) == [Recall("tunnel", 8.0)]
    assert asks(Binding("note 1", cue="finale"), [9]) == [Go("finale")]
    assert asks(Binding("program", presets=True), []) == []
    hands = Hands(Box("box", (Binding("program", presets=True), Binding("program 4", cues=True))))
    assert hands.moved(Moved("program", 4, 1, 127, 127, 0.0), START) == [Recall(5), Go(5)]
    assert hands.moved(Moved("program", 2, 1, 127, 127, 0.0), START) == [Recall(3)]


def test_a_knob_may_be_the_amount_of_a_route() -> None:
    knob = Binding("cc 1", route=2, low=-1.0, high=1.0)
    known: dict[str, Value | None] = {"route 2": 0.0}
    assert asks(knob, [0, 127], known) == [Amount(2, 1.0)]  # it has passed the value on its way
    assert asks(replace(knob, takeover=False), [0], known) == [Amount(2, -1.0)]


@pytest.mark.parametrize(
    ("encoding", "right", "left", "far"),
    [(TWOS, 1, 127, 125), (OFFSET, 65, 63, 61), (SIGN, 1, 65, 67)],
)
def test_each_encoding_of_a_relative_encoder(
    encoding: str, right: int, left: int, far: int
) -> None:
    assert [clicks(v, encoding) for v in (right, left, far)] == [1, -1, -3]
    knob = Binding("cc 1", parameter="speed", mode="relative", encoding=encoding, step=2.0)
    assert asks(knob, [right, far]) == [Nudge("speed", 2.0), Nudge("speed", -6.0)]
    assert asks(replace(knob, inverted=True), [right]) == [Nudge("speed", -2.0)]


def test_a_note_strikes_a_value_by_its_force_and_its_release_changes_nothing() -> None:
    drum = Binding("note 36", parameter="pace", mode="absolute", takeover=False)
    assert asks(drum, [127, 0]) == [Move("pace", 1.0)]


@given(st.integers(0, 127), st.booleans(), st.floats(0.2, 5), st.floats(0, 1), st.floats(0, 1))
def test_where_a_control_stands_and_the_fader_are_inverse(
    value: int, inverted: bool, curve: float, low: float, high: float
) -> None:
    if abs(high - low) < 0.01:
        high = low + 0.5 if low < 0.5 else low - 0.5
    binding = Binding("cc 1", parameter="pace", inverted=inverted, curve=curve, low=low, high=high)
    share = value / 127
    assert round(127 * binding.share(binding.position(share))) == value


# Rows and files

WRONG = [
    ({"parameter": "speed"}, "control is missing"),
    ({"control": "cc", "parameter": "speed"}, "cc needs a number from 0 to 127"),
    ({"control": "cc 128", "parameter": "speed"}, "cc has numbers from 0 to 127, not 128"),
    ({"control": "fader 1", "parameter": "speed"}, "control is one of"),
    ({"control": "bend 1", "parameter": "speed"}, "bend has no number"),
    ({"control": "cc 1"}, "a binding has one of parameter"),
    ({"control": "cc 1", "parameter": "sped"}, "there is no parameter 'sped'"),
    ({"control": "cc 1", "trigger": "nxt"}, "there is no trigger 'nxt'"),
    ({"control": "cc 1", "parameter": "speed", "trigger": "next"}, "not parameter and trigger"),
    ({"control": "cc 1", "parameter": "prompt"}, "prompt is text: give the value"),
    ({"control": "cc 1", "parameter": "speed", "value": "fast"}, "speed takes a number"),
    ({"control": "cc 1", "parameter": "speed", "low": -1}, "speed takes a number from 0 to 4"),
    ({"control": "cc 1", "parameter": "speed", "curve": 0}, "curve is a number from 0.1 to 10"),
    ({"control": "cc 1", "parameter": "speed", "channel": 17}, "a channel is 1 to 16"),
    ({"control": "cc 1", "parameter": "speed", "channel": True}, "channel takes a whole number"),
    ({"control": "cc 1", "parameter": "speed", "mode": "sideways"}, "mode is one of"),
    ({"control": "cc 1", "parameter": "hold", "mode": "relative"}, "is not a number that"),
    ({"control": "note 1", "parameter": "speed", "mode": "relative"}, "are controllers"),
    ({"control": "cc 1", "parameter": "speed", "colour": "red"}, "there is no 'colour'"),
    ({"control": "cc 1", "trigger": "next", "mode": "toggle"}, "so has no mode"),
    ({"control": "cc 1", "preset": 0}, "counted from 1"),
    ({"control": "cc 1", "preset": "x", "low": 1}, "low and high belong to"),
    ({"control": "note 1", "parameter": "hold", "lamp": "knob 1"}, "lamp is a note or cc"),
    ({"control": "cc 1", "parameter": "speed", "low": float("nan")}, "low takes a number"),
]


@pytest.mark.parametrize(("row", "sentence"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_row_is_refused_with_a_sentence(row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ControlError, match=sentence):
        read(row)


def test_a_wrong_file_is_refused_by_its_name_and_row_and_the_others_are_read(
    tmp_path: Path,
) -> None:
    good = '[[bindings]]\ncontrol = "cc 1"\nparameter = "speed"\n'
    texts = {
        "a": f'device = "A"\n{good}',
        "b": good,
        "c": f'device = "C"\n{good}[[bindings]]\ncontrol = "cc 2"\nparameter = "sped"\n',
        "d": "device = [",
        "e": 'device = "E"\nbindings = 3\n',
        "f": 'device = "F"\ncolour = "red"\n',
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.toml").write_text(text)
    (tmp_path / "g.toml").write_bytes(b"\xff\xfe")
    found, refusals = boxes.own(tmp_path)
    assert [box.device for box in found] == ["A"]
    for name, words in {
        "b": "device =",
        "c": "binding 2 (cc 2): there is no parameter 'sped'",
        "d": "not valid TOML",
        "e": "each binding stands under",
        "f": "there is no 'colour'",
        "g": "not text in UTF-8",
    }.items():
        (sentence,) = [why for why in refusals if f"{name}.toml" in why]
        assert words in sentence


controls_of = st.one_of(
    st.builds(lambda n: f"cc {n}", st.integers(0, 127)),
    st.builds(lambda n: f"note {n}", st.integers(0, 127)),
    st.builds(lambda n: f"cc14 {n}", st.integers(0, 31)),
    st.builds(lambda n: f"nrpn {n}", st.integers(0, 16383)),
    st.sampled_from(["bend", "pressure", "program 3"]),
)
words = st.text(min_size=1, max_size=20).filter(
    lambda text: text.isprintable() and text == text.strip() and not text.isdecimal()
)
targets = st.one_of(
    st.sampled_from([*NUMBERS, *SWITCHES, *TRIGGERS]),
    st.builds(lambda name: f"preset {name}", words),
    st.builds(lambda name: f"cue {name}", words),
    st.builds(
        lambda number: f"{number[0]} {number[1]}",
        st.tuples(st.sampled_from(["preset", "cue", "route"]), st.integers(1, 99)),
    ),
)


@st.composite
def learnt(draw: st.DrawFn) -> Binding:
    """A binding as learning may make it."""
    target, control = draw(targets), draw(controls_of)
    more: dict[str, Any] = {}
    if target in NUMBERS and control.startswith("cc "):
        more["mode"] = draw(st.sampled_from(["absolute", "relative", "momentary"]))
        if more["mode"] == "relative":
            more["encoding"] = draw(st.sampled_from(ENCODINGS))
    if target in SWITCHES and not control.startswith("program"):
        more["mode"] = draw(st.sampled_from(["absolute", "toggle", "momentary"]))
    elif target in NUMBERS and control.startswith("program"):
        more["mode"] = "toggle"
    elif target.startswith("route") and control.startswith("program"):
        more["mode"] = "momentary"
    return of_target(target, control, draw(st.integers(1, 16)), **more)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(learnt(), max_size=12), st.sampled_from(["APC MINI", "X \N{SNOWMAN} [1]", "-"]))
def test_learn_save_and_load_gives_the_same_table(
    tmp_path_factory: pytest.TempPathFactory, bindings: list[Binding], name: str
) -> None:
    folder = tmp_path_factory.mktemp("midi")
    box = Box(name)
    if name == "APC MINI":
        box = next(one for one in boxes.ready() if one.device == name)
    for binding in bindings:
        box = boxes.save(box.learnt(binding), folder)
        (found,), refusals = boxes.own(folder)
        assert refusals == []
        assert found.bindings == box.bindings
        assert found.device == name
        assert binding in found.bindings
        assert boxes.find(name, [*boxes.ready(), found]) == found


def test_what_is_learnt_leaves_the_other_lines_of_a_file_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '# my box\ndevice = "Box"\n\n# slow!\n[[bindings]]\ncontrol = "cc 1"  # left\n'
        'parameter = "speed"\n\n# the pad\n[[bindings]]\ncontrol = "note 5"\ntrigger = "next"\n'
    )
    box = boxes.load(path)
    boxes.save(box.learnt(Binding("note 5", 1, trigger="tap")), tmp_path)
    text = path.read_text()
    assert '# slow!\n[[bindings]]\ncontrol = "cc 1"  # left\nparameter = "speed"\n' in text
    assert "# my box" in text
    assert "next" not in text
    assert tomllib.loads(text)["bindings"][1] == {
        "control": "note 5",
        "channel": 1,
        "trigger": "tap",
    }
    assert list(tmp_path.iterdir()) == [path]


def test_bindings_written_in_an_unusual_way_are_learnt_into_as_well(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('device = "Box"\nbindings = [{control = "cc 1", parameter = "speed"}]\n')
    box = boxes.load(path).learnt(Binding("cc 2", 1, parameter="pace"))
    boxes.save(box, tmp_path)
    assert boxes.load(path).bindings == box.bindings


def test_a_file_with_a_mistake_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('device = "Box"\n')
    box = boxes.load(path)
    path.write_text("device = [")
    with pytest.raises(ControlError, match="not valid TOML"):
        boxes.save(box.learnt(Binding("cc 2", 1, parameter="pace")), tmp_path)
    assert path.read_text() == "device = ["


def test_two_devices_whose_names_look_alike_have_a_file_each(tmp_path: Path) -> None:
    for name in ("Box 1", "box-1"):
        boxes.save(Box(name).learnt(Binding("cc 1", 1, parameter="pace")), tmp_path)
    found, _ = boxes.own(tmp_path)
    assert {box.device for box in found} == {"Box 1", "box-1"}


def test_the_ready_boxes_say_that_they_were_not_tried_and_have_no_control_twice() -> None:
    known = boxes.ready()
    assert {box.device for box in known} == {
        "APC MINI",
        "MIDI Mix",
        "Launch Control XL",
        "nanoKONTROL2",
        "X-TOUCH MINI",
    }
    for box in known:
        assert "Not tried on the device" in box.about
        names = [(binding.control, binding.channel) for binding in box.bindings]
        assert len(names) == len(set(names))
        assert any(binding.parameter == "blackout" for binding in box.bindings)


def test_a_device_has_the_box_of_its_name_or_one_whose_name_is_in_it_in_words() -> None:
    known = [Box("nanoKONTROL"), Box("Box"), Box("My Box"), Box("my box 2", path=Path("x"))]
    found = {name: boxes.find(name, known) for name in ("nanoKONTROL2", "A Box", "My Box", "box")}
    assert {name: box and box.device for name, box in found.items()} == {
        "nanoKONTROL2": None,
        "A Box": "Box",
        "My Box": "My Box",
        "box": "Box",
    }


@pytest.mark.parametrize(
    ("port", "name"),
    [
        ("APC MINI:APC MINI MIDI 1 20:0", "APC MINI"),
        ("APC MINI", "APC MINI"),
        ("a2j:nanoKONTROL2 [24] (capture): nanoKONTROL2 MIDI 1", "nanoKONTROL2"),
        ("Midi-Bridge:X-TOUCH MINI 3:(capture_0) X-TOUCH MINI MIDI 1", "X-TOUCH MINI 3"),
        ("jack_midi_clock:mclk_out", "jack_midi_clock"),
        ("system:midi_capture_1", "midi_capture_1"),
    ],
)
def test_the_device_of_a_port(port: str, name: str) -> None:
    assert device(port) == name


def test_which_ports_are_listened_to() -> None:
    assert wanted("APC MINI 20:0", ())
    assert not wanted("Midi Through:Midi Through Port-0 14:0", ())
    assert wanted("Midi Through:Midi Through Port-0 14:0", ("through",))
    assert not wanted("APC MINI 20:0", ("nano",))
    assert ours("lwlive:in")
    assert not wanted("libremidi client-01:lwlive", ("lwlive",))  # it would hear itself


# Lamps


def moved(binding: Binding, value: int, at: float) -> Moved:
    return Moved(binding.kind, binding.number, binding.channel or 1, value, 127, at)


FADER = Binding("cc 7", 1, parameter="brightness")
PAD = Binding("note 5", 1, parameter="hold", on=3)
PRESET = Binding("note 6", 1, preset="tunnel")


def test_a_box_gets_values_switches_and_the_running_preset() -> None:
    lamps = Lamps(Box("box", (FADER, PAD, PRESET)))
    values: dict[str, Value | None] = {"brightness": 1.0, "hold": True}
    sent = lamps.messages(values, frozenset({"preset tunnel"}), 0.0)
    assert sent == [bytes([0xB0, 7, 127]), bytes([0x90, 5, 3]), bytes([0x90, 6, 127])]
    assert lamps.messages(values, frozenset({"preset tunnel"}), 1.0) == []
    assert lamps.messages(values, frozenset({"preset gold"}), 2.0) == [bytes([0x90, 6, 0])]
    assert lamps.dark() == [bytes([0x90, 5, 0]), bytes([0x90, 6, 0])]


def test_no_fader_is_sent_anything_while_a_finger_moves_it_nor_what_it_said_itself() -> None:
    lamps = Lamps(Box("box", (FADER,)))
    lamps.messages({"brightness": 1.0}, frozenset(), 0.0)
    for tick in range(1, 60):
        value = 127 - tick
        lamps.heard(moved(FADER, value, tick / 30))
        known: dict[str, Value | None] = {"brightness": SPECS["brightness"].value(value / 127)}
        assert lamps.messages(known, frozenset(), tick / 30 + 0.01) == []
    assert lamps.messages({"brightness": (127 - 59) / 127}, frozenset(), 10.0) == []
    assert lamps.messages({"brightness": 0.0}, frozenset(), 11.0) == [bytes([0xB0, 7, 0])]


def test_a_motor_fader_that_was_not_followed_goes_back_once_the_finger_rests() -> None:
    lamps = Lamps(Box("box", (FADER,)))
    lamps.messages({"brightness": 1.0}, frozenset(), 0.0)
    lamps.heard(moved(FADER, 10, 1.0))
    assert lamps.messages({"brightness": 1.0}, frozenset(), 1.0 + REST_S / 2) == []
    assert lamps.messages({"brightness": 1.0}, frozenset(), 1.1 + REST_S) == [bytes([0xB0, 7, 127])]


def test_a_lamp_is_sent_again_after_a_press_since_boxes_switch_it_themselves() -> None:
    lamps = Lamps(Box("box", (PAD,)))
    assert lamps.messages({"hold": True}, frozenset(), 0.0) == [bytes([0x90, 5, 3])]
    lamps.heard(moved(PAD, 0, 1.0))
    assert lamps.messages({"hold": True}, frozenset(), 1.0) == [bytes([0x90, 5, 3])]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 127), st.floats(0, 1), st.booleans()),
        max_size=40,
    )
)
def test_whatever_was_moved_a_box_that_rests_shows_how_things_stand(
    events: list[tuple[int, int, float, bool]],
) -> None:
    rows = (FADER, PAD, PRESET)
    lamps, now = Lamps(Box("box", rows)), 0.0
    shows: dict[tuple[int, int], int] = {}
    values: dict[str, Value | None] = {"brightness": 1.0, "hold": False}
    running: frozenset[str] = frozenset()
    for which, value, brightness, on in [*events, (0, 64, 0.25, True)]:
        now += 0.05
        lamps.heard(moved(rows[which], value, now))
        if which == 0:
            shows[0xB0, 7] = value  # where the finger has put it
        else:
            shows.pop((0x90, 5 if which == 1 else 6), None)  # the box may have switched it
        values = {"brightness": brightness, "hold": on}
        running = frozenset({"preset tunnel"} if on else ())
        for data in lamps.messages(values, running, now):
            shows[data[0], data[1]] = data[2]
    for data in lamps.messages(values, running, now + 1.0):
        shows[data[0], data[1]] = data[2]
    assert shows == {(0xB0, 7): 32, (0x90, 5): 3, (0x90, 6): 127}


def test_a_large_box_is_told_in_bursts_that_an_old_cable_carries() -> None:
    rows = tuple(Binding(f"note {n}", 1, preset=n + 1) for n in range(100))
    lamps = Lamps(Box("box", rows))
    bursts = [lamps.messages({}, frozenset(), second) for second in range(10)]
    assert max(map(len, bursts)) == BURST
    assert sum(map(len, bursts)) == 100


def test_a_lamp_may_hear_another_note_than_its_button_sends() -> None:
    row = Binding("note 8", 11, parameter="hold", on=1, lamp="note 0", lamp_channel=1)
    assert Lamps(Box("box", (row,))).messages({"hold": True}, frozenset(), 0.0) == [
        bytes([0x90, 0, 1])
    ]


# Learning


def learn(target: str, moves: list[tuple[str, int]], value: Value | None = None) -> Binding:
    """The binding that these messages give, a fiftieth of a second apart."""
    learner, parser = Learner(target), Parser()
    codes = {"cc": 0xB0, "note": 0x90}
    at = 0.0
    for name, number in moves:
        kind, which = name.split()
        for found in parser.read(bytes([codes[kind], int(which), number]), at):
            assert isinstance(found, Moved)
            learner.heard("port", found)
        at += 0.02
    binding = learner.done(max(at, LISTEN_S + 0.1), value)
    assert binding is not None
    return binding


def test_a_pad_is_learnt_from_its_first_message() -> None:
    learner = Learner("next")
    learner.heard("port", Moved("note", 36, 10, 0, 127, 0.0))  # let go
    assert learner.done(5.0, None) is None
    learner.heard("port", Moved("note", 36, 10, 90, 127, 1.0))
    assert learner.done(1.0, None) == Binding("note 36", 10, trigger="next")


def test_a_fader_a_button_and_an_encoder_are_told_apart() -> None:
    way = [("cc 7", value) for value in (64, 65, 66, 68, 71)]
    assert learn("speed", way) == Binding("cc 7", 1, parameter="speed", mode="absolute")
    assert learn("hold", way) == Binding("cc 7", 1, parameter="hold", mode="absolute")
    press = [("cc 7", 127), ("cc 7", 0)]
    assert learn("hold", press) == Binding("cc 7", 1, parameter="hold", mode="toggle")
    assert learn("speed", press) == Binding("cc 7", 1, parameter="speed", mode="momentary")
    for encoding, values in {TWOS: (1, 1, 2), OFFSET: (65, 65, 63), SIGN: (65, 65, 1)}.items():
        turned = learn("speed", [("cc 7", value) for value in values])
        assert (turned.mode, turned.encoding) == ("relative", encoding)


def test_a_14_bit_fader_and_an_nrpn_are_learnt_whole() -> None:
    halves = [("cc 7", 5), ("cc 39", 127), ("cc 7", 6), ("cc 39", 0)]
    learner, parser = Learner("speed"), Parser()
    for number, (name, value) in enumerate(halves):
        for found in parser.read(bytes([0xB0, int(name.split()[1]), value]), number // 2 * 0.02):
            assert isinstance(found, Moved)
            learner.heard("port", found)
    assert learner.done(1.0, None) == Binding("cc14 7", 1, parameter="speed")
    nrpn = [("cc 99", 2), ("cc 98", 44), ("cc 6", 3), ("cc 38", 1)]
    assert learn("speed", nrpn).control == "nrpn 300"


def test_the_first_box_that_moves_is_the_one() -> None:
    learner = Learner("speed")
    learner.heard("one", Moved("cc", 7, 1, 5, 127, 0.0))
    for value in range(20):
        learner.heard("two", Moved("cc", 9, 1, value, 127, 0.1))
    binding = learner.done(1.0, None)
    assert binding is not None
    assert (learner.port, binding.control) == ("one", "cc 7")


def test_learning_a_text_binds_a_press_to_the_text_as_it_is_now() -> None:
    assert learn("prompt", [("note 1", 9)], "gold rings") == Binding(
        "note 1", 1, parameter="prompt", value="gold rings"
    )


def test_every_target_can_be_learnt_on_a_pad_and_is_called_as_it_was_asked_for() -> None:
    asked = [*NUMBERS, *SWITCHES, *TRIGGERS, "preset tunnel", "preset 3", "cue finale", "route 2"]
    for target in asked:
        assert learn(target, [("note 1", 9)]).target == target
