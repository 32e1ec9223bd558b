"""A performance's journal, and the same performance rendered from it."""

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from simulated import Machine
from test_time import Storm

from lwlive.checkpoint import Size
from lwlive.cli import render
from lwlive.commands import Fire, Offer, Patch, Set, Unpatch
from lwlive.config import Config
from lwlive.engine.eager import Eager
from lwlive.engine.load import load
from lwlive.engine.networks import Kind
from lwlive.params import ControlError, Params
from lwlive.render import performance
from lwlive.render.settings import RenderError
from lwlive.ring import Frame, Pixels, Ring
from lwlive.routes import Band, Lfo, Route
from lwlive.snapshot import Snapshot
from lwlive.stage.master import Master, dimmed
from lwlive.stage.outputs.journal import Journal
from lwlive.stage.supply import Shown
from lwlive.tempo import Tempo

FPS = 30.0
SIZE = Size(64, 64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint."""
    return tiny.folder(tmp_path_factory.mktemp("tiny"))


class Performance:
    """A show with a real model, ring and journal, on simulated time that passes inside the work."""

    def __init__(
        self,
        model: Path,
        file: Path,
        scheduler: str | None = None,
        decoder: str = "full",
        frame_s: float = 0.008,
        **values: Any,
    ) -> None:
        self.file = file
        self.eager = Eager(load(model, SIZE, "cpu", Kind("float32", True)), 2)
        config = Config(
            model=str(model), fps=FPS, journal=file, scheduler=scheduler, decoder=decoder
        )
        self.journal = Journal(file, config, SIZE)
        self.pictures: list[Pixels] = []
        self.engine = 1
        self.show = Machine(
            frame_s, frame_s / 3, fps=FPS, model=self.eager, size=SIZE, **{"speed": 1.5, **values}
        )
        self.controls = self.show.controls
        self.master = Master(self.controls.snapshot)
        self.show.watch = self._watch

    def lose(self) -> None:
        """The engine dies, and a new one starts."""
        self.show.ring.close()
        self.show.ring = Ring.create(multiprocessing.get_context("spawn"), 66, *SIZE)
        self.show.start(self.show.frames[-1].phase, self.show.shown_at[-1])
        self.engine += 1

    def set(self, **values: Any) -> None:
        """A control changes."""
        self.controls.load(values)

    def trigger(self, name: str) -> None:
        """A trigger fires."""
        self.controls.do(Fire(name))

    def play(self, ticks: int) -> None:
        """So many ticks."""
        self.show.play(ticks / FPS)

    def _watch(self, frame: Frame | None) -> None:
        if not self.show.frames:
            return  # the first ticks have no picture
        if frame is not None:
            self.last = frame.pixels.copy()
        controls = self.controls.snapshot
        level = self.master.step(controls, 1 / FPS, self.show.now)
        self.pictures.append(dimmed(self.last, level))
        snapshot = self.show.snapshots[frame.version] if frame is not None else None
        shown = Shown(self.last, frame, frame is None, snapshot)
        n, params = self.show.ticks, self.controls.params
        tick = (n, shown, params, self.engine, "float32", FPS, level, controls.over)
        self.journal.tick(*tick)

    def end(self) -> None:
        """The show is over."""
        self.journal.close()
        self.show.close()


def rendered(performance: Performance, folder: Path, *more: str) -> list[np.ndarray]:
    """The performance's frames, rendered from its journal."""
    words = ["--journal", str(performance.file), "--folder", str(folder), "--name", "again"]
    assert render.main([*words, "--format", "png", "--output", "frames", *more]) == 0
    return [np.asarray(Image.open(path)) for path in sorted((folder / "again").glob("*.png"))]


def perform(model: Path, file: Path, **values: Any) -> Performance:
    """A performance with a bit of everything."""
    show = Performance(model, file, **values)
    show.play(20)
    show.set(prompt="gold rings", transition=0.5)
    show.set(guidance=3.0)
    show.play(15)
    show.trigger("next")
    show.set(blackout=True, fade=0.2)
    show.play(10)
    show.set(seed=7, blackout=False, steps=3)
    show.play(1)
    show.set(negative="smoke", speed=3.0)
    show.play(25)
    cue = {"prompt": "blue waves", "speed": 0.5, "guidance": 1.5, "brightness": 0.3}
    show.controls.load(cue, over=0.8)
    show.play(12)
    show.controls.load({"brightness": 1.0}, over=0.4)
    show.set(speed=2.0)
    show.play(18)
    return show


def gaps(show: Performance, folder: Path) -> list[int]:
    """Of each picture, the largest difference between what was shown and what is rendered."""
    again = rendered(show, folder)
    assert len(again) == len(show.pictures)
    pairs = zip(again, show.pictures, strict=True)
    return [int(np.abs(a.astype(int) - b).max()) for a, b in pairs]


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0.0, 0.5])
def test_the_same_model_gives_the_recorded_frames_themselves(
    model: Path, tmp_path: Path, depth: float
) -> None:
    show = perform(model, tmp_path / "j.jsonl", depth=depth)
    show.end()
    assert max(gaps(show, tmp_path)) <= 2
    assert max(np.abs(p.astype(int) - show.pictures[0]).max() for p in show.pictures) > 20


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "frame_s"), [(1, 0.006), (2, 0.02), (3, 0.05)])
def test_a_storm_on_a_busy_machine_comes_out_as_it_was_shown(
    model: Path, tmp_path: Path, seed: int, frame_s: float
) -> None:
    """Turns are overtaken, taken back and broken off; frames come late; in-betweens are mixed."""
    show = Performance(model, tmp_path / "j.jsonl", frame_s=frame_s)
    rng = np.random.default_rng(seed)
    show.show.slower = lambda _now: float(rng.choice([1.0, 1.0, 1.0, 1.5, 6.0]))
    show.show.hands = Storm(seed)
    show.play(round(8 * FPS))
    show.end()
    assert max(gaps(show, tmp_path)) <= 2
    turns = [change.turn for change in performance.read(show.file).changes.values() if change.turn]
    assert any(turn.free for turn in turns)
    assert any(turn.lone for turn in turns) or frame_s > 0.03  # there no trajectory is made in time
    if frame_s > 0.03:
        assert any(turn.joined for turn in turns)
        assert any(turn.stride > 1 for turn in turns)


