"""Ableton Link: a tempo and a beat shared with other programs and machines of a network.

The library has threads of its own; here the session is read when the show polls, which takes a
microsecond. Its line is offered when it has moved. A tempo that comes from elsewhere in the show is
given to the session. Its beat is given only where nobody else is in the session, since a beat that
is moved is moved for everyone. Otherwise a hand says which of the session's beats is the one here.

The library is an extra: it contains Ableton's Link, which is under the GPL. This file is the only
one that imports it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lwlive import extras
from lwlive.commands import Offer
from lwlive.params import ControlError
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.tempo import AHEAD, HANDS
from lwlive.stage.status import Status
from lwlive.tempo import Tempo

if TYPE_CHECKING:
    from link import SessionState

PHRASE = 64.0  # beats that all members count alike: the longest that anything waits for
MOVED_S = 0.0005  # a line that has moved by less is the same one
GLANCE_S = 50e-6  # two clocks are compared well where that takes no longer


class Link(Source):
    """The session, as a source. `tempo`: what the show has; clock: the show's, in seconds.

    Raises ControlError where the library is not installed.
    """

    name = "link"

    def __init__(
        self,
        tempo: Tempo,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        try:
            import link
        except ImportError as error:
            raise ControlError(
                "--link needs LinkPython-extern, which contains Ableton Link under the GPL: run "
                f"`{extras.command('link')}`"
            ) from error
        self._say, self._clock = say, clock
        self._kept = tempo
        self._session = link.Link(tempo.bpm)
        self._offset_s: float | None = None  # from the show's clock to the session's
        self._counted = 0  # beats that are counted here beyond the session's
        self._said: Tempo | None = None  # the session's line, as it was offered
        self._peers = 0
        self._session.enabled = True

    def close(self) -> None:
        """Leave the session."""
        self._session.enabled = False

    def summary(self) -> Mapping[str, int]:
        """How many others are in the session."""
        return {"peers": self._peers}

    def poll(self, now: float) -> Sequence[Arrived]:
        """The session's tempo, if it has moved."""
        peers = self._session.numPeers()
        if peers != self._peers:
            self._peers = peers
            others = f"{peers} other{'' if peers == 1 else 's'}" if peers else "nobody else"
            self._say(f"Ableton Link: {others} in the session")
        tempo = self._tempo(self._session.captureAppSessionState(), now)
        if self._said is not None and not self._moved(tempo, self._said):
            return ()
        self._said = tempo
        away = abs(tempo.beats(now) - self._kept.beats(now))
        return [Arrived(Offer(tempo, jump=away > 1), self.name, now)]

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:  # noqa: ARG002
        """A tempo that came from elsewhere in the show is the session's too."""
        tempo = status.tempo
        if tempo == self._kept:
            return
        self._kept = tempo
        if tempo.by != self.name:
            self._give(tempo, now)

    def refused(self, arrived: Arrived, why: str) -> None:  # noqa: ARG002 - it offers nothing else
        """Say that the show cannot follow."""
        self._say(f"Ableton Link: {why}")

    def _give(self, tempo: Tempo, now: float) -> None:
        state, micros = self._session.captureAppSessionState(), self._micros(now)
        state.setTempo(tempo.bpm, micros)
        if not self._peers:
            state.forceBeatAtTime(tempo.line(now), micros, PHRASE)
            self._counted = 0
        self._session.commitAppSessionState(state)
        self._said = self._tempo(state, now)
        if self._peers and tempo.by in HANDS:  # another clock keeps its own beat
            self._counted += round(tempo.line(now) - self._said.line(now))
            self._said = None

    def _moved(self, tempo: Tempo, said: Tempo) -> bool:
        moments = (tempo.at, tempo.when(tempo.beat + AHEAD))
        off = max(abs(tempo.beats(moment) - said.beats(moment)) for moment in moments)
        return off * 60 / tempo.bpm > MOVED_S

    def _tempo(self, state: "SessionState", now: float) -> Tempo:
        beat = state.beatAtTime(self._micros(now), PHRASE)
        return Tempo(state.tempo(), beat + self._counted, now, self.name)

    def _micros(self, now: float) -> int:
        """A moment of the show's clock in the session's, which may run at another rate."""
        before = self._clock()
        micros = self._session.clock().micros()
        took = self._clock() - before
        if took < GLANCE_S or self._offset_s is None:
            self._offset_s = micros / 1e6 - before - took / 2
        return round((now + self._offset_s) * 1e6)
