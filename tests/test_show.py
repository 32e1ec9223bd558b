"""The show on simulated time: ticks, controls, master, recording, figures. No window, no thread
but those that close recordings."""

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import (
    SPAWN,
    FakeEngines,
    FakeOsc,
    FakeRecorder,
    FakeScreen,
    FakeSupply,
    SimulatedClock,
    flat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lwlive import preset
from lwlive.checkpoint import Size
from lwlive.commands import (
    Command,
    Fire,
    Go,
    Move,
    Nudge,
    Recall,
    Set,
    Toggle,
)
from lwlive.config import Config
from lwlive.controls import Controls
from lwlive.messages import Loaded, Running
from lwlive.params import SAMPLED, SPECS, TRIGGERS, Params
from lwlive.ring import Frame, Ring
from lwlive.snapshot import Snapshot
from lwlive.stage import recalls
from lwlive.stage.clock import WallClock
from lwlive.stage.desk import Desk
from lwlive.stage.disk import Disk
from lwlive.stage.engine import LOADING_S
from lwlive.stage.figures import LATENCIES, Figures
from lwlive.stage.host import PAUSES_S, EngineFailure
from lwlive.stage.length import MOST_DEATHS
from lwlive.stage.master import Master, dimmed
from lwlive.stage.notices import WAITING, Notices
from lwlive.stage.outputs import takes
from lwlive.stage.outputs.outbox import Outbox, Pictures
from lwlive.stage.outputs.takes import AGAIN_S
from lwlive.stage.parts import Arrived, Output, Picture, Source
from lwlive.stage.rig import rigged
from lwlive.stage.show import Show
from lwlive.stage.sources.keys import ADDRESS, FULLSCREEN, KEYS, LEARN, LIST, QUIT
from lwlive.stage.status import Status, write_statistics
from lwlive.stage.supply import Shown, Supply
from lwlive.stage.watchdog import SOCKET, START_S

PERIOD = 1 / 30


class Run:
    """A show of simulated parts: window, supply, OSC and recorder; `play` runs it to its end."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = SimulatedClock()
        self.screen, self.supply, self.osc = FakeScreen(self.clock), FakeSupply(), FakeOsc()
        self.params = Params(steps=4, guidance=1)
        self.folder = tmp_path
        self.sources: list[Source] = []
        self.outputs: list[Output] = []
        self.start: Callable[[Callable[[], None]], None] = lambda job: job()  # of the disk's jobs

        class Recorder(FakeRecorder):
            made: list[FakeRecorder] = []  # noqa: RUF012 - the one list of this run

        self.Recorder = Recorder
        monkeypatch.setattr(takes, "Recorder", Recorder)

    def play(self, seconds: float | None = None, screen: bool = True, **config: Any) -> Show:
        self.config = Config(duration=seconds, folder=self.folder, **config)
        self.controls = Controls(self.params)
        disk = Disk(lambda text: self.desk.say(text), self.start)
        self.desk = Desk(self.folder, self.controls, disk)
        window = self.screen if screen else None
        osc: Any = self.osc
        sources, outputs = rigged(self.config, Size(8, 8), self.desk, window, osc)
        self.show = Show(
            self.config,
            self.desk,
            self.supply,  # type: ignore[arg-type] # as far as a show looks at it
            Size(8, 8),
            self.clock,
            self.clock.now() - 0.5,
            [*sources, *self.sources],
            [*outputs, *self.outputs],
        )
        self.show.run()
        return self.show

    def key(self, tick: int, command: Command) -> None:
        self.screen.keys.setdefault(tick, []).append(command)

    def message(self, tick: int, **values: object) -> None:
        self.osc.arrives[tick] = [Set(name, value) for name, value in values.items()]

    @property
    def recorders(self) -> list[FakeRecorder]:
        return self.Recorder.made


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


# Time


@pytest.mark.parametrize("fps", [1, 24, 29.97, 30, 59.94, 60, 240])
def test_frame_n_is_shown_at_n_by_fps_and_there_are_as_many_as_the_duration_has(
    run: Run, fps: float
) -> None:
    run.play(10, fps=fps)
    at = np.array(run.screen.shown_at)
    assert len(at) == round(10 * fps)
    assert np.allclose(at, 100 + np.arange(len(at)) / fps, atol=1e-6)


def test_the_duration_counts_from_the_first_picture(run: Run) -> None:
    run.supply.plan.extend([None] * 70)
    run.play(2)
    assert len(run.screen.splashes) == 70
    assert len(run.screen.shown_at) == 60


def test_until_the_first_picture_the_window_says_what_is_loaded(run: Run) -> None:
    run.supply.plan.extend([None] * 3)
    run.play(1, model="some/model")
    assert run.screen.splashes == [["some/model", "loading"]] * 3
    assert run.show.report.figures.window_s == pytest.approx(0.5)
    assert run.show.report.figures.first_picture_s == pytest.approx(0.5 + 3 * PERIOD)


@pytest.mark.parametrize("periods", [1.5, 2.2, 5, 5.5, 60])
def test_a_slow_tick_is_counted_and_the_ones_after_it_are_on_time(run: Run, periods: float) -> None:
    run.screen.costs[20] = periods * PERIOD + 1e-9
    run.play(4)
    skipped = int(periods) - 1
    assert run.show.report.figures.skipped == run.show.report.figures.late == skipped
    assert len(run.screen.shown_at) == 120 - skipped
    late = run.screen.shown_at[21] - 100 - (21 + skipped) * PERIOD
    assert 0 <= late < PERIOD
    assert np.diff(run.screen.shown_at[23:]) == pytest.approx(PERIOD)


def test_ticks_that_are_always_a_little_slow_are_counted_for_what_they_cost(run: Run) -> None:
    run.screen.costs = dict.fromkeys(range(1000), 1.25 * PERIOD)
    run.play(20)
    figures = run.show.report.figures
    assert figures.ticks + figures.skipped == pytest.approx(600, abs=2)
    assert figures.ticks == pytest.approx(600 / 1.25, abs=3)


def test_slow_ticks_before_the_first_picture_are_not_late(run: Run) -> None:
    run.supply.plan.extend([None] * 2)

    def splash(*_: object) -> None:
        run.clock.sleep_until(run.clock.now() + 1)

    run.screen.splash = splash  # type: ignore[method-assign,assignment] # one that takes long
    run.play(1)
    assert run.show.report.figures.late == 0


def test_late_frames_are_counted_and_repeats_without_an_engine_are_not(run: Run) -> None:
    run.supply.plan.extend(["new", "late", "late", "new", "repeat", "repeat", "late"])
    run.play(1)
    assert run.show.report.figures.late == 3
    assert run.show.report.figures.ticks == 30
    assert run.show.report.figures.new == 25


def test_a_signal_ends_the_show_within_a_tick(run: Run) -> None:
    ended = []

    def end() -> None:
        run.desk.end()
        ended.append(run.clock.now())

    run.osc.happens[50] = end
    run.play(record=run.folder / "a.mp4")
    assert run.clock.now() - ended[0] <= PERIOD
    assert run.recorders[0].closed


@pytest.mark.parametrize("how", ["key", "end"])
def test_esc_ends_the_show(run: Run, how: str) -> None:
    if how == "key":
        run.key(10, Fire("quit"))
    else:
        run.osc.happens[10] = lambda: run.desk.end()
    run.play()
    assert len(run.screen.shown_at) == 11


def test_a_duration_ends_a_show_whose_engines_die_before_the_first_picture(run: Run) -> None:
    run.supply.plan.extend([None] * 1000)
    run.supply.host.trouble = "engine lost (ended by SIGSEGV), 3 times in a row"
    run.osc.happens[20] = lambda: setattr(run.supply.host, "deaths", 3)
    with pytest.raises(EngineFailure, match=r"no picture in 4 seconds; engine lost"):
        run.play(4)
    assert run.clock.now() - 99.5 == pytest.approx(4, abs=PERIOD)


def test_a_slow_start_is_waited_for_whatever_the_duration(run: Run) -> None:
    run.supply.plan.extend([None] * 1000)
    run.play(2)
    assert len(run.screen.shown_at) == 60


LOADED = Snapshot(0, Params(steps=4, guidance=1))


class Doomed(Source):
    """Engines that die in the midst of loading, as those do that the system takes memory from."""

    name = "doom"

    def __init__(self, run: Run, loading_s: float, lives: int | None = None) -> None:
        self.engines = FakeEngines(lambda _number: lambda _phase: flat(9))
        self._loading_s, self._lives = loading_s, lives  # lives: the number of the first that plays
        self._since: dict[int, float] = {}
        self.supply = Supply(
            self.engines, lambda: Ring.create(SPAWN, 8, 8, 8), 30, LOADED, run.clock.now()
        )

    def poll(self, now: float) -> Sequence[Arrived]:
        number = len(self.engines.all)
        if now - self._since.setdefault(number, now) >= self._loading_s:
            if self._lives is not None and number >= self._lives:
                if self.supply.host.queued < 4:
                    self.engines.last.make(2)
            else:
                self.engines.last.die(-9)
        return ()


@pytest.mark.parametrize(
    ("loading_s", "kept", "guarded"),
    [(3.0, True, True), (20.0, True, True), (3.0, False, True), (3.0, True, False)],
)
def test_a_show_that_keeps_a_state_gives_up_a_start_whose_engines_all_die_before_a_picture(
    run: Run, loading_s: float, kept: bool, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something starts it again, without what kills them."""
    if guarded:
        monkeypatch.setenv(SOCKET, str(run.folder / "nobody"))
    doom = Doomed(run, loading_s)
    run.supply, run.sources = doom.supply, [doom]  # type: ignore[assignment] # a real one
    began = run.clock.now()
    run.osc.happens[30 * 450] = lambda: run.desk.end()
    state = run.folder / "s.json" if kept else None
    if not (kept and guarded):
        run.play(state=state)
        assert len(doom.engines.all) > 2 * MOST_DEATHS, "somebody is there to read why"
        return
    with pytest.raises(EngineFailure, match=r"no picture.*SIGKILL.*5 times in a row"):
        run.play(state=state)
    assert len(doom.engines.all) == MOST_DEATHS
    assert run.clock.now() - began < 5 * loading_s + 30
    doom.supply.close()


def test_a_start_that_takes_several_engines_is_a_good_one_and_later_ones_may_die_as_often(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SOCKET, str(run.folder / "nobody"))
    doom = Doomed(run, 3.0, lives=5)
    run.supply, run.sources = doom.supply, [doom]  # type: ignore[assignment] # a real one

    def die_on() -> None:
        doom._lives = None

    run.osc.happens[30 * 60] = die_on
    run.osc.happens[30 * 200] = lambda: run.desk.end()
    run.play(state=run.folder / "s.json")
    assert run.show.supply.host.deaths > MOST_DEATHS


def test_engines_that_hang_while_they_load_are_given_up_before_the_show_counts_as_hanging() -> None:
    assert MOST_DEATHS * LOADING_S + sum(PAUSES_S[: MOST_DEATHS - 1]) < START_S


# Controls


def test_every_key_is_understood(run: Run) -> None:
    done = [key for key in KEYS if not {ADDRESS, FULLSCREEN, LIST, QUIT} & {*key.codes.values()}]
    for i, key in enumerate(done):
        for command in key.codes.values():
            run.key(10 * i, command)
    run.play(len(done))
    unknown = [text for text in run.screen.said if "no trigger" in text or "no parameter" in text]
    assert not unknown


@pytest.mark.parametrize("name", ["hold", "blackout", "hud"])
def test_a_switchs_key_turns_it_on_and_off_again(run: Run, name: str) -> None:
    run.key(5, Toggle(name))
    run.play(1)
    assert getattr(run.controls.params, name) is True
    run.key(40, Toggle(name))
    run.key(70, Toggle(name))
    run.screen.tick = 40
    run.params = run.controls.params
    run.play(2)
    assert getattr(run.controls.params, name) is True


@pytest.mark.parametrize(("name", "low", "high"), [("speed", 0, 4), ("guidance", 0, 20)])
def test_arrow_keys_step_a_value_within_its_range(
    run: Run, name: str, low: float, high: float
) -> None:
    before = getattr(run.params, name)
    run.key(1, Nudge(name, 1))
    run.key(2, Nudge(name, -1))
    run.play(0.2)
    assert getattr(run.controls.params, name) == before
    run.screen.keys = {tick: [Nudge(name, -1)] * 3 for tick in range(100)}
    run.screen.tick = 0
    run.play(3)
    assert getattr(run.controls.params, name) == low
    run.screen.keys = {tick: [Nudge(name, 1)] * 3 for tick in range(100)}
    run.screen.tick = 0
    run.play(3)
    assert getattr(run.controls.params, name) == high


def test_a_step_of_what_is_the_models_own_waits_for_the_model(run: Run) -> None:
    run.params = Params()
    run.key(2, Nudge("guidance", 1))
    run.play(1)
    assert run.controls.params.guidance is None
    assert "not loaded yet" in run.screen.said[0]


def test_triggers_reach_the_controls(run: Run) -> None:
    for i, name in enumerate(TRIGGERS):
        run.key(5 + i, Fire(name))
    run.message(2, speed=3)
    run.play(1)
    assert run.controls.snapshot.nexts == 1
    assert run.controls.params.speed == run.params.speed


def test_only_what_the_engine_needs_is_sent_to_it(run: Run) -> None:
    own: dict[str, Any] = {
        "hud": True,
        "brightness": 0.5,
        "blackout": True,
        "fade": 3,
        "record": True,
    }
    own |= {"quantise": 4, "morph": 0.5, "morph_a": "gold", "morph_b": "sea"}
    for tick, (name, value) in enumerate(own.items(), 3):
        run.message(tick, **{name: value})
    run.play(1)
    assert run.supply.host.sent == []
    assert {*own, "bpm"} == set(SPECS) - set(SAMPLED)  # which is sent as a tempo
    for tick, name in enumerate(SAMPLED, 60):
        values = {"prompt": "x", "negative": "y", "hold": True, "seed": 5, "loop": 3, "steps": 2}
        run.message(tick, **{name: values.get(name, 0.7)})
    run.osc.tick = 60
    run.play(1)
    assert len(run.supply.host.sent) == len(SAMPLED)


def test_several_changes_in_one_tick_are_sent_as_one_snapshot(run: Run) -> None:
    run.key(5, Nudge("speed", 1))
    run.key(5, Fire("next"))
    run.message(5, prompt="rings")
    run.play(1)
    assert len(run.supply.host.sent) == 1
    assert run.supply.host.sent[0] == run.controls.snapshot


def test_the_models_own_values_are_adopted_and_sent_once_since_the_engine_waits_for_them(
    run: Run,
) -> None:
    run.params = Params()
    run.supply.host.loaded = Loaded("ember", {"steps": 4, "guidance": 1.0})
    run.play(1)
    assert (run.controls.params.steps, run.controls.params.guidance) == (4, 1.0)
    assert run.supply.host.sent == [run.controls.snapshot]


def test_latency_is_from_the_arrival_of_a_control_to_the_first_frame_made_with_it(run: Run) -> None:
    run.supply = FakeSupply(lag=6)
    run.osc.waited_s = 0.025
    run.message(30, speed=1)
    run.play(3)
    assert run.show.report.figures.latencies_ms == pytest.approx(
        [7000 / 30 + 25]
    )  # it came after a tick


def test_latency_is_counted_for_what_the_engine_needs_alone(run: Run) -> None:
    run.supply = FakeSupply(lag=6)
    run.message(30, speed=1)
    run.message(60, hud=True)  # no picture is made with it
    run.key(90, Fire("next"))
    run.play(5)
    assert run.show.report.figures.latencies_ms == pytest.approx([7000 / 30] * 2)
    assert run.show.statistics()["latency_ms"] == {"p50": 233.3, "p95": 233.3, "n": 2}


def test_every_parameter_is_told_to_those_who_subscribed(run: Run) -> None:
    run.play(1)
    assert set(SPECS) <= set(run.osc.told[0])


def test_an_engine_that_died_and_came_back_between_two_bursts_of_status_is_told(run: Run) -> None:
    run.osc.happens[20] = lambda: setattr(run.supply.host, "deaths", 1)
    run.play(1)
    assert run.osc.told[0]["deaths"] == 1


def test_what_the_engine_has_to_say_is_on_screen_for_a_while(run: Run) -> None:
    run.supply.host.notes.append("engine lost (ended by SIGKILL); starting again")
    run.play(10)
    said = [bool(notice) for notice in run.screen.notices]
    assert sum(said) == pytest.approx(150, abs=1)
    assert said[0]


# The HUD, the master


def test_the_hud_has_every_live_value_and_is_there_only_when_asked_for(run: Run) -> None:
    run.message(10, hud=True)
    run.play(1)
    assert run.screen.huds[:10] == [None] * 10
    text = "\n".join(run.screen.huds[20] or [])
    for word in (*SPECS, "frames/s", "late", "latency", "ring", "engine"):
        assert word in text


@pytest.mark.parametrize("fade", [0, 0.5, 3])
def test_a_blackout_closes_and_opens_over_its_fade_and_never_turns_back(
    run: Run, fade: float
) -> None:
    run.params = Params(fade=fade, steps=4, guidance=1)
    run.key(30, Toggle("blackout"))
    run.key(180, Toggle("blackout"))
    run.play(12)
    levels = np.array(run.screen.levels)
    assert (levels[:30] == 1).all()
    assert (np.diff(levels[30:180]) <= 0).all()
    assert (np.diff(levels[180:]) >= 0).all()
    assert int((levels[30:180] > 0).sum()) == pytest.approx(max(0, fade * 30 - 1), abs=1)
    assert int((levels[180:] < 1).sum()) == pytest.approx(max(0, fade * 30 - 1), abs=1)
    assert levels[-1] == 1


def test_brightness_glides_and_a_show_can_start_black() -> None:
    master, darker = Master(Snapshot(0, Params())), Snapshot(1, Params(brightness=0.2))
    levels = [master.step(darker, PERIOD) for _ in range(20)]
    assert levels == sorted(levels, reverse=True)
    assert max(-np.diff([1, *levels])) <= PERIOD / 0.25 + 1e-9
    assert levels[-1] == pytest.approx(0.2)
    black = Snapshot(0, Params(blackout=True))
    assert Master(black).step(black, PERIOD) == 0


def test_dimming_is_black_at_nought_the_same_at_one_and_even_between() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert not dimmed(ramp, 0).any()
    assert dimmed(ramp, 1) is ramp
    before = dimmed(ramp, 0)
    for level in np.linspace(0, 1, 50):
        now = dimmed(ramp, float(level))
        assert (now >= before).all()
        assert np.abs(now - ramp * level).max() <= 1.5
        before = now


# Recording


def test_a_recording_has_what_was_shown_and_nothing_else(run: Run) -> None:
    run.params = Params(hud=True, steps=4, guidance=1)
    run.play(2, record=run.folder / "a.mp4")
    (recorder,) = run.recorders
    assert recorder.path == run.folder / "a.mp4"
    assert (recorder.fps, recorder.size) == (30, (8, 8))
    assert recorder.numbers == list(range(60))
    assert all((pixels == 200).all() for pixels in recorder.pictures)  # no HUD in them
    assert recorder.closed


def test_brightness_and_blackout_are_recorded(run: Run) -> None:
    run.params = Params(brightness=0.5, steps=4, guidance=1)
    run.message(30, blackout=True)
    run.play(2, record=run.folder / "a.mp4")
    (recorder,) = run.recorders
    assert (recorder.pictures[10] == 100).all()
    assert (recorder.pictures[-1] == 0).all()


def test_a_skipped_tick_leaves_its_time_in_the_recording(run: Run) -> None:
    run.screen.costs[10] = 4 * PERIOD + 1e-9
    run.play(1, record=run.folder / "a.mp4")
    assert run.recorders[0].numbers == [*range(11), *range(14, 30)]


@pytest.mark.parametrize("on", [False, True])
def test_a_record_button_that_flickers_opens_one_file_and_ends_as_it_comes_to_rest(
    run: Run, on: bool
) -> None:
    for tick in range(10, 100):
        run.message(tick, record=(tick % 2 == 0))
    run.message(100, record=on)
    run.play(6)
    (recorder,) = run.recorders
    assert recorder.frames == pytest.approx(170 if on else 99, abs=2)


@pytest.mark.parametrize("way", ["key", "osc"])
def test_recording_is_turned_on_and_off_in_mid_show(run: Run, way: str) -> None:
    for tick, on in ((10, True), (20, False), (40, True)):
        if way == "key":
            run.key(tick, Toggle("record"))
        else:
            run.message(tick, record=on)
    run.play(6)
    first, second = run.recorders
    assert (first.frames, second.frames) == (10, 140)
    assert first.closed
    assert second.closed
    assert first.path.parent == run.folder
    assert [text.split(":")[0] for text in run.screen.said][:2] == ["recording", "recorded"]
    assert run.show.statistics()["recording"] == {
        "file": str(second.path),
        "frames": 140,
        "dropped": 0,
        "failed": None,
    }


def test_only_the_first_recording_goes_into_the_file_given(run: Run) -> None:
    run.key(10, Toggle("record"))
    run.key(20, Toggle("record"))
    run.play(1, record=run.folder / "a.mp4")
    assert [recorder.path == run.folder / "a.mp4" for recorder in run.recorders] == [True, False]


def test_a_recording_that_cannot_start_is_said_and_the_next_one_goes_elsewhere(run: Run) -> None:
    run.Recorder.refuses = "cannot record to nowhere/a.mp4: there is no folder nowhere"
    run.osc.happens[20] = lambda: setattr(run.Recorder, "refuses", None)
    run.key(30, Toggle("record"))
    run.key(60, Toggle("record"))
    run.play(3, record=Path("nowhere/a.mp4"))
    assert len(run.screen.shown_at) == 90
    assert "there is no folder nowhere" in run.screen.said[0]
    (recorder,) = run.recorders
    assert recorder.path.parent == run.folder
    assert recorder.frames == 30


def test_a_recording_that_fails_is_said_and_the_show_goes_on(run: Run) -> None:
    run.osc.happens[20] = lambda: setattr(run.recorders[0], "failed", "the disk is full")
    run.play(2, record=run.folder / "a.mp4")
    assert len(run.screen.shown_at) == 60
    assert "the disk is full" in run.screen.said
    assert run.show.statistics()["recording"]["failed"] == "the disk is full"


def test_a_show_that_is_recorded_whole_is_recorded_on_when_there_is_room(run: Run) -> None:
    run.osc.happens[20] = lambda: setattr(run.recorders[0], "failed", "the disk is full")
    run.osc.happens[21] = lambda: setattr(run.Recorder, "refuses", "the disk is full, still")
    run.osc.happens[380] = lambda: setattr(run.Recorder, "refuses", None)
    run.play(20, record=run.folder / "a.mp4")
    first, second = run.recorders
    assert (first.path, second.path) == (run.folder / "a.mp4", run.folder / "a.mp4")
    assert (first.fresh, second.fresh) == (False, True), "another name where that is taken"
    assert 600 - 380 - 30 * AGAIN_S <= second.frames <= 600 - 380
    told = [text for text in run.screen.said if "disk" in text or "recording" in text]
    assert told == [
        f"recording: {first.path}",
        "the disk is full",
        f"recording again: {second.path}",
    ]
    assert run.controls.params.record is True


def test_a_recording_that_was_begun_by_hand_and_fails_is_switched_off(run: Run) -> None:
    run.key(5, Toggle("record"))
    run.osc.happens[20] = lambda: setattr(run.recorders[0], "failed", "the disk is full")
    run.play(8)
    assert len(run.recorders) == 1
    assert run.controls.params.record is False


def test_a_folder_that_is_gone_does_not_end_the_show(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> Path:
        raise OSError(5, "Input/output error", "/media/stick")

    monkeypatch.setattr(recalls, "claimed", gone)
    monkeypatch.setattr(preset, "named", gone)
    run.key(5, Fire("save"))
    run.osc.arrives[30] = [Recall("some")]
    run.play(2)
    assert len(run.screen.shown_at) == 60
    assert run.screen.said
    assert all("/media/stick" in text for text in run.screen.said)
    assert len(run.osc.refusals) == 1


def test_a_slow_disk_that_closes_a_recording_does_not_hold_up_the_show(run: Run) -> None:
    gate = threading.Event()

    def slow(recorder: FakeRecorder) -> None:
        recorder.closed = gate.wait(20)

    run.Recorder.close = slow  # type: ignore[method-assign,assignment] # of this run
    run.key(10, Toggle("record"))
    run.key(20, Toggle("record"))
    run.osc.happens[50] = lambda: gate.set()
    run.play(2)
    assert run.recorders[0].closed
    assert len(run.screen.shown_at) == 60


def test_a_recording_on_a_disk_that_hangs_is_told_of_once_and_keeps_what_was_shown(
    run: Run,
) -> None:
    run.Recorder.opened = False
    run.osc.happens[150] = lambda: setattr(run.Recorder, "opened", True)
    run.key(10, Toggle("record"))
    run.play(8)
    (recorder,) = run.recorders
    assert recorder.fresh
    assert recorder.numbers == list(range(10, 240))
    told = [text for text in run.screen.said if "does not answer" in text]
    assert len(told) == 1
    assert str(recorder.path) in told[0]


def test_a_recording_that_fails_as_it_is_closed_is_said(run: Run) -> None:
    def fail(recorder: FakeRecorder) -> None:
        recorder.failed = "did not finish"

    run.Recorder.close = fail  # type: ignore[method-assign,assignment] # of this run
    run.key(10, Toggle("record"))
    run.key(40, Toggle("record"))
    run.play(8)
    assert "did not finish" in run.screen.said
    assert run.controls.params.record is False


# Presets


def test_digits_bend_to_the_presets_in_their_order(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, speed in (("a", 1), ("b", 2)):
        (run.folder / f"{name}.toml").write_text(f"speed = {speed}\n")
    files = sorted(run.folder.glob("*.toml"))
    monkeypatch.setattr(preset, "bundled", lambda: files)
    run.key(5, Recall(2))
    run.play(1)
    assert run.controls.params.speed == 2
    assert run.screen.said == ["preset: b"]
    run.key(5, Recall(1))
    run.key(8, Recall(9))
    run.screen.tick = 0
    run.play(3)
    assert run.controls.params.speed == 1
    assert "there is no preset 9" in run.screen.said[-1]


def test_a_wrong_preset_is_said_and_changes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = run.folder / "wrong.toml"
    wrong.write_text("prompt = 'x'\nspeed = 9\n")
    monkeypatch.setattr(preset, "bundled", lambda: [wrong])
    run.key(5, Recall(1))
    run.play(1)
    assert run.controls.params == run.params
    assert run.supply.host.sent == []
    assert "wrong.toml" in run.screen.said[0]
    assert "speed takes a number from 0 to 4" in run.screen.said[0]


def test_a_preset_saved_in_the_show_loads_back_the_same(run: Run) -> None:
    run.message(3, prompt="gold rings | \N{SNOWMAN} :0.5", speed=1.25, brightness=0.3)
    run.key(5, Fire("save"))
    run.play(1)
    (path,) = run.folder.glob("*.toml")
    assert str(path) in run.screen.said[0]
    loaded = Controls(run.params)
    loaded.load(preset.load(path))
    assert loaded.params == replace(run.controls.params, brightness=1)  # the room's


def test_a_disk_that_hangs_holds_up_nothing_and_is_said_once(run: Run) -> None:
    stuck: list[Callable[[], None]] = []
    run.start = stuck.append
    run.osc.arrives = {n: [Recall("dusk")] for n in range(30, 300, 10)}
    run.key(40, Fire("save"))
    run.play(15)
    assert len(run.screen.shown_at) == 450
    assert np.diff(run.screen.shown_at) == pytest.approx(PERIOD)
    assert len(stuck) == 8
    told = [text for text in run.screen.said if "has not answered" in text]
    assert len(told) > 1
    assert len(set(told)) == 2  # one sentence about recalling, one about saving
    assert len(run.osc.refusals) == 27 - 7
    assert "the disk does not answer" in run.osc.refusals[0]


def test_of_several_recalls_the_newest_is_taken_up_whichever_the_disk_finishes_last(
    run: Run,
) -> None:
    waiting: list[Callable[[], None]] = []
    run.start = waiting.append
    for name, speed in (("a", 1), ("b", 2)):
        (run.folder / f"{name}.toml").write_text(f"speed = {speed}\n")
    run.osc.arrives = {5: [Recall("a")], 6: [Recall("b")]}
    run.osc.happens = {8: lambda: waiting[1](), 12: lambda: waiting[0]()}
    run.play(1)
    assert run.controls.params.speed == 2
    assert run.screen.said == ["preset: b"]


def test_a_preset_with_seconds_takes_as_long(run: Run) -> None:
    (run.folder / "a.toml").write_text("speed = 1\ntransition = 9\n")
    run.osc.arrives[5] = [Recall("a", 2.5)]
    run.osc.waited_s = 0.5
    run.play(1)
    assert (run.controls.params.speed, run.controls.params.transition) == (1, 9)
    assert run.controls.snapshot.transition == 9  # of a prompt that a hand sets next
    assert run.controls.snapshot.over == {"speed": 2.5, "transition": 2.5}
    assert run.show.report.figures.latencies_ms[0] > 500  # it counts from when it was asked for


def test_several_sentences_are_all_seen_one_after_the_other(run: Run) -> None:
    def say() -> None:
        for n in range(4):
            run.desk.say(f"sentence {n}")

    run.osc.happens[5] = say
    run.play(12)
    assert run.screen.said == [f"sentence {n}" for n in range(4)]
    up = {text: run.screen.notices.count(text) * PERIOD for text in run.screen.said}
    assert list(up.values()) == pytest.approx([1.5, 1.5, 1.5, 5.0], abs=2 * PERIOD)


def test_a_flood_of_sentences_is_bounded() -> None:
    notices = Notices()
    for n in range(1000):
        notices.say(f"sentence {n}")
        notices.say(f"sentence {n}")
    seen = {notices.current(t / 10) for t in range(1000)}
    assert len(seen) == WAITING + 1  # and nothing
    assert "sentence 999" in seen


# Sources and outputs


class Wheel(Source):
    """A toy source: a wheel that nudges a value on every third tick, and listens."""

    name = "wheel"

    def __init__(self) -> None:
        self.ticks = 0
        self.turned = False
        self.whys: list[str] = []
        self.heard: list[tuple[float, dict[str, str]]] = []
        self.closed = 0

    def poll(self, now: float) -> list[Arrived]:
        if not self.turned:
            return []
        self.turned = False
        command = Nudge("speed", 1) if self.ticks < 30 else Set("speed", 99)
        return [Arrived(command, self.name, now - 0.01)]

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:
        assert status.now == now
        self.ticks += 1
        self.turned = self.ticks % 3 == 0
        if changes:
            self.heard.append((status.params.speed, dict(changes)))

    def refused(self, arrived: Arrived, why: str) -> None:
        assert arrived.by == self.name
        self.whys.append(why)

    def summary(self) -> dict[str, int]:
        return {"ticks": self.ticks}

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("continues", [True, False])
def test_a_show_that_starts_again_shows_a_picture_before_its_sources_start(
    run: Run, continues: bool
) -> None:
    """Their processes and libraries would take the cores for which its window waits."""
    shown: list[int] = []  # pictures on the screen at each poll

    class Starting(Wheel):
        def poll(self, now: float) -> list[Arrived]:
            shown.append(len(run.screen.shown_at))
            return super().poll(now)

    run.sources.append(Starting())
    run.supply.continues = continues
    run.play(1)
    assert shown[0] == int(continues)
    assert len(run.screen.shown_at) == 30
    assert shown[-1] >= 28


class Projector(Output):
    """A toy output with a thread of its own, which takes pictures as slowly as it likes."""

    name = "projector"

    def __init__(self, size: Size, fps: float, go: threading.Event) -> None:
        self.seen: list[tuple[int, int]] = []  # number and brightness
        self.failure: Exception | None = None
        self._go = go
        self._outbox = Outbox("projector", self._work, self._failed, size, fps)
        self._outbox.start()

    @property
    def dropped(self) -> int:
        return self._outbox.dropped

    def put(self, picture: Picture) -> None:
        self._outbox.put(picture.pixels, picture.tick)

    def close(self) -> None:
        self._go.set()
        assert self._outbox.close(60, 60)

    def _work(self, pictures: Pictures) -> None:
        assert self._go.wait(60)
        for pixels, number in pictures:
            self.seen.append((number, int(pixels[0, 0, 0])))

    def _failed(self, error: Exception) -> None:
        self.failure = error


def test_a_new_source_steers_the_show_and_hears_how_it_stands(run: Run) -> None:
    wheel = Wheel()
    run.sources = [wheel]
    run.play(2)
    assert run.controls.params.speed == pytest.approx(0.25 + 9 * 0.05)
    assert wheel.heard[0][0] == pytest.approx(0.3)
    assert {str(changes) for _, changes in wheel.heard} == {"{'speed': ''}"}
    assert len(wheel.heard) == 9
    assert len(wheel.whys) == 10
    assert "speed takes a number from 0 to 4" in wheel.whys[0]
    assert run.show.statistics()["wheel"] == {"ticks": 60}
    assert len(run.show.report.figures.latencies_ms) == 9
    assert min(run.show.report.figures.latencies_ms) >= 10
    assert wheel.closed == 1


def test_a_new_output_gets_every_picture_as_it_is_shown_and_holds_up_nothing(run: Run) -> None:
    go = threading.Event()
    projector = Projector(Size(8, 8), 30, go)
    run.outputs = [projector]
    run.params = Params(brightness=0.5, steps=4, guidance=1)
    run.osc.happens[40] = go.set
    run.play(1.4, record=run.folder / "a.mp4")
    assert np.diff(run.screen.shown_at) == pytest.approx(PERIOD)
    assert projector.seen == [(n, 100) for n in range(42)]
    assert (run.recorders[0].pictures[7] == 100).all()
    assert projector.dropped == 0


def test_an_output_that_is_too_slow_loses_pictures_and_counts_them(run: Run) -> None:
    go = threading.Event()
    projector = Projector(Size(8, 8), 30, go)
    run.outputs = [projector]
    run.play(20)
    assert len(run.screen.shown_at) == 600
    numbers = [number for number, _ in projector.seen]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 45  # as many as may wait
    assert projector.dropped == 600 - len(numbers)


def test_an_output_that_fails_ends_alone(run: Run) -> None:
    go = threading.Event()
    projector = Projector(Size(8, 8), 30, go)
    broken = ValueError("the cable is out")

    def fail(_: Pictures) -> None:
        raise broken

    projector._outbox = Outbox("broken", fail, projector._failed, Size(8, 8), 30)
    projector._outbox.start()
    run.outputs = [projector]
    run.play(2)
    assert projector.failure is broken
    assert len(run.screen.shown_at) == 60


ANY = st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=4))
NAMED = st.sampled_from([*SPECS, *TRIGGERS, "save", "what", ""])
COMMANDS = st.one_of(
    st.builds(Set, NAMED, ANY),
    st.builds(Set, st.sampled_from(["speed", "pace"]), st.floats(0, 1)),
    st.builds(Move, NAMED, st.floats()),
    st.builds(Nudge, NAMED, st.floats()),
    st.builds(Toggle, NAMED),
    st.builds(Fire, NAMED),
    st.builds(Recall, st.one_of(st.text(max_size=4), st.integers(-3, 12)), st.none() | st.floats()),
    st.builds(Go, st.one_of(st.text(max_size=4), st.integers(-3, 12))),
)


@given(st.lists(st.lists(COMMANDS, max_size=3), max_size=15))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_sequence_of_commands_ends_the_show_or_leaves_a_value_invalid(
    tmp_path: Path, asked: list[list[Command]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        run = Run(tmp_path, patch)
        run.params = Params(steps=4, guidance=1.0)
        run.osc.arrives = dict(enumerate(asked))
        run.play(1)
    assert run.show.report.figures.ticks == 30
    for name, spec in SPECS.items():
        value = getattr(run.controls.params, name)
        assert repr(spec.checked(value)) == repr(value)
    versions = [snapshot.version for snapshot in run.supply.host.sent]
    assert versions == sorted(set(versions))


# Figures

KEYS_OF_STATISTICS = {
    *("version", "model", "device", "dtype", "size", "batch", "compiled", "fps_target"),
    *("fps_shown", "fps_sampled", "frames_shown", "frames_late", "inbetween_ratio", "latency_ms"),
    *("first_picture_s", "osc", "recording", "engine", "window_s", "rss_mb_start", "rss_mb_end"),
}


@pytest.mark.parametrize("seconds", [0.02, 3.0])
def test_the_statistics_have_every_figure_and_are_json(run: Run, seconds: float) -> None:
    run.supply.host.running = Running("cpu", "bfloat16", 4, True, 9.0, 2.0, 1, 0.04)
    run.supply.host.loaded = Loaded("ember", {})
    run.play(seconds, record=run.folder / "a.mp4")
    path = run.folder / "s.json"
    write_statistics(path, run.show.statistics())
    found = json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)
    assert found.keys() >= KEYS_OF_STATISTICS
    assert found["osc"].keys() >= {"received", "applied", "refused"}
    assert found["recording"].keys() >= {"file", "frames", "dropped"}
    assert found["engine"] == {"starts": 1, "deaths": 0}
    assert found["latency_ms"].keys() == {"p50", "p95", "n"}
    assert found["frames_shown"] == max(1, round(30 * seconds))
    assert found["fps_shown"] == pytest.approx(30, abs=0.01)
    assert (found["model"], found["device"], found["compiled"]) == ("ember", "cpu", True)
    assert (found["rss_mb_start"] is not None) == (seconds > 1)


def test_a_show_without_a_picture_has_statistics_too(run: Run) -> None:
    run.supply.plan.extend([None] * 1000)
    run.key(20, Fire("quit"))
    show = run.play()
    found = json.loads(json.dumps(show.statistics(), allow_nan=False))
    assert found.keys() >= KEYS_OF_STATISTICS
    assert found["frames_shown"] == found["fps_shown"] == 0
    assert found["first_picture_s"] is None


def test_closing_a_recording_does_not_count_into_the_frame_rate(run: Run) -> None:
    def slow(_: FakeRecorder) -> None:
        run.clock.time += 1.8

    run.Recorder.close = slow  # type: ignore[method-assign,assignment] # of this run
    run.play(2, record=run.folder / "a.mp4")
    assert run.show.statistics()["fps_shown"] == pytest.approx(30, abs=0.01)


def test_the_rates_are_those_of_the_last_second() -> None:
    figures = Figures(30)
    for n in range(300):
        frame = None if n % 3 else Frame(flat(0), n, 0, n / 30, True)
        figures.showed(Shown(flat(0), frame, late=False), n * PERIOD, n * PERIOD)
    assert figures.fps_shown == 30
    assert figures.fps_sampled == 10


@pytest.mark.slow
def test_minutes_of_storm_leave_no_more_memory_behind_than_half_a_minute(run: Run) -> None:
    """A control with each frame, an engine that never answers, and a recording started and ended
    every second; hours are played in test_long.py."""
    run.screen.keep = False
    run.supply = FakeSupply(lag=4_000)
    kept: list[int] = []

    class Storm(FakeOsc):
        def poll(self, now: float) -> list[Arrived]:
            self.tick += 1
            commands: list[Command] = [Set("seed", self.tick)]
            if self.tick % 10 == 0:
                commands.append(Toggle("record"))
                run.recorders.clear()
            run.supply.host.sent.clear()
            if self.tick in (240, 2_399):
                kept.append(size(run.show) + size(run.desk) + size(run.desk.notices))
            return [Arrived(command, "storm", now) for command in commands]

    run.osc = Storm()
    run.play(240, fps=10)
    assert len(kept) == 2
    assert kept[1] <= kept[0] + 8
    assert run.show.report.figures.latencies_ms.maxlen == LATENCIES


def size(thing: object, seen: set[int] | None = None) -> int:
    """How many objects the show's own counters, lists and queues hold."""
    seen = set() if seen is None else seen
    total = 0
    for value in vars(thing).values():
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Figures | takes.Takes):
            total += size(value, seen)
        elif not isinstance(value, str) and hasattr(value, "__len__"):
            total += len(value)
    return total


def test_the_wall_clock_sleeps_until_it_is_time_and_not_at_all_when_it_is_past() -> None:
    clock = WallClock()
    start = clock.now()
    clock.sleep_until(start + 0.02)
    assert clock.now() >= start + 0.02
    clock.sleep_until(start)
    assert math.isfinite(clock.now())


def test_a_projectors_delay_is_part_of_the_latency(run: Run) -> None:
    run.supply = FakeSupply(lag=6)
    run.message(30, speed=1)
    run.play(3, delay_ms=80.0)
    assert run.show.report.figures.latencies_ms == pytest.approx([7000 / 30 + 80])


def test_learning_is_begun_and_left_with_keys_over_the_picture_and_moves_nothing(run: Run) -> None:
    down = Nudge("guidance", -1)
    keys: dict[int, Command] = {5: LEARN, 8: down, 10: LEARN, 20: LEARN}
    for tick, command in keys.items():
        run.key(tick, command)
    seen: dict[int, str | None] = {}

    def look(tick: int) -> None:
        seen[tick] = run.desk.learning

    for tick in (9, 15, 25):
        run.osc.happens[tick] = partial(look, tick)
    show = run.play(1.0)
    assert seen == {9: None, 15: "guidance", 25: None}
    assert show.desk.controls.params == run.params
    panels = [hud[0] if hud else None for hud in run.screen.huds]
    assert panels[4] is None
    assert str(panels[6]).startswith("learn\t1 of ")
    assert panels[15] == "learn\tguidance"
    assert panels[29] is None
