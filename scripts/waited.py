"""By how much programs were slowed since others had the cores, as Linux counts for each thread."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

Turns = Mapping[tuple[int, int], tuple[int, int]]  # nanoseconds run and waited, by process, thread


def turns(processes: Iterable[psutil.Process]) -> Turns:
    """How long each thread of these has run so far, and has waited for a core."""
    found = {}
    for process in processes:
        with contextlib.suppress(OSError, ValueError):  # it has just ended
            for task in Path(f"/proc/{process.pid}/task").iterdir():
                ran, waited, _ = map(int, (task / "schedstat").read_text().split())
                found[process.pid, int(task.name)] = ran, waited
    return found


def slowed(before: Turns, after: Turns) -> float:
    """By which factor; 1 where nobody waited. What began meanwhile counts from its start."""
    ran = sum(turn[0] - before.get(thread, (0, 0))[0] for thread, turn in after.items())
    waited = sum(turn[1] - before.get(thread, (0, 0))[1] for thread, turn in after.items())
    return 1 + waited / ran if ran > 0 else 1.0
