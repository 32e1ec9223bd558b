"""Loading has a sign of life, is remembered piece by piece, and never stops a show twice."""

import json
import mmap
import multiprocessing
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import tiny
import torch
from safetensors.torch import load_file
from test_producer import FakeModel, Timer

from lwlive import hub
from lwlive.checkpoint import ModelError, Opened, Size
from lwlive.config import Config
from lwlive.engine.heartbeat import Alive
from lwlive.engine.load import PLAIN, NotFinite, load
from lwlive.engine.networks import Kind
from lwlive.engine.process import Engine
from lwlive.engine.schedule import Schedule, ScheduleError
from lwlive.engine.tuning import choose
from lwlive.engine.tuning import measure as module
from lwlive.engine.tuning.measure import Measured, guess, measure, recall, remember
from lwlive.engine.tuning.pieces import MOST_TRIES, Cost, Pieces
from lwlive.messages import Note
from lwlive.params import Params
from lwlive.ring import Ring
from lwlive.snapshot import Snapshot

KIND = Kind("float32", True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder(tmp_path_factory.mktemp("model") / "tiny")


def opened(folder: Path, cache: Path) -> Opened:
    """The small checkpoint as a show opens it."""
    return Opened(folder, PLAIN, Size(64, 64), cache)


class Killed(BaseException):
    """The engine is ended here."""


@pytest.mark.parametrize(
    "survived", [*(pytest.param(n, marks=pytest.mark.slow) for n in (0, 2, 6)), 4]
)
def test_an_engine_killed_while_it_measures_continues_where_it_was(
    survived: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    limit: list[float] = [survived]

    def seconds(model: Any, *_: object) -> Cost:
        if len(done) >= limit[0]:
            raise Killed
        done.append(f"{model.dtype} {model.batch} {torch.get_num_threads()}")
        return Cost(len(done) / 100, 0.0)

    monkeypatch.setattr(module, "seconds", seconds)
    monkeypatch.setattr(module, "LATENCY_S", 9.0)  # so that every batch is measured
    path = tmp_path / "x.part.json"

    def run() -> Measured:
        return measure(folder, Size(64, 64), "cpu", time.perf_counter, pieces=Pieces(path))[0]

    with pytest.raises(Killed):
        run()
    limit[0] = float("inf")
    found = run()
    kinds, cores = len(module.kinds("cpu")), len({max(1, module._cores() - 1), module._cores()})
    assert len(done) == kinds + cores + len(found.costs)  # none twice
    again = len(done)
    assert run() == found
    assert len(done) == again


def test_a_piece_that_none_comes_back_from_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.json"

    def fatal() -> Cost:
        raise Killed

    for _ in range(MOST_TRIES):
        with pytest.raises(Killed):
            Pieces(path).get("bfloat16", fatal)
    pieces = Pieces(path)
    assert pieces.get("bfloat16", fatal) is None
    assert pieces.left_out() == ["bfloat16"]
    assert pieces.get("float32", lambda: Cost(1.0, 2.0)) == (1.0, 2.0)
    assert Pieces(path).get("float32", fatal) == (1.0, 2.0)
    pieces.forget()
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"known": {"a": [1]}, "tried": {}}',
        '{"known": {"a": [NaN, 1]}, "tried": {}}',
    ],
)
def test_pieces_that_cannot_be_read_are_measured_again(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    assert Pieces(tmp_path / "x.json").get("a", lambda: Cost(3.0, 4.0)) == (3.0, 4.0)


def test_pieces_are_measured_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Pieces(tmp_path / "file" / "x.json").get("a", lambda: Cost(3.0, 4.0)) == (3.0, 4.0)


SOUND: dict[str, Any] = {
    "kind": {"precision": "float32", "channels_last": True, "attention": "sdpa"},
    "threads": 2,
    "costs": {"1": [0.1, 0.1]},
    "busy": False,
}


@pytest.mark.parametrize(
    "odd",
    [
        {"threads": 0},
        {"threads": -1},
        {"threads": 10**9},
        {"threads": None},
        {"kind": {**SOUND["kind"], "precision": "float99"}},
        {"kind": {**SOUND["kind"], "precision": 3}},
        {"kind": {**SOUND["kind"], "channels_last": "yes"}},
        {"kind": {**SOUND["kind"], "attention": "none"}},
        {"kind": None},
        {"costs": {}},
        {"costs": {"0": [1, 1]}},
        {"costs": {"999": [1, 1]}},
        {"costs": {"1": [0, 1]}},
        {"costs": {"1": [float("nan"), 1]}},
        {"costs": {"1": [float("inf"), 1]}},
    ],
)
def test_notes_with_odd_values_are_measured_again_and_said(
    odd: dict[str, Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, said = Config(device="cpu"), list[str]()
    notes = choose._notes(config, opened(folder, tmp_path))
    notes.parent.mkdir()
    notes.write_text(json.dumps(SOUND))
    assert recall(notes) is not None
    notes.write_text(json.dumps({**SOUND, **odd}))
    assert recall(notes) is None
    fresh = Measured(KIND, 1, {1: Cost(0.1, 0.1)})
    monkeypatch.setattr(module, "measure", lambda *_: (fresh, None))
    choose.plan(config, opened(folder, tmp_path), Params(steps=1, guidance=1), said.append)
    assert "measured again" in said[0]
    assert recall(notes) == fresh


def test_while_a_room_waits_nothing_is_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr(module, "measure", fail)
    config, said = Config(device="cpu"), list[str]()
    params = Params(steps=1, guidance=1)

    def plan(waiting: bool) -> Any:
        what = opened(folder, tmp_path)
        return choose.plan(config, what, params, said.append, waiting=waiting)[0]

    assert plan(True).kind == guess("cpu").kind
    assert len(said) == 1
    notes = choose._notes(config, opened(folder, tmp_path))
    remember(notes, Measured(KIND, 1, {1: Cost(0.1, 0.1)}, busy=True))
    monkeypatch.setattr(module, "busy", lambda: False)
    assert plan(True).kind == KIND  # though it was busy then and is not now
    with pytest.raises(AssertionError, match="measured"):
        plan(False)


def test_numbers_too_narrow_for_a_model_are_done_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "seconds", lambda *_: Cost(0.1, 0.1))
    real, said = load, list[str]()
    narrow = {"bfloat16"}

    def load_(folder: Path, size: Any, device: str, kind: Kind, *more: Any) -> Any:
        if kind.precision in narrow:
            raise NotFinite(f"the unet gives NaN in {kind.precision}")
        return real(folder, size, device, kind, *more)

    monkeypatch.setattr(module, "load", load_)
    found, _ = measure(folder, Size(64, 64), "cpu", time.perf_counter, say=said.append)
    assert found.kind.precision == "float32"
    assert "bfloat16" in said[0]
    narrow.add("float32")
    with pytest.raises(ModelError, match="gives NaN"):
        measure(folder, Size(64, 64), "cpu", time.perf_counter, say=said.append)
    monkeypatch.setattr(module, "kinds", lambda _: [Kind("float16", True)])
    narrow.clear()
    narrow.add("float16")
    found, _ = measure(folder, Size(64, 64), "cpu", time.perf_counter, say=said.append)
    assert found.kind == module.SPARE


def test_every_piece_of_loading_is_told(folder: Path) -> None:
    told: list[str] = []
    load(folder, Size(64, 64), "cpu", KIND, PLAIN, told.append)
    assert told == [
        f"loading tiny: {part}, {n} of 4"
        for n, part in enumerate(("scheduler", "unet", "vae", "text_encoder"), 1)
    ]


def busily() -> None:
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        sum(range(10_000))


def reading() -> None:
    """Memory grows, though hardly anything is computed: none of it is what tests before left."""
    kept = []
    for _ in range(15):
        kept.append(mmap.mmap(-1, 2**23))
        kept[-1].write(b"x" * 2**23)
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "signs"), [(busily, True), (reading, True), (lambda: time.sleep(1.5), False)]
)
def test_a_long_piece_gives_signs_as_long_as_there_is_work_at_it(
    work: Callable[[], None], signs: bool
) -> None:
    told: list[str] = []
    began = time.monotonic()
    with Alive(told.append, every_s=0.4) as alive:
        alive("loading it")
        work()
    signs_at_most = (time.monotonic() - began) / 0.4  # a busy machine takes longer
    assert told[0] == "loading it"
    assert bool(told[1:]) == signs, told
    assert all(text.startswith("loading it, ") for text in told[1:])
    count = threading.active_count()
    time.sleep(0.5)
    assert threading.active_count() <= count
    assert len(told[1:]) <= signs_at_most


