"""A performance's journal, and the same performance rendered from it."""

import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lwlive.engine.loop import Costs
from lwlive.engine.model import Eager, Kind, load
from lwlive.engine.producer import Producer
from lwlive.params import Config, ControlError, Controls, Params
from lwlive.render import command, journal
from lwlive.render.settings import RenderError
from lwlive.ring import Frame, Pixels, Ring
from lwlive.stage.journal import Journal
from lwlive.stage.master import Master, dimmed
from lwlive.stage.supply import Shown

FPS = 30.0
SIZE = (64, 64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint."""
    return tiny.folder(tmp_path_factory.mktemp("tiny"))


class Steady(Costs):
    """Costs that no batch changes."""

    def learned(self, *_: float) -> "Costs":
        return self


class Performance:
    """A show without clocks and processes: a real producer, a real ring, a real journal."""

    def __init__(
        self,
        model: Path,
        file: Path,
        scheduler: str | None = None,
        decoder: str = "full",
        **values: Any,
    ) -> None:
        self.file = file
        self.seen: Callable[[Frame], object] = bool
        self.controls = Controls(Params(speed=1.5, **values))
        self.eager = Eager(load(model, SIZE, "cpu", Kind("float32", True)), 4)
        config = Config(
            model=str(model), fps=FPS, journal=file, scheduler=scheduler, decoder=decoder
        )
        self.journal = Journal(file, config, SIZE, self.controls.snapshot)
        self.time = 0.0
        self.pictures: list[Pixels] = []
        self.n = 5  # the first ticks had no picture
        self.engine = 0
        self.phase = 0.0
        self.master = Master(self.controls.params)
        self.start()

    def start(self) -> None:
        """A new engine, going on at the last phase."""
        self.ring = Ring.create(multiprocessing.get_context("spawn"), 40, *SIZE)
        self.producer = Producer(
            self.eager,
            self.ring,
            FPS,
            lambda: self.controls.snapshot,
            lambda: self.time,
            self.phase,
        )
        self.engine += 1

    def lose(self) -> None:
        """The engine dies, and a new one starts."""
        self.ring.close()
        self.start()

    def set(self, **values: Any) -> None:
        """A control changes."""
        self.controls.load(values)
        self.journal.sent(self.controls.snapshot)

    def trigger(self, name: str) -> None:
        """A trigger fires."""
        self.controls.trigger(name)
        self.journal.sent(self.controls.snapshot)

    def play(self, ticks: int, late: tuple[int, ...] = ()) -> None:
        """So many ticks; at those of `late` no frame was ready."""
        for i in range(ticks):
            while self.producer.advance() and self.ring.queued < 12:
                pass
            self.tick(i in late)

    def tick(self, late: bool = False) -> None:
        """Show what there is."""
        frame = None if late else self.ring.take()
        if frame is not None:
            self.last, self.phase = frame.pixels.copy(), frame.phase
            self.seen(frame)
        params = self.controls.params
        level = self.master.step(params, 1 / FPS)
        self.pictures.append(dimmed(self.last, level))
        shown = Shown(self.last, frame, late=frame is None)
        self.journal.tick(self.n, shown, params, self.engine, "float32", FPS)
        self.n += 1

    def overtake(self, ticks: int) -> None:
        """While the next frames are sampled, so many of those they replace are shown."""
        real = self.producer.sampler.latents

        def slow(walks: Any) -> Any:
            self.producer.sampler.latents = real  # type: ignore[method-assign]
            for _ in range(ticks):
                self.tick()
            return real(walks)

        self.producer.sampler.latents = slow  # type: ignore[method-assign]

    def load(self, sample_s: float) -> None:
        """From now on sampling a frame takes so long."""
        self.producer.costs = Steady(sample_s, 1e-3, known=True)

    def end(self) -> None:
        """The show is over."""
        self.journal.close()
        self.ring.close()


def rendered(performance: Performance, folder: Path, *more: str) -> list[np.ndarray]:
    """The performance's frames, rendered from its journal."""
    words = ["--journal", str(performance.file), "--folder", str(folder), "--name", "again"]
    assert command.main([*words, "--format", "png", "--output", "frames", *more]) == 0
    return [np.asarray(Image.open(path)) for path in sorted((folder / "again").glob("*.png"))]


def perform(model: Path, file: Path, **values: Any) -> Performance:
    """A performance with a bit of everything."""
    show = Performance(model, file, **values)
    show.play(20)
    show.set(prompt="gold rings", transition=0.5)
    show.set(guidance=3.0)
    show.play(15, late=(4, 5))
    show.trigger("next")
    show.set(blackout=True, fade=0.2)
    show.play(10)
    show.set(seed=7, blackout=False, steps=3)
    show.play(1)
    show.set(negative="smoke", speed=3.0)
    show.play(25)
    return show


@pytest.mark.parametrize("depth", [0.0, 0.5])
def test_the_same_model_gives_the_recorded_frames_themselves(
    model: Path, tmp_path: Path, depth: float
) -> None:
    show = perform(model, tmp_path / "j.jsonl", depth=depth)
    show.end()
    again = rendered(show, tmp_path)
    assert len(again) == len(show.pictures)
    gaps = [np.abs(a.astype(int) - b).max() for a, b in zip(again, show.pictures, strict=True)]
    assert max(gaps) <= 2
    assert max(np.abs(a.astype(int) - show.pictures[0]).max() for a in again) > 20


def test_a_lost_engine_and_frames_taken_back_are_in_the_journal(
    model: Path, tmp_path: Path
) -> None:
    show = Performance(model, tmp_path / "j.jsonl")
    show.play(20)
    show.lose()
    show.play(10)
    show.set(seed=3)
    show.overtake(2)
    show.play(10)
    show.end()
    again = rendered(show, tmp_path)
    gaps = [np.abs(a.astype(int) - b).max() for a, b in zip(again, show.pictures, strict=True)]
    assert max(gaps) <= 2
    changes = journal.read(show.file).changes
    assert [tick for tick, change in changes.items() if change.begin] == [20]
    backs = [change.back for change in changes.values() if change.back]
    assert len(backs) == 1
    assert backs[0] >= 2


def test_pictures_that_were_mixed_or_not_paced_come_out_as_they_were(
    model: Path, tmp_path: Path
) -> None:
    show = Performance(model, tmp_path / "j.jsonl")
    show.set(speed=0.5)
    mixed: list[int] = []
    show.seen = lambda frame: mixed.append(frame.between)
    show.play(70)
    show.load(0.1)  # in-betweens from here, and no time to measure a pace
    show.play(80)
    show.set(seed=3)
    show.overtake(2)
    show.play(20)
    show.set(guidance=2.0)
    show.play(11)
    show.load(0.0)
    show.play(80)
    show.end()
    assert {0, 1, 2} <= set(mixed)
    assert mixed[-10:] == [0] * 10
    again = rendered(show, tmp_path)
    gaps = [np.abs(a.astype(int) - b).max() for a, b in zip(again, show.pictures, strict=True)]
    assert max(gaps) <= 2
    paced = [change.paced for change in journal.read(show.file).changes.values()]
    assert True in paced
    assert False in paced


def test_a_performance_is_rendered_with_what_it_was_shown_with(model: Path, tmp_path: Path) -> None:
    show = Performance(model, tmp_path / "j.jsonl", scheduler="euler", decoder="tiny")
    show.play(5)
    show.end()
    words = ["--journal", str(show.file)]
    settings, _ = command.parse(words)
    assert (settings.scheduler, settings.decoder, settings.again) == ("euler", "tiny", True)
    settings, _ = command.parse([*words, "--decoder", "full"])
    assert (settings.scheduler, settings.decoder, settings.again) == ("euler", "full", False)
    settings, _ = command.parse([*words, "--model", "ember"])
    assert (settings.scheduler, settings.decoder, settings.again) == (None, "full", False)


def test_more_steps_another_size_and_prompt_are_taken_in_its_place(
    model: Path, tmp_path: Path
) -> None:
    show = perform(model, tmp_path / "j.jsonl")
    show.end()
    again = rendered(show, tmp_path, "--steps", "12", "--size", "96x72", "--max-frames", "8")
    assert len(again) == 8
    assert again[0].shape == (72, 96, 3)


def test_a_journal_cut_short_is_good_up_to_its_last_whole_line(model: Path, tmp_path: Path) -> None:
    show = perform(model, tmp_path / "j.jsonl")
    show.end()
    text = show.file.read_bytes()
    whole = journal.read(show.file)
    assert whole.ticks == len(show.pictures)
    for size in range(0, len(text), 37):
        show.file.write_bytes(text[:size])
        if b'"begin"' not in text[:size].rpartition(b"\n")[0]:
            with pytest.raises(RenderError):
                journal.read(show.file)
            continue
        part = journal.read(show.file)
        assert part.ticks <= whole.ticks
        assert part.changes.items() <= whole.changes.items() or part.ticks < whole.ticks


@pytest.mark.parametrize(
    "text",
    ["", "{}\n", "no journal\n", '{"config": {}, "size": [8, 8]}\n{"tick": 0}\n', "[1]\n[2]\n"],
)
def test_what_is_no_journal_gets_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "j").write_text(text)
    with pytest.raises(RenderError, match="j "):
        journal.read(tmp_path / "j")


