"""Which packages a show uses, and which are built ahead of it."""

import json
import os
from pathlib import Path

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from lwlive.checkpoint import Opened, Size
from lwlive.config import Config
from lwlive.engine.compiled.build import COSTS, Build, key
from lwlive.engine.governor import batch_for
from lwlive.engine.load import PLAIN
from lwlive.engine.networks import Kind
from lwlive.engine.tuning import choose, measure
from lwlive.engine.tuning.measure import BATCHES, Costs, Measured, a_frame, remember
from lwlive.engine.tuning.pieces import Cost
from lwlive.params import Params

SECONDS = st.floats(1e-3, 0.2)
EACH = st.fixed_dictionaries({n: st.builds(Cost, SECONDS, SECONDS) for n in BATCHES})


class Machine:
    """A machine that eager and compiled networks take known times on."""

    def __init__(self, folder: Path, cache: Path, eager: Costs, compiled: Costs) -> None:
        self.folder, self.cache, self.compiled = folder, cache, compiled
        name = f"{key(str(folder), (64, 64), 'cpu', PLAIN, 'sdpa')}.json"
        self.notes = cache / "measured" / name
        self.eager = Measured(Kind("float32", True), 1, eager)
        remember(self.notes, self.eager)

    def plan(
        self, thorough: bool = False, batch: int | None = None, guidance: float = 1.0
    ) -> Build:
        """What is planned for a show of 30 frames/s and one step."""
        config = Config(device="cpu", batch=batch)
        params = Params(steps=1, guidance=guidance)
        plan = choose.plan
        opened = Opened(self.folder, PLAIN, Size(64, 64), self.cache)
        return plan(config, opened, params, print, thorough)[0]

    def build(self, want: Build) -> None:
        """What building leaves, as far as planning sees it."""
        place = want.place(self.cache)
        place.mkdir(parents=True)
        (place / COSTS).write_text(json.dumps(self.compiled[want.batch]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with random weights."""
    return tiny.folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(autouse=True)
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler is there."""
    monkeypatch.setattr(choose, "compiler", lambda: "c++")


@given(eager=EACH, compiled=EACH)
@settings(max_examples=30, deadline=None)
def test_building_ahead_ends_with_packages_that_nothing_unbuilt_is_expected_to_better(
    eager: Costs, compiled: Costs, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = Machine(folder, tmp_path_factory.mktemp("cache"), eager, compiled)
    built: Costs = {}
    while (want := machine.plan(thorough=True)).batch not in built:
        machine.build(want)
        built[want.batch] = compiled[want.batch]
    assert want.batch == batch_for(a_frame(machine.eager.expected | built, 1), 30)
    assert machine.plan().batch in built  # a show finds all it needs


def test_a_show_takes_what_is_built_though_better_is_expected(folder: Path, tmp_path: Path) -> None:
    """One frame at a time is too slow here, two would do: but one is there now."""
    costs = {n: Cost(0.02 + 0.005 * n, 0.005 * n) for n in BATCHES}
    machine = Machine(folder, tmp_path, costs, costs)
    assert machine.plan().batch == 2
    machine.build(machine.plan(batch=1))
    assert machine.plan().batch == 1
    assert machine.plan(thorough=True).batch == 2


def test_without_a_compiler_the_batch_suits_what_is_not_compiled(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(folder, tmp_path, {n: Cost(0.03 * n, 0.004 * n) for n in BATCHES}, {})
    assert machine.plan().batch == 2
    monkeypatch.setattr(choose, "compiler", lambda: None)
    assert machine.plan().batch == 1


def test_guidance_asks_twice_and_so_takes_a_smaller_batch(folder: Path, tmp_path: Path) -> None:
    machine = Machine(folder, tmp_path, {n: Cost(0.011 * n + 0.03, 0.004 * n) for n in BATCHES}, {})
    assert machine.plan().batch == 2
    assert machine.plan(guidance=3.0).batch == 1


def test_what_was_measured_in_a_busy_moment_can_be_forgotten(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = {n: Cost(n * 0.05, n * 0.03) for n in BATCHES}
    quiet = {n: Cost(n * 0.015, n * 0.008) for n in BATCHES}
    machine = Machine(folder, tmp_path, busy, quiet)
    found = Measured(Kind("float32", True), 1, quiet)
    monkeypatch.setattr(measure, "measure", lambda *_: (found, None))
    machine.build(machine.plan())
    assert machine.plan(thorough=True).batch == 1
    choose.forget(Config(device="cpu"), Opened(folder, PLAIN, Size(64, 64), tmp_path))
    assert machine.plan(thorough=True).batch == batch_for(
        {n: sum(machine.compiled[1]) if n == 1 else sum(found.expected[n]) / n for n in BATCHES}, 30
    )


def test_what_was_measured_beside_other_programs_is_measured_anew_once_they_rest(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = {n: Cost(n * 0.05, n * 0.03) for n in BATCHES}
    quick = {n: Cost(0.02 + n * 0.005, n * 0.002) for n in BATCHES}
    machine = Machine(folder, tmp_path, slow, {})
    remember(machine.notes, Measured(Kind("float32", True), 1, slow, busy=True))
    found = [Measured(Kind("float32", True), 1, quick)]
    monkeypatch.setattr(measure, "measure", lambda *_: (found.pop(), None))
    load = [1.9]
    monkeypatch.setattr(os, "getloadavg", lambda: (load[0], 0.0, 0.0), raising=False)
    monkeypatch.setattr(measure, "_cores", lambda: 2)
    slowly = machine.plan().batch
    assert found, "others are still at work"
    load[0] = 0.3
    quickly = machine.plan().batch
    assert slowly < quickly == machine.plan().batch  # and kept: there is no third measuring
