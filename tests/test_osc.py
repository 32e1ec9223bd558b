"""OSC with real UDP packets on loopback: what is played arrives, what is thrown at it does not."""

import logging
import math
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from lwlive.commands import (
    Command,
    Fire,
    Go,
    Move,
    Recall,
    Set,
)
from lwlive.controls import Controls
from lwlive.params import SPECS, TRIGGERS, ControlError, Params
from lwlive.routes import BANDS
from lwlive.stage.sources.listening import ListenError
from lwlive.stage.sources.osc.addresses import Row, addresses, describe, heard, port
from lwlive.stage.sources.osc.packet import MAX_ARGUMENTS, MAX_BYTES, MAX_MESSAGES, Foreign, check
from lwlive.stage.sources.osc.server import Osc

ROWS = addresses()
LOOPBACKS = ["127.0.0.1"]
if socket.has_ipv6:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
            LOOPBACKS.append("::1")
        except OSError:  # this machine has IPv6 switched off
            pass


def message(address: str, *values: Any, tags: str = "") -> bytes:
    builder = OscMessageBuilder(address)
    for index, value in enumerate(values):
        builder.add_arg(value, tags[index] if tags else None)
    return builder.build().dgram


def text(raw: bytes) -> bytes:
    return raw + b"\0" * (4 - len(raw) % 4)


def bundle(*elements: bytes, when: int = 1) -> bytes:
    sized = [struct.pack(">i", len(element)) + element for element in elements]
    return b"#bundle\0" + struct.pack(">Q", when) + b"".join(sized)


