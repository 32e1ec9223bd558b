"""Sound as a source: a capture whose device comes and goes, what the show and others are told."""

import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fakes import FakeEngines, flat
from hypothesis import given, settings
from hypothesis import strategies as st
from music import RATE, music
from test_show import Run

from lwlive import ring
from lwlive.cli import arguments
from lwlive.cli.audio import WIDE, bar
from lwlive.cli.subcommands import main
from lwlive.commands import Command, Hear, Offer
from lwlive.params import Params
from lwlive.ring import Ring
from lwlive.routes import BANDS, SILENCE
from lwlive.snapshot import Snapshot
from lwlive.stage.outputs.window.hud import METER
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.audio import capture as captured
from lwlive.stage.sources.audio import devices
from lwlive.stage.sources.audio.capture import Block, Capture, Tap
from lwlive.stage.sources.audio.devices import AudioError, Input, Put, matching
from lwlive.stage.sources.audio.listener import Listener
from lwlive.stage.sources.audio.source import Audio
from lwlive.stage.supply import Supply
from lwlive.tempo import Tempo

BLOCK = 480  # frames


def block(number: int, at: float = 0.0) -> Block:
    """A block that says its number."""
    return Block(np.full((BLOCK, 2), number, np.float32), at)


# The capture


class FakeDevice:
    """A device that a thread of its own feeds, as the library's does, until it is pulled out."""

    def __init__(self, name: str, put: Put, every_s: float) -> None:
        self.name, self._put, self._every_s = name, put, every_s
        self._pulled = threading.Event()
        self.given = 0
        self.closed = False
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        while not self._pulled.wait(self._every_s):
            self._put(bytearray(np.full((BLOCK, 2), self.given, np.float32).tobytes()))
            self.given += 1

    def pull(self) -> None:
        """Nothing comes any more, and nothing is said: see RATE in capture.py."""
        self._pulled.set()

    def close(self) -> None:
        self.closed = True
        self._pulled.set()
        self._thread.join()