class Choosy(FakeModel):
    """A model whose scheduler has numbers for some numbers of steps."""

    def __init__(self, *fine: int) -> None:
        super().__init__(Timer(), 0, 0)
        self.own, self.fine = {"steps": 4}, fine

    def schedule(self, steps: int, begin: int) -> Schedule:
        if steps not in self.fine:
            raise ScheduleError(f"no {steps} steps")
        return super().schedule(steps, begin)


def engine(params: Params, waiting: bool = False) -> tuple[Engine, Any]:
    ours, theirs = multiprocessing.Pipe()
    config = Config(compile=False)
    order: Any = type("Order", (), {"config": config, "waiting": waiting, "ring": None})
    order.snapshot = Snapshot(3, params)
    with mock.patch.object(Ring, "attach"):
        return Engine(order, theirs), ours


def test_steps_without_numbers_are_refused_before_a_show_and_avoided_in_it() -> None:
    for params in (Params(steps=2), Params()):
        unfit, _ = engine(params)
        with pytest.raises(ScheduleError, match=r"no [24] steps"):
            unfit._inbox(Choosy(1, 3, 5))
    playing, heard = engine(Params(steps=3))
    newest = playing._inbox(Choosy(1, 3, 5))
    assert newest() is playing.newest
    for steps, taken in ((2, 3), (2, 3), (8, 5), (4, 5)):
        playing.newest = Snapshot(9, Params(steps=steps))
        assert newest().params.steps == taken
        assert newest().version == 9
    said = []
    while heard.poll():
        message = heard.recv()
        assert isinstance(message, Note)
        said.append(message.text)
    assert said == ["no 2 steps; 3 are used", "no 8 steps; 5 are used", "no 4 steps; 5 are used"]
    again, _ = engine(Params(steps=2), waiting=True)
    assert again._inbox(Choosy(1, 3))().params.steps == 3
    for waiting in (False, True):
        with pytest.raises(ScheduleError):
            engine(Params(steps=2), waiting)[0]._inbox(Choosy())


def test_a_checkpoint_of_float16_bin_files_alone_is_loaded_as_it_was_fetched(
    folder: Path, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    for path in [*older.rglob("*.safetensors")]:
        name = "pytorch_model" if path.parent.name == "text_encoder" else path.stem
        torch.save(load_file(path), path.with_name(f"{name}.fp16.bin"))
        path.unlink()
    files = [path.relative_to(older).as_posix() for path in older.rglob("*.bin")]
    assert set(files) <= set(hub.needed(files))
    one, other = (load(place, Size(64, 64), "cpu", KIND) for place in (folder, older))
    x = torch.randn(1, *one.shape)
    assert torch.equal(one.decoder(x)[0], other.decoder(x)[0])