@pytest.mark.slow
@pytest.mark.parametrize("frame_s", [0.006, 0.02])
def test_a_storm_with_routes_beats_and_waiting_changes_comes_out_as_it_was_shown(
    model: Path, tmp_path: Path, frame_s: float
) -> None:
    show = Performance(model, tmp_path / "j.jsonl", frame_s=frame_s)
    rng, storm, controls = np.random.default_rng(4), Storm(4, 0.5), show.controls
    controls.do(Offer(Tempo(126.0, 3.0, 0.2, "clock")))
    routed = ["speed", "guidance", "crossfeed", "depth", "seed", "brightness", "steps"]
    for number, name in enumerate(routed, 1):
        shape = ["sine", "stepped", "saw", "smooth"][number % 4]
        controls.do(Patch(Route(name, 0.3, Lfo(shape, 0.5 * number, "beats"), number)))
    controls.do(Patch(Route("damping", 0.5, Band("onset"), 9)))

    def hands(machine: Machine) -> None:
        storm(machine)
        machine.ring.bands = rng.uniform(0, 1, 6).tolist()
        if machine.ticks % 40 == 20:
            due = controls.snapshot.tempo.next(2, machine.now)
            prompt = f"prompt {machine.ticks}"
            controls.do(Set("prompt", prompt), at=machine.now, due=due)
        if machine.ticks == 100:
            controls.do(Set("sync", 2.0), at=machine.now)
            controls.do(Offer(Tempo(133.0, 9.0, machine.now)), at=machine.now)
        if machine.ticks == 170:
            controls.do(Unpatch(6), at=machine.now)

    show.show.hands = hands
    show.play(round(8 * FPS))
    show.end()
    assert max(gaps(show, tmp_path)) <= 2
    changes = performance.read(show.file).changes.values()
    assert any(change.tempo.bpm == 133 for change in changes)
    assert any(change.level is not None for change in changes)
    assert any(turn and any(turn.bands) for turn in (change.turn for change in changes))


@pytest.mark.slow
def test_a_lost_engine_is_in_the_journal(model: Path, tmp_path: Path) -> None:
    show = Performance(model, tmp_path / "j.jsonl")
    show.play(20)
    lost_at = len(show.pictures)
    show.lose()
    show.play(10)
    show.set(seed=3)
    show.play(10)
    show.end()
    assert max(gaps(show, tmp_path)) <= 2
    changes = performance.read(show.file).changes
    begins = [tick for tick, change in changes.items() if change.begin is not None]
    assert begins[0] == 0
    assert lost_at <= begins[1] <= lost_at + 2


