"""MIDI as a part of the show, with ports that the test plugs: hot-plug, learning, take-over, lamps.

Its process is tried too, with a library of the test's own, and how it is watched.
"""

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeEars, FakeSupply
from hypothesis import given, settings
from hypothesis import strategies as st

from lwlive.cli.midi import Screen
from lwlive.commands import Fire, Learn, Patch, Set
from lwlive.controls import Controls
from lwlive.cuelist import Cue, CueList
from lwlive.params import SPECS, Params
from lwlive.routes import Lfo, Route
from lwlive.stage.cues import Cues
from lwlive.stage.desk import Desk
from lwlive.stage.disk import Disk
from lwlive.stage.figures import Figures
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.midi import box as boxes
from lwlive.stage.sources.midi import child as module
from lwlive.stage.sources.midi.child import AGAIN_S, Failed, Heard, Order, Ports, Rig, Send
from lwlive.stage.sources.midi.learn import LISTEN_S
from lwlive.stage.sources.midi.link import PAUSES_S, SILENCE_S, START_S, Link
from lwlive.stage.sources.midi.ports import MidiError, Stamps, System
from lwlive.stage.sources.midi.rtmidi import RtMidi
from lwlive.stage.sources.midi.shelf import LOOK_S
from lwlive.stage.sources.midi.source import Midi
from lwlive.stage.status import Status

TICK_S = 1 / 30
NOTE, CC = 0x90, 0xB0


class Hand(Source):
    """Whoever else steers the show."""


class Stage:
    """A show with MIDI and nothing else; its files are read at once, its time is the test's."""

    def __init__(
        self, folder: Path, names: tuple[str, ...] = (), cues: CueList | None = None
    ) -> None:
        self.ears, self.folder, self.now = FakeEars(), folder, 100.0
        self.controls = Controls(Params(guidance=1.0, steps=2))
        self.said: list[str] = []
        disk = Disk(self.said.append, lambda run: run())
        self.desk = Desk(folder, self.controls, disk, cues=cues)
        self.desk.notices.say = self.said.append  # type: ignore[assignment] # without its time
        disk = Disk(self.said.append, lambda run: run())
        self.midi = Midi(self.ears, folder, self.said.append, names, disk)
        self.told = self.controls.snapshot.version
        self.arrived: list[Arrived] = []
        self.tick()

    def plug(self, *ports: str, outputs: tuple[str, ...] = (), trouble: str = "") -> None:
        self.ears.waiting.append(Ports("test", ports, outputs, ports, trouble))
        self.tick()

    def send(self, port: str, *messages: list[int]) -> None:
        """Messages of a box, each in a tick of its own."""
        for message in messages:
            self.ears.waiting.append(Heard([(port, bytes(message), self.now)]))
            self.tick()

    def do(self, *commands: Any) -> None:
        for command in commands:
            self.desk.do(Arrived(command, "osc test", self.now), Hand())
        self.tick()

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.tick()

    def tick(self) -> None:
        self.now += TICK_S
        self.desk.poll(self.now)
        arrived = self.midi.poll(self.now)
        self.arrived.extend(arrived)
        for one in arrived:
            self.desk.do(one, self.midi)
        changes = self.controls.changed(self.told)
        self.told = self.controls.snapshot.version
        self.midi.tell(self.status, changes, self.now)

    @property
    def status(self) -> Status:
        return Status.taken(
            self.controls.params,
            "test",
            Figures(30),
            FakeSupply(),  # type: ignore[arg-type] # as far as it is asked
            {},
            now=self.now,
            since_start_s=1.0,
            level=1.0,
            notice=None,
            pictures=True,
            tempo=self.controls.snapshot.tempo,
            routes=self.controls.snapshot.routes,
            learning=self.desk.learning,
            preset=self.desk.preset,
            cue=None if self.desk.cues is None else self.desk.cues.standing(self.now),
        )

    @property
    def params(self) -> Params:
        return self.controls.params


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    (tmp_path / "box.toml").write_text(
        'device = "Box"\n'
        '[[bindings]]\ncontrol = "cc 7"\nparameter = "brightness"\n'
        '[[bindings]]\ncontrol = "note 5"\nparameter = "hold"\n'
        '[[bindings]]\ncontrol = "note 6"\npreset = "tunnel"\n'
        '[[bindings]]\ncontrol = "cc 8"\nroute = 1\n'
    )
    return Stage(tmp_path)


def test_a_box_steers_the_show_as_its_mapping_says(stage: Stage) -> None:
    stage.plug("Box:out")
    stage.send("Box:out", [CC, 7, 127], [CC, 7, 64], [NOTE, 5, 9], [NOTE, 5, 0])
    assert stage.params.brightness == pytest.approx(64 / 127)
    assert stage.params.hold
    assert {one.by for one in stage.arrived} == {"midi Box"}


