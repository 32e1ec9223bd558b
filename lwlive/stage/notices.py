"""Notices: sentences for the person at the desk, one after the other, each for its time.

Used by the show's thread alone; time is passed in. Each goes to the log as well.
"""

import logging
import math
from collections import deque

log = logging.getLogger(__name__)

NOTICE_S = 5.0  # how long a sentence stays up,
HURRY_S = 1.5  # or only so long where another one waits,
WAITING = 8  # and how many may: of more, the oldest is only in the log


class Notices:
    """A short queue of sentences."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque(maxlen=WAITING)
        self._up: str | None = None
        self._since = -math.inf

    def say(self, text: str) -> None:
        """Show a sentence as soon as those before it have had their time."""
        log.info(text)
        if text != self._up and text not in self._waiting:
            self._waiting.append(text)

    def current(self, now: float) -> str | None:
        """The sentence that is up at this time; None where there is nothing to say."""
        time_s = HURRY_S if self._waiting else NOTICE_S
        if self._up is None or now - self._since >= time_s:
            self._up = self._waiting.popleft() if self._waiting else None
            self._since = now
        return self._up