class FakeSystem:
    """A sound system: opens devices, or says why not."""

    def __init__(self, every_s: float = 0.001) -> None:
        self.devices: list[FakeDevice] = []
        self.trouble = ""
        self.tries = 0
        self.every_s = every_s

    def __call__(self, wanted: str, put: Put) -> FakeDevice:
        self.tries += 1
        if self.trouble:
            raise AudioError(self.trouble)
        self.devices.append(FakeDevice(wanted, put, self.every_s))
        return self.devices[-1]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watchdog that is a hundred times as quick."""
    monkeypatch.setattr(captured, "QUIET_S", 0.005)
    monkeypatch.setattr(captured, "LOST_S", 0.06)
    monkeypatch.setattr(captured, "PAUSES_S", (0.005, 0.01, 0.02))
    monkeypatch.setattr(captured, "BACK_S", 10 * BLOCK / RATE)


def until(blocks: Iterator[Block | None], done: Callable[[], bool], limit: int = 20_000) -> int:
    """Take blocks until something is so; returns how many there were."""
    count = 0
    for one in blocks:
        count += one is not None
        limit -= 1
        assert limit, "it never came"
        if done():
            return count
    raise AssertionError("the blocks ended")


@pytest.mark.usefixtures("hurried")
def test_a_device_that_vanishes_without_a_word_is_found_again_and_it_is_said_once() -> None:
    system, said = FakeSystem(), list[str]()
    blocks = Capture("rig", said.append, opener=system).blocks(threading.Event())
    until(blocks, lambda: said == ["listening to rig"])
    system.devices[0].pull()
    system.trouble = "there is no audio input 'rig'"
    until(blocks, lambda: system.tries >= 6)
    assert system.devices[0].closed
    assert said[1:] == [
        "no sound comes from rig any more; trying again",
        "there is no audio input 'rig'; trying again",
    ]
    system.trouble = ""
    until(blocks, lambda: len(said) == 4)
    assert said[3] == "listening to rig"
    blocks.close()  # type: ignore[attr-defined] # of a generator
    assert all(device.closed for device in system.devices)


@pytest.mark.usefixtures("hurried")
def test_a_device_that_opens_and_gives_nothing_is_closed_and_tried_again_with_pauses() -> None:
    system, said = FakeSystem(every_s=9.0), list[str]()
    capture = Capture("rig", said.append, opener=system)
    blocks = capture.blocks(threading.Event())
    assert until(blocks, lambda: system.tries == 4) == 0
    assert said == ["no sound comes from rig any more; trying again"]
    assert capture.losses == 0  # it was never there
    blocks.close()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("hurried")
def test_no_block_is_lost_or_swapped_and_their_stamps_are_even() -> None:
    system = FakeSystem()
    seen: list[Block] = []
    for one in Capture("rig", list[str]().append, opener=system).blocks(threading.Event()):
        seen += [] if one is None else [one]
        if len(seen) == 200:
            break
    assert [int(one.frames[0, 0]) for one in seen] == list(range(200))
    assert all(a.at < b.at for a, b in pairwise(seen))


@pytest.mark.usefixtures("hurried")
@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 0.03), min_size=150, max_size=150))
def test_stamps_are_evened_out_whatever_the_machine_had_to_do(late: list[float]) -> None:
    """The arrival of a block is late now and then; the time that it is given is not."""
    came: Any = queue.Queue(200)
    for n, late_s in enumerate(late):
        samples = bytearray(np.zeros((BLOCK, 2), np.float32).tobytes())
        came.put((samples, 50 + (n + 1) * BLOCK / RATE + (late_s if n % 5 else 0.0)))
    stop = threading.Event()
    capture = Capture("rig", list[str]().append, clock=lambda: 50.0, opener=FakeSystem())
    stamps = []
    for one, _ in capture._listened(came, stop):
        assert one is not None
        stamps.append(one.at)
        if len(stamps) == len(late):
            stop.set()
    exact = 50 + np.arange(len(late)) * BLOCK / RATE
    assert np.abs(np.array(stamps) - exact)[1:].max() < 0.002


@pytest.mark.usefixtures("hurried")
def test_a_listener_who_does_not_take_blocks_costs_bounded_memory_and_is_counted() -> None:
    system = FakeSystem(every_s=0.0001)
    capture = Capture("rig", list[str]().append, opener=system)
    blocks = capture.blocks(threading.Event())
    next(blocks)
    patience = time.monotonic() + 60
    while not capture.skipped:
        assert time.monotonic() < patience
        time.sleep(0.01)
    blocks.close()  # type: ignore[attr-defined]
    assert system.devices[0].given <= captured.HELD + capture.skipped + 2


@pytest.mark.usefixtures("hurried")
def test_a_tap_gets_what_the_listener_gets() -> None:
    capture = Capture("rig", list[str]().append, opener=FakeSystem())
    tap = capture.tap(seconds=100)
    taken: list[Block] = []
    for one in capture.blocks(threading.Event()):
        taken += [] if one is None else [one]
        if len(taken) == 50:
            break
    assert tap.taken() == taken
    assert tap.taken() == []
    capture.untap(tap)
    assert tap.lost == 0


def test_a_tap_holds_the_newest_and_counts_the_others() -> None:
    tap = Tap(4)
    for n in range(10):
        tap.put(block(n))
    assert tap.lost == 6
    assert [int(one.frames[0, 0]) for one in tap.taken()] == [6, 7, 8, 9]


KNOWN = [Input("Monitor of rig", 0, 0), Input("Monitor of other", 0, 1), Input("USB", 0, 2)]


def test_an_input_is_found_by_its_name_or_a_part_of_it() -> None:
    assert matching("USB", KNOWN) is KNOWN[2]
    assert matching("RIG", KNOWN) is KNOWN[0]
    assert matching("Monitor of rig", [*KNOWN, Input("Monitor of rig 2", 0, 3)]) is KNOWN[0]
    with pytest.raises(AudioError, match="there is no audio input 'mic'; there are Monitor of rig"):
        matching("mic", KNOWN)
    with pytest.raises(AudioError, match=r"'monitor' may be several.*rig; Monitor of other$"):
        matching("monitor", KNOWN)


# The source


class FakeCapture:
    """A capture that gives the blocks of a sound as fast as they are taken."""

    def __init__(self, sound: Any, start: float = 100.0, size: int = BLOCK) -> None:
        self.name, self.losses, self.skipped = "fake", 0, 0
        self._sound, self._start, self._size = sound, start, size
        self.done = threading.Event()

    def blocks(self, stop: threading.Event) -> Iterator[Block | None]:
        for first in range(0, len(self._sound), self._size):
            if stop.is_set():
                return
            part = self._sound[first : first + self._size]
            yield Block(np.stack([part, part], axis=1), self._start + first / RATE)
        self.done.set()
        stop.wait()


def listening(capture: Any, **more: Any) -> Audio:
    return Audio("fake", list[str]().append, capture=capture, **more)


def heard_all(audio: Audio, capture: FakeCapture) -> list[Command]:
    """What a show that polls all the time is given."""
    found: list[Command] = []
    patience = time.monotonic() + 120
    while not capture.done.is_set():
        assert time.monotonic() < patience
        found += [arrived.command for arrived in audio.poll(0.0)]
        time.sleep(0.001)
    return found + [arrived.command for arrived in audio.poll(0.0)]


def told(audio: Audio, tempo: Tempo) -> None:
    status: Any = type("Status", (), {"tempo": tempo})
    audio.tell(status, {}, 0.0)


def test_the_bands_come_as_they_are_heard_and_are_not_told_twice() -> None:
    tune = music(2, 120)
    capture = FakeCapture(tune)
    audio = listening(capture)
    commands = heard_all(audio, capture)
    listener = Listener()
    for one in blocks_of(tune):
        listener.hear(one)
    assert commands[-1] == Hear(listener.bands)
    assert audio.poll(0.0) == []
    audio.close()


def test_one_tempo_is_offered_and_not_again_while_it_holds() -> None:
    capture = FakeCapture(music(14, 128), size=4800)
    audio = listening(capture)
    told(audio, Tempo(120, beat=7.3, at=100.0))
    offers = [c.tempo for c in heard_all(audio, capture) if isinstance(c, Offer)]
    assert len({round(offer.bpm) for offer in offers}) == 1
    assert offers[0].bpm == pytest.approx(128, rel=0.01)
    assert offers[0].by == "audio"
    told(audio, offers[-1])
    audio._tempo = Tempo(offers[-1].bpm * 1.001, 0, offers[-1].when(offers[-1].beat + 40) + 0.003)
    assert not [a for a in audio.poll(0.0) if isinstance(a.command, Offer)]
    audio._tempo = Tempo(offers[-1].bpm * 1.02, 0, offers[-1].at)
    assert [a for a in audio.poll(0.0) if isinstance(a.command, Offer)]
    audio.close()


@given(st.floats(60, 180), st.floats(-1e4, 1e4), st.floats(0, 1e4), st.floats(80, 180))
def test_a_new_tempo_moves_the_shows_beat_by_half_a_one_at_most(
    bpm: float, beat: float, at: float, found: float
) -> None:
    audio = listening(FakeCapture(np.zeros(0, np.float32)))
    show = Tempo(bpm, beat, at)
    told(audio, show)
    offer = audio._offer(Tempo(found, 0.0, at + 3.21))
    assert offer is not None
    assert offer.beat == int(offer.beat)
    assert abs(offer.beats(offer.at) - show.beats(offer.at)) <= 0.5 + 1e-6


@pytest.mark.parametrize("by", ["tap", "link", "midi IAC Bus 1"])
def test_sound_gives_way_to_every_other_clock_until_a_hand_sets_bpm(by: str) -> None:
    audio = listening(FakeCapture(np.zeros(0, np.float32)))
    told(audio, Tempo(120, by=by))
    assert audio._offer(Tempo(128, 0.0, 5.0)) is None
    told(audio, Tempo(121))
    assert audio._offer(Tempo(128, 0.0, 5.0)) is not None


def test_without_audio_tempo_none_is_offered() -> None:
    audio = listening(FakeCapture(np.zeros(0, np.float32)), keeps_time=False)
    assert audio._offer(Tempo(128, 0.0, 5.0)) is None


def blocks_of(sound: Any, at: float = 0.0) -> list[Block]:
    parts = [sound[n : n + BLOCK] for n in range(0, len(sound), BLOCK)]
    pairs = [np.stack([part, part], axis=1) for part in parts]
    return [Block(pair, at + n * BLOCK / RATE) for n, pair in enumerate(pairs)]


@pytest.mark.slow
def test_where_nothing_comes_any_more_the_bands_fall_to_nothing() -> None:
    listener = Listener()
    for one in blocks_of(music(1, 120)[: RATE // 10]):
        listener.hear(one)
    loud = listener.bands[3]
    assert loud > 0.1
    listener.rest(0.3)
    assert listener.bands[3] == loud  # it may just be late
    for n in range(20):
        listener.rest(0.6 + n / 10)
    assert max(listener.bands[:5]) < 0.001
    for n in range(200):
        listener.rest(60.0 + n)  # a device that is gone for long costs no more than its silence
    assert listener.bands[3] == pytest.approx(0, abs=1e-6)


def test_blocks_that_come_late_or_are_lost_do_not_move_the_beat() -> None:
    """A machine that stalls: blocks come in bursts, and one in twenty not at all."""
    listener, rng = Listener(), np.random.default_rng(4)
    for n, one in enumerate(blocks_of(music(14, 126))):
        if n % 25 == 0:
            listener.rest(one.at + 0.3)  # asked in vain before they came
        if rng.random() > 0.05:
            listener.hear(one)
    assert listener.tempo is not None
    assert listener.tempo.bpm == pytest.approx(126, rel=0.01)


def test_a_thread_that_fails_says_so_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lwlive.stage.sources.audio.source.FAILED_S", 0.01)
    said: list[str] = []

    class Broken(FakeCapture):
        tries = 0

        def blocks(self, stop: threading.Event) -> Iterator[Block | None]:
            self.tries += 1
            if self.tries < 3:
                raise RuntimeError("no more stars")
            return super().blocks(stop)

    capture = Broken(music(0.5, 120))
    audio = Audio("fake", said.append, capture=capture)  # type: ignore[arg-type]
    commands = heard_all(audio, capture)
    audio.close()
    assert said == ["audio: it failed (no more stars); trying again"] * 2
    assert commands[-1] != Hear(SILENCE)


@pytest.mark.slow
def test_an_hour_of_sound_takes_no_memory() -> None:
    """At the speed of the machine: music and pauses, with the time of the blocks simulated."""

    class Endless(FakeCapture):
        def __init__(self) -> None:
            super().__init__(music(10, 120), size=RATE // 2)  # whole beats, to be repeated
            self.seconds = 0.0

        def blocks(self, stop: threading.Event) -> Iterator[Block | None]:
            parts = [self._sound[n : n + self._size] for n in range(0, 10 * RATE, self._size)]
            quiet = np.zeros(self._size, np.float32)
            while self.seconds < 3600 and not stop.is_set():
                part = parts[int(self.seconds * 2) % 20] if self.seconds % 300 < 240 else quiet
                yield Block(np.stack([part, part], axis=1), self.seconds)
                self.seconds += 0.5
            self.done.set()

    capture, process = Endless(), psutil.Process()
    audio = listening(capture)
    early = None
    offers = 0
    patience = time.monotonic() + 600
    while not capture.done.is_set():
        assert time.monotonic() < patience
        for arrived in audio.poll(capture.seconds):
            if isinstance(arrived.command, Offer):
                told(audio, arrived.command.tempo)
                offers += 1
        if early is None and capture.seconds > 400:
            early = process.memory_info().rss
        time.sleep(0.05)
    audio.close()
    assert early is not None
    assert process.memory_info().rss - early < 4 * 2**20
    assert offers < 200


# The show


class Sounding(Audio):
    """A source that hears what the test says, tick by tick."""

    def __init__(self, script: list[tuple[float, ...]]) -> None:
        self._script = script

    def poll(self, now: float) -> list[Arrived]:
        return [Arrived(Hear(self._script.pop(0)), "audio", now)] if self._script else []

    def tell(self, *_: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def summary(self) -> dict[str, Any]:
        return {"device": "rig"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


LOUD = (0.9, 0.5, 0.25, 0.7, 1.0, 0.4)


def test_what_is_heard_goes_to_the_engine_and_into_the_hud_and_to_those_who_asked(
    run: Run,
) -> None:
    run.params = Params(steps=1, guidance=1, hud=True)
    run.sources.append(Sounding([LOUD]))
    run.play(0.5)
    assert run.supply.host.bands == LOUD
    hud = run.screen.huds[-1]
    assert hud is not None
    assert f"sound low\t{'|' * round(0.9 * METER)}" in hud
    assert f"sound onset\t{'|' * METER}" in hud


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("what", ["opening", "closing"])
def test_a_sound_system_that_hangs_does_not_hold_up_the_show(
    run: Run, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A server that is there and does not answer: whatever waits for it, no tick does."""
    monkeypatch.setattr("lwlive.stage.sources.audio.source.WAIT_S", 0.05)
    hangs, goes = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        assert goes.wait(60)

    class Hanging(FakeSystem):
        def __call__(self, wanted: str, put: Put) -> FakeDevice:
            if what == "opening":
                hang()
            device = super().__call__(wanted, put)
            if what == "closing":
                monkeypatch.setattr(device, "close", hang)
                device.pull()
            return device

    class Waiting(Source):
        """Lets a tick pass once the sound system hangs, and no sooner."""

        name = "waiting"

        def poll(self, now: float) -> list[Arrived]:  # noqa: ARG002
            assert hangs.wait(60)
            return []

    audio = Audio("rig", list[str]().append, capture=Capture("rig", opener=Hanging()))
    run.sources += [audio, Waiting()]
    try:
        run.play(1.0)
        assert audio._thread.is_alive()  # it hangs still, and the show is over
        assert run.supply.ticks >= 30
    finally:
        goes.set()
        audio._thread.join(60)


