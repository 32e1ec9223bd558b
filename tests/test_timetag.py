"""Time tags of OSC bundles: when messages take effect, whatever the system's clock does."""

import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import build_msg
from pythonosc.udp_client import UDPClient

from lwlive.commands import Move, Set
from lwlive.controls import Controls
from lwlive.params import Params
from lwlive.stage.desk import Desk
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.osc.inbox import MOST, MOST_TIMED, Inbox, Kept, ahead_s
from lwlive.stage.sources.osc.server import Osc

DAY_NS = 86_400 * 10**9


class Rig:
    """A server whose two clocks a test sets, and a program that sends to it."""

    def __init__(self) -> None:
        self.now, self.wall = 50.0, 1.8e9
        self.notices: list[str] = []
        self.osc = Osc(
            "127.0.0.1", 0, [], self.notices.append, lambda: self.now, lambda: int(self.wall * 1e9)
        )
        self.client = UDPClient("127.0.0.1", self.osc.port)

    def send(self, ahead: float | None, *values: tuple[str, float]) -> None:
        """A bundle for so many seconds from now, None for immediately, and wait for it."""
        before = self.osc.counts.received
        self.client.send(self.bundle(ahead, *values))
        until(lambda: self.osc.counts.received >= before + len(values))

    def bundle(self, ahead: float | None, *values: tuple[str, float]) -> OscBundle:
        builder = self.builder(ahead)
        for address, value in values:
            builder.add_content(build_msg(address, value))
        return builder.build()

    def builder(self, ahead: float | None) -> OscBundleBuilder:
        at = 0.0 if ahead is None else self.wall + ahead
        return OscBundleBuilder(at)  # type: ignore[arg-type]  # it takes fractions of a second too

    def polled(self) -> list[tuple[float | None, object]]:
        return [(one.due, one.command) for one in self.osc.poll(self.now)]


def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    with rig.osc:
        yield rig


@given(wall_ns=st.integers(0, 200 * 366 * DAY_NS), ahead_ns=st.integers(-(10**18), 10**18))
def test_a_time_tag_is_as_far_ahead_as_it_was_made(wall_ns: int, ahead_ns: int) -> None:
    """For two hundred years: tags begin again in 2036."""
    meant = wall_ns + ahead_ns + 2_208_988_800 * 10**9
    tag = (meant << 32) // 10**9 % 2**64
    assert ahead_s(tag, wall_ns) == pytest.approx(ahead_ns / 1e9, abs=2e-9, rel=1e-12)


@pytest.mark.parametrize("ahead", [0.001, 0.5, 9.99])
def test_a_bundle_up_to_ten_seconds_ahead_is_due_then(rig: Rig, ahead: float) -> None:
    rig.send(ahead, ("/lwlive/speed", 0.5), ("/lwlive/fader/depth", 0.25))
    (speed_due, speed), (depth_due, depth) = rig.polled()
    assert (speed, depth) == (Set("speed", 0.5), Move("depth", 0.25))
    assert speed_due == depth_due == pytest.approx(50 + ahead, abs=1e-5)


@pytest.mark.parametrize("ahead", [None, 0.0, -0.2, -1e6, 10.5, 3600.0])
def test_immediately_past_and_far_is_now(rig: Rig, ahead: float | None) -> None:
    for _ in range(2):
        rig.send(ahead, ("/lwlive/speed", 0.5))
        assert rig.polled() == [(None, Set("speed", 0.5))]
    far = ahead is not None and ahead > 10
    assert len(rig.notices) == far  # said once
    if far:
        assert f"a time tag {ahead:.0f} s ahead counts as now" in rig.notices[0]


def test_a_system_clock_that_jumps_moves_nothing_that_has_come(rig: Rig, tmp_path: Path) -> None:
    controls = Controls(Params())
    desk = Desk(tmp_path, controls)
    rig.send(2.0, ("/lwlive/speed", 0.5))
    rig.wall -= 1e8
    seen = []
    for _ in range(60):
        desk.poll(rig.now)
        for arrived in rig.osc.poll(rig.now):
            desk.do(arrived, Source())
        seen.append((rig.now, controls.params.speed))
        rig.now += 0.05
    changed = next(at for at, speed in seen if speed == 0.5)
    assert 52.0 - 1e-4 <= changed < 52.05 + 1e-6


def test_messages_for_several_moments_are_all_kept_and_of_one_moment_the_newest(rig: Rig) -> None:
    for ahead, speed in ((1.0, 0.1), (2.0, 0.2), (1.0, 0.3), (None, 0.4)):
        rig.send(ahead, ("/lwlive/speed", speed))
    found = [(due and round(due - 50, 3), command) for due, command in rig.polled()]
    speeds = [(2.0, 0.2), (1.0, 0.3), (None, 0.4)]
    assert found == [(due, Set("speed", pytest.approx(speed))) for due, speed in speeds]