HEAD = {"config": {"fps": 30}, "size": [8, 8]}
FIRST = {"tick": 0, "begin": 0.0, "nexts": 0, "params": {"seed": 1}}
HOSTILE: list[tuple[str, str]] = [
    (json.dumps({**HEAD, "size": size}), "line 1")
    for size in ([0, 7], [8], [8, 12], [-8, 8], [8, 1e9], ["8", 8], None, [True, 8], [8, 2**40])
]
HOSTILE += [
    (json.dumps({**HEAD, "config": config}), "line 1")
    for config in (None, [], {"fps": 0}, {"fps": "x"}, {"fps": 1e9}, {"model": 3}, {"lora": "x"})
]
HOSTILE += [
    (f"{json.dumps(HEAD)}\n{json.dumps({**FIRST, **line})}", "line 2")
    for line in (
        {"tick": 1e12},
        {"tick": 10**12},
        {"tick": -1},
        {"tick": 0.5},
        {"tick": None},
        {"tick": float("nan")},
        {"begin": float("nan")},
        {"begin": float("inf")},
        {"begin": -1},
        {"begin": "0"},
        {"begin": True},
        {"repeat": 10**12},
        {"repeat": -1},
        {"repeat": "1"},
        {"back": -1},
        {"back": 1e300},
        {"nexts": -1},
        {"nexts": "many"},
        {"params": []},
        {"params": {"speed": float("nan")}},
        {"params": {"prompt": None}},
        {"params": {"nothing": 1}},
        {"between": [0, 0]},
        {"between": [2, 1]},
        {"between": 3},
        {"between": [0, 10**12]},
        {"paced": "yes"},
        {"eased": 1},
        {"dtype": "float99"},
        {"dtype": []},
        {"master": {"fade": float("inf")}},
        {"master": None},
    )
]
HOSTILE += [
    (f'{json.dumps(HEAD)}\n{{"tick": 0, "begin": 1e999, "nexts": 0, "params": {{}}}}', "line 2"),
    ("[" * 100_000, "line 1"),
    ("9" * 10_000, "line 1"),
    ("x" * 2_000_000, "line 1"),
]