def test_a_show_without_sound_has_no_meter(run: Run) -> None:
    run.params = Params(steps=1, guidance=1, hud=True)
    run.play(0.2)
    assert not [line for line in run.screen.huds[-1] or () if line.startswith("sound")]


def test_a_new_engine_hears_what_the_last_one_heard() -> None:
    engines = FakeEngines(lambda _n: lambda phase: flat(phase))
    context = multiprocessing.get_context("spawn")
    snapshot = Snapshot(0, Params(steps=1, guidance=1))
    with Supply(engines, lambda: Ring.create(context, 16, 8, 8), 30.0, snapshot, 0.0) as supply:
        supply.host.bands = LOUD
        assert Ring.attach(engines.last.handle).bands == LOUD
        engines.last.make(1)
        supply.tick(0.1)
        engines.last.die()
        for n in range(3):
            supply.tick(0.2 + n / 30)
        assert len(engines.all) == 2
        assert Ring.attach(engines.last.handle).bands == LOUD


def test_the_ring_has_room_for_every_band() -> None:
    assert ring.BANDS == len(BANDS) == len(SILENCE)


# On the command line


def test_a_bar_grows_with_its_value_and_never_beyond_its_width() -> None:
    for kind in ("block", "plain"):
        drawn = [bar(value, kind) for value in np.linspace(0, 1, 400)]
        assert drawn[0] == ""
        assert len(drawn[-1]) == WIDE
        assert [len(one) for one in drawn] == sorted(len(one) for one in drawn)
    assert len({bar(value) for value in np.linspace(0, 1, 400)}) > 300


def test_what_is_missing_or_misspelt_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lwlive.cli.audio.inputs", lambda: KNOWN)
    assert main(["audio", "mic"]) == 1
    assert "there is no audio input 'mic'; there are Monitor of rig" in capsys.readouterr().err
    assert main(["audio"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"  {one.name}" for one in KNOWN]
    monkeypatch.setattr(devices, "find_spec", lambda _name: None)
    with pytest.raises(AudioError, match=r"sound needs miniaudio, which is not installed: `.*pip"):
        Audio("default", list[str]().append)


@pytest.mark.parametrize(
    ("args", "device"),
    [
        (["--audio-in"], "default"),
        (["--audio-in", "rig"], "rig"),
        (["--audio-in", "--headless"], "default"),
        (["--headless"], None),
    ],
)
def test_the_flag_takes_a_device_or_stands_alone(args: list[str], device: str | None) -> None:
    config, _ = arguments.parse(args, arguments.PROGRAM, "about")
    assert config.audio_in == device