def test_a_note_goes_to_a_cue_whose_lamp_is_lit_while_it_is_on(tmp_path: Path) -> None:
    (tmp_path / "box.toml").write_text(
        'device = "Box"\n'
        '[[bindings]]\ncontrol = "note 1"\ncue = "drop"\n'
        '[[bindings]]\ncontrol = "note 2"\ntrigger = "back"\n'
        '[[bindings]]\ncontrol = "note 3"\npreset = "tunnel"\n'
    )
    stage = Stage(tmp_path)
    cues = CueList((Cue("first", {"speed": 1.0}), Cue("drop", {"speed": 2.0})))
    stage.desk.cues = Cues(cues, stage.controls, stage.said.append)
    stage.plug("Box:out", outputs=("Box:out",))
    stage.send("Box:out", [NOTE, 3, 9], [NOTE, 3, 0])
    assert stage.desk.preset
    stage.send("Box:out", [NOTE, 1, 9], [NOTE, 1, 0])
    stage.wait(1)
    assert stage.params.speed == 2.0
    assert lamp(stage, 1)
    assert not lamp(stage, 3)
    stage.send("Box:out", [NOTE, 2, 9], [NOTE, 2, 0])
    stage.wait(1)
    assert stage.params.speed == 1.0
    assert not lamp(stage, 1)


def lamp(stage: Stage, note: int) -> int:
    """What a lamp was sent last."""
    sent = [data for _, data in stage.ears.sent if data[:2] == bytes([NOTE, note])]
    return sent[-1][2] if sent else 0


def test_boxes_come_and_go_in_mid_show_each_with_a_sentence_and_nothing_is_lost(
    stage: Stage,
) -> None:
    stage.plug("Other:out")
    stage.plug("Other:out", "Box:out")
    assert "MIDI: Box is here" in stage.said
    stage.send("Box:out", [NOTE, 5, 9])
    assert stage.params.hold
    stage.plug("Other:out")
    assert "MIDI: Box is gone" in stage.said
    stage.send("Box:out", [NOTE, 5, 9])  # a last message on its way
    assert stage.params.hold
    stage.plug("Other:out", "Box:out")
    stage.send("Box:out", [NOTE, 5, 9])
    assert not stage.params.hold
    assert stage.said.count("MIDI: Box is here") == 2


def test_a_fader_waits_for_the_value_and_says_where_it_is(stage: Stage) -> None:
    stage.plug("Box:out")
    stage.do(Set("brightness", 0.5))
    stage.send("Box:out", [CC, 7, 10], [CC, 7, 30])
    assert stage.params.brightness == 0.5
    assert [text for text in stage.said if "waits" in text] == [
        "brightness waits for its fader: move it up to 50 %"
    ]
    stage.send("Box:out", [CC, 7, 70])
    assert stage.params.brightness == pytest.approx(70 / 127)
    stage.do(Set("brightness", 0.1))  # another hand takes it away
    stage.send("Box:out", [CC, 7, 71])
    assert stage.params.brightness == 0.1


def test_a_fader_keeps_the_value_through_many_moves_between_two_ticks(stage: Stage) -> None:
    stage.plug("Box:out")
    moves = [("Box:out", bytes([CC, 7, value]), stage.now) for value in range(127, 20, -1)]
    stage.ears.waiting.append(Heard(moves))
    stage.tick()
    assert stage.params.brightness == pytest.approx(21 / 127)
    assert len(stage.arrived) == 1  # of the places on its way, the last
    assert stage.arrived[0].at == moves[0][2]  # and the time of the first, which a hand feels


def test_two_faders_moved_together_are_both_followed_in_their_order(stage: Stage) -> None:
    (stage.folder / "box.toml").write_text(
        'device = "Box"\n[[bindings]]\ncontrol = "cc 7"\nparameter = "brightness"\n'
        '[[bindings]]\ncontrol = "cc 8"\nparameter = "pace"\n'
        '[[bindings]]\ncontrol = "note 1"\ntrigger = "panic"\n'
    )
    stage.wait(LOOK_S + 0.1)
    stage.plug("Box:out")
    both = [bytes([CC, cc, value]) for value in range(127, 99, -1) for cc in (7, 8)]
    messages = [*both, bytes([NOTE, 1, 9]), bytes([CC, 8, 90])]
    stage.ears.waiting.append(Heard([("Box:out", data, stage.now) for data in messages]))
    stage.tick()
    assert [type(one.command).__name__ for one in stage.arrived] == ["Move", "Move", "Fire", "Move"]
    assert stage.params.brightness == 1.0  # the panic came after it
    assert stage.params.pace == pytest.approx(90 / 127)


def test_the_output_of_a_box_may_be_called_otherwise_than_its_input(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.plug("nanoKONTROL2 SLIDER/KNOB", outputs=("Other", "nanoKONTROL2 CTRL"))
    stage.wait(0.2)
    assert {port for port, _ in stage.ears.sent} == {"nanoKONTROL2 CTRL"}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 127)), max_size=40))