class Program:
    """Another program on the network: a socket that sends and listens."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.port = self.socket.getsockname()[1]
        self._to = (host, port)

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.socket.sendto(packet, self._to)

    def heard(self) -> list[tuple[str, object]]:
        """Every status sent here so far. On loopback a packet is there once it was sent."""
        status = "/lwlive/status/"
        return [(a.removeprefix(status), v) for a, v in self.all() if a.startswith(status)]

    def all(self) -> list[tuple[str, object]]:
        """Everything sent here so far, by address."""
        self.socket.setblocking(False)
        found: list[tuple[str, object]] = []
        while True:
            try:
                told = OscMessage(self.socket.recv(MAX_BYTES))
            except BlockingIOError:
                return found
            found.append((told.address, told.params[0]))


class Desk:
    """A server, the controls it plays and a program that plays it."""

    def __init__(self, osc: Osc, host: str = "127.0.0.1") -> None:
        self.osc = osc
        self.host = host
        self.controls = Controls(Params())
        self.presets: list[str | int] = []
        self.done: list[Command] = []
        self.now = 0.0
        self.programs: list[Program] = []
        self.program = self.another()

    def another(self) -> Program:
        self.programs.append(Program(self.host, self.osc.port))
        return self.programs[-1]

    def do(self, command: Command, by: str) -> None:
        """What the desk of a show does, with presets and cues that are only noted."""
        if isinstance(command, Recall):
            if command.preset == "unknown":
                raise ControlError("there is no preset 'unknown'")
            self.presets.append(command.preset)
        elif isinstance(command, Go):
            pass
        elif not isinstance(command, Fire) or command.name in ("next", "panic", "beat"):
            self.controls.do(command, by)
        self.done.append(command)

    def arrive(self, *packets: bytes, program: Program | None = None) -> None:
        """Send, and wait until the server has counted every message."""
        checked = [check(packet) for packet in packets]
        whole = self.osc.counts.received + sum(len(c.messages) + len(c.refusals) for c in checked)
        (program or self.program).send(*packets)
        wait_until(lambda: self.osc.counts.received >= whole)

    def tick(self) -> None:
        self.now += 1 / 60
        for arrived in self.osc.poll(self.now):
            try:
                self.do(arrived.command, arrived.by)
            except ControlError as error:
                self.osc.refused(arrived, str(error))

    def tell(self, now: float, **figures: object) -> None:
        """Tell the subscribers the parameters and these figures."""
        self.osc._subscribers.tell({**asdict(self.controls.params), **figures}, now, self.osc._send)

    def figures(self, now: float, **figures: object) -> None:
        """Tell the subscribers figures alone."""
        self.osc._subscribers.tell(figures, now, self.osc._send)

    def play(self, *packets: bytes, program: Program | None = None) -> Params:
        self.arrive(*packets, program=program)
        self.tick()
        return self.controls.params

    def answers(self) -> bool:
        """Whether a good message still gets through. A flood may have cost it a packet or two."""
        self.controls.do(Set("speed", 0.25))
        until = time.monotonic() + 30
        while self.controls.params.speed != 1.5 and time.monotonic() < until:
            self.program.send(message("/lwlive/speed", 1.5))
            time.sleep(0.02)
            self.tick()
        return self.controls.params.speed == 1.5


def wait_until(there: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "the server did not answer in time"
        time.sleep(0.001)


@pytest.fixture(scope="module")
def server() -> Iterator[Osc]:
    with Osc("127.0.0.1", 0, []) as osc:
        yield osc


@pytest.fixture
def desk(server: Osc) -> Iterator[Desk]:
    desk = Desk(server)
    desk.tick()
    desk.controls = Controls(Params())
    desk.done.clear()
    desk.figures(0.0)
    desk.figures(math.inf)  # every lease of an earlier test has ended
    yield desk
    for program in desk.programs:
        program.socket.close()


# What is played arrives.


@pytest.mark.parametrize("name", list(SPECS))
def test_every_parameter_is_set_in_native_units_by_every_tag_it_lists(
    desk: Desk, name: str
) -> None:
    row = next(row for row in ROWS if row.address == f"/lwlive/{name}")
    spec = SPECS[name]
    ends = {bool: (False, True), str: None}.get(spec.kind, (spec.low, spec.high))
    given: list[tuple[Any, str]]
    for tag in row.tags.split():
        if ends is None:
            given = [("gold rings \u2014 \u6771\u4eac", tag), ("", tag)]
        elif tag in "TF":
            given = [(tag == "T", tag)]
        elif tag == "s":
            continue  # see below: numbers and switches as text
        elif name == "seed":
            given = [(77, tag), (0, tag)]
        else:
            given = [(end, tag) for end in ends if tag in "fd" or end == int(end)]
        for value, tag in given:
            native = float(value) if tag in "fd" else int(value) if tag in "ih" else value
            params = desk.play(message(row.address, native, tags=tag))
            assert getattr(params, name) == pytest.approx(value)
            if SPECS[name].kind is not float:
                assert type(getattr(params, name)) is SPECS[name].kind


def test_a_seed_of_64_bits_arrives_exactly(desk: Desk) -> None:
    assert desk.play(message("/lwlive/seed", 2**63 - 1, tags="h")).seed == 2**63 - 1


@pytest.mark.parametrize("row", [r for r in ROWS if r.verb == "fader"], ids=lambda r: r.name)
def test_every_fader_reaches_both_ends_and_clamps_beyond(desk: Desk, row: Row) -> None:
    def at(position: float, tag: str = "f") -> float:
        found: float = getattr(desk.play(message(row.address, position, tags=tag)), row.name)
        return found

    low, high = at(0.0), at(1.0)
    assert low < high
    ends = None if SPECS[row.name].kind is bool else SPECS[row.name].travel
    if ends and row.name != "seed":
        assert (low, high) == pytest.approx(ends)
    assert at(-3.0) == low
    assert at(7.0, "d") == high
    assert at(0, "i") == low
    assert at(1, "h") == high


def test_text_has_no_fader(desk: Desk) -> None:
    before = desk.controls.params
    assert desk.play(message("/lwlive/fader/prompt", 0.5)) == before


def nothing(address: str, tag: str) -> bytes:
    """A message with an impulse or a nil, which carry no value."""
    return text(address.encode()) + text(b"," + tag.encode())


@pytest.mark.parametrize("name", list(TRIGGERS))
def test_a_trigger_fires_on_one_and_without_a_value_and_ignores_zero(desk: Desk, name: str) -> None:
    refused = desk.osc.counts.refused
    address = f"/lwlive/{name}"
    presses = [message(address), message(address, 1), message(address, True), message(address, 0.5)]
    presses += [nothing(address, "I"), nothing(address, "N"), message(address, 127)]
    presses += [message(address, word) for word in ("1", "on", "true", "0.9")]
    presses += [text(address.encode())]  # without type tags, as old programs send it
    for press in presses:
        desk.play(press)
    assert desk.done == [Fire(name)] * len(presses)
    for release in (0, 0.0, 0.49, False, -1, "0", "off", "0.0"):
        desk.play(message(address, release))
    assert desk.done == [Fire(name)] * len(presses)
    assert desk.osc.counts.refused == refused


def test_press_and_release_within_one_tick_fire(desk: Desk) -> None:
    desk.play(message("/lwlive/next", 1), message("/lwlive/next", 0))
    assert desk.controls.snapshot.nexts == 1


def test_only_the_newest_value_of_an_address_is_applied_per_tick(desk: Desk) -> None:
    before = desk.osc.counts
    desk.play(
        *[message("/lwlive/speed", i / 64) for i in range(100)], message("/lwlive/depth", 0.5)
    )
    assert desk.done == [Set("speed", 99 / 64), Set("depth", 0.5)]
    assert desk.osc.counts.received - before.received == 101
    assert desk.osc.counts.applied - before.applied == 2
    desk.tick()
    assert len(desk.done) == 2


def test_different_addresses_apply_in_the_order_of_their_newest_messages(desk: Desk) -> None:
    native, fader = message("/lwlive/speed", 1.0), message("/lwlive/fader/speed", 1.0)
    assert desk.play(native, fader).speed == 4
    assert desk.play(native, fader, native).speed == 1


def test_a_refused_value_does_not_hide_a_good_one_of_the_same_tick(desk: Desk) -> None:
    good = message("/lwlive/speed", 2.0)
    for bad in (message("/lwlive/speed", 99.0), message("/lwlive/speed", "fast")):
        desk.controls.do(Set("speed", 0.25))
        assert desk.play(good, bad).speed == 2


def test_a_bundle_is_applied_element_by_element_whatever_its_time(desk: Desk) -> None:
    built = OscBundleBuilder(int(time.time()) + 3600)
    built.add_content(OscMessage(message("/lwlive/speed", 3.0)))
    built.add_content(OscMessage(message("/lwlive/depth", 99.0)))
    built.add_content(OscMessage(message("/lwlive/pace", 0.5)))
    refused = desk.osc.counts.refused
    params = desk.play(built.build().dgram)
    assert (params.speed, params.depth, params.pace) == (3, 0, 0.5)
    assert desk.osc.counts.refused == refused + 1


def test_bundles_nest_four_deep_and_no_deeper(desk: Desk) -> None:
    packet = message("/lwlive/speed", 3.0)
    for _ in range(4):
        packet = bundle(packet)
    assert desk.play(packet).speed == 3
    assert check(bundle(packet)).messages == []


def test_a_preset_is_called_by_name_and_never_by_path(desk: Desk) -> None:
    desk.play(message("/lwlive/preset", "dusk"))
    assert desk.presets == ["dusk"]
    paths = ["../dusk", "a/dusk", "a\\dusk", ".dusk", "C:dusk", "", "x" * 999, "a\ndusk", "unknown"]
    before = desk.osc.counts
    for path in paths:
        desk.play(message("/lwlive/preset", path))
    desk.play(message("/lwlive/preset", 1))
    assert desk.presets == ["dusk"]
    assert desk.osc.counts.refused - before.refused == len(paths) + 1


# What is refused changes nothing and is counted.

REFUSED = {
    "NaN": message("/lwlive/speed", math.nan),
    "NaN in double": message("/lwlive/speed", math.nan, tags="d"),
    "infinity": message("/lwlive/guidance", math.inf),
    "negative infinity": message("/lwlive/fader/guidance", -math.inf),
    "too high": message("/lwlive/speed", 4.5),
    "too low": message("/lwlive/seed", -1),
    "a word for a number": message("/lwlive/speed", "fast"),
    "a number cut off": message("/lwlive/speed", "1e"),
    "NaN as text": message("/lwlive/speed", "nan"),
    "infinity as text": message("/lwlive/fader/speed", "inf"),
    "a word for a switch": message("/lwlive/hold", "perhaps"),
    "a word for a trigger": message("/lwlive/next", "now"),
    "NaN for a trigger": message("/lwlive/next", math.nan),
    "NaN for a switch": message("/lwlive/hold", math.nan),
    "an impulse for a number": nothing("/lwlive/speed", "I"),
    "an impulse for a switch": nothing("/lwlive/hold", "I"),
    "too many once rounded": message("/lwlive/steps", 8.6),
    "too many arguments": message("/lwlive/prompt", *["x"] * (MAX_ARGUMENTS + 1)),
    "a switch for a fader": message("/lwlive/fader/speed", True),
    "a switch for a number": message("/lwlive/speed", True),
    "a number for text": message("/lwlive/prompt", 1.0),
    "too long text": message("/lwlive/prompt", "x" * 501),
    "far too long text": message("/lwlive/prompt", "x" * 5000),
    "text that is not UTF-8": text(b"/lwlive/prompt") + text(b",s") + text(b"\xff\xfe"),
    "no value": message("/lwlive/speed"),
    "None": message("/lwlive/speed", None),
    "a blob in front": message("/lwlive/speed", b"blob", 1.0),
    "half a blob": text(b"/lwlive/speed") + text(b",b") + b"\0\0\0\x09half",
    "a blob": message("/lwlive/prompt", b"blob"),
    "unknown address": message("/lwlive/quit", 1),
    "status": message("/lwlive/status/speed", 1.0),
    "case": message("/lwlive/Speed", 1.0),
    "trailing slash": message("/lwlive/speed/", 1.0),
    "an attribute": message("/lwlive/__class__", 1.0),
    "pattern *": message("/*/*", 1.0),
    "pattern ?": message("/lwlive/spee?", 1.0),
    "pattern []": message("/lwlive/[s]peed", 1.0),
    "pattern {}": message("/lwlive/{speed,pace}", 1.0),
    "float without payload": text(b"/lwlive/speed") + text(b",f"),
    "half a double": text(b"/lwlive/speed") + text(b",d") + b"\0\0\0\0",
    "payload without a tag": text(b"/lwlive/speed") + text(b",") + b"\x3f\x80\0\0",
    "more payload than tags": message("/lwlive/speed", 1.0) + b"\x3f\x80\0\0",
    "tags without a comma": text(b"/lwlive/speed") + text(b"f") + b"\x3f\x80\0\0",
    "unknown tag": text(b"/lwlive/speed") + text(b",Z") + b"\x3f\x80\0\0",
    "nothing": b"",
    "not a multiple of four": message("/lwlive/speed", 1.0) + b"\0",
    "no end of the address": b"/lwlive/speed___",
    "a bundle with nothing": bundle(),
    "a bundle cut off": bundle(message("/lwlive/speed", 1.0))[:-4],
    "port 0": message("/lwlive/subscribe", 0),
    "port 65536": message("/lwlive/subscribe", 65536),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_refused_input_changes_nothing_and_is_counted(desk: Desk, what: str) -> None:
    snapshot, before = desk.controls.snapshot, desk.osc.counts
    desk.play(REFUSED[what])
    assert desk.controls.snapshot is snapshot
    assert desk.osc.counts.refused == before.refused + 1
    assert desk.osc.counts.received == before.received + 1
    assert desk.osc.counts.applied == before.applied


def test_the_log_gets_one_line_a_second_and_the_count(caplog: pytest.LogCaptureFixture) -> None:
    with Osc("127.0.0.1", 0, []) as osc, caplog.at_level(logging.WARNING):
        desk = Desk(osc)
        for now in range(120):  # 60 Hz for two seconds
            desk.play(message("/lwlive/speed", 99.0))
            osc.tell(None, {}, 5.0 + now / 60)  # type: ignore[arg-type] # nobody has subscribed
        desk.program.socket.close()
    assert len(caplog.records) == 2
    assert "speed takes a number from 0 to 4" in caplog.messages[0]
    assert "59 more" in caplog.messages[1]
    assert "127.0.0.1" in caplog.messages[1]


# What is thrown at it.

ATTACKS = {
    "negative element size": b"#bundle\0" + bytes(8) + struct.pack(">i", -20),
    "element size zero": b"#bundle\0" + bytes(8) + struct.pack(">i", 0),
    "element size beyond the end": b"#bundle\0" + bytes(8) + struct.pack(">i", 2**31 - 1),
    "element size of itself": b"#bundle\0" + bytes(8) + struct.pack(">i", -4) + bytes(16),
    "a bundle for next year": bundle(message("/lwlive/pace", 0.5), when=2**63),
    "float without payload": REFUSED["float without payload"],
    "NaN": REFUSED["NaN"],
    "text where a float is meant": REFUSED["a word for a number"],
    "every handler at once": REFUSED["pattern *"],
    "9000 bytes": text(b"/lwlive/prompt") + text(b",s") + text(b"x" * 8970),
    "nested without end": b"#bundle\0" + bytes(8) + b"\0\0\0\x10#bundle\0" * 40,
}


@pytest.mark.parametrize("what", list(ATTACKS))
def test_packets_that_kill_servers_leave_this_one_answering(desk: Desk, what: str) -> None:
    desk.arrive(ATTACKS[what])
    assert desk.answers()
    assert desk.program.heard() == []  # and nothing is sent back


def test_a_packet_of_more_than_8192_bytes_is_not_lost(desk: Desk) -> None:
    packet = bundle(*[message("/lwlive/prompt", "x" * 60 + str(i)) for i in range(100)])
    assert 8192 < len(packet) < 9216  # the most some systems send
    assert desk.play(packet).prompt == "x" * 60 + "99"


@pytest.mark.slow
def test_a_flood_of_unknown_addresses_and_subscribers_takes_no_memory(desk: Desk) -> None:
    desk.play(message("/lwlive/speed", 1.0))
    before = desk.osc.counts
    tracemalloc.start()
    try:
        for start in range(1, 3000, 100):
            numbers = range(start, start + 100)
            desk.arrive(*[message(f"/lwlive/speed{i}", 1.0) for i in numbers])
            desk.arrive(*[message("/lwlive/subscribe", i) for i in numbers])
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    desk.tick()
    assert grown < 200_000
    assert desk.osc.counts.applied - before.applied <= 16
    assert desk.osc.counts.refused - before.refused >= 6000 - 16


def assert_valid(params: Params) -> None:
    for name, spec in SPECS.items():
        value = getattr(params, name)
        assert value is None or repr(spec.checked(value)) == repr(value)


def mutated(random_: random.Random, seeds: list[bytes]) -> bytes:
    """A valid packet, damaged in one to three places."""
    packet = bytearray(random_.choice(seeds))
    for _ in range(random_.randint(1, 3)):
        at = random_.randrange(len(packet) + 1)
        way = random_.randrange(6)
        if way == 0:
            packet[at : at + 1] = bytes([random_.randrange(256)])
        elif way == 1:
            del packet[at : at + random_.choice((1, 4, 8))]
        elif way == 2:
            packet[at:at] = random_.randbytes(random_.choice((1, 4, 16)))
        elif way == 3:
            at -= at % 4
            word = random_.choice((-(2**31), -20, -4, -1, 0, 4, 8, 2**31 - 1, 0x7F800000))
            packet[at : at + 4] = struct.pack(">i", word)
        elif way == 4:
            packet += random_.choice(seeds)
        else:
            packet[at:] = random_.choice(seeds)[at:]
    return bytes(packet)


@pytest.mark.slow
def test_fifty_thousand_mutated_packets_leave_it_answering_and_the_parameters_valid(
    desk: Desk,
) -> None:
    random_ = random.Random(7770)
    seeds = [message(row.address, "dusk") for row in ROWS if "s" in row.tags.split()]
    seeds += [message(row.address, 1.0) for row in ROWS if "f" in row.tags]
    seeds += [message(row.address, 1, tags="h") for row in ROWS if "h" in row.tags]
    seeds += [bundle(*random_.sample(seeds, 3)) for _ in range(20)]
    seeds += [bundle(bundle(*random_.sample(seeds, 2)), random_.choice(seeds)) for _ in range(10)]
    before = desk.osc.counts
    for _ in range(500):
        desk.arrive(*[mutated(random_, seeds) for _ in range(100)])
        desk.tick()
        assert_valid(desk.controls.params)
    after = desk.osc.counts
    assert after.received - before.received >= 50_000
    assert after.refused - before.refused > 10_000  # it was damage
    assert after.applied - before.applied > 1_000  # and not only damage
    assert not any(mark in str(name) for name in desk.presets for mark in "/\\:")
    assert desk.answers()


PIECES = st.sampled_from(
    [b"#bundle\0", bytes(8), text(b"/lwlive/speed"), text(b",f"), text(b",s"), text(b",hd")]
    + [struct.pack(">i", n) for n in (-20, -1, 0, 4, 8, 16, 20, 24, 2**31 - 1)]
)
ANY_BYTES = st.one_of(
    st.binary(max_size=400),
    st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=30).map(b"".join),
    st.lists(PIECES, max_size=30).map(lambda parts: b"#bundle\0" + bytes(8) + b"".join(parts)),
)


@settings(max_examples=300, deadline=None)
@given(ANY_BYTES)
def test_any_bytes_yield_messages_or_a_refusal(packet: bytes) -> None:
    checked = check(packet)
    assert checked.messages or checked.refusals
    for good in checked.messages:
        assert good.address.startswith("/")
        assert len(good.values) <= MAX_ARGUMENTS
        known = str | int | float | bool | Foreign | None
        assert all(isinstance(value, known) for value in good.values)


@pytest.mark.slow
@given(
    st.lists(
        st.one_of(
            st.floats(width=32),
            st.integers(-(2**31), 2**31 - 1),
            st.booleans(),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
            st.none(),
        ),
        max_size=12,
    )
)
def test_good_messages_are_read_as_the_library_reads_them(values: list[object]) -> None:
    (good,) = check(message("/lwlive/x", *values)).messages
    assert repr(list(good.values)) == repr(OscMessage(message("/lwlive/x", *values)).params)


LARGEST = {
    "empty bundles": b"#bundle\0" + bytes(8) + (b"\0\0\0\x10#bundle\0" + bytes(8)) * 3274,
    "small messages": bundle(*[b"/a\0\0,\0\0\0"] * 5400),
    "as many messages as go": bundle(*[message("/lwlive/prompt", "x" * 228)] * (MAX_MESSAGES - 1)),
    "one address": b"/" + b"a" * 65_503,
    "no zeros": b"\xff" * 65_504,
    "zeros": bytes(65_504),
    "many arguments": text(b"/a") + text(b"," + b"i" * 13_000) + bytes(52_000),
    "arguments of no bytes": bundle(*[text(b"/a") + text(b"," + b"T" * 250)] * 249),
    "long text": text(b"/lwlive/prompt") + text(b",s") + text(b"x" * 65_480),
}


@pytest.mark.parametrize("what", list(LARGEST))
def test_the_largest_packets_are_judged_in_a_bounded_time(what: str) -> None:
    packet = LARGEST[what]
    assert 64_000 < len(packet) <= MAX_BYTES
    spent = math.inf
    for _ in range(3):  # the processor's time, and the best of three: the machine is shared
        start = time.thread_time()
        for good in check(packet).messages:
            assert good.values
        spent = min(spent, time.thread_time() - start)
    assert spent < 0.1


def test_in_a_flood_without_end_the_thread_rests_as_long_as_it_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it works, the show's thread waits for the interpreter at each of its reads."""
    now, rested, longest, since = 0.0, 0.0, 0.0, 0.0

    class Endless:
        def recvfrom(self, _most: int) -> tuple[bytes, tuple[str, int]]:
            nonlocal now
            now += 1e-4
            return message("/lwlive/speed", 1.0), ("127.0.0.1", 9)

    def rest(seconds: float) -> bool:
        nonlocal now, rested, longest, since
        longest = max(longest, now - since)
        now += seconds
        rested, since = rested + seconds, now
        return False

    with Osc("127.0.0.1", 0, [], clock=lambda: now) as osc:
        monkeypatch.setattr(osc._stop, "wait", rest)
        while now < 1.0:
            osc._drain(cast("socket.socket", Endless()))
        taken = osc.poll(now)
    assert rested > 0.45
    assert longest < 0.003
    assert [one.command for one in taken] == [Set("speed", 1.0)]


