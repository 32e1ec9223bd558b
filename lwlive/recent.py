"""The newest lines of the log, kept in memory for whoever shows them. Any thread may log and read.

They begin with the end of the log file, so that what was before the show is there too. This file
reads none, and knows nothing of who shows the lines.
"""

import logging
import re
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

KEPT = 100
LONGEST = 300  # letters of a line
FULL = "%(asctime)s %(levelname)s %(name)s: %(message)s"  # of a line in a log file
_FULL = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ ([A-Z]+) [\w.]+: (.*)", re.DOTALL)


class Line(NamedTuple):
    """A line of the log. One that continues another, or heads a file, has no time."""

    number: int  # from 1 on
    time: str  # the day and the time of day
    level: str
    text: str


class Recent(logging.Handler):
    """Keeps the newest lines. past: lines of the log file, the oldest first."""

    def __init__(self, past: Iterable[str] = ()) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FULL))
        self._kept: deque[Line] = deque(maxlen=KEPT)
        self._count = 0  # counted under the handler's lock
        for line in past:
            self._keep(line)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what a record says."""
        try:
            text = self.format(record)
        except Exception:  # a wrong number of arguments: the words are worth having all the same
            text = str(record.msg)
        for line in text.splitlines():
            self._keep(line)

    @property
    def count(self) -> int:
        """How many there have been: it tells whether there is a new one."""
        return self._count

    def lines(self) -> list[Line]:
        """All that are kept, the oldest first. A deque is copied whole."""
        return list(self._kept)

    def _keep(self, text: str) -> None:
        found = _FULL.fullmatch(text)
        time, level, said = found.groups() if found is not None else ("", "", text)
        self._kept.append(Line(self._count + 1, time, level, said[:LONGEST]))
        self._count += 1  # last, so that whoever reads it finds the line
