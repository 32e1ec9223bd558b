"""The benchmark runs from end to end, small, and its last line is JSON with a ratio."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch

SCRIPT = Path(__file__).parents[1] / "scripts" / "bench.py"


def test_the_bench_ends_with_a_line_of_json(tmp_path: Path) -> None:
    folder = tiny.folder(tmp_path / "tiny")
    flags = ["--model", str(folder), "--sizes", "64", "--steps", "1", "--seconds", "0.2"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *flags, "--no-compile", "--device", "cpu"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert [row["against"] for row in found["rows"]] == ["stock", "stock, best"]
    for row in found["rows"]:
        mean = sum(row["stock"]) / 2
        assert abs(row["ratio"] - row["lwlive"] / mean) < 0.1 * row["ratio"]
    assert set(found["rows"][-1]["ms"]) == {"text", "slerp", "one step", "decode"}


@pytest.mark.parametrize("arch", ["sd-turbo", "sdxl-turbo", "sd15-lcm"])
def test_every_published_shape_can_be_benched_narrow(arch: str, tmp_path: Path) -> None:
    flags = ["--arch", arch, "--tiny", "--sizes", "64", "--steps", "1", "--seconds", "0.05"]
    flags += ["--batches", "1", "2", "--no-compile", "--device", "cpu", "--cache", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *flags], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.strip().splitlines()[-1])["rows"]
    assert [row["batch"] for row in rows] == [1, 1, 2, 2]
    assert min(row["lwlive"] for row in rows) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_rows_are_not_measured() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--arch", "sd-turbo", "--device", "cuda"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    said, line = done.stdout.strip().splitlines()
    assert "not measured" in said
    assert json.loads(line)["rows"] is None