def test_no_fader_makes_a_jump_whatever_others_do(events: list[tuple[bool, int]]) -> None:
    stage = Stage(boxes.READY)
    stage.plug("APC MINI")
    stood = None
    for finger, value in events:
        if not finger:
            stage.do(Set("brightness", value / 127))
            continue
        before = stage.params.brightness
        stage.send("APC MINI", [CC, 56, value])
        step = 2 if stood is None else max(2, abs(value - stood))
        assert abs(stage.params.brightness - before) * 127 <= step + 1e-6
        stood = value


def test_the_lamps_of_a_box_follow_the_show(stage: Stage) -> None:
    stage.plug("Box:out", outputs=("Box:in",))
    stage.wait(0.2)
    assert stage.ears.sent == [
        ("Box:in", bytes([CC, 7, 127])),
        ("Box:in", bytes([NOTE, 5, 0])),
        ("Box:in", bytes([NOTE, 6, 0])),
    ]
    stage.ears.sent.clear()
    stage.do(Set("hold", True), Set("brightness", 0.5))
    stage.wait(0.2)
    assert stage.ears.sent == [
        ("Box:in", bytes([CC, 7, 64])),
        ("Box:in", bytes([NOTE, 5, 127])),
    ]
    stage.ears.sent.clear()
    stage.send("Box:out", [NOTE, 6, 9])
    stage.wait(0.2)
    assert ("Box:in", bytes([NOTE, 6, 127])) in stage.ears.sent
    stage.do(Fire("panic"))
    stage.wait(0.2)
    assert stage.ears.sent[-1] == ("Box:in", bytes([NOTE, 6, 0]))
    stage.midi.close()
    assert stage.ears.sent[-2:] == [
        ("Box:in", bytes([NOTE, 5, 0])),
        ("Box:in", bytes([NOTE, 6, 0])),
    ]
    assert stage.ears.closed


def test_cues_are_called_by_name_and_number_and_the_one_that_is_on_is_lit(tmp_path: Path) -> None:
    (tmp_path / "box.toml").write_text(
        'device = "Box"\n'
        '[[bindings]]\ncontrol = "note 1"\ncue = 1\n'
        '[[bindings]]\ncontrol = "note 2"\ncue = "dusk"\n'
        '[[bindings]]\ncontrol = "note 3"\npreset = "tunnel"\n'
    )
    cues = CueList((Cue("dawn", {"speed": 1.0}), Cue("dusk", {"speed": 2.0})))
    stage = Stage(tmp_path, cues=cues)
    stage.plug("Box:out", outputs=("Box:in",))
    lit: dict[int, int] = {}

    def look() -> dict[int, int]:
        stage.wait(0.2)
        lit.update({data[1]: data[2] for _, data in stage.ears.sent})
        return lit

    assert look() == {1: 0, 2: 0, 3: 0}
    stage.send("Box:out", [NOTE, 1, 9])
    assert look() == {1: 127, 2: 0, 3: 0}
    assert stage.params.speed == 1.0
    stage.send("Box:out", [NOTE, 2, 9])
    assert look() == {1: 0, 2: 127, 3: 0}
    assert stage.params.speed == 2.0
    stage.send("Box:out", [NOTE, 3, 9])
    assert look()[3] == 127
    stage.send("Box:out", [NOTE, 2, 9])
    assert look() == {1: 0, 2: 127, 3: 0}


def test_no_echo_goes_to_the_finger_that_moves(stage: Stage) -> None:
    stage.plug("Box:out", outputs=("Box:in",))
    stage.wait(0.2)
    stage.ears.sent.clear()
    stage.send("Box:out", *([CC, 7, value] for value in range(127, 60, -1)))
    stage.wait(1.0)
    assert stage.params.brightness == pytest.approx(61 / 127)
    assert stage.ears.sent == []


def test_lamps_that_could_not_be_sent_are_sent_again(stage: Stage) -> None:
    stage.ears.takes = False
    stage.plug("Box:out", outputs=("Box:in",))
    stage.wait(0.2)
    stage.ears.takes = True
    stage.wait(0.2)
    assert len(stage.ears.sent) == 3


def test_a_box_that_was_away_gets_every_lamp_again(stage: Stage) -> None:
    stage.plug("Box:out", outputs=("Box:in",))
    stage.wait(0.2)
    stage.plug()
    stage.ears.sent.clear()
    stage.plug("Box:out", outputs=("Box:in",))
    stage.wait(0.2)
    assert len(stage.ears.sent) == 3


