"""Compiled networks are used only where they are right and worth it; whatever is wrong is said."""

import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from lwlive.checkpoint import Size
from lwlive.cli import models, subcommands
from lwlive.config import Config
from lwlive.engine import process
from lwlive.engine.compiled import build as building
from lwlive.engine.compiled import package, verify
from lwlive.engine.compiled.build import Build, build
from lwlive.engine.compiled.verify import SLOW, Trial
from lwlive.engine.eager import Eager
from lwlive.engine.folders import sweep
from lwlive.engine.governor import CATCH_UP
from lwlive.engine.keyframe import Cond
from lwlive.engine.load import load
from lwlive.engine.networks import Kind
from lwlive.engine.process import Engine
from lwlive.engine.producer import Producer
from lwlive.engine.tuning.pieces import Cost
from lwlive.messages import Begin, Note
from lwlive.params import Params
from lwlive.ring import Pixels, Ring, slots
from lwlive.snapshot import Snapshot

Change = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with random weights."""
    return tiny.folder(tmp_path_factory.mktemp("model") / "tiny")


class Compiled(Eager):
    """What a compiler made of a checkpoint: outputs and pictures may be changed."""

    output: Change = staticmethod(lambda x: x)
    picture: Change = staticmethod(lambda x: x)
    tidied = 0

    def tidy(self) -> None:
        self.tidied += 1

    def denoise(self, x: Tensor, timestep: float, cond: Cond) -> Tensor:
        return self.output(super().denoise(x, timestep, cond))

    def decode(self, latents: Tensor) -> Pixels:
        found: Pixels = self.picture(torch.from_numpy(super().decode(latents))).numpy()
        return found


class Workshop:
    """Builds packages with a compiler that only pretends, which takes no time."""

    def __init__(self, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache, self._patch = cache, monkeypatch
        self.want = Build(str(folder), Size(64, 64), "cpu", Kind("float32", True), 2, 1)
        self.model = Compiled(load(folder, Size(64, 64), "cpu", Kind("float32", True)), 2)
        monkeypatch.setattr(building, "_compile", self._compile)
        monkeypatch.setattr(building, "Packaged", lambda _: self.model)
        self.times(1.0, 1.0)
        self.notes: list[str | None] = []

    def times(self, eager_s: float, compiled_s: float) -> None:
        """How long an evaluation takes either way."""

        def seconds(model: Any, *_: object) -> Cost:
            return Cost(compiled_s if isinstance(model, Compiled) else eager_s, 0.0)

        for module in (building, verify):
            self._patch.setattr(module, "seconds", seconds)

    def _compile(self, want: Build, making: Path, note: str | None = None) -> Trial:
        if want.kind.attention != "sdpa":
            (making / "half").touch()
            raise TypeError("no such thing in a graph")
        assert list(making.iterdir()) == []
        self.notes.append(note)
        eager = Eager(self.model.modules, 2)
        return Trial.of(eager, eager.blank(), lambda: 0.0)

    def build(self) -> str:
        """What is said of a build, empty where all is well."""
        try:
            build(self.want, self.want.place(self.cache))
        except RuntimeError as error:
            return str(error)
        return ""


@pytest.fixture
def workshop(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(folder, tmp_path, monkeypatch)


def test_what_is_right_and_fast_is_kept(workshop: Workshop) -> None:
    workshop.times(1.0, 0.9 * SLOW)
    workshop.model.output = lambda x: x * 1.01
    workshop.model.picture = lambda x: (x.int() + 1).clamp(0, 255).byte()
    assert workshop.build() == ""
    assert workshop.want.costs(workshop.cache) == (0.9 * SLOW, 0.0)
    assert workshop.want.trouble(workshop.cache) is None


@pytest.mark.parametrize(
    ("output", "picture", "compiled_s", "said"),
    [
        (lambda x: x.roll(1, 0), lambda x: x, 0.5, "wrongly"),
        (lambda x: x * torch.nan, lambda x: x, 0.5, "wrongly"),
        (lambda x: x, lambda x: 255 - x, 2 * SLOW, "wrongly"),
    ],
)
def test_what_is_wrong_is_said_and_not_built_again(
    workshop: Workshop, output: Change, picture: Change, compiled_s: float, said: str
) -> None:
    workshop.model.output, workshop.model.picture = output, picture
    workshop.times(1.0, compiled_s)
    assert workshop.build() == workshop.want.trouble(workshop.cache)
    assert said in workshop.build()
    assert torch.__version__ in workshop.build()
    assert workshop.want.costs(workshop.cache) is None
    place = workshop.want.place(workshop.cache)
    assert [path.name for path in place.iterdir()] == ["trouble.txt"]
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_what_is_slow_is_said_and_built_again_when_the_machine_may_be_less_busy(
    workshop: Workshop,
) -> None:
    workshop.times(1.0, 1.5 * SLOW)
    assert "3.0 times as long" in workshop.build()
    assert workshop.want.trouble(workshop.cache) is None
    assert list(workshop.want.place(workshop.cache).parent.iterdir()) == []
    workshop.times(1.0, 0.7)
    assert workshop.build() == ""
    assert workshop.want.costs(workshop.cache) == (0.7, 0.0)


def test_what_attends_by_xformers_and_cannot_be_compiled_attends_by_pytorch_and_says_so(
    workshop: Workshop,
) -> None:
    kind = replace(workshop.want.kind, attention="xformers")
    workshop.want = replace(workshop.want, kind=kind)
    assert workshop.build() == ""
    assert workshop.want.costs(workshop.cache) is not None
    assert workshop.notes == ["xformers cannot be compiled here, so what is compiled uses sdpa"]


def test_a_failed_build_leaves_nothing(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Trial:
        raise RuntimeError("no space")

    monkeypatch.setattr(building, "_compile", fail)
    assert workshop.build() == "no space"
    assert list(workshop.want.place(workshop.cache).parent.iterdir()) == []
    assert workshop.want.trouble(workshop.cache) is None


class Narrow(Eager):
    """A model on a device whose memory holds so many frames, of late."""

    most = 4

    def decode(self, latents: Tensor) -> Pixels:
        if min(len(latents), self.batch) > Narrow.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().decode(latents)


@pytest.mark.parametrize("most", [2, 1])
def test_where_memory_runs_short_fewer_frames_are_made_at_once_and_none_is_lost(
    most: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lwlive.engine.eager.Eager", Narrow)
    monkeypatch.setattr(Narrow, "most", 4)
    context = multiprocessing.get_context("spawn")
    ring = Ring.create(context, slots(30), 64, 64)
    ours, theirs = context.Pipe()
    snapshot = Snapshot(0, Params(pace=0.0, steps=1, guidance=1.0))
    order: Any = SimpleNamespace(
        config=SimpleNamespace(compile=False), snapshot=snapshot, ring=ring.handle
    )
    monkeypatch.setattr(Ring, "attach", lambda _: ring)
    engine = Engine(order, theirs)
    modules = load(folder, Size(64, 64), "cpu", Kind("float32", True))
    producer = Producer(Narrow(modules, 4), ring, 30, lambda: snapshot, lambda: 0.0, phase=0.0)
    turns, phases, numbers = engine._turns(producer), list[float](), list[int]()
    for turn in range(12):
        if turn == 4:
            Narrow.most = most
        next(turns)
        while (frame := ring.take()) is not None:
            phases.append(frame.phase)
            numbers.append(frame.number)
    ring.close()
    said = []
    while ours.poll():
        message = ours.recv()
        assert isinstance(message, Note)
        said.append(message.text)
    assert producer.model.batch == most
    assert said == [
        f"too little memory on cpu for {n} frames together, so {n // 2} are made from now on"
        for n in (4, 2)
        if n > most
    ]
    assert numbers == list(range(len(numbers)))
    steps = [b - a for a, b in itertools.pairwise(phases)]
    assert max(steps) <= min(steps) * (1 + 2 * CATCH_UP)  # they are shown sooner than they are due


def test_memory_that_does_not_hold_one_frame_ends_the_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ring, "attach", lambda _: None)
    error = torch.OutOfMemoryError("CUDA out of memory")
    order: Any = SimpleNamespace(config=SimpleNamespace(compile=False), snapshot=None, ring=None)
    pipe: Any = None  # nothing is said
    producer: Any = SimpleNamespace(
        model=Eager(load(folder, Size(64, 64), "cpu", Kind("float32", True)), 1)
    )
    with pytest.raises(torch.OutOfMemoryError):
        Engine(order, pipe)._fewer(producer, error)


def test_a_package_that_cannot_be_used_is_an_error_when_it_is_opened(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(package, "Packaged", lambda _: workshop.model)
    with pytest.raises(package.Damaged, match="checksums"):
        package.opened(tmp_path)
    package.seal(tmp_path)
    found: object = package.opened(tmp_path)
    assert found is workshop.model
    assert workshop.model.tidied == 1

    def fail(*_: object) -> Tensor:
        raise RuntimeError("API call failed")

    monkeypatch.setattr(workshop.model, "denoise", fail)
    with pytest.raises(RuntimeError, match="API call failed"):
        package.opened(tmp_path)


def test_costs_that_cannot_be_read_are_none(workshop: Workshop) -> None:
    place = workshop.want.place(workshop.cache)
    assert workshop.build() == ""
    (place / "costs.json").write_text(json.dumps([1]))
    assert workshop.want.costs(workshop.cache) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[1, 2", "[0, 1]", "[-1, 1]", "[NaN, 1]"])
def test_costs_that_are_none_are_not_used(text: str, workshop: Workshop) -> None:
    assert workshop.build() == ""
    (workshop.want.place(workshop.cache) / "costs.json").write_text(text)
    assert workshop.want.costs(workshop.cache) is None


def test_trouble_is_read_whatever_its_bytes(workshop: Workshop) -> None:
    workshop.model.output = lambda x: x * torch.nan
    said = workshop.build()
    place = workshop.want.place(workshop.cache)
    (place / "trouble.txt").write_bytes(b"\xff\xfe" + said.encode())
    assert said in (workshop.want.trouble(workshop.cache) or "")


def sealed(folder: Path) -> Path:
    """A folder of packages, as far as checksums see them."""
    folder.mkdir()
    for name in ("denoiser.pt2", "about.json", "costs.json"):
        (folder / name).write_bytes(name.encode() * 100)
    package.seal(folder)
    return folder


@pytest.mark.parametrize("name", ["denoiser.pt2", "about.json", "costs.json", "sums.json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "gone", "null"])
def test_damaged_packages_are_known_before_their_code_is_loaded(
    name: str, how: str, tmp_path: Path
) -> None:
    place = sealed(tmp_path / "x")
    package.check_seal(place)
    path = place / name
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        ways = {"flipped": data[:7] + bytes([data[7] ^ 1]) + data[8:], "cut": data[:-1]}
        path.write_bytes({**ways, "empty": b"", "null": b"null"}[how])
    with pytest.raises(package.Damaged):
        package.check_seal(place)


def traces(place: Path, count: int) -> None:
    """What so many engines leave that were ended by their own code."""
    place.with_name(f"{place.name}.fault").write_text(count * f"{package.FATAL}: Bus error\n\n")


def aged(place: Path, days: float) -> None:
    """The last of them was so long ago."""
    then = time.time() - days * package.LATELY_S
    os.utime(place.with_name(f"{place.name}.fault"), (then, then))


def end_by(number: signal.Signals, place: Path, before: str = "") -> None:
    """An engine is ended by a signal while packages are open, and does something before."""
    code = "import os, pathlib, sys; from lwlive.engine.compiled import package; "
    code += f"package.watch(pathlib.Path(sys.argv[1])); {before}os.kill(os.getpid(), {number:d})"
    command = [sys.executable, "-c", code, str(place)]
    done = subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == -number


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_engine_that_its_own_code_ends_leaves_a_trace_and_one_that_is_killed_does_not(
    tmp_path: Path,
) -> None:
    place = tmp_path / "x"
    assert package.faults(place) == 0
    for count in (1, 2):
        end_by(signal.SIGSEGV, place)
        assert package.faults(place) == count
    end_by(signal.SIGKILL, place)
    assert package.faults(place) == 2
    aged(place, 1.1)
    end_by(signal.SIGBUS, place)
    assert package.faults(place) == 1
    # one that lives for weeks looks again every day, and what was there goes
    age = "os.utime(sys.argv[1] + '.fault', (1e9, 1e9)); package.watch(pathlib.Path(sys.argv[1])); "
    end_by(signal.SIGSEGV, place, age)
    assert package.faults(place) == 1


@pytest.mark.parametrize("days", [-30, -1.1, 1.1, 4000])
def test_crashes_of_other_days_do_not_count(tmp_path: Path, days: float) -> None:
    """Some have other causes, and a clock may be wrong."""
    traces(tmp_path / "x", 2)
    assert package.faults(tmp_path / "x") == 2
    aged(tmp_path / "x", days)
    assert package.faults(tmp_path / "x") == 0


class Builds:
    """A build that takes two simulated hours, and when each began."""

    trouble = None

    def __init__(self, clock: SimpleNamespace) -> None:
        self.clock, self.begun = clock, list[float]()

    def __call__(self, *_: object) -> "Builds":
        self.begun.append(self.clock.now)
        return self

    @property
    def done(self) -> bool:
        return bool(self.clock.now >= self.begun[-1] + package.LATELY_S / 12)

    def close(self) -> None:
        pass


def test_after_two_crashes_pictures_come_uncompiled_for_a_day_and_compiled_again_after_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = Build(str(folder), Size(64, 64), "cpu", Kind("float32", True), 2, 1)
    modules = load(folder, Size(64, 64), "cpu", Kind("float32", True))
    place = want.place(tmp_path)
    place.mkdir(parents=True)
    (place / "costs.json").write_text("[1, 1]")
    traces(place, 2)
    clock, said, used = SimpleNamespace(now=500.0), list[Any](), list[tuple[float, Any]]()
    builds, better = Builds(clock), SimpleNamespace(compiled=True, notes=[])

    def turns(*_: object) -> Iterator[float]:
        for _hour in range(60):
            yield clock.now
            clock.now += package.LATELY_S / 24

    def producing(model: Any, **_: object) -> Any:
        def use(other: Any) -> None:
            used.append((clock.now, other))
            made.model = other

        made = SimpleNamespace(model=model, use=use, load=1.0, stride=1, running=None)
        return made

    monkeypatch.setattr(
        process, "time", SimpleNamespace(monotonic=lambda: clock.now, perf_counter=lambda: 0.0)
    )
    monkeypatch.setattr(Ring, "attach", lambda _: None)
    monkeypatch.setattr(Engine, "_turns", turns)
    monkeypatch.setattr("lwlive.engine.producer.Producer", producing)
    monkeypatch.setattr("lwlive.engine.tuning.choose.plan", lambda *_, **__: (want, modules))
    monkeypatch.setattr("lwlive.engine.compiled.child.Builder", builds)
    monkeypatch.setattr("lwlive.engine.compiled.child.compiler", lambda: "g++")
    monkeypatch.setattr(package, "opened", lambda _: better)
    watched = list[float]()
    monkeypatch.setattr(package, "watch", lambda _: watched.append(clock.now))
    opened: Any = SimpleNamespace(cache=tmp_path)
    snapshot = Snapshot(0, Params(guidance=1.0, steps=1))
    ring: Any = None
    order = process.Order(Config(), opened, ring, snapshot, Begin())
    pipe: Any = SimpleNamespace(send=said.append)
    Engine(order, pipe)._work()
    notes = [one.text for one in said if isinstance(one, Note)]
    assert notes == ["2 engines crashed in compiled code, so pictures come uncompiled for a day"]
    day = package.LATELY_S
    assert builds.begun == [pytest.approx(500.0 + day)]
    ((at, model),) = used
    assert at == pytest.approx(500.0 + day * 13 / 12)
    assert model is better
    assert watched == [pytest.approx(at), pytest.approx(at + day)]


def test_a_read_only_cache_is_unpacked_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()  # no folder can be made in it, whoever asks
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "elsewhere"))
    before = os.environ.get("TMPDIR")
    with package._unpacking(tmp_path / "file" / "unpacked") as mine:
        assert os.environ["TMPDIR"] == str(mine)
        assert mine.is_dir()
        assert tmp_path / "elsewhere" in mine.parents
    assert os.environ.get("TMPDIR") == before


def test_what_ended_processes_have_left_is_removed(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    names = [f"{child.pid}", f"a-1.{child.pid}", f"a.work.{child.pid}"]
    kept = [f"{os.getpid()}", f"a.{os.getpid()}", "a.aside", "v1.5-abc"]
    for name in (*names, *kept):
        (tmp_path / name / "deep").mkdir(parents=True)
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_compiler_leaves_nothing_in_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(building.COMPILERS, raising=False)
    with building._compiler_in(tmp_path / "work"):
        assert tempfile.gettempdir() == str(tmp_path / "work")
        assert os.environ[building.COMPILERS] == str(tmp_path / "work")
        Path(tempfile.mkdtemp(), "x").touch()
    assert list(tmp_path.iterdir()) == []
    assert building.COMPILERS not in os.environ
    monkeypatch.setenv(building.COMPILERS, "mine")
    with building._compiler_in(tmp_path / "work"):
        assert os.environ[building.COMPILERS] == "mine"
    assert os.environ[building.COMPILERS] == "mine"


def test_a_listing_names_what_is_damaged(tmp_path: Path) -> None:
    for number, text in enumerate(("", "null", "[]", '{"about": null}', "[" * 5000)):
        place = tmp_path / "packages" / f"x{number}"
        place.mkdir(parents=True)
        (place / "about.json").write_text(text)
        (place / "costs.json").write_text("[1, 1]")
    lines = models._built(tmp_path).splitlines()
    assert len(lines) == 5
    assert all("damaged" in line for line in lines)


def test_what_is_built_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["models", "build", "--cache", str(tmp_path)]
    assert subcommands.main(said) == 0
    assert capsys.readouterr().out == f"nothing is built in {tmp_path}\n"
    about = {"name": "sdxs", "size": [512, 256], "device": "cuda", "kind": {"precision": "float16"}}
    for batch, torch_version in ((1, version("torch")), (4, "1.0")):
        place = tmp_path / "packages" / f"sdxs-{batch}"
        place.mkdir(parents=True)
        row = {"about": {**about, "batch": batch, "torch": torch_version}}
        (place / "about.json").write_text(json.dumps(row))
        (place / "costs.json").write_text("[0.015, 0.005]")
    assert subcommands.main(said) == 0
    assert capsys.readouterr().out.splitlines() == [
        "sdxs, 512x256, batch 1, float16 on cuda: 50 frames/s in one step, 0 MB",
        "sdxs, 512x256, batch 4, float16 on cuda: 200 frames/s in one step, 0 MB, of torch 1.0, "
        "which is not here",
    ]
