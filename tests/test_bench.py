"""The benchmark runs from end to end, small, and its last line is JSON with a ratio."""

import json
import subprocess
import sys
from pathlib import Path

import tiny

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
