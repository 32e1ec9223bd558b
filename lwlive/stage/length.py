"""The length of a show: counted from its first picture, however long that takes to come."""

from lwlive.stage.host import EngineFailure


class Length:
    """When a show is over. duration: in seconds, None for ever; started: by the show's clock."""

    def __init__(self, duration: float | None, fps: float, started: float) -> None:
        self._duration, self._fps, self._started = duration, fps, started
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
        """Give up a show without a picture that was to be over, and whose engines die.

        Raises EngineFailure. Without a duration they are started again for ever.
        """
        if self._duration is None or not deaths or now - self._started < self._duration:
            return
        raise EngineFailure(f"no picture in {now - self._started:.0f} seconds; {trouble}")
