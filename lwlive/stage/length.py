"""The length of a show: counted from its first picture, however long that takes to come.

It is also decided here how long that may take where engines die instead of giving pictures.
"""

from lwlive.stage.host import EngineFailure

MOST_DEATHS = 5  # engines that a start may lose before its first picture


class Length:
    """When a show is over. duration: in seconds, None for ever; started: by the show's clock.

    kept: the show keeps a state and is started again, and the next start can leave out what this
    one fails at.
    """

    def __init__(
        self, duration: float | None, fps: float, started: float, kept: bool = False
    ) -> None:
        self._duration, self._fps, self._started = duration, fps, started
        self._kept = kept
        self._first: int | None = None  # tick of the first picture

    @property
    def begun(self) -> bool:
        """Whether there was a picture."""
        return self._first is not None

    def over(self, tick: int) -> bool:
        """Whether the picture of this tick, which is out, is the last one."""
        if self._first is None:
            self._first = tick
        if self._duration is None:
            return False
        return tick + 1 - self._first >= round(self._duration * self._fps)

    def check(self, deaths: int, trouble: str, now: float) -> None:
        """Give up a show without a picture whose engines die, where that helps: it was to be over
        by now, or the next start can do without what kills them. Raises EngineFailure.
        """
        passed = now - self._started
        late = bool(deaths) and self._duration is not None and passed >= self._duration
        if late or (self._kept and deaths >= MOST_DEATHS):
            raise EngineFailure(f"no picture in {passed:.0f} seconds; {trouble}")
