"""The newest lines of the log, for the page. Any thread may log; the show's thread reads."""

import logging
import time
from collections import deque

KEPT = 40
LONGEST = 300  # letters of a line


class Lines(logging.Handler):
    """Keeps the newest lines: a number, the time of day, and the sentence."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: deque[tuple[int, str, str]] = deque(maxlen=KEPT)
        self._count = 0  # counted under the handler's lock

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        try:
            text = record.getMessage()
        except Exception:  # a wrong number of arguments: the words are worth having all the same
            text = str(record.msg)
        self._count += 1
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        self._kept.append((self._count, at, text[:LONGEST]))

    def newest(self) -> list[tuple[int, str, str]]:
        """All that are kept, the oldest first. A deque is copied whole."""
        return list(self._kept)
