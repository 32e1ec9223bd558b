"""A feed: the pictures of a show on their way into another program, whatever that program does.

| thread | runs | may wait for |
|---|---|---|
| the show's | `Feed(...)`, `tell`, `put`, `summary` | nothing |
| one that may wait | `close` | CLOSE_S |
| the feed's, one for each time it is switched on | its `Sink`: `open`, `show`, `close` | anything |

Each way into other programs is a `Sink` in a file of its own. What all of them need is here: a
short queue, counted drops, a sentence when it fails and when it is back, pauses between tries, and
a watch over calls that do not return, which `abort` ends. A sink is opened as soon as it is
switched on, before there is a picture for it: libraries that open hold Python's lock for up to 50
ms, which a show that has not begun does not miss. Sentences of the feed's thread wait in a queue
for `tell`, since only the show's thread may say them. This file knows no library.
"""

import itertools
import logging
import queue
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Protocol

from lwlive import extras
from lwlive.checkpoint import Size
from lwlive.params import ControlError
from lwlive.stage.outputs.outbox import Outbox, Pictures
from lwlive.stage.outputs.scaling import Form, Scaling
from lwlive.stage.parts import Output, Picture, Source
from lwlive.stage.status import Status

_log = logging.getLogger(__name__)

QUEUE_S = 0.15  # of pictures that may wait: what is older is no use to who looks on
PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # between one try and the next; the last one for all that follow
STEADY_S = 5.0  # what works for so long again is back
STALL_S = 5.0  # a picture that takes longer ends the sink,
OPEN_S = 20.0  # and so does opening it
CLOSE_S = 2.0  # for the last pictures and the end


class FeedError(ControlError):
    """A feed cannot do its work. `lasting`: trying again changes nothing."""

    def __init__(self, sentence: str, lasting: bool = False) -> None:
        super().__init__(sentence)
        self.lasting = lasting


def need(library: str, title: str, extra: str, where: str = "") -> None:
    """Raises FeedError where a library is not installed. where: what else is to be said of it."""
    if find_spec(library) is None:
        raise FeedError(
            f"{title} is not installed: run `{extras.command(extra)}`{where}", lasting=True
        )


class Sink(Protocol):
    """Where pictures go. All of it but `abort` runs in the feed's thread and may wait.

    Where something fails, `open` and `show` raise: FeedError with a sentence, or OSError.
    """

    form: Form  # how `show` takes pictures
    patient: bool  # `open` waits for somebody to connect, however long that takes

    def open(self) -> str:
        """Begin; returns where pictures go, in words."""

    def show(self, pixels: Any, number: int) -> None:
        """One picture, of the tick `number`. Its pixels are not written into, ever."""

    def abort(self) -> None:
        """Let a call that does not return fail soon. From any thread; waits for nothing."""

    def close(self) -> None:
        """End. Called once for each `open`, however that went."""