def test_learning_binds_the_next_control_that_moves_now_and_in_the_users_folder(
    stage: Stage,
) -> None:
    stage.plug("Fresh:out", "Box:out")
    stage.do(Learn("speed"))
    stage.send("Fresh:out", *([CC, 21, value] for value in (60, 61, 62, 63)))
    stage.wait(LISTEN_S + 0.1)
    assert stage.desk.learning is None
    assert "cc 21 of Fresh moves speed (absolute)" in stage.said
    assert stage.params.speed == 0.25  # what was moved to be learnt moved nothing
    (found,) = [box for box in boxes.own(stage.folder)[0] if box.device == "Fresh"]
    assert [(row.control, row.parameter) for row in found.bindings] == [("cc 21", "speed")]
    stage.wait(2 * LOOK_S)
    stage.send("Fresh:out", [CC, 21, 20], [CC, 21, 50])
    assert stage.params.speed == pytest.approx(SPECS["speed"].value(50 / 127))


def test_learning_on_a_box_whose_name_has_anothers_in_it_leaves_that_ones_file(
    stage: Stage,
) -> None:
    before = (stage.folder / "box.toml").read_bytes()
    stage.plug("New Box:out")
    stage.send("New Box:out", [NOTE, 5, 9])
    assert stage.params.hold  # until it has a file of its own, that of Box fits it
    stage.do(Learn("blackout"))
    stage.send("New Box:out", [NOTE, 9, 9], [NOTE, 9, 9], [NOTE, 5, 9])
    assert (stage.params.blackout, stage.params.hold) == (True, False)
    assert (stage.folder / "box.toml").read_bytes() == before


def test_learning_over_osc_can_be_ended_and_begun_again(stage: Stage) -> None:
    stage.plug("Box:out")
    stage.do(Learn("speed"))
    stage.do(Learn(None))
    stage.send("Box:out", [NOTE, 5, 9])
    assert stage.params.hold  # not learnt
    stage.do(Learn("blackout"))
    stage.send("Box:out", [NOTE, 9, 9], [NOTE, 9, 0], [NOTE, 9, 9])
    assert stage.params.blackout


def test_a_control_that_is_learnt_again_does_not_do_what_it_did_meanwhile(stage: Stage) -> None:
    stage.plug("Box:out")
    stage.do(Learn("speed"))
    stage.send("Box:out", *([CC, 7, value] for value in range(127, 90, -1)))
    stage.wait(LISTEN_S + 0.1)
    assert stage.params.brightness == 1.0
    stage.send("Box:out", [CC, 7, 80])
    assert stage.params.brightness == 1.0


def test_learning_on_a_ready_box_keeps_its_other_bindings(stage: Stage) -> None:
    stage.plug("nanoKONTROL2")
    stage.do(Learn("preset gold"))
    stage.send("nanoKONTROL2", [CC, 7, 1], [CC, 7, 5])
    stage.wait(LISTEN_S + 0.1)
    found = boxes.find("nanoKONTROL2", boxes.own(stage.folder)[0])
    assert found is not None
    targets = {row.control: row.target for row in found.bindings}
    assert targets["cc 7"] == "preset gold"
    assert targets["cc 0"] == "speed"
    assert "not tried on the device" in found.about.lower()


def test_what_is_learnt_on_a_disk_that_is_full_holds_for_the_show(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "midi")

    monkeypatch.setattr(boxes, "save", full)
    stage.plug("Box:out")
    stage.do(Learn("blackout"))
    stage.send("Box:out", [NOTE, 9, 9], [NOTE, 9, 9])
    stage.tick()
    assert stage.params.blackout
    assert [text for text in stage.said if "this show only" in text and "No space" in text]


def test_of_two_things_learnt_at_a_slow_disk_both_are_saved_in_their_order(
    tmp_path: Path,
) -> None:
    waiting: list[Callable[[], None]] = []
    stage = Stage(tmp_path)
    stage.plug("Slow:out")
    stage.midi._shelf._disk = Disk(stage.said.append, waiting.append)
    for target, note in (("blackout", 1), ("hold", 2), ("next", 1)):
        stage.do(Learn(target))
        stage.send("Slow:out", [NOTE, note, 9])
    while waiting:
        waiting.pop()()  # the newest first
        stage.wait(0.1)
    (found,) = boxes.own(tmp_path)[0]
    assert [(row.control, row.target) for row in found.bindings] == [
        ("note 2", "hold"),
        ("note 1", "next"),
    ]


def test_what_is_learnt_while_files_are_being_read_is_kept(tmp_path: Path) -> None:
    waiting: list[Callable[[], None]] = []
    stage = Stage(tmp_path)
    stage.plug("Box:out")
    stage.midi._shelf._disk = Disk(stage.said.append, waiting.append)
    (tmp_path / "other.toml").write_text('device = "Other"\n')
    stage.wait(LOOK_S + 0.1)
    assert len(waiting) == 1
    stage.do(Learn("blackout"))
    stage.send("Box:out", [NOTE, 1, 9])
    while waiting:
        waiting.pop()()
        stage.wait(0.1)
    stage.send("Box:out", [NOTE, 1, 9])
    assert stage.params.blackout


