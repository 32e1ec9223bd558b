"""Memory in use by the stage and its engine, as the system counts it."""

import os

import psutil


def resident_mb(engine: int | None) -> float | None:
    """Resident memory of this process and the engine's in MB, shared pages counted in both."""
    total = 0
    for pid in (os.getpid(), engine):
        if pid is None:
            continue
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.Error:  # it has ended just now
            return None
    return round(total / 2**20, 1)