class Feed(Source, Output):
    """Pictures into another program, while `switch` is on in the status. `make`: a new sink.

    size: of the show's pictures. It steers nothing; as a source it is told how things stand.
    """

    def __init__(
        self,
        name: str,
        switch: str,
        make: Callable[[], Sink],
        scaling: Scaling,
        size: Size,
        fps: float,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self._switch, self._make = name, switch, make
        self._scaling, self._size, self._fps = scaling, size, fps
        self._say, self._clock = say, clock
        self._outbox: Outbox | None = None
        self._ending: list[Outbox] = []  # switched off, and not done yet
        self._sentences: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lost = 0  # pictures dropped by outboxes that are gone
        # written by the feed's thread, read by the show's, which sees the value of a moment ago
        self._sink: Sink | None = None
        self._busy: float | None = None  # since when a call has not returned
        self._aborted = False  # written by both, and true only while a call is under way
        self.where, self.connected = "", False  # where pictures went last, and whether they do now
        self.sent = self.failures = self._unsent = 0

    @property
    def dropped(self) -> int:
        """Pictures that did not go out while it was on."""
        outboxes = [*self._ending, *([self._outbox] if self._outbox else [])]
        return self._lost + self._unsent + sum(one.dropped for one in outboxes)

    def put(self, picture: Picture) -> None:
        """Send the picture of a tick, where that is wanted."""
        self._follow(picture.status)
        if self._outbox is not None:
            self._outbox.put(picture.pixels, picture.tick)

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:  # noqa: ARG002
        """Follow the switch, and say what there is to say."""
        self._follow(status)
        self._watch()
        with suppress(queue.Empty):
            while True:
                self._say(self._sentences.get_nowait())

    def close(self) -> None:
        """Send what is left, for a moment, and end."""
        if self._outbox is not None:
            self._outbox.end(CLOSE_S)
            self._ending.append(self._outbox)
            self._outbox = None
        for outbox in self._ending:
            outbox.join(CLOSE_S)
            if not outbox.over and self._sink is not None:
                self._sink.abort()
                outbox.join(CLOSE_S)

    def summary(self) -> dict[str, Any] | None:
        """For the statistics, the figures over the picture and the page."""
        if self._outbox is None and not self.sent and not self.failures:
            return None  # it was never on
        return {
            "to": self.where,
            "connected": self.connected,
            "sent": self.sent,
            "dropped": self.dropped,
            "failures": self.failures,
        }

    def _follow(self, status: Status) -> None:
        """Begin or end, as the switch says; one that is ending is waited for."""
        on = status.outputs.get(self._switch, False)
        for outbox in [one for one in self._ending if one.over]:
            self._ending.remove(outbox)
            self._lost += outbox.dropped
        if on and self._outbox is None and not self._ending:
            made = Outbox(self.name, self._run, self._broken, self._size, self._fps, QUEUE_S)
            self._outbox = made
            made.start()
        elif not on and self._outbox is not None:
            self._outbox.end(0.0)
            self._ending.append(self._outbox)
            self._outbox = None
            self._say(f"{self.name}: off")

    def _watch(self) -> None:
        """End a call that does not return."""
        sink, busy = self._sink, self._busy
        if sink is None or busy is None or self._aborted:
            return
        waits = sink.patient and not self.connected
        if waits and self._outbox is not None:
            return
        # one that waits and is switched off: nobody is there who could miss anything
        if waits or self._clock() - busy >= (STALL_S if self.connected else OPEN_S):
            self._aborted = True
            sink.abort()

    def _run(self, pictures: Pictures) -> None:
        """In the feed's thread: one sink after the other, until it is switched off."""
        tries, again, failed_at, told = 0, 0.0, None, ""
        since: float | None = None  # when the present sink began
        for item in itertools.chain((None,), pictures):  # None: open it, there is no picture yet
            now = self._clock()
            if self._sink is None and now < again:
                self._unsent += item is not None
                continue
            try:
                if self._sink is None:
                    since = self._begin()
                    if failed_at is None:
                        self._sentences.put(f"{self.name}: {self.where}")
                if item is not None:
                    self._show(*item)
            except Exception as error:  # whatever a library or a far end does, the show continues
                self._unsent += item is not None
                self.failures += 1
                sentence = self._end(error)
                now = self._clock()
                failed_at = now if failed_at is None else failed_at
                if sentence != told and sentence:
                    self._sentences.put(sentence)
                told = sentence
                lasting = isinstance(error, FeedError) and error.lasting
                again = float("inf") if lasting else now + PAUSES_S[min(tries, len(PAUSES_S) - 1)]
                tries += 1
                continue
            if failed_at is not None and since is not None and now - since >= STEADY_S:
                away = since - failed_at
                self._sentences.put(f"{self.name} is back after {away:.0f} s: {self.where}")
                tries, failed_at, told = 0, None, ""
        self._close()

    def _begin(self) -> float:
        """Make a sink and open it; returns when it is open."""
        self._aborted = False
        sink = self._sink = self._make()
        self._busy = self._clock()
        self.where = sink.open()
        self._busy, self.connected = None, True
        return self._clock()

    def _show(self, pixels: Any, number: int) -> None:
        sink = self._sink
        assert sink is not None
        shown = self._scaling.of(pixels, number, sink.form)
        self._busy = self._clock()
        sink.show(shown, number)
        self._busy = None
        self.sent += 1

    def _end(self, error: Exception) -> str:
        """Close what has failed; returns why, as a sentence, empty where it was switched off."""
        aborted, limit = self._aborted, STALL_S if self.connected else OPEN_S
        self._close()
        if aborted and self._outbox is None:
            return ""
        if aborted:
            return f"{self.name} stands still: nothing was taken for {limit:.0f} s; trying again"
        if isinstance(error, FeedError):
            return f"{self.name}: {error}" + ("" if error.lasting else "; trying again")
        _log.debug("%s", self.name, exc_info=error)
        why = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        return f"{self.name} has failed: {why}; trying again"

    def _close(self) -> None:
        sink, self._sink, self._busy, self.connected = self._sink, None, None, False
        if sink is not None:
            with suppress(Exception):  # the first error is the one to tell
                sink.close()

    def _broken(self, error: Exception) -> None:
        """Mostly in the feed's thread: it could not even begin."""
        self._sentences.put(f"{self.name} has ended: {error!r}; switch it off and on to try again")
