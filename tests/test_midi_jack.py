"""MIDI with programs that nobody here wrote: a JACK server, its clock, its sequencer; then a show.

The server has a name of its own and no sound card. It keeps time only as well as this machine lets
it: of stamps, the better ones are judged.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lwlive.stage.sources.midi import box as boxes
from lwlive.stage.sources.midi.child import Heard, Order, Ports
from lwlive.stage.sources.midi.link import Link
from lwlive.stage.sources.midi.message import Moved, Parser, Ticked

RATE = 48000
PROGRAMS = ("jackd", "jack_midi_clock", "jack_midiseq", "jack_transport", "jack_wait")
BLOCK = 1024  # frames that the server does together: 21 ms
STEP = 12000  # frames from one note of the sequencer to the next: a quarter of a second


class Server:
    """A JACK server, ended and started at will, and the programs that play on it."""

    def __init__(self, name: str) -> None:
        self.env = {**os.environ, "JACK_DEFAULT_SERVER": name, "JACK_NO_AUDIO_RESERVATION": "1"}
        self._name = name
        self._running: list[subprocess.Popen[bytes]] = []
        self._jackd: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        driver = ["--no-realtime", "-d", "dummy", "-r", str(RATE), "-p", str(BLOCK)]
        self._jackd = self._spawn("jackd", "-n", self._name, *driver)
        done = self._do("jack_wait", "-s", self._name, "-w", "-t", "20")
        assert done == 0, "the JACK server does not start"

    def stop(self) -> None:
        assert self._jackd is not None
        self._end(self._jackd)

    def notes(self) -> subprocess.Popen[bytes]:
        """Two notes in turn, each sounding for 8000 frames."""
        loop = str(2 * STEP)
        notes = ["0", "60", "8000", str(STEP), "64", "8000"]
        return self._spawn("jack_midiseq", "Sequencer", loop, *notes)

    def clock(self, bpm: int) -> None:
        self._spawn("jack_midi_clock", "-b", str(bpm))

    def transport(self, word: str) -> None:
        self._do("jack_transport", told=f"{word}\n".encode())

    def close(self) -> None:
        for process in reversed(self._running):
            self._end(process)

    def _spawn(self, *command: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            command,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._running.append(process)
        return process

    def _do(self, *command: str, told: bytes = b"") -> int:
        done = subprocess.run(command, env=self.env, input=told, capture_output=True, timeout=30)
        return done.returncode

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


@pytest.fixture
def server() -> Iterator[Server]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed (Debian: apt install jackd2 jack-midi-clock)")
    # JACK knows eight servers by name, those that were killed too: this one takes its place again.
    place = zlib.crc32(f"{__file__} {os.environ.get('PYTEST_XDIST_WORKER')}".encode())
    the_server = Server(f"lwlive-{place:x}")
    try:
        yield the_server
    finally:
        the_server.close()


class Listening:
    """The process that MIDI has in a show, and what it has said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
        monkeypatch.setenv("JACK_DEFAULT_SERVER", server.env["JACK_DEFAULT_SERVER"])
        self.said: list[str] = []
        self.link = Link(Order((), "jack"), self.said.append)
        self.ports: list[Ports] = []
        self.heard: list[tuple[str, bytes, float]] = []

    def until(self, what: str, seconds: float = 20.0) -> None:
        """Listen until a port of this name is listened to, or, after a -, no longer."""
        end = time.perf_counter() + seconds
        gone, name = what.startswith("-"), what.lstrip("-")
        while time.perf_counter() < end:
            self.listen(0.05)
            if self.ports and any(name in p for p in self.ports[-1].listening) != gone:
                return
        pytest.fail(f"{what}: {self.ports[-1:]} {self.said}")

    def listen(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            for said in self.link.poll(now):
                if isinstance(said, Heard):
                    self.heard.extend(said.messages)
                else:
                    self.ports.append(said)
            time.sleep(0.01)

    def found(self, port: str) -> list[Moved | Ticked]:
        parser = Parser()
        messages = [(data, at) for name, data, at in self.heard if port in name]
        return [one for data, at in messages for one in parser.read(data, at)]


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch, server: Server) -> Iterator[Listening]:
    the_listener = Listening(monkeypatch, server)
    try:
        yield the_listener
    finally:
        the_listener.link.close()