FLOOD = """
import socket, sys, time
from pythonosc.osc_message_builder import build_msg
names = ["speed", "depth", "pace", "fader/guidance", "brightness", "crossfeed"]
packets = [build_msg("/lwlive/" + n, v / 64).dgram for v in range(50) for n in names]
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.connect(("127.0.0.1", int(sys.argv[1])))
print("go", flush=True)
start, sent = time.monotonic(), 0
while sent < int(sys.argv[2]):
    for _ in range(20):
        out.send(packets[sent % len(packets)])
        sent += 1
    time.sleep(max(0, start + sent / 10_000 - time.monotonic()))
"""


@pytest.mark.slow
def test_ten_thousand_messages_a_second_cost_no_late_tick_more_than_a_quiet_run(
    desk: Desk,
) -> None:
    """Beside the quiet run another port gets as many messages, so that sending costs the same.

    The machine is shared: a tick is late by a whole period, some slack is given, and runs that
    others disturbed are repeated. The processor's time within a tick is held to strictly.
    """

    def late_ticks(port: int, messages: int) -> tuple[int, float]:
        arguments = [sys.executable, "-c", FLOOD, str(port), str(messages)]
        flood = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert flood.stdout is not None
        assert flood.stdout.readline().strip() == b"go"
        late, spent, ticks, start = 0, 0.0, 0, time.monotonic()
        while flood.poll() is None:
            ticks += 1
            time.sleep(max(0.0, start + ticks / 60 - time.monotonic()))
            before = time.thread_time()
            desk.tick()
            desk.tell(time.monotonic())
            spent += time.thread_time() - before
            if time.monotonic() > start + (ticks + 1) / 60:
                late += 1
                start += 1 / 60
        flood.stdout.close()
        assert flood.returncode == 0
        return late, spent / max(1, ticks)

    for _attempt in range(6):
        before = desk.osc.counts.received
        quiet, _ = late_ticks(desk.another().port, 15_000)
        assert desk.osc.counts.received == before
        late, spent = late_ticks(desk.osc.port, 30_000)
        received = desk.osc.counts.received - before
        assert spent < 0.004
        if late <= 2 * quiet + 3 and received >= 10_000:
            break
    else:
        pytest.fail(f"{late} ticks late, {quiet} in half as long a quiet run; {received} received")
    assert desk.answers()


