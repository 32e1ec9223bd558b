"""The inbox: messages on their way from the osc thread to the show's, and when each is meant.

| thread | runs | may wait for |
|---|---|---|
| osc | `keep` | a lock held for a few dictionary operations |
| the show's | `take`, `reached` | the same |

Of the messages to an address the newest counts, for each moment that one is meant for. This file
knows nothing of bytes, sockets or who may send; time is passed in.
"""

import heapq
import threading
from itertools import count
from typing import Any, NamedTuple

from lwlive.commands import Command, Fire
from lwlive.params import ControlError

NTP_S = 2_208_988_800  # from the year 1900, where time tags begin, to 1970
MOST = 1000  # messages for later moments between two ticks
MOST_TIMED = 10_000  # polled and not due yet


class Kept(NamedTuple):
    """A good message."""

    command: Command
    sender: tuple[Any, ...]  # a socket address
    at: float
    due: float | None  # when it is to take effect; None: now
    contested: bool = False  # it took the place of another sender's value


class Inbox:
    """What has come and was not polled yet, and what was polled and is not due yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[tuple[str, float | None], Kept] = {}  # by address and moment, in order
        # used by the show's thread alone: a heap by moment, then in the order in which they came
        self._timed: list[tuple[float, int, Kept]] = []
        self._count = count()

    def keep(self, address: str, kept: Kept) -> None:
        """Keep a message until it is taken. Raises ControlError."""
        with self._lock:
            if kept.due is not None and len(self._newest) >= MOST:
                raise ControlError("too many messages for later moments come together")
            older = self._newest.pop((address, kept.due), None)  # the newest values come last
            if older is not None and (older.contested or older.sender != kept.sender):
                kept = kept._replace(contested=True)
            if older is not None and isinstance(kept.command, Fire):
                kept = kept._replace(at=older.at)  # the first press is the one that is felt
            self._newest[address, kept.due] = kept

    def take(self) -> list[Kept]:
        """What has come since the last call, in its order.

        Of what is polled and not due yet MOST_TIMED are known; `reached` knows nothing of more.
        """
        with self._lock:
            newest, self._newest = self._newest, {}
        for kept in newest.values():
            if kept.due is not None and len(self._timed) < MOST_TIMED:
                heapq.heappush(self._timed, (kept.due, next(self._count), kept))
        return list(newest.values())

    def reached(self, now: float) -> list[Kept]:
        """Messages taken before, whose moment has come since the last call."""
        reached: list[Kept] = []
        while self._timed and self._timed[0][0] <= now:
            reached.append(heapq.heappop(self._timed)[2])
        return reached


def ahead_s(tag: int, wall_ns: int) -> float:
    """How far a time tag is ahead of the system's clock, in nanoseconds since 1970.

    Tags begin again in the year 2036: the nearest moment is meant.
    """
    now = ((wall_ns + NTP_S * 10**9) << 32) // 10**9
    return ((tag - now + 2**63) % 2**64 - 2**63) / 2**32
