"""Controls that no picture shows yet, and when each of them was asked for."""

from collections import deque

from lwlive.ring import Frame
from lwlive.snapshot import Snapshot

MOST = 1_000  # controls waited for; without an engine nothing answers them


class Underway:
    """The controls on their way to the screen. Frames say by their version which have arrived.

    delay_s: from a picture to the audience's eyes.
    """

    def __init__(self, snapshot: Snapshot, delay_s: float) -> None:
        self._delay_s = delay_s
        self._shows = snapshot  # the newest that a frame was made with
        self._waiting: deque[tuple[Snapshot, float | None]] = deque(maxlen=MOST)
        self._known = snapshot.version  # the newest of them
        self._lately = {snapshot.version: snapshot}  # the newest, also those that have arrived

    def sent(self, snapshot: Snapshot, asked: float | None) -> None:
        """These controls were asked for at that time; those that wait, for their moment.

        None: no picture is awaited, as after a change of tempo.
        """
        self._add(snapshot, asked)
        for later in snapshot.later:
            self._add(later, later.due)

    def _add(self, snapshot: Snapshot, asked: float | None) -> None:
        """These controls are under way, where they were not before."""
        if snapshot.version > self._known:
            self._known = snapshot.version
            self._waiting.append((snapshot, asked))
        self._lately[snapshot.version] = snapshot
        while len(self._lately) > MOST:
            del self._lately[next(iter(self._lately))]

    def begin(self, snapshot: Snapshot) -> None:
        """Another engine starts with these controls."""
        self._shows = self._lately[snapshot.version] = snapshot

    def answered(
        self, frame: Frame | None, now: float
    ) -> tuple[Snapshot | None, tuple[float, ...]]:
        """The controls that a frame was made with, and when those it answers were asked for.

        Of a change that waits, or was called off while it did, nothing is answered.
        """
        if frame is None:
            return None, ()
        asked = []
        while self._waiting and self._waiting[0][0].version <= frame.version:
            _, at = self._waiting.popleft()
            if at is not None and at <= now + self._delay_s:
                asked.append(at)
        self._shows = self._lately.get(frame.version, self._shows)
        return self._shows, tuple(asked)