# What those who subscribe get.


def subscribed(desk: Desk, program: Program | None = None, port: int | None = None) -> Program:
    program = program or desk.program
    address = "/lwlive/subscribe"
    desk.play(message(address) if port is None else message(address, port), program=program)
    return program


def test_a_subscriber_is_told_everything_at_once_and_then_what_changes(desk: Desk) -> None:
    program = subscribed(desk)
    figures: dict[str, object] = {"fps": 29.5, "engine": "running", "late": 3}
    values = asdict(desk.controls.params) | figures
    desk.tell(0.0, **figures)
    told = dict(program.heard())
    assert told == {name: pytest.approx(v) for name, v in values.items() if v is not None}
    desk.tell(1.0, **figures)
    assert program.heard() == []
    desk.tell(2.0, **figures | {"late": 4})
    assert program.heard() == [("late", 4)]


def test_subscribing_again_tells_everything_again(desk: Desk) -> None:
    program = subscribed(desk)
    desk.figures(0.0, fps=30.0, late=1)
    program.heard()
    subscribed(desk)
    desk.figures(1.0, fps=30.0, late=1)
    assert len(program.heard()) == 2


def test_status_goes_to_the_port_that_was_asked_for(desk: Desk) -> None:
    listener = desk.another()
    subscribed(desk, port=listener.port)
    desk.figures(0.0, fps=30.0)
    assert listener.heard() == [("fps", 30.0)]
    assert desk.program.heard() == []