def test_what_is_learnt_last_is_saved_before_the_show_has_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.plug("Box:out")
    stage.midi._shelf._disk = Disk(stage.said.append)  # with threads
    stage.do(Learn("blackout"))
    stage.send("Box:out", [NOTE, 1, 9])
    stage.midi.close()
    assert [box.device for box in boxes.own(tmp_path)[0]] == ["Box"]


def test_a_mapping_file_that_is_edited_counts_within_a_few_seconds(stage: Stage) -> None:
    stage.plug("Box:out")
    path = stage.folder / "box.toml"
    path.write_text('device = "Box"\n[[bindings]]\ncontrol = "note 5"\ntrigger = "panic"\n')
    stage.do(Set("speed", 3.0))
    stage.wait(LOOK_S + 0.1)
    stage.send("Box:out", [NOTE, 5, 9])
    assert stage.params.speed == 0.25
    path.write_text('device = "Box"\n[[bindings]]\ncontrol = "note 5"\ntrigger = "panik"\n')
    stage.wait(LOOK_S + 0.1)
    assert [text for text in stage.said if "box.toml" in text and "panik" in text]


def test_the_amount_of_a_route_is_a_knob_that_waits_as_well(stage: Stage) -> None:
    stage.do(Patch(Route("speed", 0.5, Lfo(), number=1)))
    stage.plug("Box:out")
    stage.send("Box:out", [CC, 8, 10], [CC, 8, 20])
    assert stage.controls.snapshot.routes[0].amount == 0.5
    stage.send("Box:out", [CC, 8, 80], [CC, 8, 127])
    assert stage.controls.snapshot.routes[0].amount == 1.0


def test_what_a_control_cannot_do_is_said(stage: Stage) -> None:
    stage.plug("Box:out")
    (stage.folder / "box.toml").write_text(
        'device = "Box"\n[[bindings]]\ncontrol = "note 5"\npreset = "nothing like it"\n'
    )
    stage.wait(LOOK_S + 0.1)
    stage.send("Box:out", [NOTE, 5, 9])
    stage.wait(0.1)
    assert [t for t in stage.said if t.startswith("midi Box: there is no preset 'nothing like it'")]
    assert stage.midi.summary()["refused"] == 1


def test_a_clock_is_handed_on_with_its_stamps_and_keeps_the_tempo(stage: Stage) -> None:
    stage.plug("Clock:out")
    start = stage.now - 2.0
    ticks = [("Clock:out", b"\xf8", start + n * 0.025) for n in range(25)]  # 100 a minute
    stage.ears.waiting.append(Heard([("Clock:out", b"\xfa", start), *ticks]))
    stage.tick()
    tempo = stage.controls.snapshot.tempo
    assert tempo.by == "midi Clock"
    assert stage.params.bpm == 100.0
    assert tempo.line(start + 0.6) == pytest.approx(1.0)


def test_a_port_that_was_asked_for_and_is_not_there_is_told_of_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ("nano",))
    stage.ears.waiting.append(Ports("test", ("Box:out",), (), (), ""))
    stage.wait(1.0)
    assert stage.said == ["MIDI: no port has 'nano' in its name yet; there are Box:out"]


def test_trouble_is_one_sentence_and_the_show_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ("nano",))
    for _ in range(5):
        stage.ears.waiting.append(Ports("", (), (), (), "this machine has no sign of MIDI"))
        stage.wait(1.0)
    assert [text for text in stage.said if "sign" in text] == [
        "MIDI: this machine has no sign of MIDI"
    ]


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=12), max_size=60))
def test_whatever_a_box_sends_the_show_continues(messages: list[bytes]) -> None:
    stage = Stage(boxes.READY)
    stage.plug("APC MINI", "X-TOUCH MINI", outputs=("APC MINI", "X-TOUCH MINI"))
    for port in ("APC MINI", "X-TOUCH MINI"):
        stage.ears.waiting.append(Heard([(port, data, stage.now) for data in messages]))
        stage.tick()
    stage.wait(0.2)


# The process


class FakePort:
    def __init__(self, name: str) -> None:
        self.name, self.waiting = name, list[tuple[bytes, float]]()
        self.sent: list[bytes] = []
        self.alive, self.closed = True, False

    def poll(self, now: float) -> list[tuple[bytes, float]]:
        assert now >= 0
        waiting, self.waiting = self.waiting, []
        return waiting

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True
        raise RuntimeError("of a port that is gone, closing may say anything")