def exact(seconds: list[float], wanted: float) -> bool:
    """Whether a quarter is right, to half of what the nearest number of blocks is wrong by."""
    block = BLOCK / RATE
    coarse = abs(wanted - block * round(wanted / block))
    return sorted(abs(one - wanted) for one in seconds)[len(seconds) // 4] < coarse / 2


@pytest.mark.slow
def test_a_foreign_sequencer_and_a_foreign_clock_are_heard_with_exact_stamps(
    server: Server, listening: Listening
) -> None:
    server.notes()
    server.clock(126)
    listening.until("Sequencer")
    listening.until("jack_midi_clock")
    assert listening.ports[-1].system.startswith("JACK")
    listening.listen(0.5)
    server.transport("play")
    listening.listen(3.0)
    server.transport("stop")
    listening.listen(0.5)
    notes = [one for one in listening.found("Sequencer") if isinstance(one, Moved) and one.value]
    assert {one.number for one in notes} == {60, 64}
    gaps = [after.at - before.at for before, after in pairwise(notes)]
    assert len(gaps) > 8
    assert exact(gaps, STEP / RATE)
    ticks = [one for one in listening.found("jack_midi_clock") if isinstance(one, Ticked)]
    kinds = bytes(one.data[0] for one in ticks)
    assert 0xFA in kinds or 0xFB in kinds
    assert 0xFC in kinds
    beats = [one.at for one in ticks if one.data == b"\xf8"]
    gaps = [after - before for before, after in pairwise(beats)]
    assert len(gaps) > 100
    assert exact(gaps, 60 / 126 / 24)
    assert all(at <= time.perf_counter() for at in beats)


@pytest.mark.slow
def test_ports_and_the_server_itself_come_and_go_in_mid_show(
    server: Server, listening: Listening
) -> None:
    notes = server.notes()
    listening.until("Sequencer")
    notes.terminate()
    notes.wait(5)
    listening.until("-Sequencer")
    server.notes()
    listening.until("Sequencer")
    server.stop()
    listening.until("-Sequencer")
    server.start()
    server.notes()
    listening.until("Sequencer")
    count = len(listening.heard)
    listening.listen(1.5)
    assert len(listening.heard) > count


RECEIVER = """
import ctypes, sys, time
ctypes.CDLL("libjack.so.0", ctypes.RTLD_GLOBAL)
import supriya_midi
midi = supriya_midi.MidiIn(supriya_midi.rtmidi_ext.RtMidiAPI.UNIX_JACK, "Lamps")
midi.open_virtual_port("in")
print("open", flush=True)
end = time.monotonic() + 30
while time.monotonic() < end:
    found = midi.get_message()
    if found is not None:
        print(bytes(found[0]).hex(), flush=True)
    time.sleep(0.005)
"""


@pytest.mark.slow
@pytest.mark.parametrize("library", ["libremidi", "rtmidi"])
def test_each_library_hears_and_sends_on_jack(library: str, server: Server) -> None:
    """In a process of its own, as in a show: both print to the terminal."""
    with _run(server, RECEIVER) as receiver:
        assert _line(receiver) == "open"
        server.notes()
        with _run(server, LIBRARY.format(library=library)) as ours:
            assert _line(ours) == "heard 60 64"
            assert _line(ours) == "sent"
            assert _line(receiver) == "90057f"


LIBRARY = """
import time
from lwlive.stage.sources.midi import {library}, ports
assert "jack" in ports.systems()
library = {library}.opened("jack")
end = time.monotonic() + 20
while not any("Sequencer" in name for name in library.inputs()) and time.monotonic() < end:
    time.sleep(0.1)
port = library.open_input(next(name for name in library.inputs() if "Sequencer" in name))
found = set()
while len(found) < 2 and time.monotonic() < end:
    found |= {{data[1] for data, at in port.poll(time.perf_counter()) if data[0] == 0x90}}
    time.sleep(0.01)
print("heard", *sorted(found), flush=True)
out = library.open_output(next(name for name in library.outputs() if "Lamps" in name))
time.sleep(0.3)
out.send(bytes([0x90, 5, 127]))
print("sent", flush=True)
time.sleep(0.5)
port.close()
out.close()
library.close()
"""


@contextlib.contextmanager
def _run(server: Server, code: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=server.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(5)
        assert process.stdout is not None
        process.stdout.close()


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
def test_without_a_server_a_show_says_nothing_to_the_terminal_and_lwlive_midi_one_sentence(
    tmp_path: Path,
) -> None:
    env = {**os.environ, "JACK_DEFAULT_SERVER": "there-is-none", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "lwlive", "midi", "--list"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "there is no port to listen to yet" in done.stdout or "listens to" in done.stdout


@pytest.mark.slow
def test_lwlive_midi_lists_the_ports_and_shows_what_arrives(server: Server, tmp_path: Path) -> None:
    server.notes()
    (tmp_path / "sequencer.toml").write_text(
        'device = "Sequencer"\n[[bindings]]\ncontrol = "note 60"\ntrigger = "next"\n'
    )
    command = [sys.executable, "-m", "lwlive", "midi", "--midi-folder", str(tmp_path)]
    process = subprocess.Popen(
        command,
        env=server.env,
        stdout=subprocess.PIPE,
        text=True,
        # who runs the tests in the background has Ctrl-C ignored, and so would this
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    try:
        lines: list[str] = []
        while not lines or "note 60" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], lines
    finally:
        process.send_signal(2)
        code = process.wait(10)
        process.stdout.close()
    assert any("Sequencer" in line and "sequencer.toml" in line for line in lines)
    assert "-> next (momentary)" in lines[-1]
    assert code in (0, 130)


@pytest.mark.slow
def test_a_show_is_played_by_a_foreign_sequencer(server: Server, tmp_path: Path) -> None:
    """The whole program, headless; the notes turn a switch over, four times a second."""
    (tmp_path / "sequencer.toml").write_text(
        'device = "Sequencer"\n'
        '[[bindings]]\ncontrol = "note 60"\nparameter = "blackout"\n'
        '[[bindings]]\ncontrol = "note 64"\npreset = "there is none"\n'
    )
    server.notes()
    stats, log = tmp_path / "stats.json", tmp_path / "log.txt"
    command = [sys.executable, "-m", "lwlive", "--headless", "--no-osc", "--no-compile"]
    command += [
        "--midi",
        "Sequencer",
        "--midi-folder",
        str(tmp_path),
        "--duration",
        "4",
        "--fps",
        "10",
    ]
    command += ["--stats", str(stats), "--log", str(log), "--folder", str(tmp_path)]
    done = subprocess.run(command, env=server.env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    midi, told = json.loads(stats.read_text())["midi"], log.read_text()
    assert midi["ports"] == ["Sequencer:out"]
    assert midi["received"] > 20
    assert 0.4 < midi["commands"] / midi["received"] < 0.6  # presses, and no releases
    assert "there is no preset 'there is none'" in told
    assert "MIDI on JACK" in told
    assert "jack server is not running" not in done.stderr


def _focus(env: dict[str, str]) -> None:
    """Give the show's window the keys, once it is there to stay: it is made twice at the start."""
    find = ["xdotool", "search", "--sync", "--onlyvisible", "--class", "lwlive"]
    end, before = time.monotonic() + 120, ""
    while time.monotonic() < end:
        done = subprocess.run(find, env=env, capture_output=True, text=True, timeout=120)
        window = done.stdout.strip()
        if window and window == before:
            focus = ["xdotool", "windowfocus", window]
            if subprocess.run(focus, env=env, stderr=subprocess.DEVNULL).returncode == 0:
                return
        before = window
        time.sleep(0.5)
    pytest.fail("the show has no window")


@pytest.mark.slow
def test_a_performer_learns_in_the_window_with_two_keys_and_a_foreign_note(
    server: Server, screen: str, tmp_path: Path
) -> None:
    """L, B, a note: from then on the notes turn the blackout over, and a file says so."""
    if shutil.which("xdotool") is None:
        pytest.skip("xdotool is not installed, so no key can be pressed (apt install xdotool)")
    env = {**server.env, "DISPLAY": screen, "SDL_VIDEODRIVER": "x11"}
    folder, log = tmp_path / "midi", tmp_path / "log.txt"
    command = [sys.executable, "-m", "lwlive", "--no-osc", "--no-compile", "--duration", "300"]
    command += ["--midi", "Sequencer", "--midi-folder", str(folder), "--log", str(log)]
    show = subprocess.Popen(command, env=env, cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        _focus(env)
        for key in "lb":
            subprocess.run(["xdotool", "key", key], env=env, check=True, timeout=60)
            time.sleep(0.3)
        server.notes()
        path = folder / "sequencer.toml"
        end = time.monotonic() + 60
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        show.terminate()
        assert show.wait(60) == 0
    (row,) = boxes.load(path).bindings
    assert (row.parameter, row.mode, row.channel) == ("blackout", "toggle", 1)
    assert row.control in ("note 60", "note 64")
    assert f"{row.control} of Sequencer moves blackout" in log.read_text()