def test_status_comes_at_most_thirty_times_a_second_and_the_final_value_arrives(
    desk: Desk,
) -> None:
    program = subscribed(desk)
    heard: list[tuple[float, object]] = []
    for tick in range(240):  # two seconds of 120 Hz
        now = tick / 120
        desk.figures(now, late=tick)
        heard += [(now, value) for _, value in program.heard()]
    times = [now for now, _ in heard]
    assert 50 <= len(heard) <= 61
    assert all(b - a >= 1 / 30 - 1e-6 for a, b in pairwise(times))
    for later in range(240, 250):
        desk.figures(later / 120, late=239)
    assert (heard + [(2, value) for _, value in program.heard()])[-1][1] == 239


def test_the_sound_is_told_to_those_who_ask_for_it_alone_thirty_times_a_second(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    hearer, other = desk.program, subscribed(desk, desk.another())
    desk.play(message("/lwlive/hear"))
    heard: list[tuple[str, object]] = []
    for tick in range(120):  # a second of 120 Hz
        desk.osc._tell_sound((tick / 120, 0.0, 0.5, 0.0, 0.0, 0.25), tick / 120)
        heard += hearer.heard()
    lows = [value for name, value in heard if name == "low"]
    assert 25 <= len(lows) <= 31
    assert {name for name, _ in heard} == set(BANDS)
    assert other.heard() == []
    desk.play(message("/lwlive/unsubscribe"))
    desk.osc._tell_sound((1.0,) * 6, 9.0)
    assert hearer.heard() == []
    with caplog.at_level(logging.WARNING):  # of a show that listens to nothing
        desk.play(message("/lwlive/hear"))
        desk.osc._tell_sound(None, 10.0)
        desk.osc._tally.log("OSC", 20.0)
    assert "this show listens to no sound; it does with --audio-in" in caplog.text


def test_subscribing_often_does_not_raise_the_rate(desk: Desk) -> None:
    program = subscribed(desk)
    for tick in range(60):
        subscribed(desk)
        desk.figures(tick / 60, fps=30.0)
    assert len(program.heard()) <= 31


def test_a_value_is_told_to_others_and_not_to_who_set_it(desk: Desk) -> None:
    player, other = subscribed(desk), subscribed(desk, desk.another())
    now = 0.0

    def tell() -> tuple[list[tuple[str, object]], list[tuple[str, object]]]:
        nonlocal now
        now += 1
        desk.tell(now)
        return player.heard(), other.heard()

    tell()
    desk.play(message("/lwlive/speed", 2.0), program=player)
    assert tell() == ([], [("speed", 2.0)])
    desk.play(message("/lwlive/fader/speed", 1.0), program=player)
    assert tell() == ([], [("speed", 4.0)])
    desk.play(message("/lwlive/speed", 1.0), program=other)
    assert tell() == ([("speed", 1.0)], [])
    desk.play(message("/lwlive/panic", 1), program=player)  # not a value of its own: it hears it
    assert tell() == ([("speed", 0.25)], [("speed", 0.25)])


def test_a_player_who_was_overtaken_within_a_tick_is_told_the_truth(desk: Desk) -> None:
    player, other = subscribed(desk), subscribed(desk, desk.another())
    desk.tell(0.0)
    player.heard(), other.heard()
    desk.arrive(message("/lwlive/speed", 3.0), program=player)
    desk.arrive(message("/lwlive/speed", 0.25), program=other)  # what it was before
    desk.tick()
    desk.tell(1.0)
    assert player.heard() == [("speed", 0.25)]
    assert other.heard() == []


def test_a_player_listening_on_another_port_gets_no_echo(desk: Desk) -> None:
    listener = desk.another()
    subscribed(desk, port=listener.port)
    desk.play(message("/lwlive/speed", 2.0))
    desk.tell(0.0, fps=30.0)
    heard = dict(listener.heard())
    assert "speed" not in heard
    assert heard["fps"] == 30.0


def test_a_lease_ends_after_a_minute_unless_it_is_renewed(desk: Desk) -> None:
    program = subscribed(desk)
    desk.figures(0.0, late=0)
    subscribed(desk)
    desk.figures(59.0, late=1)
    desk.figures(118.0, late=2)
    desk.figures(119.5, late=3)
    assert [value for _, value in program.heard()] == [0, 1, 2]


def test_unsubscribing_ends_it(desk: Desk) -> None:
    program = subscribed(desk)
    desk.play(message("/lwlive/unsubscribe"))
    desk.figures(0.0, late=0)
    assert program.heard() == []


def test_sixteen_subscribe_and_the_seventeenth_is_refused(desk: Desk) -> None:
    programs = [subscribed(desk, desk.another()) for _ in range(16)]
    refused = desk.osc.counts.refused
    last = subscribed(desk, desk.another())
    assert desk.osc.counts.refused == refused + 1
    desk.figures(0.0, late=0)
    assert [len(program.heard()) for program in programs] == [1] * 16
    assert last.heard() == []


def test_two_who_subscribe_within_one_tick_are_both_told(desk: Desk) -> None:
    other = desk.another()
    desk.arrive(message("/lwlive/subscribe"))
    desk.arrive(message("/lwlive/subscribe"), program=other)
    desk.tick()
    desk.figures(0.0, late=0)
    assert desk.program.heard() == other.heard() == [("late", 0)]


def test_what_cannot_be_told_is_left_out_and_stops_nothing(desk: Desk) -> None:
    program = subscribed(desk)
    gone = desk.another()
    subscribed(desk, gone)
    gone.socket.close()
    odd: dict[str, object] = {
        "a": math.nan,
        "b": None,
        "c": 2**70,
        "d": "\ud800",
        "e": object(),
        "late": 1,
    }
    desk.figures(0.0, **odd)
    desk.figures(1.0, **odd | {"late": 2})
    assert program.heard() == [("late", 1), ("late", 2)]
    assert desk.answers()


# Who is let in, and where it listens.


@pytest.mark.parametrize("host", LOOPBACKS)
def test_it_listens_on_every_loopback_and_answers_from_there(host: str) -> None:
    with Osc(host, 0, [host]) as osc:
        desk = Desk(osc, host)
        assert desk.play(message("/lwlive/speed", 2.0)).speed == 2
        subscribed(desk)
        desk.figures(0.0, late=1)
        assert desk.program.heard() == [("late", 1)]
        desk.program.socket.close()


@pytest.mark.parametrize(
    ("allow", "let_in"),
    [
        ([], True),
        (["127.0.0.1"], True),
        (["127.0.0.0/8"], True),
        (["10.0.0.7", "127.0.0.1/24"], True),
        (["10.0.0.7"], False),
        (["::1"], False),
    ],
)
def test_only_senders_on_the_allow_list_are_let_in(allow: list[str], let_in: bool) -> None:
    with Osc("127.0.0.1", 0, allow) as osc:
        desk = Desk(osc)
        assert (desk.play(message("/lwlive/speed", 2.0)).speed == 2) is let_in
        assert (osc.counts.refused == 0) is let_in
        desk.program.socket.close()


@pytest.mark.parametrize("entry", ["", "me", "1.2.3", "192.168.1.0/33", "localhost"])
def test_a_bad_allow_list_is_a_sentence(entry: str) -> None:
    with pytest.raises(ListenError, match="--osc-allow takes"):
        Osc("127.0.0.1", 0, [entry])


def test_a_port_in_use_is_a_sentence_with_the_way_out(server: Osc) -> None:
    with pytest.raises(ListenError, match=rf"{server.port}.*--osc-port"):
        Osc("127.0.0.1", server.port, [])


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", ""])
def test_a_host_that_is_not_here_is_a_sentence(host: str) -> None:
    with pytest.raises(ListenError, match="--osc-host"):
        Osc(host, 0, [])


def test_the_port_is_free_again_after_closing() -> None:
    with Osc("127.0.0.1", 0, []) as osc:
        port = osc.port
    with Osc("127.0.0.1", port, []) as osc:
        assert osc.port == port


def test_a_failed_thread_starts_again_with_growing_pauses_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_packet: bytes) -> None:
        raise RuntimeError("a fault of ours")

    said: list[str] = []
    with Osc("127.0.0.1", 0, [], said.append) as osc:
        port, threads = osc.port, set()
        with monkeypatch.context() as patch:
            patch.setattr("lwlive.stage.sources.osc.server.check", broken)
            for now, pause in ((10.0, 0.0), (10.1, 1.0), (11.2, 5.0)):
                thread = osc._thread
                threads.add(thread)
                program = Program("127.0.0.1", port)
                program.send(b"/x\0\0")
                program.socket.close()
                thread.join(60)
                assert not thread.is_alive()
                osc.poll(now)
                assert "a fault of ours" in said[-1]
                if pause:
                    osc.poll(now + pause - 0.01)
                    assert osc._thread is thread
                osc.poll(now + pause)
                assert osc._thread is not thread
        assert len(said) == 3
        assert osc.port == port
        desk = Desk(osc)
        assert desk.play(message("/lwlive/speed", 2.0)).speed == 2
        desk.program.socket.close()
    assert not osc._thread.is_alive()