@pytest.mark.parametrize(("text", "where"), HOSTILE)
def test_a_hostile_journal_gets_a_sentence_quickly(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "j").write_text(f"{text}\n")
    started = time.process_time()
    with pytest.raises(RenderError, match=f"j is no journal of lwlive: {where}: ") as caught:
        journal.read(tmp_path / "j")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
    assert time.process_time() - started < 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
KEYS = ("tick", "begin", "nexts", "params", "back", "between", "repeat", "master", "dtype", "paced")


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5), max_size=4), st.binary())
def test_any_line_is_taken_or_told(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]], end: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "j"
    whole = [HEAD, FIRST, *({"tick": 0, **line} for line in lines)]
    path.write_bytes("".join(json.dumps(line) + "\n" for line in whole).encode() + end)
    try:
        played = journal.read(path)
    except RenderError as error:
        sentence = str(error)
    else:
        sentence = f"{path} has {played.ticks} pictures"
        assert 1 <= played.ticks <= journal.MOST
    assert str(path) in sentence
    assert "\n" not in sentence


def test_what_is_no_file_is_no_journal(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RenderError, match=str(path)):
            journal.read(path)


def test_a_journal_holds_only_what_parameters_take(tmp_path: Path) -> None:
    head = {"config": {"fps": 30}, "size": [8, 8]}
    line = {"tick": 0, "begin": 0.0, "nexts": 0, "params": {"speed": 99}}
    (tmp_path / "j").write_text(json.dumps(head) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(RenderError, match="speed takes a number from 0 to 4"):
        journal.read(tmp_path / "j")


def test_a_journal_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    controls = Controls(Params())
    with pytest.raises(ControlError, match="cannot write"):
        Journal(tmp_path / "nowhere" / "j", Config(), SIZE, controls.snapshot)