@pytest.mark.slow
def test_pictures_that_were_mixed_or_not_paced_come_out_as_they_were(
    model: Path, tmp_path: Path
) -> None:
    show = Performance(model, tmp_path / "j.jsonl", speed=0.5)
    show.play(70)
    show.show.slower = lambda _now: 12.0  # in-betweens from here, and no time to measure a pace
    show.play(80)
    show.set(seed=3)
    show.play(20)
    show.set(guidance=2.0)
    show.play(11)
    show.show.slower = lambda _now: 1.0
    show.play(150)
    show.end()
    between = [not frame.sampled for frame in show.show.frames]
    assert {True, False} == set(between)
    assert between[-10:] == [False] * 10
    assert max(gaps(show, tmp_path)) <= 2
    turns = [change.turn for change in performance.read(show.file).changes.values()]
    assert {True, False} == {turn.paced for turn in turns if turn is not None}


def test_a_performance_is_rendered_with_what_it_was_shown_with(model: Path, tmp_path: Path) -> None:
    show = Performance(model, tmp_path / "j.jsonl", scheduler="euler", decoder="tiny")
    show.play(5)
    show.end()
    words = ["--journal", str(show.file)]
    settings, _ = render.parse(words)
    assert (settings.scheduler, settings.decoder, settings.again) == ("euler", "tiny", True)
    settings, _ = render.parse([*words, "--decoder", "full"])
    assert (settings.scheduler, settings.decoder, settings.again) == ("euler", "full", False)
    settings, _ = render.parse([*words, "--model", "ember"])
    assert (settings.scheduler, settings.decoder, settings.again) == (None, "full", False)