class FakeLibrary:
    """A library whose ports the test plugs."""

    name = "fake"

    def __init__(self, *names: str) -> None:
        self.there, self.refused, self.broken = list(names), set[str](), False
        self.opened: list[FakePort] = []

    def inputs(self) -> list[str]:
        if self.broken:
            raise MidiError("the server is gone")
        return self.there

    def outputs(self) -> list[str]:
        return self.there

    def open_input(self, name: str) -> FakePort:
        if name in self.refused:
            raise MidiError("it is in use")
        self.opened.append(FakePort(name))
        return self.opened[-1]

    open_output = open_input

    def close(self) -> None:
        pass


def rig(library: FakeLibrary, *names: str, system: str = "auto") -> Rig:
    return Rig(Order(names, system), lambda: ["jack"], lambda s: System(s, library), lambda: 0.0)


def test_ports_are_opened_as_they_come_and_closed_as_they_go() -> None:
    library = FakeLibrary("one")
    the_rig = rig(library)
    assert the_rig.look(1.0).listening == ("one",)
    library.there.append("two")
    assert the_rig.look(2.0).listening == ("one", "two")
    library.opened[1].waiting.append((b"b", 5.0))
    library.opened[0].waiting += [(b"a", 4.0), (b"c", 6.0)]
    assert the_rig.poll() == [("one", b"a", 4.0), ("two", b"b", 5.0), ("one", b"c", 6.0)]
    library.there.remove("one")
    assert the_rig.look(3.0).listening == ("two",)
    assert library.opened[0].closed


def test_a_port_that_is_in_use_is_told_of_and_tried_again() -> None:
    library = FakeLibrary("one", "two")
    library.refused.add("two")
    the_rig = rig(library)
    assert the_rig.look(1.0).trouble == "two: it is in use"
    library.refused.clear()
    assert the_rig.look(1.5).listening == ("one",)
    found = the_rig.look(1.1 + AGAIN_S)
    assert (found.listening, found.trouble) == (("one", "two"), "")


def test_a_connection_that_broke_is_made_again() -> None:
    library = FakeLibrary("one")
    the_rig = rig(library)
    the_rig.look(1.0)
    library.opened[0].alive = False
    assert the_rig.look(2.0).listening == ("one",)
    assert len(library.opened) == 2


def test_a_server_that_goes_and_comes_back_is_found_again() -> None:
    library = FakeLibrary("one")
    the_rig = rig(library)
    the_rig.look(1.0)
    library.broken = True
    found = the_rig.look(2.0)
    assert (found.listening, found.trouble) == ((), "the server is gone")
    library.broken = False
    assert the_rig.look(2.1).listening == ()
    assert the_rig.look(2.1 + AGAIN_S).listening == ("one",)


def test_only_the_ports_that_were_asked_for_are_opened_and_all_are_told() -> None:
    found = rig(FakeLibrary("one", "two", "lwlive:in"), "TWO").look(1.0)
    assert (found.inputs, found.listening) == (("one", "two"), ("two",))


def test_of_two_systems_the_one_with_a_port_to_listen_to_is_taken() -> None:
    libraries = {"alsa": FakeLibrary("Midi Through"), "jack": FakeLibrary("one")}
    the_rig = Rig(Order(), lambda: ["alsa", "jack"], lambda s: System(s, libraries[s]), lambda: 0.0)
    assert the_rig.look(1.0).listening == ("one",)
    libraries["jack"].there.clear()
    libraries["alsa"].there.append("two")
    the_rig.look(2.0)
    assert the_rig.look(2.0 + AGAIN_S).listening == ("two",)


def test_a_system_that_is_not_there_is_one_sentence() -> None:
    def opened(_: str) -> System:
        raise MidiError("it cannot be used")

    assert Rig(Order(), list[str], opened).look(1.0).trouble == "this machine has no sign of MIDI"
    alsa = Rig(Order((), "alsa"), lambda: ["jack"], opened).look(1.0)
    assert alsa.trouble == "this machine has no sign of the ALSA sequencer"
    assert Rig(Order(), lambda: ["jack"], opened).look(1.0).trouble == "it cannot be used"


def test_a_box_is_sent_to_and_one_that_is_gone_hurts_nobody() -> None:
    library = FakeLibrary("one")
    the_rig = rig(library)
    the_rig.look(1.0)
    the_rig.send(Send("one", [b"x", b"y"]))
    assert library.opened[1].sent == [b"x", b"y"]
    library.refused.add("two")
    the_rig.send(Send("two", [b"x"]))


DELAYS = st.lists(st.floats(0, 0.02), min_size=200, max_size=400)