def test_an_inner_bundle_is_no_earlier_than_the_outer(rig: Rig) -> None:
    for outer, inner, due in ((2.0, 1.0, 2.0), (1.0, 2.0, 2.0), (None, 1.0, 1.0), (1.0, None, 1.0)):
        builder = rig.builder(outer)
        builder.add_content(rig.bundle(inner, ("/lwlive/speed", 0.5)))
        before = rig.osc.counts.received
        rig.client.send(builder.build())
        until(lambda before=before: rig.osc.counts.received > before)  # type: ignore[misc] # bound
        ((found, command),) = rig.polled()
        assert command == Set("speed", 0.5)
        assert found == pytest.approx(50 + due, abs=1e-5)


def test_who_set_a_value_for_later_gets_no_echo_of_it(rig: Rig, tmp_path: Path) -> None:
    controls = Controls(Params())
    desk = Desk(tmp_path, controls)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
        program.bind(("127.0.0.1", 0))
        program.setblocking(False)

        def send(packet: bytes) -> None:
            before = rig.osc.counts.received
            program.sendto(packet, ("127.0.0.1", rig.osc.port))
            until(lambda: rig.osc.counts.received > before)

        def tick(seconds: float) -> list[float]:
            rig.now += seconds
            desk.poll(rig.now)
            for arrived in rig.osc.poll(rig.now):
                desk.do(arrived, Source())
            told = {"speed": controls.params.speed}
            rig.osc._subscribers.tell(told, rig.now, rig.osc._send)
            heard = []
            while True:
                try:
                    heard.append(OscMessage(program.recv(1000)))
                except BlockingIOError:
                    return [m.params[0] for m in heard if m.address == "/lwlive/status/speed"]

        send(build_msg("/lwlive/subscribe").dgram)
        assert tick(0.1) == [0.25]
        send(rig.bundle(1.0, ("/lwlive/speed", 0.5)).dgram)
        assert tick(0.1) == []
        assert tick(0.9) == []
        assert controls.params.speed == 0.5
        assert tick(1.0) == []


def test_a_flood_of_moments_is_bounded() -> None:
    inbox = Inbox()
    for n in range(MOST):
        inbox.keep("/lwlive/speed", Kept(Set("speed", 1.0), ("a", 1), 0.0, 1.0 + n / 1000))
    with pytest.raises(ValueError, match="too many messages"):
        inbox.keep("/lwlive/speed", Kept(Set("speed", 1.0), ("a", 1), 0.0, 9.0))
    inbox.keep("/lwlive/speed", Kept(Set("speed", 0.5), ("a", 1), 0.0, None))
    assert len(inbox.take()) == MOST + 1
    assert sum(len(inbox.reached(n / 10)) for n in range(100)) == MOST


def test_messages_for_later_moments_are_bounded_and_come_in_the_order_of_their_moments() -> None:
    inbox, moments = Inbox(), random.Random(1)
    for _ in range(20):
        for _ in range(MOST):
            due = 5 + moments.random() * 5
            inbox.keep("/lwlive/speed", Kept(Set("speed", due), ("a", 1), 0.0, due))
        inbox.take()
    assert inbox.reached(4.9) == []
    assert len(inbox._timed) == MOST_TIMED
    found = [kept for n in range(49, 101) for kept in inbox.reached(n / 10)]
    assert len(found) == MOST_TIMED
    assert [kept.due for kept in found] == sorted(kept.due or 0.0 for kept in found)


PERL = """
use Protocol::OSC; use IO::Socket::INET; use Time::HiRes 'time';
my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ARGV[0], Proto => 'udp');
$| = 1; my $at = time + 0.7;
$socket->send(Protocol::OSC->new->bundle($at, ['/lwlive/speed', 'f', 0.5]));
printf "%.6f\\n", $at;
"""


@pytest.mark.skipif(
    shutil.which("perl") is None
    or subprocess.run(["perl", "-MProtocol::OSC", "-e1"], capture_output=True).returncode != 0,
    reason="needs Perl's Protocol::OSC (Debian: apt install libprotocol-osc-perl)",
)
def test_a_bundle_from_another_program_is_due_when_it_says() -> None:
    with Osc("127.0.0.1", 0, []) as osc:
        command = ["perl", "-e", PERL, str(osc.port)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        due = time.perf_counter() + float(said) - time.time()
        arrived: list[Arrived] = []

        def came() -> bool:
            arrived.extend(osc.poll(time.perf_counter()))
            return bool(arrived)

        until(came)
    assert arrived[0].command == Set("speed", 0.5)
    assert arrived[0].due == pytest.approx(due, abs=0.005)
