"""Proves lwlive on a GPU in nine minutes, without a network, and prints what it finds as JSON.

    python scripts/prove.py wheels FOLDER [--python 3.12] [--platform linux_x86_64]
    python scripts/prove.py [--wheels FOLDER] [--minutes 9] [--device cuda] [--out FILE]

The first fetches what lwlive needs beside torch, for a machine without a network. The second needs
a checkout, torch 2.10 or later, and that folder (or an environment with lwlive's libraries in it).

Stages run one after another, each in a process of its own, so that none can spoil the next: what
there is, what is right, what is fast, a show, ember. Each prints its lines as soon as it has them,
and is ended when its time is up. A last line says what was reached. Goals are printed beside what
is found. On a machine without a GPU the same stages run small, on the CPU.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import wheels

SCRIPTS = Path(__file__).resolve().parent
sys.path.append(str(SCRIPTS.parent))  # where nothing is installed yet

from lwlive.openmp import spin_briefly  # noqa: E402 - found by the line above

# Each stage with its share of the time. What one leaves over is the next ones'.
STAGES = {"there": 0.06, "right": 0.24, "fast": 0.36, "show": 0.22, "ember": 0.12}
GRACE_S = 3.0  # for a stage to end by itself once its time is up
LAST_S = 5.0  # kept for the last line


def main(words: list[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit code."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["wheels"]:
        return wheels.main(words[1:])
    given = _parser().parse_args(words)
    places = [SCRIPTS, SCRIPTS.parent]  # the stages import bench.py and its parts, and lwlive
    if given.wheels is not None:
        places.insert(0, wheels.installed(given.wheels, given.cache / "site"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    spin_briefly(environment)
    end = time.monotonic() + 60 * given.minutes - LAST_S
    found: dict[str, str] = {}
    goals: list[bool] = []
    with (given.out or Path(os.devnull)).open("w", encoding="utf-8") as out:
        left = sum(STAGES[name] for name in given.stages)
        for name in given.stages:
            seconds = (end - time.monotonic()) * STAGES[name] / left
            left -= STAGES[name]
            found[name] = stage(name, seconds, given, environment, out, goals)
        report(out, "all", stages=found, goals=len(goals), reached=sum(goals))
    return int(any(how != "done" for how in found.values()))


def stage(
    name: str,
    seconds: float,
    given: argparse.Namespace,
    environment: dict[str, str],
    out: TextIO,
    goals: list[bool],
) -> str:
    """Run one stage for so many seconds at most; how it ended, in a word or a sentence.

    goals: whether each of its goals was reached is added.
    """
    if seconds < GRACE_S:
        return "no time left"
    command = [sys.executable, "-W", "ignore", str(SCRIPTS / "proof" / f"{name}.py")]
    command += ["--device", given.device, "--seconds", f"{seconds - GRACE_S:.1f}"]
    command += ["--cache", str(given.cache)]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    said: list[str] = []
    ears = [
        threading.Thread(target=relayed, args=(child.stdout, out, goals), daemon=True),
        threading.Thread(target=lambda: said.extend(child.stderr or ()), daemon=True),
    ]
    for ear in ears:
        ear.start()
    try:
        child.wait(seconds)
        how = "done" if child.returncode == 0 else f"exit code {child.returncode}"
    except subprocess.TimeoutExpired:
        how = "its time was up"
    finally:
        _end(child)  # and what it started
    for ear in ears:
        ear.join(1.0)
    if how.startswith("exit"):
        last = [line.strip() for line in said if line.strip()][-1:]
        how = f"{how}: {' '.join(last)[:300]}"
    return how


def relayed(lines: TextIO, out: TextIO, goals: list[bool]) -> None:
    """Pass on the lines of JSON that a stage prints, and leave out what libraries print."""
    for line in lines:
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict) and "stage" in found:
                report(out, **found)
                goals += [found["reached"]] if "reached" in found else []


def report(out: TextIO, stage: str, **more: Any) -> None:
    """One line of JSON, on the terminal and in the file."""
    line = json.dumps({"stage": stage, **more})
    print(line, flush=True)
    out.write(line + "\n")
    out.flush()


def _end(child: "subprocess.Popen[str]") -> None:
    """End a stage and whatever it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="install from there first")
    parser.add_argument("--minutes", type=float, default=9.0, help="a limit that is kept")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--stages", nargs="+", choices=tuple(STAGES), default=list(STAGES))
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the lines there too")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FOLDER",
        default=Path.home() / ".cache" / "lwlive-prove",
        help="for checkpoints with random weights and what is compiled",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