@pytest.mark.slow
@settings(max_examples=50)
@given(DELAYS, st.floats(-1e5, 1e5), st.floats(-200e-6, 90e-6))
def test_stamps_keep_the_librarys_time_whatever_the_delays_and_the_drift(
    delays: list[float], zero: float, drift: float
) -> None:
    """A tick every fiftieth of a second; one in ten is read without a delay."""
    stamps, errors, read_at = Stamps(), list[float](), 0.0
    for number, delay in enumerate(delays):
        sent_at = 0.02 * number
        read_at = max(read_at, sent_at + (0.0 if number % 10 == 0 else delay))
        found = stamps.time((sent_at - zero) * (1 - drift), read_at)
        assert found <= read_at
        errors.append(found - sent_at)
    gaps = [after - before for before, after in pairwise(errors)]
    assert max(map(abs, errors)) < 0.021  # read no later than the longest delay
    assert max(map(abs, gaps[10:])) < 0.0045  # of what the eye of a clock filter sees


@pytest.mark.parametrize("jump", [-5.0, -0.1, 0.1, 5.0])
def test_after_a_jump_of_the_librarys_clock_stamps_are_right_within_seconds(jump: float) -> None:
    stamps = Stamps()
    for number in range(100):
        stamps.time(0.02 * number, 0.02 * number + 0.001)
    found = [stamps.time(0.02 * n + jump, 0.02 * n + 0.001) - 0.02 * n for n in range(100, 500)]
    assert abs(found[-1]) <= 0.002


def test_stamps_that_are_exact_stay_exact() -> None:
    stamps = Stamps()
    stamps.time(1000.0, 0.001)
    delays = [0.001 + 0.004 * ((37 * n) % 10) / 10 for n in range(1000)]
    found = [stamps.time(1000 + 0.02 * n, 0.02 * n + d) for n, d in enumerate(delays, 1)]
    gaps = [after - before for before, after in pairwise(found)]
    assert max(abs(gap - 0.02) for gap in gaps) < 1e-5


# How it is watched


class Child:
    """A process whose life is the test's; its pipe is real."""

    def __init__(self) -> None:
        self.mine, self.its = multiprocessing.Pipe()
        self.killed = False
        self.joined: float | None = None

    def is_alive(self) -> bool:
        return not self.killed

    def kill(self) -> None:
        self.killed = True

    def join(self, timeout: float | None = None) -> None:
        assert timeout is not None
        assert timeout <= 1
        self.joined = timeout


class Children:
    def __init__(self) -> None:
        self.all: list[Child] = []
        self.refuse = False

    def __call__(self, _: Order) -> Any:
        if self.refuse:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.all.append(Child())
        return self.all[-1], self.all[-1].mine


PORTS = Ports("test", ("one",), (), ("one",), "")


@pytest.fixture
def watched() -> tuple[Link, Children, list[str]]:
    said: list[str] = []
    children = Children()
    return Link(Order(), said.append, children), children, said


def said_by(link: Link, now: float) -> list[Ports | Heard]:
    return list(link.poll(now))


def test_a_process_is_started_at_the_first_poll_and_heard(
    watched: tuple[Link, Children, list[str]],
) -> None:
    link, children, _ = watched
    assert children.all == []
    assert said_by(link, 1.0) == []
    children.all[0].its.send(PORTS)
    children.all[0].its.send(Heard([("one", b"x", 1.0)]))
    assert said_by(link, 1.1) == [PORTS, Heard([("one", b"x", 1.0)])]
    assert link.send("one", [b"y"], 1.2)
    assert children.all[0].its.recv() == Send("one", [b"y"])


@pytest.mark.parametrize("how", ["dies", "says so", "hangs", "hangs at its start"])
def test_a_process_that_is_lost_is_said_and_started_again(
    watched: tuple[Link, Children, list[str]], how: str
) -> None:
    link, children, said = watched
    said_by(link, 1.0)
    if how != "hangs at its start":
        children.all[0].its.send(PORTS)
        said_by(link, 30.0)
    if how == "dies":
        children.all[0].its.close()
    elif how == "says so":
        children.all[0].its.send(Failed("ImportError: no such thing"))
    silent = {"hangs": SILENCE_S, "hangs at its start": START_S}.get(how, 0.0)
    since = 1.0 if how == "hangs at its start" else 30.0
    lost_at = since + silent + 0.1
    for second in range(1, int(silent)):
        said_by(link, since + second)
        assert not said
    said_by(link, lost_at)
    assert len(said) == 1
    assert "MIDI was lost" in said[0]
    assert children.all[0].killed
    assert not link.send("one", [b"y"], lost_at)
    said_by(link, lost_at + PAUSES_S[0] / 2)
    assert len(children.all) == 1
    said_by(link, lost_at + PAUSES_S[0])
    assert len(children.all) == 2


def test_a_machine_that_slept_has_not_lost_its_midi(
    watched: tuple[Link, Children, list[str]],
) -> None:
    link, children, said = watched
    said_by(link, 1.0)
    children.all[0].its.send(PORTS)
    said_by(link, 30.0)
    for wakes in (45.0, 80.0):  # and falls asleep again
        said_by(link, wakes)
        said_by(link, wakes + 1.0)
    assert said == []
    assert not children.all[0].killed
    for second in range(int(SILENCE_S) + 2):
        said_by(link, 82.0 + second)
    assert "MIDI was lost" in said[0]