def test_a_port_that_is_taken_while_osc_is_down_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    with Osc("127.0.0.1", 0, [], said.append) as osc:
        osc._failure = OSError(100, "Network is down")
        osc._stop.set()
        osc._thread.join(60)
        osc._stop.clear()
        with monkeypatch.context() as patch:

            def taken(*_: object) -> None:
                raise ListenError("UDP port is in use by another program")

            patch.setattr("lwlive.stage.sources.osc.server.opened", taken)
            osc.poll(0.0)
            osc.poll(0.1)
        assert ["Network is down" in said[0], "in use" in said[1]] == [True, True]
        osc.poll(1.2)
        desk = Desk(osc)
        desk.now = 1.2
        assert desk.play(message("/lwlive/speed", 2.0)).speed == 2
        desk.program.socket.close()


# As bridges and tablets send it.


@pytest.mark.parametrize("row", [r for r in ROWS if r.verb == "fader"], ids=lambda r: r.name)
def test_numbers_and_switches_come_as_text(desk: Desk, row: Row) -> None:
    spec = SPECS[row.name]
    desk.play(message(row.address, "1"))
    assert getattr(desk.controls.params, row.name) == spec.travel[1]
    desk.play(message(row.address, " 0.0 "))
    assert getattr(desk.controls.params, row.name) == spec.travel[0]
    given: dict[str, Any]
    if spec.kind is bool:
        given = {"on": True, "OFF": False, "true": True, "False": False, "1": True, "0": False}
        given |= {"0.7": True, "0.2": False, '"on"': True, "yes": True, "no": False}
    else:
        n = max(1, int(spec.low))
        given = {f"{n}": n, f"{n}.0": n, f"+{n}": n, f"{n}e0": n, f'"{n}"': n}
        given = given if spec.high >= 1 else {".5": 0.5}
    for word, value in given.items():
        desk.play(message(f"/lwlive/{row.name}", word))
        found = getattr(desk.controls.params, row.name)
        assert (found, type(found)) == (value, spec.kind), word


