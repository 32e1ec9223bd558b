"""Renewal: when the engine is replaced since the show takes more memory than it is allowed.

A driver or a library may leak, however careful the rest is. Above `--memory-limit` another engine
takes over at a quiet moment: nobody has touched a control for a while. Far above it, any moment
will do. All of it runs in the show's thread; the replacing is the supply's.
"""

from collections.abc import Callable, Mapping

from lwlive.stage.parts import Source
from lwlive.stage.status import Status

QUIET_S = 10.0  # without a control: nobody steers just now
FAR = 1.25  # times the limit: no moment is waited for
AGAIN_S = 600.0  # between two renewals: what is in memory after one, the engine is not to blame for
SETTLED_S = 60.0  # after a start, while memory still grows


class Renewal(Source):
    """Asks for another engine. renew: starts one, False where that cannot be now."""

    name = "renewal"

    def __init__(
        self, limit_mb: float, renew: Callable[[float], bool], say: Callable[[str], None]
    ) -> None:
        self._limit_mb, self._renew, self._say = limit_mb, renew, say
        self._touched = 0.0
        self._next: float | None = None
        self._told = False  # until memory was below the limit again
        self.count = 0

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:
        """Look at the memory, where it is time."""
        if changes or not status.pictures:
            self._touched = now
        if not status.pictures:
            return
        if self._next is None:
            self._next = now + SETTLED_S
        used = status.machine.memory_mb
        if used is None or now < self._next:
            return
        if used <= self._limit_mb:
            self._told = False
            return
        quiet = now - self._touched >= QUIET_S
        if (quiet or used > FAR * self._limit_mb) and self._renew(now):
            self.count += 1
            self._next = now + AGAIN_S
            more = f"the show takes {used:.0f} MB, more than --memory-limit"
            if not self._told:
                self._say(f"{more}, so another engine takes over")
            elif self.count == 2:
                self._say(f"{more} with another engine, too: the limit is too low for this model")
            self._told = True

    def summary(self) -> Mapping[str, int]:
        """How often the engine was renewed."""
        return {"count": self.count}
