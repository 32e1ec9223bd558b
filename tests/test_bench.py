"""The benchmark runs from end to end, small, and its last line is JSON with a ratio."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from lwlive.checkpoint import Size
from lwlive.engine.load import load
from lwlive.engine.networks import Kind

SCRIPT = Path(__file__).parents[1] / "scripts" / "bench.py"
sys.path.insert(0, str(SCRIPT.parent))
import bench  # noqa: E402 - lies beside them
import machine  # noqa: E402 - lies there, too
import shares  # noqa: E402 - as that does
import storm  # noqa: E402 - and this one

pytestmark = pytest.mark.slow


@pytest.fixture
def benched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Runs the benchmark in this process, where torch is loaded; the lines that it prints."""

    def run(*flags: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *flags])
        bench.main()
        return capsys.readouterr().out.strip().splitlines()

    return run


def test_the_bench_ends_with_a_line_of_json(
    benched: Callable[..., list[str]], tmp_path: Path
) -> None:
    folder = tiny.folder(tmp_path / "tiny")
    flags = ["--model", str(folder), "--sizes", "64", "--steps", "1", "--seconds", "0.2"]
    found = json.loads(benched(*flags, "--show", "0", "--no-compile", "--device", "cpu")[-1])
    assert [row["against"] for row in found["rows"]] == ["stock", "stock, best"]
    for row in found["rows"]:
        mean = sum(row["stock"]) / 2
        assert abs(row["ratio"] - row["lwlive"] / mean) < 0.1 * row["ratio"]
    assert set(found["rows"][-1]["ms"]) == {"text", "slerp", "one step", "decode"}


def narrow(arch: str, cache: Path, *flags: str) -> list[str]:
    """Flags of the benchmark for a published shape, narrow."""
    words = ["--arch", arch, "--tiny", "--sizes", "64", "--steps", "1", "--seconds", "0.05"]
    return [*words, "--no-compile", "--device", "cpu", "--cache", str(cache), *flags]


def plausible(rows: list[dict[str, Any]]) -> None:
    assert min(row["lwlive"] for row in rows) > 0
    assert all(0 < row["peak_share"] < 1 for row in rows)
    assert all(row["warm_up_s"]["cold"] > row["warm_up_s"]["cached"] > 0 for row in rows[1::2])
    assert all(row["peak_mb"] > 100 for row in rows[1::2])


@pytest.mark.parametrize(("arch", "batches"), [("sdxl-turbo", [2]), ("sd15-lcm", [1, 2])])
def test_every_published_shape_can_be_benched_narrow(
    arch: str, batches: list[int], benched: Callable[..., list[str]], tmp_path: Path
) -> None:
    said = benched(*narrow(arch, tmp_path, "--batches", *map(str, batches), "--show", "0"))
    found = json.loads(said[-1])
    assert [row["batch"] for row in found["rows"]] == [n for n in batches for _ in range(2)]
    plausible(found["rows"])
    assert found["shows"] == []


def test_the_bench_as_a_program_plays_a_show(tmp_path: Path) -> None:
    flags = narrow("sd-turbo", tmp_path, "--batches", "2", "--show", "2")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *flags], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert [row["batch"] for row in found["rows"]] == [2, 2]
    plausible(found["rows"])
    (show,) = found["shows"]
    # a tick that a busy machine made the show skip is late, too
    assert 0 < show["frames_shown"] <= 120
    assert 0 <= show["frames_late"] <= 120
    assert show["sent"] > 50
    assert 0 < show["latency_p50_ms"] <= show["latency_p95_ms"]


def test_a_product_of_matrices_counts_as_the_peak() -> None:
    times = itertools.count(step=0.001)
    timer = lambda: next(times)  # noqa: E731 - each product takes a millisecond
    assert machine.peak_flops("cpu", torch.float32, timer) == pytest.approx(2 * 2048**3 / 0.001)


def test_the_operations_of_a_frame_are_those_of_its_convolutions_and_products(
    tmp_path: Path,
) -> None:
    folder = tiny.folder(tmp_path / "tiny")
    found = []
    for side in (64, 128):
        modules = load(folder, Size(side, side), "cpu", Kind("float32", True))
        found.append(machine.frame_flops(modules))
    (one, decoding), (four, decodings) = found
    assert decodings == pytest.approx(4 * decoding, rel=0.01)
    assert four > 3.5 * one > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_rows_are_not_measured(benched: Callable[..., list[str]]) -> None:
    said, line = benched("--arch", "sd-turbo", "--device", "cuda")
    assert "not measured" in said
    assert json.loads(line)["rows"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="cores are chosen as Linux does it")
def test_a_smaller_machine_has_its_cores_and_gives_them_back(tmp_path: Path) -> None:
    everything = os.sched_getaffinity(0)
    one = shares.Machine(sorted(everything)[:1], shares.OLDER, tmp_path)
    flags = ["--headless", "--no-osc", "--duration", "0.2", "--no-compile", "--fps", "5"]
    flags += ["--record", str(tmp_path / "show.mp4"), "--folder", str(tmp_path)]
    assert one.run(flags, 64) == 0
    assert one.run(["no such word"], 64) != 0
    assert os.sched_getaffinity(0) == everything


def test_a_storm_knows_which_control_each_latency_answers() -> None:
    asked = [storm.Asked(kind, i + 1, float(i)) for i, kind in enumerate(("seed", "steps", "seed"))]
    heard = [
        (0.09, 80.0),
        (1.25, 200.0),
        (1.45, 80.0),  # told again: at that time nothing was sent
        (2.5, 450.0),
    ]
    found = storm.answered(asked, heard)
    assert [each.latency_ms for each in found] == [80, 200, 450]
    groups = storm.latencies(found, "kind")
    assert groups["seed"]["n"] == 2
    assert groups["steps"] == {"n": 1, "p50_ms": 200, "p95_ms": 200}
    assert list(storm.latencies(found, "evaluations")) == ["1", "2", "3"]


def test_what_is_asked_for_counts_guidance_until_it_has_gone_down() -> None:
    wanted = storm.Wanted()
    assert wanted.evaluations == 1
    wanted.take("steps", 4, 1.0)
    wanted.take("depth", 0.5, 2.0)
    assert wanted.evaluations == 2
    wanted.take("guidance", 3.0, 3.0)
    assert wanted.evaluations == 4
    wanted.take("guidance", 0.0, 6.0)
    wanted.take("seed", 7, 7.0)
    assert wanted.evaluations == 4  # it is 1.5 by now
    wanted.take("seed", 8, 7.5)
    assert wanted.evaluations == 2