def test_a_machine_without_room_for_a_process_is_tried_again(
    watched: tuple[Link, Children, list[str]],
) -> None:
    link, children, said = watched
    children.refuse = True
    said_by(link, 1.0)
    assert "Resource temporarily unavailable" in said[0]
    children.refuse = False
    said_by(link, 1.0 + PAUSES_S[0])
    assert len(children.all) == 1


def test_a_process_that_hangs_is_not_sent_so_much_that_the_show_would_wait(
    watched: tuple[Link, Children, list[str]],
) -> None:
    link, children, _ = watched
    said_by(link, 1.0)
    children.all[0].its.send(PORTS)
    said_by(link, 2.0)
    sent = 0
    began = time.perf_counter()
    for tick in range(300):  # ten seconds of lamps that nobody takes
        sent += link.send("one", [bytes(3)] * 24, 2.0 + tick / 30)
    assert time.perf_counter() - began < 1
    assert 0 < sent < 100


def test_the_end_of_the_show_ends_the_process_within_a_second(
    watched: tuple[Link, Children, list[str]],
) -> None:
    link, children, _ = watched
    said_by(link, 1.0)
    link.close()
    assert children.all[0].its.recv() is None
    assert children.all[0].joined is not None
    assert children.all[0].killed


def test_the_process_serves_until_the_show_is_gone() -> None:
    """Its loop, in a thread: ports first, then what comes, and the end when the pipe ends."""
    mine, its = multiprocessing.Pipe()
    library = FakeLibrary("one")
    serving = threading.Thread(target=_ending, args=(module._serve, rig(library), its))
    serving.start()
    assert mine.poll(5)
    assert mine.recv() == Ports("JACK (fake)", ("one",), ("one",), ("one",), "")
    library.opened[0].waiting.append((b"x", 1.0))
    assert mine.poll(5)
    assert mine.recv() == Heard([("one", b"x", 1.0)])
    mine.send(Send("one", [b"lamp"]))
    deadline = time.monotonic() + 5
    while not any(port.sent for port in library.opened) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert library.opened[-1].sent == [b"lamp"]
    mine.close()
    serving.join(5)
    assert not serving.is_alive()


def _ending(run: Callable[..., None], *args: Any) -> None:
    with contextlib.suppress(EOFError, OSError):
        run(*args)


# What `lwlive midi` prints


def test_what_arrives_is_shown_with_what_it_steers(tmp_path: Path) -> None:
    lines: list[str] = []
    screen = Screen(boxes.ready(), tmp_path, lines.append)
    screen.ports(Ports("test", ("APC MINI", "Keys"), ("APC MINI",), ("APC MINI",), ""))
    text = "\n".join(lines)
    assert "listens to APC MINI, mapped as APC MINI: Akai" in text
    assert "passes over Keys, no mapping yet" in text
    assert str(tmp_path) in text
    lines.clear()
    screen.message("APC MINI", bytes([CC, 48, 64]), 10.0)
    screen.message("APC MINI", bytes([0xFA]), 10.5)
    for tick in range(25):
        screen.message("APC MINI", bytes([0xF8]), 10.5 + tick / 50)
    screen.count(11.0)
    assert "cc 48" in lines[0]
    assert "64 of 127  -> speed (absolute)" in lines[0]
    assert "start" in lines[1]
    assert "clock, 125.0 bpm" in lines[2]
    lines.clear()
    screen.ports(Ports("test", ("APC MINI",), (), ("APC MINI",), "Keys: it is in use"))
    assert lines == ["Keys is gone", "Keys: it is in use"]


# RtMidi, as far as Windows goes


class FakeRtMidi:
    """The binding of RtMidi with the ports of a Windows machine."""

    class rtmidi_ext:  # noqa: N801 - the module that it stands for
        class RtMidiAPI:
            WINDOWS_MM, UNIX_JACK = "winmm", "jack"

    RtMidiError = OSError

    class MidiIn:
        names = ("APC MINI 0", "X-TOUCH MINI 1", "APC MINI 2")

        def __init__(self, *_: object) -> None:
            pass

        def get_ports(self) -> list[str]:
            return list(self.names)

    MidiOut = MidiIn


def test_a_ports_number_on_windows_is_not_a_part_of_its_name() -> None:
    windows = RtMidi(FakeRtMidi, FakeRtMidi.rtmidi_ext.RtMidiAPI.WINDOWS_MM)
    assert windows.inputs() == ["APC MINI", "X-TOUCH MINI", "APC MINI #2"]
    jack = RtMidi(FakeRtMidi, FakeRtMidi.rtmidi_ext.RtMidiAPI.UNIX_JACK)
    assert jack.inputs() == list(FakeRtMidi.MidiIn.names)
