"""Daily: what happens at a time of day, once a day, on a clock that may be set or jump.

Summer time, a clock put right after hours, a machine that starts without its date: what a jump
passes over comes then, and only the latest of it; what a clock set back passes again does not come
again. It is asked every tick, and given the show's clock and the date and time where the show is.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta

ONCE_S = 12 * 3600.0  # sooner than that, nothing comes again on the same date or an earlier one


class Daily:
    """Times of day, each with the place in a list that it belongs to."""

    def __init__(self, times: Mapping[int, time], there: Callable[[], datetime]) -> None:
        self._times, self._there = times, there
        self._asked: datetime | None = None  # when it was asked last
        self._came: dict[int, tuple[date, float]] = {}  # on which date, at which second of the show

    def since(self, when: datetime) -> None:
        """Count from a date and time on, when a show before this one asked last."""
        self._asked = when

    def passed(self, now: float) -> int | None:
        """The place whose time has passed since the last call: the latest of several."""
        there = self._there()
        before, self._asked = self._asked, there
        if before is None:
            return None
        passed = [(when, place) for when, place in self._last(there) if before < when]
        if not passed:
            return None
        when, place = max(passed)  # one before it is over, even where this one has come already
        if not self._may(place, when, now):
            return None
        self._came[place] = when.date(), now
        return place

    def newest(self) -> int | None:
        """The place whose time was last, today or yesterday; None without any."""
        last = self._last(self._there())
        return max(last)[1] if last else None

    def _last(self, there: datetime) -> list[tuple[datetime, int]]:
        """When each time was last, `there` included."""
        found = []
        for place, each in self._times.items():
            when = datetime.combine(there.date(), each.replace(tzinfo=None))
            found.append((when if when <= there else when - timedelta(days=1), place))
        return found

    def _may(self, place: int, when: datetime, now: float) -> bool:
        if place not in self._came:
            return True
        day, at = self._came[place]
        return when.date() > day or now - at >= ONCE_S
