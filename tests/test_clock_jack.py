"""MIDI's clock as another program sends it over JACK, through the whole of MIDI, to the tempo.

Beats are read from the stamps of the ticks by a fit of its own, over all that came.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from test_display import status
from test_midi_jack import PROGRAMS, RATE, Server

from lwlive.commands import Fire, Offer
from lwlive.controls import Controls
from lwlive.params import Params
from lwlive.stage.desk import Desk
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.midi.child import Heard, Order, Ports
from lwlive.stage.sources.midi.link import Link
from lwlive.stage.sources.midi.source import Midi
from lwlive.tempo import Tempo


class Exact(Server):
    """A JACK server that other programs on this machine do not disturb, where that is allowed."""

    def start(self) -> None:
        allowed = subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode == 0
        how = ["--realtime", "-P", "10"] if allowed else ["--no-realtime"]
        driver = [*how, "-d", "dummy", "-r", str(RATE), "-p", "256"]
        self._jackd = self._spawn("jackd", "-n", self._name, *driver)
        assert self._do("jack_wait", "-s", self._name, "-w", "-t", "20") == 0


@pytest.fixture
def server() -> Iterator[Server]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed (Debian: apt install jackd2 jack-midi-clock)")
    the_server = Exact(f"lwlive-clock-{os.getpid()}")
    try:
        yield the_server
    finally:
        the_server.close()


@dataclass
class Noting:
    """The process that MIDI has; what its clocks send is noted."""

    link: Link
    sent: list[tuple[bytes, float]] = field(default_factory=list)

    def poll(self, now: float) -> Iterator[Ports | Heard]:
        for said in self.link.poll(now):
            if isinstance(said, Heard):
                self.sent += [(data, at) for _, data, at in said.messages]
            yield said

    def send(self, port: str, messages: list[bytes], now: float) -> bool:
        return self.link.send(port, messages, now)

    def close(self) -> None:
        self.link.close()


class Show:
    """The controls of a show that MIDI steers, ticking."""

    def __init__(self, folder: Path) -> None:
        self.controls, self.said = Controls(Params()), list[str]()
        self.ears = Noting(Link(Order((), "jack"), self.said.append))
        self.midi = Midi(self.ears, folder, self.said.append)
        self.desk = Desk(folder, self.controls)
        self.offers: list[Offer] = []
        self.beats: list[tuple[float, float]] = []  # moment, beat

    @property
    def tempo(self) -> Tempo:
        return self.controls.snapshot.tempo

    def until(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        """Tick until something is true."""
        end = time.perf_counter() + seconds
        while not true():
            assert time.perf_counter() < end, self.said
            self.play(0.05)

    def play(self, seconds: float) -> None:
        """Tick for so long."""
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            self.desk.poll(now)
            for arrived in self.midi.poll(now):
                self.desk.do(arrived, self.midi)
                if isinstance(arrived.command, Offer):
                    self.offers.append(arrived.command)
            self.midi.tell(status(tempo=self.tempo, params=self.controls.params), {}, now)
            self.beats.append((now, self.tempo.beats(now)))
            time.sleep(0.005)

    def ticks(self) -> list[float]:
        return [at for data, at in self.ears.sent if data == b"\xf8"]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path) -> Iterator[Show]:
    monkeypatch.setenv("JACK_DEFAULT_SERVER", server.env["JACK_DEFAULT_SERVER"])
    the_show = Show(tmp_path)
    yield the_show
    the_show.midi.close()


def fitted(ticks: Sequence[float]) -> tuple[float, float]:
    """When the first of the ticks fell, and seconds from one to the next."""
    at, n = np.array(ticks), np.arange(len(ticks))
    good = n >= 0
    for _ in range(3):  # stamps are worse where this machine is busy with something else
        period, start = np.polyfit(n[good], at[good], 1)
        off = abs(at - start - period * n)
        good = off <= max(1e-4, 2 * float(np.median(off)))
    return float(start), float(period)


def off_s(tempo: Tempo, ticks: Sequence[float]) -> float:
    """By how much beats are too late, just now; the first tick is a beat's."""
    start, period = fitted(ticks)
    beats = (ticks[-1] - start) / period / 24
    off = (beats - tempo.line(ticks[-1]) + 0.5) % 1 - 0.5
    return off * 60 / tempo.bpm


@pytest.mark.slow
def test_a_foreign_clock_keeps_the_tempo_and_the_beat(server: Server, show: Show) -> None:
    server.clock(126)
    show.until(lambda: any("jack_midi_clock" in port for port in show.midi.summary()["ports"]))
    server.transport("play")
    show.until(lambda: show.tempo.by == "midi jack_midi_clock")
    show.play(4.0)
    offers = len(show.offers)
    show.play(4.0)
    start, period = fitted(show.ticks())
    assert 60 / period / 24 == pytest.approx(126, rel=1e-3)
    assert show.tempo.bpm == pytest.approx(126, rel=1e-3)
    assert abs(off_s(show.tempo, show.ticks())) < 0.002
    assert show.tempo.line(start) == pytest.approx(0, abs=0.005)  # it began from the top
    assert len(show.offers) - offers <= 4
    # stopped: the tempo stays, and beats run on
    server.transport("stop")
    show.play(1.5)
    kept, ticks = show.tempo, len(show.ticks())
    assert kept.bpm == pytest.approx(126, rel=1e-3)
    assert kept.by == "midi jack_midi_clock"
    # continued: the song runs on from where it stood
    server.transport("play")
    show.play(3.0)
    assert show.tempo.bpm == pytest.approx(126, rel=1e-3)
    start, _ = fitted(show.ticks()[ticks:])
    assert show.tempo.line(start) == pytest.approx(ticks / 24, abs=0.1)
    # a hand says where the one is
    now = time.perf_counter()
    show.desk.do(Arrived(Fire("beat"), "keys", now), Source())
    show.play(2.0)
    assert show.tempo.by == "midi jack_midi_clock"
    assert abs((show.tempo.line(now) + 2) % 4 - 2) < 0.02
    falls = sum(after < before for (_, before), (_, after) in pairwise(show.beats))
    assert falls <= sum(offer.jump for offer in show.offers) == 2
