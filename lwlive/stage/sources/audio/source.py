"""Sound as a source of the show: its bands as it comes, and a tempo where it has one.

| thread | runs | may wait for |
|---|---|---|
| the show's | `poll`, `tell` | nothing |
| audio | the capture, the bands, the beat | the sound system, and the next block |

The audio thread swaps whole tuples, which the show's thread reads: the newest counts. Should it
fail, that is said, and after a pause it begins again; what is heard meanwhile is silence.

Sound is the least of clocks. It offers a tempo only where nobody else has given one: not a tap, not
Link, not MIDI. Setting `bpm` by hand lets it offer one again. Its beats are numbered on from the
show's, so that a new tempo moves the show by half a beat at most.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lwlive.commands import Command, Hear, Offer
from lwlive.routes import SILENCE
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.audio.capture import Capture, Tap
from lwlive.stage.sources.audio.devices import check
from lwlive.stage.sources.audio.listener import Listener
from lwlive.stage.status import Status
from lwlive.tempo import UNTOLD, Tempo

log = logging.getLogger(__name__)

BY = "audio"
DIFFERS, AWAY_S = 0.004, 0.015  # a tempo is offered again where it differs by so much, or its beats
FAILED_S = 2.0  # before the thread begins again
WAIT_S = 5.0  # for the thread to end


class Audio(Source):
    """One input, listened to from the first `poll` to `close`.

    say: is called in the show's thread alone. Raises AudioError where a library is missing.
    """

    name = "audio"

    def __init__(
        self,
        device: str,
        say: Callable[[str], None],
        keeps_time: bool = True,
        clock: Callable[[], float] = time.perf_counter,
        capture: Capture | None = None,
    ) -> None:
        if capture is None:
            check()
        self._say, self._keeps_time, self._clock = say, keeps_time, clock
        self._notes: deque[str] = deque(maxlen=16)  # from the audio thread, for the show's
        self._capture = capture or Capture(device, self._notes.append, clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audio", daemon=True)
        # written by the audio thread, whole; read by the show's
        self._bands: tuple[float, ...] = SILENCE
        self._tempo: Tempo | None = None  # the last estimate, its beats not numbered
        self._sure = 0.0
        # of the show's thread alone
        self._began = False
        self._told: tuple[float, ...] | None = None
        self._offered: Tempo | None = None
        self._seen: Tempo | None = None  # the estimate that was looked at last
        self._show = UNTOLD  # the show's tempo

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(WAIT_S)  # a sound system that hangs does not keep the show

    def tap(self, seconds: float = 10.0) -> Tap:
        """The sound itself, for an output that takes it in its own thread."""
        return self._capture.tap(seconds)

    def untap(self, tap: Tap) -> None:
        """That output needs it no more."""
        self._capture.untap(tap)

    def poll(self, now: float) -> Sequence[Arrived]:
        """The newest bands, where they are new, and a tempo, where it is another one."""
        if not self._began:
            self._began = True
            self._thread.start()
        while self._notes:
            self._say(f"audio: {self._notes.popleft()}")
        found: list[Command] = []
        bands, tempo = self._bands, self._tempo
        if bands is not self._told:
            self._told = bands
            found.append(Hear(bands))
        if tempo is not None and tempo is not self._seen:
            self._seen = tempo
            if (offer := self._offer(tempo)) is not None:
                found.append(Offer(offer))
        return [Arrived(command, BY, now) for command in found]

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:  # noqa: ARG002
        """Whose tempo the show has."""
        self._show = status.tempo

    def summary(self) -> Mapping[str, Any]:
        """What is listened to, and how it went."""
        bpm = self._tempo.bpm if self._tempo is not None else None
        return {
            "device": self._capture.name,
            "losses": self._capture.losses,
            "skipped": self._capture.skipped,
            "bpm": None if bpm is None else round(bpm, 1),
            "sure": round(self._sure, 2),
        }

    def _offer(self, tempo: Tempo) -> Tempo | None:
        """What is to be offered of an estimate; None where it says nothing new, or may not."""
        if not self._keeps_time or self._show.by not in ("", BY):
            self._offered = None
            return None
        old = self._offered
        if old is not None and self._show.by == BY:
            away = tempo.at - old.when(round(old.beats(tempo.at)))
            if abs(tempo.bpm / old.bpm - 1) < DIFFERS and abs(away) < AWAY_S:
                return None
        beat = float(round(self._show.beats(tempo.at)))
        self._offered = replace(tempo, beat=beat, by=BY)
        return self._offered

    # What follows runs in the audio thread.

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except Exception as error:
                log.debug("the audio thread failed", exc_info=error)
                self._notes.append(f"it failed ({error or type(error).__name__}); trying again")
                self._bands, self._tempo = SILENCE, None
                self._stop.wait(FAILED_S)

    def _listen(self) -> None:
        listener = Listener()
        for block in self._capture.blocks(self._stop):
            if block is None:
                listener.rest(self._clock())
            else:
                listener.hear(block)
            self._bands, self._tempo = listener.bands, listener.tempo
            self._sure = listener.sure
