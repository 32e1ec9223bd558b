"""scripts/prove.py: it keeps its time, passes on what its stages say, and runs whole on a CPU."""

import argparse
import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

import prove  # noqa: E402 - lies beside the script
import wheels  # noqa: E402 - lies there, too


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """What the command line asks for, with stages in a folder of the test's own."""
    (tmp_path / "proof").mkdir()
    monkeypatch.setattr(prove, "SCRIPTS", tmp_path)
    return argparse.Namespace(device="cpu", cache=tmp_path / "cache")


def played(
    asked: argparse.Namespace, program: str, seconds: float
) -> tuple[str, list[Any], list[bool]]:
    """How a stage ended that is this program, the lines it said, and its goals."""
    (prove.SCRIPTS / "proof" / "there.py").write_text(program)
    out, goals = io.StringIO(), list[bool]()
    how = prove.stage("there", seconds, asked, {"PATH": ""}, out, goals)
    return how, [json.loads(line) for line in out.getvalue().splitlines()], goals


@pytest.mark.slow
def test_a_stage_that_hangs_is_ended_in_time_and_what_it_said_counts(
    asked: argparse.Namespace,
) -> None:
    program = """
import subprocess, sys, time
print('{"stage": "there", "what": "a", "reached": true}', flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print('{"stage": "there", "what": "child", "pid": %d}' % child.pid, flush=True)
time.sleep(60)
"""
    start = time.monotonic()
    how, lines, goals = played(asked, program, 4.0)
    assert time.monotonic() - start < 12
    assert how == "its time was up"
    assert [line["what"] for line in lines] == ["a", "child"]
    assert goals == [True]
    if sys.platform == "linux":
        end = time.monotonic() + 10
        while runs(lines[1]["pid"]):  # what is killed takes a moment to be gone
            assert time.monotonic() < end, "it was not ended"
            time.sleep(0.05)


def runs(number: int) -> bool:
    """Whether a process is there and not just dead."""
    try:
        status = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def test_a_stage_that_fails_says_why_and_other_prints_are_left_out(
    asked: argparse.Namespace,
) -> None:
    program = """
print("a library says hello")
print("[1, 2]")
print('{"stage": "there", "what": "a", "reached": false}', flush=True)
raise SystemError("no such card")
"""
    how, lines, goals = played(asked, program, 30.0)
    assert how == "exit code 1: SystemError: no such card"
    assert lines == [{"stage": "there", "what": "a", "reached": False}]
    assert goals == [False]
    assert played(asked, "", 1.0)[0] == "no time left"


def test_wheels_are_all_that_lwlive_needs_but_torch() -> None:
    assert not any(each.startswith("torch") for each in wheels.needed() + wheels.constraints())
    assert any(each.startswith("diffusers") for each in wheels.needed())
    assert any(each.startswith("numpy==") for each in wheels.constraints())


@pytest.mark.slow
def test_a_folder_of_wheels_is_installed_once_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    folder, site = tmp_path / "wheels", tmp_path / "site"
    folder.mkdir()
    with pytest.raises(SystemExit, match="there is no wheel in"):
        wheels.installed(folder, site)
    with zipfile.ZipFile(folder / "found-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("found.py", "here = True\n")
        about = "found-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: found\nVersion: 1.0\n")
        tag = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{about}/WHEEL", tag)
        wheel.writestr(f"{about}/RECORD", "")
    assert wheels.installed(folder, site) == site
    assert (site / "found.py").read_text() == "here = True\n"
    (site / "found.py").unlink()
    assert wheels.installed(folder, site) == site
    assert not (site / "found.py").exists()  # the same wheels: nothing is done again
    (folder / "broken-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    with pytest.raises(SystemExit, match="pip could not install"):
        wheels.installed(folder, site)


@pytest.mark.slow
def test_every_stage_runs_small_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "prove.py"), "--device", "cpu", "--minutes", "15"]
    out = tmp_path / "found.jsonl"
    command += ["--cache", str(tmp_path / "cache"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=960)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert done.stdout.splitlines() == out.read_text().splitlines()
    last = lines.pop()
    assert last["stages"] == dict.fromkeys(prove.STAGES, "done"), done.stderr
    assert done.returncode == 0
    said = {(line["stage"], line["what"]) for line in lines}
    assert said >= {
        ("there", "machine"),
        ("there", "peak"),
        ("right", "float32 on the CPU"),
        ("right", "live changes"),
        ("right", "lora"),
        ("right", "compiled"),
        ("fast", "frames"),
        ("fast", "against the stock pipeline"),
        ("fast", "compiled"),
        ("show", "storm"),
        ("show", "engine lost"),
        ("ember", "frames"),
    }
    missed = [line for line in lines if line.get("reached") is False]
    assert not missed
    assert last["goals"] == last["reached"] == len([line for line in lines if "reached" in line])