@given(number=st.floats(0.5, 8.4999), tag=st.sampled_from("fds"))
@settings(max_examples=60, deadline=None)
def test_whole_numbers_are_rounded_to_the_nearest(number: float, tag: str) -> None:
    row = next(row for row in ROWS if row.address == "/lwlive/steps")
    sent = message(row.address, f"{number:.6f}" if tag == "s" else number, tags=tag)
    (good,) = check(sent).messages
    command, more = heard(row, good.values)
    assert isinstance(command, Set)
    assert not more
    assert isinstance(command.value, int)
    assert abs(command.value - number) <= 0.5 + 1e-5


@pytest.mark.parametrize(
    ("sent", "on"),
    [(0.5, True), (0.49, False), (127, True), (-1, False), (1e300, True)],
)
def test_a_switch_is_on_from_one_half(desk: Desk, sent: float, on: bool) -> None:
    desk.controls.do(Set("hold", not on))
    tags = "d" if sent == 1e300 else ""
    assert desk.play(message("/lwlive/hold", sent, tags=tags)).hold is on


MORE = {
    "if": (message("/lwlive/next", 1, 0.5), Fire("next")),
    "ff": (message("/lwlive/speed", 0.5, 0.75), Set("speed", 0.5)),
    "fader": (message("/lwlive/fader/speed", 0.5, "x"), Move("speed", 0.5)),
    "iT": (message("/lwlive/hold", 1, True), Set("hold", True)),
    "a blob": (message("/lwlive/speed", 0.5, b"blob"), Set("speed", 0.5)),
    "NaN": (message("/lwlive/speed", 0.5, math.nan), Set("speed", 0.5)),
    "nothing": (message("/lwlive/speed", 0.5, None), Set("speed", 0.5)),
    "an array": (message("/lwlive/speed", [0.5, 0.75]), Set("speed", 0.5)),
    "text and a switch": (message("/lwlive/prompt", "rings", True), Set("prompt", "rings")),
    "preset": (message("/lwlive/preset", "dusk", 2.0, 7), Recall("dusk", 2.0)),
}


@pytest.mark.parametrize("what", list(MORE))
def test_of_several_values_the_first_counts_and_that_is_said_once(what: str) -> None:
    said: list[str] = []
    packet, command = MORE[what]
    with Osc("127.0.0.1", 0, [], said.append) as osc:
        desk = Desk(osc)
        for _ in range(5):
            desk.play(packet)
        desk.program.socket.close()
        assert desk.done == [command] * 5
        assert osc.counts.refused == 0
    assert len(said) == 1
    assert "the first counts" in said[0]


WORDS: dict[str, list[Any]] = {
    "gold rings": ["gold", "rings"],
    "a 1984 poster": ["a", 1984, "poster"],
    "1984 cars": [1984, "cars"],
    "a :0.4": ["a", ":0.4"],
    "quoted rings": ['"quoted', 'rings"'],
    "one": ['"one"'],
    "two": ["'two'"],
    "three": ["\N{LEFT DOUBLE QUOTATION MARK}three\N{RIGHT DOUBLE QUOTATION MARK}"],
    'say "yes" and "no"': ['say "yes" and "no"'],
    '"yes" and "no"': ['"yes" and "no"'],
    '"': ['"'],
    "": ['""'],
    "half 0.5": ["half", 0.5],
}


@pytest.mark.parametrize("prompt", list(WORDS))
def test_a_text_comes_word_by_word_and_with_quotation_marks(desk: Desk, prompt: str) -> None:
    assert desk.play(message("/lwlive/prompt", *WORDS[prompt])).prompt == prompt


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=400))
@settings(max_examples=60, deadline=None)
def test_a_text_sent_word_by_word_is_the_text(prompt: str) -> None:
    row = next(row for row in ROWS if row.address == "/lwlive/prompt")
    words = prompt.split(" ")
    if len(words) > MAX_ARGUMENTS:
        return
    (whole,) = check(message(row.address, prompt)).messages
    (parts,) = check(message(row.address, *words)).messages
    assert heard(row, parts.values) == heard(row, whole.values)
    quoted = f'"{prompt}"'
    if '"' not in prompt and len(prompt) < 400:
        (marked,) = check(message(row.address, quoted)).messages
        assert heard(row, marked.values)[0] == Set("prompt", prompt)


def test_symbols_are_text(desk: Desk) -> None:
    packet = text(b"/lwlive/prompt") + text(b",SS") + text(b"gold") + text(b"rings")
    assert desk.play(packet).prompt == "gold rings"


def test_a_cue_comes_by_name_or_number_and_go_and_back_are_buttons(desk: Desk) -> None:
    desk.play(message("/lwlive/cue", "drop"))
    desk.play(message("/lwlive/cue", "second", "chorus"))
    desk.play(message("/lwlive/cue", 3))
    desk.play(message("/lwlive/cue", 4.0))
    desk.play(message("/lwlive/cue", "5"))
    desk.play(message("/lwlive/go", 1), message("/lwlive/go", 0), message("/lwlive/back"))
    cues = [Go("drop"), Go("second chorus"), Go(3), Go(4), Go(5)]
    assert desk.done == [*cues, Fire("go"), Fire("back")]
    refused = desk.osc.counts.refused
    for wrong in ([], [True], [-1], [float("nan")], ["x" * 101], [""]):
        desk.play(message("/lwlive/cue", *wrong))
    assert desk.osc.counts.refused == refused + 6
    assert len(desk.done) == 7


def test_a_preset_may_come_with_seconds(desk: Desk) -> None:
    desk.play(message("/lwlive/preset", "dusk", 2.5))
    desk.play(message("/lwlive/preset", "slow", "smoke", 3))
    assert desk.done == [Recall("dusk", 2.5), Recall("slow smoke", 3.0)]
    refused = desk.osc.counts.refused
    desk.play(message("/lwlive/preset", "dusk", 3601.0))
    assert desk.osc.counts.refused == refused + 1


@pytest.mark.skipif("::1" not in LOOPBACKS, reason="this machine has IPv6 switched off")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_both_loopback_addresses_are_heard_and_answered(host: str) -> None:
    with Osc(host, 0, []) as osc:
        for loopback in LOOPBACKS:
            desk = Desk(osc, loopback)
            assert desk.play(message("/lwlive/speed", 2.0)).speed == 2
            subscribed(desk)
            desk.figures(0.0, late=1)
            assert desk.program.heard() == [("late", 1)]
            desk.program.socket.close()


