"""Events: what happened to a show, told to its log file for whoever reads it days later.

Everything runs in the show's thread and follows from its status: first picture, an engine that is
back, bursts of late frames, in-betweens, replaced frames, a disk that fills, how the show stands
every hour. What a person at the desk has to know comes in notices.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lwlive.logs import event
from lwlive.stage.parts import Source
from lwlive.stage.status import Status

BURST_S, BURST = 10.0, 5  # so many late frames in so many seconds are worth a line,
QUIET_S = 60.0  # and one a minute is enough
STANDS_S = 10.0  # a number of in-betweens that lasts is worth one
HOUR_S = 3600.0
LOW_MB, ROOM_MB = 500.0, 1000.0  # a disk with so little left is an event, until there is so much


@dataclass
class _Level:
    """A value that is logged once it stands."""

    told: object = None
    new: object = None
    since: float = 0.0

    def stands(self, value: object, now: float, seconds: float) -> bool:
        """Whether another value than the one told has stood for so long; it counts as told."""
        if value != self.new:
            self.new, self.since = value, now
        if self.new == self.told or now - self.since < seconds:
            return False
        self.told = self.new
        return True


class Events(Source):
    """Tells the log. `tell` gets a line."""

    name = "events"

    def __init__(self, say: Callable[[str], None] = event) -> None:
        self._say = say
        self._first = False
        self._deaths, self._lost_at = 0, 0.0
        self._late: deque[tuple[float, int]] = deque()  # times, and late frames by then
        self._burst_at = -QUIET_S
        self._stride = _Level()
        self._replaced, self._replaced_at = 0, -QUIET_S
        self._low = False
        self._hour = HOUR_S

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:  # noqa: ARG002
        """Whatever has changed since the last tick."""
        if not status.pictures:
            return
        if not self._first:
            self._first = True
            self._say(f"the first picture, {status.since_start_s:.1f} s after the start")
        self._engine(status, now)
        self._lateness(status, now)
        self._pictures(status, now)
        self._disk(status)
        if status.since_start_s >= self._hour:
            self._hour += HOUR_S
            self._say(_stands(status))

    def _engine(self, status: Status, now: float) -> None:
        lost = status.engine.startswith("lost")
        if status.deaths > self._deaths and not self._lost_at:
            self._lost_at = now
        if self._lost_at and not lost:
            self._say(f"the engine is back after {now - self._lost_at:.1f} s")
            self._lost_at = 0.0
        self._deaths = status.deaths

    def _lateness(self, status: Status, now: float) -> None:
        if not self._late or now - self._late[-1][0] >= 1.0:
            self._late.append((now, status.late))
        while now - self._late[0][0] > BURST_S:
            self._late.popleft()
        many = status.late - self._late[0][1]
        if many >= BURST and now - self._burst_at >= QUIET_S:
            self._burst_at = now
            self._say(f"{many} late frames within {BURST_S:.0f} s, {status.late} in all")

    def _pictures(self, status: Status, now: float) -> None:
        if self._stride.stands(status.stride, now, STANDS_S) and status.stride is not None:
            every = f"1 in {status.stride} frames is" if status.stride > 1 else "every frame is"
            self._say(f"{every} sampled, {status.fps_sampled} a second at present")
        if status.replaced > self._replaced and now - self._replaced_at >= QUIET_S:
            self._say(f"{status.replaced} frames with NaN in them were replaced so far")
            self._replaced, self._replaced_at = status.replaced, now

    def _disk(self, status: Status) -> None:
        free = status.machine.disk_free_mb
        if free is None:
            return
        if not self._low and free < LOW_MB:
            self._low = True
            self._say(f"the disk that recordings go to has {free:.0f} MB left")
        elif self._low and free > ROOM_MB:
            self._low = False
            self._say(f"the disk that recordings go to has {free:.0f} MB again")


def _stands(status: Status) -> str:
    """How the show stands, in a line."""
    machine = status.machine
    parts = [
        f"{status.since_start_s / HOUR_S:.1f} h: {status.fps} of {status.fps_target:g} pictures "
        f"a second, {status.late} late, engine lost {status.deaths} times"
    ]
    if machine.memory_mb is not None:
        parts.append(f"memory {machine.memory_mb:.0f} MB")
    if machine.disk_free_mb is not None:
        parts.append(f"disk {machine.disk_free_mb / 1024:.1f} GB left")
    if machine.temperature_c is not None:
        parts.append(f"{machine.temperature_c:.0f} degrees")
    return ", ".join(parts)
