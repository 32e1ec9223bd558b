"""Time, as a show sees it: injected, so that tests can let it pass."""

import time
from typing import Protocol


class Clock(Protocol):
    """Time, as the show sees it."""

    def now(self) -> float:
        """Seconds, from any start, never backwards."""

    def sleep_until(self, due: float) -> None:
        """Wait until `due`."""


class WallClock:
    """The real one."""

    def now(self) -> float:
        """Seconds since some moment before the start."""
        return time.perf_counter()

    def sleep_until(self, due: float) -> None:
        """Sleep until `due`; returns immediately when that is past."""
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