@pytest.mark.skipif("::1" not in LOOPBACKS, reason="this machine has IPv6 switched off")
def test_another_program_on_the_second_loopback_is_told_of_and_does_no_harm() -> None:
    said: list[str] = []
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind(("::1", 0))
        port = other.getsockname()[1]
        with Osc("127.0.0.1", port, [], said.append) as osc:
            desk = Desk(osc)
            assert desk.play(message("/lwlive/speed", 2.0)).speed == 2
            desk.program.socket.close()
    assert len(said) == 1
    assert "::1" in said[0]


def test_a_fader_that_is_bound_to_its_address_is_told_where_it_stands(desk: Desk) -> None:
    program = subscribed(desk)
    desk.tell(0.0)
    told = dict(program.all())
    for name, spec in SPECS.items():
        value = getattr(desk.controls.params, name)
        if spec.kind is str or value is None:
            assert f"/lwlive/fader/{name}" not in told
        else:
            assert told[f"/lwlive/fader/{name}"] == pytest.approx(spec.position(value))
    desk.controls.do(Set("speed", 1.0), "keys")
    desk.tell(1.0)
    assert program.all() == [("/lwlive/status/speed", 1.0), ("/lwlive/fader/speed", 0.5)]


def test_a_motor_fader_is_not_moved_under_the_finger_that_moves_it(desk: Desk) -> None:
    player, other = subscribed(desk), subscribed(desk, desk.another())
    desk.tell(0.0)
    player.all(), other.all()
    for step in range(1, 30):
        desk.play(message("/lwlive/fader/speed", step / 30), program=player)
        desk.tell(step / 30)
        assert player.all() == []
        position = dict(other.all())["/lwlive/fader/speed"]
        assert position == pytest.approx(step / 30, abs=1e-6)


PLAYS = st.tuples(
    st.integers(0, 1),
    st.sampled_from(["speed", "fader", "panic", "subscribe"]),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(PLAYS, max_size=4), max_size=8))
def test_in_the_end_every_player_believes_in_what_stands(
    desk: Desk, ticks: list[list[tuple[int, str, float]]]
) -> None:
    """A player believes in what he sent last, until he hears otherwise."""
    players = [subscribed(desk, desk.another()) for _ in range(2)]
    believed: list[object] = [None, None]
    desk.now = 0.0
    for n, plays in enumerate([[], *ticks, []], 1):
        for who, how, value in plays:
            address = "/lwlive/fader/speed" if how == "fader" else f"/lwlive/{how}"
            given: list[Any] = {"subscribe": [], "panic": [1]}.get(how, [value])
            desk.arrive(message(address, *given), program=players[who])
            if how in ("speed", "fader"):
                believed[who] = SPECS["speed"].value(value) if how == "fader" else value
        desk.tick()
        desk.tell(float(n))
        for who, player in enumerate(players):
            believed[who] = dict(player.heard()).get("speed", believed[who])
        assert believed == [desk.controls.params.speed] * 2
    for player in players:
        desk.play(message("/lwlive/unsubscribe"), program=player)


def test_a_command_has_the_time_at_which_its_packet_came() -> None:
    now = [5.0]
    with Osc("127.0.0.1", 0, [], clock=lambda: now[0]) as osc:
        desk = Desk(osc)
        desk.arrive(message("/lwlive/speed", 1.0))
        now[0] = 6.0
        desk.arrive(message("/lwlive/depth", 0.5))
        now[0] = 7.0
        desk.program.socket.close()
        assert [(a.command, a.at) for a in osc.poll(7.0)] == [
            (Set("speed", 1.0), 5.0),
            (Set("depth", 0.5), 6.0),
        ]


VALUES = st.one_of(
    st.floats(width=32),
    st.integers(-(2**31), 2**31 - 1),
    st.booleans(),
    st.none(),
    st.sampled_from(["on", "off", "0.5", "1e9", "nan", '"1"', "dusk", "", "..", "\ud7ff"]),
    st.binary(min_size=1, max_size=8),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
)
PLAYED = st.tuples(st.sampled_from(ROWS), st.lists(VALUES, max_size=4))


@pytest.mark.slow
@given(st.lists(PLAYED, max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_messages_are_commands_that_leave_the_values_valid_or_a_sentence(
    played: list[tuple[Row, list[object]]],
) -> None:
    controls = Controls(Params())
    for row, values in played:
        (good,) = check(message(row.address, *values)).messages
        before, why = controls.snapshot, "no reason at all"
        try:
            if row.verb in ("subscribe", "unsubscribe"):
                wanted = port(row, good.values)
                assert wanted is None or 0 < wanted < 65536
                continue
            command, _ = heard(row, good.values)
            if command is not None and not isinstance(command, Recall):
                controls.do(command, "osc")
        except ControlError as error:
            why, after = str(error), controls.snapshot
            assert after is before
        assert 10 < len(why) < 300
        assert_valid(controls.params)


def test_every_parameter_and_trigger_is_listed_once_with_its_help() -> None:
    listed = [row.address for row in ROWS]
    assert len(set(listed)) == len(listed)
    for name in [*SPECS, *TRIGGERS, "preset", "cue", "subscribe", "unsubscribe"]:
        assert f"/lwlive/{name}" in listed
    assert not any(word in row.address for row in ROWS for word in ("quit", "path", "eval"))
    lines = describe().splitlines()
    for row in ROWS:
        line = next(line for line in lines if line.startswith(row.address + " "))
        assert row.accepts in line
        assert row.help in line


def test_it_listens_again_without_looking_its_name_up_and_through_a_lack_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look_up(host: str, *more: Any, **options: Any) -> Any:
        names.append(host)
        return real("127.0.0.1" if host == "box.lan" else host, *more, **options)

    real, names, said = socket.getaddrinfo, list[str](), list[str]()
    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Osc("box.lan", 0, [], said.append) as osc:
        assert names == ["box.lan"]
        osc._stop.set()
        osc._thread.join()
        osc._stop.clear()
        osc._failure = OSError("gone")
        with monkeypatch.context() as lack:
            lack.setattr(threading.Thread, "start", refuse)
            osc.poll(100.0)
            osc.poll(100.0)
        assert "can't start new thread" in said[-1]
        for second in range(101, 300):
            osc.poll(float(second))
        assert osc._thread.is_alive()
        assert "box.lan" not in names[1:]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
            program.sendto(message("/lwlive/speed", 1.5), ("127.0.0.1", osc.port))
            wait_until(lambda: bool(osc.poll(300.0)))
