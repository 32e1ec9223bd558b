"""The tally: how many messages came, were applied and were refused, and a line about it in the log.

Any thread may count; the log is written where time is passed in. It knows nothing of OSC.
"""

import logging
import math
import threading
from collections.abc import Sequence
from typing import NamedTuple

LOG_PERIOD_S = 1.0  # least time between two lines about refused messages

_log = logging.getLogger(__name__)


class Counts(NamedTuple):
    """Messages so far. Those neither applied nor refused gave way to newer ones, or were a 0 of a
    button."""

    received: int
    applied: int
    refused: int


class Tally:
    """Counts, and the latest refusal in words."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the next two
        self._counts = Counts(0, 0, 0)
        self._refusal = ""
        self._log_due = -math.inf
        self._logged = 0  # refusals that the log has

    @property
    def counts(self) -> Counts:
        """All so far. May be read from any thread."""
        with self._lock:
            return self._counts

    def add(self, received: int, applied: int, refusals: Sequence[str]) -> None:
        """Count some more; a sentence for each that is refused."""
        with self._lock:
            old = self._counts
            self._counts = Counts(
                old.received + received, old.applied + applied, old.refused + len(refusals)
            )
            if refusals:
                self._refusal = refusals[-1]

    def log(self, what: str, now: float) -> None:
        """A line about the latest refusal, where there are new ones, once a second at most."""
        with self._lock:
            new, refusal = self._counts.refused - self._logged, self._refusal
        if new and now >= self._log_due:
            more = f" (and {new - 1} more were refused)" if new > 1 else ""
            _log.warning("%s refused, from %s%s", what, refusal, more)
            self._logged += new
            self._log_due = now + LOG_PERIOD_S