def test_a_performance_of_steps_that_the_model_does_not_have_is_rendered_with_the_nearest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unfit = tiny.folder(tmp_path)
    zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "linspace"}
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = {"_class_name": "DDPMScheduler", "clip_sample": False, **betas, **zero}
    (unfit / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    index = json.loads((unfit / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "DDPMScheduler"]
    (unfit / "model_index.json").write_text(json.dumps(index))
    head = {**HEAD, "config": {"fps": 30, "model": str(unfit)}, "size": [64, 64]}
    first = {**FIRST, "params": {"seed": 1, "steps": 4, "guidance": 1.0}}
    (tmp_path / "j").write_text("".join(json.dumps(line) + "\n" for line in (head, first)))
    words = ["--journal", str(tmp_path / "j"), "--folder", str(tmp_path), "--name", "again"]
    words += ["--format", "png", "--output", "frames"]
    assert render.main(words) == 0, caplog.text
    assert "gives NaN for 4 steps" in caplog.text
    assert "; 1 are used" in caplog.text
    caplog.clear()
    assert render.main([*words, "--overwrite", "--steps", "4"]) != 0
    assert "gives NaN for 4 steps" in caplog.text


@pytest.mark.slow
def test_more_steps_another_size_and_prompt_are_taken_in_its_place(
    model: Path, tmp_path: Path
) -> None:
    show = perform(model, tmp_path / "j.jsonl")
    show.end()
    again = rendered(show, tmp_path, "--steps", "12", "--size", "96x72", "--max-frames", "8")
    assert len(again) == 8
    assert again[0].shape == (72, 96, 3)


@pytest.mark.slow
def test_a_size_that_the_model_cannot_make_gets_a_sentence(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    show = perform(model, tmp_path / "j.jsonl")
    show.end()
    head, *lines = show.file.read_text().splitlines()
    head = json.dumps({**json.loads(head), "size": [64, 68]})
    show.file.write_text("\n".join([head, *lines]) + "\n")
    words = ["--journal", str(show.file), "--folder", str(tmp_path), "--name", "again"]
    assert render.main(words) != 0
    assert "multiples of 8 pixels, not 64x68" in caplog.text
    assert not (tmp_path / "again").exists()


@pytest.mark.slow
def test_a_journal_cut_short_is_good_up_to_its_last_whole_line(model: Path, tmp_path: Path) -> None:
    show = perform(model, tmp_path / "j.jsonl")
    show.end()
    text = show.file.read_bytes()
    whole = performance.read(show.file)
    assert whole.ticks == len(show.pictures)
    for size in range(0, len(text), 37):
        show.file.write_bytes(text[:size])
        if b'"begin"' not in text[:size].rpartition(b"\n")[0]:
            with pytest.raises(RenderError):
                performance.read(show.file)
            continue
        part = performance.read(show.file)
        assert part.ticks <= whole.ticks
        assert part.changes.items() <= whole.changes.items() or part.ticks < whole.ticks


@pytest.mark.parametrize(
    "text",
    ["", "{}\n", "no journal\n", '{"config": {}, "size": [8, 8]}\n{"tick": 0}\n', "[1]\n[2]\n"],
)
def test_what_is_no_journal_gets_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "j").write_text(text)
    with pytest.raises(RenderError, match="j "):
        performance.read(tmp_path / "j")


HEAD = {"config": {"fps": 30}, "size": [8, 8]}
FIRST = {"tick": 0, "at": 0, "begin": 0.0, "nexts": 0, "params": {"seed": 1}}
HOSTILE: list[tuple[str, str]] = [
    (json.dumps({**HEAD, "size": size}), "line 1")
    for size in ([0, 7], [8], [-8, 8], [8, 1e9], ["8", 8], None, [True, 8], [8, 2**40])
]
CONFIGS: list[Any] = [None, [], {"fps": 0}, {"fps": "x"}, {"fps": 1e9}, {"model": 3}, {"lora": "x"}]
HOSTILE += [(json.dumps({**HEAD, "config": config}), "line 1") for config in CONFIGS]
FIRSTS: list[dict[str, Any]] = [
    {"tick": 1e12},
    {"tick": 10**12},
    {"tick": -1},
    {"tick": 0.5},
    {"tick": None},
    {"tick": float("nan")},
    {"begin": float("nan")},
    {"begin": float("inf")},
    {"begin": -1.5},
    {"begin": "0"},
    {"begin": True},
    {"repeat": 10**12},
    {"repeat": -1},
    {"repeat": "1"},
    {"at": -1},
    {"at": 1},
    {"at": 1e300},
    {"at": False},
    {"at": None},
    {"turn": []},
    {"turn": {"nothing": 1}},
    {"turn": {"frames": 0}},
    {"turn": {"frames": 10**12}},
    {"turn": {"frames": "4"}},
    {"turn": {"frames": 4, "stride": 3}},
    {"turn": {"frames": 4, "stride": 2}},
    {"turn": {"frames": 4, "stride": 8}},
    {"turn": {"frames": 4, "joined": 4}},
    {"turn": {"frames": 4, "joined": 2}},
    {"turn": {"frames": 4, "joined": -1}},
    {"turn": {"step_s": float("nan")}},
    {"turn": {"step_s": -1}},
    {"turn": {"step_s": 1e300}},
    {"turn": {"step_s": "1"}},
    {"turn": {"behind": 1}},
    {"turn": {"paced": "yes"}},
    {"turn": {"free": None}},
    {"turn": {"lone": 1}},
    {"turn": {"due": -1}},
    {"turn": {"due": float("nan")}},
    {"turn": {"due": 1e300}},
    {"turn": {"every_s": "1"}},
    {"turn": {"bands": [0, 0]}},
    {"turn": {"bands": [0, 0, 0, 0, 0, 2]}},
    {"turn": {"bands": 1}},
    {"tempo": {"bpm": 0}},
    {"tempo": {"bpm": float("nan")}},
    {"tempo": {"beat": float("inf")}},
    {"tempo": {"beat": "1"}},
    {"tempo": {"by": 3}},
    {"tempo": {"swing": 3}},
    {"tempo": []},
    {"routes": 3},
    {"routes": [3]},
    {"routes": [{"number": 1, "parameter": "prompt"}]},
    {"routes": [{"number": 99, "parameter": "speed"}]},
    {"routes": [{"number": 1, "parameter": "speed", "beats": 0}]},
    {"level": 2},
    {"level": "1"},
    {"nexts": -1},
    {"nexts": "many"},
    {"params": []},
    {"params": {"speed": float("nan")}},
    {"params": {"prompt": None}},
    {"params": {"nothing": 1}},
    {"params": {"x" * 100_000: 1}},
    {"params": {"prompt": 9 * [100_000 * "x"]}},
    {"dtype": "float99"},
    {"dtype": []},
    {"master": {"fade": float("inf")}},
    {"master": None},
    {"over": {"speed": -1}},
    {"over": {"speed": 1e9}},
    {"over": {"speed": float("nan")}},
    {"over": {"nothing": 1}},
    {"over": [1]},
    {"over": None},
]
HOSTILE += [(f"{json.dumps(HEAD)}\n{json.dumps({**FIRST, **line})}", "line 2") for line in FIRSTS]
ELSEWHERE: list[dict[str, Any]] = [  # not on a turn's frame
    {"begin": 0.0, "nexts": 0, "params": {}},
    {"nexts": 0, "params": {}},
    {"turn": {}},
    {"at": 0, "begin": 0.0},
    {"at": 0, "begin": 0.0, "params": {}},
]
HOSTILE += [
    (f"{json.dumps(HEAD)}\n{json.dumps({'tick': 0, **line})}", "line 2") for line in ELSEWHERE
]
HOSTILE += [
    (
        f'{json.dumps(HEAD)}\n{{"tick": 0, "at": 0, "begin": 1e999, "nexts": 0, "params": {{}}}}',
        "line 2",
    ),
    ("[" * 100_000, "line 1"),
    ("9" * 10_000, "line 1"),
    ("x" * 2_000_000, "line 1"),
]


@pytest.mark.parametrize(("text", "where"), HOSTILE)
def test_a_hostile_journal_gets_a_sentence_quickly(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "j").write_text(f"{text}\n")
    started = time.process_time()
    with pytest.raises(RenderError, match=f"j is no journal of lwlive: {where}: ") as caught:
        performance.read(tmp_path / "j")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
    assert time.process_time() - started < 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
KEYS = ["tick", "begin", "at", "turn", "nexts", "params", "repeat", "master", "dtype"]
KEYS += ["tempo", "routes", "level", "over"]


@pytest.mark.slow
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5), max_size=4), st.binary())
def test_any_line_is_taken_or_told(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]], end: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "j"
    whole = [HEAD, FIRST, *({"tick": 0, **line} for line in lines)]
    path.write_bytes("".join(json.dumps(line) + "\n" for line in whole).encode() + end)
    try:
        played = performance.read(path)
    except RenderError as error:
        sentence = str(error)
    else:
        sentence = f"{path} has {played.ticks} pictures"
        assert 1 <= played.ticks <= performance.MOST
    assert str(path) in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("format_of", [1, 2, "3", None, 10**3000])
def test_a_journal_of_another_version_is_told_apart(tmp_path: Path, format_of: object) -> None:
    head = {"lwlive": "0.0.9", "journal": format_of, **HEAD}
    (tmp_path / "j").write_text(f"{json.dumps(head)}\n{json.dumps(FIRST)}\n")
    with pytest.raises(RenderError, match=r"written by another version of lwlive .*0\.0\.9"):
        performance.read(tmp_path / "j")


def test_what_is_no_file_is_no_journal(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RenderError, match=str(path)):
            performance.read(path)


def test_a_journal_holds_only_what_parameters_take(tmp_path: Path) -> None:
    head = {"config": {"fps": 30}, "size": [8, 8]}
    line = {"tick": 0, "at": 0, "begin": 0.0, "nexts": 0, "params": {"speed": 99}}
    (tmp_path / "j").write_text(json.dumps(head) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(RenderError, match="speed takes a number from 0 to 4"):
        performance.read(tmp_path / "j")


@pytest.mark.parametrize("phase", [-1.0, -0.25])
def test_a_journal_may_begin_in_a_bend_towards_a_seed(tmp_path: Path, phase: float) -> None:
    first = json.dumps({**FIRST, "begin": phase})
    (tmp_path / "j").write_text(f"{json.dumps(HEAD)}\n{first}\n")
    assert performance.read(tmp_path / "j").changes[0].begin == phase


def test_a_journal_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="cannot write"):
        Journal(tmp_path / "nowhere" / "j", Config(), SIZE)


@given(
    st.integers(0, 90),
    st.integers(1, 400),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
    st.floats(0, 8),
    st.none() | st.floats(0, 8),
)
@settings(max_examples=200, deadline=None)
def test_a_long_step_of_the_master_ends_where_the_short_ones_do(
    before: int, missed: int, start: float, to: float, black: bool, fade: float, said: float | None
) -> None:
    over = {} if said is None else {"brightness": said}
    first = Snapshot(0, Params(brightness=start))
    then = Snapshot(1, Params(brightness=to, blackout=black, fade=fade), over=over)
    short, long = Master(first), Master(first)
    for _ in range(before + 1):
        assert short.step(then, 1 / FPS) == long.step(then, 1 / FPS)
    for _ in range(missed):
        short.step(then, 1 / FPS)
    long.step(then, missed / FPS)
    assert short.step(then, 1 / FPS) == pytest.approx(long.step(then, 1 / FPS), abs=1e-9)


def test_a_machine_that_slept_for_a_night_costs_the_show_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[float] = []

    def step(self: Master, snapshot: Snapshot, seconds: float) -> float:
        steps.append(seconds)
        return real(self, snapshot, seconds)

    real = Master.step
    monkeypatch.setattr(Master, "step", step)
    journal = Journal(tmp_path / "j.jsonl", Config(), SIZE)
    shown = Shown(np.zeros((*SIZE, 3), np.uint8), None, True, None)
    night = round(8 * 3600 * FPS)
    for n in (0, 1, night):
        journal.tick(n, shown, Params(), 1, None, FPS, 1.0, {})
    journal.close()
    assert steps == pytest.approx([1 / FPS, 1 / FPS, (night - 2) / FPS, 1 / FPS])
