"""OSC over UDP: packets in -> commands, present values out to those who asked for them.

| thread | runs | may wait for |
|---|---|---|
| the show's | `poll`, `tell`, `refused` | a lock held for a few dictionary operations |
| osc | the receiving | the sockets, nothing else |

The osc thread checks and reads every message and keeps the newest good one per address, with the
time it came. A time tag is made a moment of the show's clock as it comes, since the system's clock
may jump; each moment has a newest message of its own. Both threads use the same sockets, which
systems allow: one only receives, the other only sends. Where the thread fails it is started again,
after a pause that grows. In a flood it rests half of the time, since the show's thread would
otherwise wait for the interpreter wherever a tick reads or writes something.

OSC has no passwords: whoever reaches the socket and is on the allow-list may play. There is no
quit, no path and no evaluation to be had. This file knows nothing of windows, frames or engines.
"""

import errno
import logging
import math
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from lwlive.commands import Move, Set, Switch
from lwlive.params import SPECS, ControlError
from lwlive.routes import BANDS
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.listening import ListenError
from lwlive.stage.sources.osc.addresses import AHEAD_S, HEARING, Row, heard, listened, port
from lwlive.stage.sources.osc.inbox import Inbox, Kept, ahead_s
from lwlive.stage.sources.osc.packet import MAX_BYTES, Message, check
from lwlive.stage.sources.osc.sockets import LOCAL, allowed, networks, opened
from lwlive.stage.sources.osc.subscribers import MOST, Sender, Subscribers, called
from lwlive.stage.sources.osc.tally import Counts, Tally
from lwlive.stage.status import Status

PAUSES_S = (0.0, 1.0, 5.0, 15.0, 60.0)  # before a new start, by failures in a row
MINUTE_S = 60.0  # one that listened for so long ends the row
_MAX_NOTED = 1000  # sentences that are said once
_MAX_ASKING = 64  # subscriptions asked for between two ticks; bounds the memory a flood can take
_WAIT_S = 0.1  # how long closing may take
WORK_S, REST_S = 0.002, 0.002  # in a flood, the thread works for so long and then rests so long

_log = logging.getLogger(__name__)


class Osc(Source):
    """The sockets, their thread and the subscribers. A context manager; `port` is the bound port.

    host: address or name to listen on, IPv4 or IPv6. port: 0 takes a free one. allow: addresses
    and networks that may send; empty lets in everyone who reaches the socket. say: gets what the
    person at the desk should know. clock: the show's, in seconds; wall_ns: the system's, in
    nanoseconds since 1970. Raises ListenError.
    """

    name = "osc"

    def __init__(
        self,
        host: str,
        port: int,
        allow: Sequence[str],
        say: Callable[[str], None] = _log.warning,
        clock: Callable[[], float] = time.perf_counter,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._allow, self._say = networks(allow), say
        self._clock, self._wall_ns = clock, wall_ns
        self._sockets, notes = opened(host, port)
        # a name is looked up once: during the show that could take seconds
        self._host: str = host if host in LOCAL else self._sockets[0].getsockname()[0]
        self.port: int = self._sockets[0].getsockname()[1]
        for note in notes:
            say(note)
        self._rows = listened()
        self._inbox = Inbox()  # has a lock of its own
        self._subscribers = Subscribers()  # used by the show's thread alone,
        self._hearers = Subscribers()  # as those are who get the sound
        self._tally = Tally()
        self._row = 0  # failures in a row
        self._start_at = math.inf  # when to listen again
        self._listening_since = -math.inf
        self._stop = threading.Event()
        self._failure: Exception | None = None  # written once by the osc thread, before it ends
        self._thread = self._new_thread()
        self._lock = threading.Lock()  # guards everything below
        # target and what it asks for -> asked from, None to leave
        self._asking: dict[tuple[Sender, str], Sender | None] = {}
        self._notes: list[str] = []  # sentences to say
        self._noted: set[tuple[str, ...]] = set()  # what was said of: address or sender

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for one in self._sockets:
            one.close()

    @property
    def counts(self) -> Counts:
        """Messages received, applied and refused so far. May be read from any thread."""
        return self._tally.counts

    def summary(self) -> Mapping[str, int]:
        """The counts, for the statistics."""
        return self.counts._asdict()

    def poll(self, now: float) -> Sequence[Arrived]:
        """What arrived since the last call, the newest of each address."""
        self._look_after(now)
        with self._lock:
            asking, self._asking = self._asking, {}
            notes, self._notes = self._notes, []
        for note in notes:
            self._say(note)
        for (target, what), asked_from in asking.items():
            self._subscribe(target, what, asked_from)
        taken = self._inbox.take()
        for kept in (*self._inbox.reached(now), *(one for one in taken if one.due is None)):
            self._note(kept)
        arrived = [Arrived(one.command, called(one.sender), one.at, one.due) for one in taken]
        if arrived:
            self._tally.add(0, len(arrived), [])
        return arrived

    def refused(self, arrived: Arrived, why: str) -> None:
        """Count a command that was polled and not carried out."""
        self._tally.add(0, -1, [f"{arrived.by.split()[1]}: {why}"])

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:  # noqa: ARG002
        """Tell every subscriber what it does not know yet, and the log what was refused.

        now: seconds on any clock that does not run backwards.
        """
        self._tally.log("OSC", now)
        if len(self._subscribers):
            self._subscribers.tell(status.values(), now, self._send)
        if len(self._hearers):
            self._tell_sound(status.bands, now)

    def _tell_sound(self, bands: tuple[float, ...] | None, now: float) -> None:
        """Tell the bands to those who asked for them, or why there are none."""
        if bands is None:
            self._hearers = Subscribers()
            why = "this show listens to no sound; it does with --audio-in"
            self._tally.add(0, 0, [f"a subscriber: {why}"])
        else:
            self._hearers.tell(dict(zip(BANDS, bands, strict=True)), now, self._send)

    def _note(self, kept: Kept) -> None:
        """Who sends a value believes in it from then on, whatever becomes of it in this tick."""
        command = kept.command
        if isinstance(command, Switch):
            self._subscribers.knows(kept.sender, f"output/{command.output}", command.on)
            return
        if isinstance(command, Set):
            value = command.value
        elif isinstance(command, Move):
            value = SPECS[command.name].value(command.position)
        else:
            return
        if kept.contested:
            self._subscribers.contested(command.name)
        self._subscribers.knows(kept.sender, command.name, value)

    def _subscribe(self, target: Sender, what: str, asked_from: Sender | None) -> None:
        subscribers = self._hearers if what == HEARING else self._subscribers
        if asked_from is None:
            subscribers.remove(target)
        elif not subscribers.add(target, asked_from):
            self._tally.add(0, 0, [f"{target[0]}: {MOST} have subscribed already"])
            return
        self._tally.add(0, 1, [])

    def _send(self, packet: bytes, target: Sender) -> bool:
        """Whether there is nothing to try again."""
        family = socket.AF_INET6 if len(target) == 4 else socket.AF_INET
        for one in self._sockets:
            if one.family == family:
                try:
                    one.sendto(packet, target)
                except OSError:  # no room or no way there; the next burst tries again
                    return False
        return True

    def _look_after(self, now: float) -> None:
        """Start the thread again where it has failed."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._row = 1 if now - self._listening_since > MINUTE_S else self._row + 1
            pause = PAUSES_S[min(self._row, len(PAUSES_S)) - 1]
            self._start_at = now + pause
            again = f"again in {pause:.0f} s" if pause else "again"
            self._say(
                f"OSC stopped listening ({failure or type(failure).__name__}); it starts {again}"
            )
        if now < self._start_at:
            return
        self._start_at = math.inf
        if self._thread.ident is not None:  # it was started
            self._thread.join()  # it is at its last line
        for one in self._sockets:
            one.close()
        try:
            self._sockets, _ = opened(self._host, self.port)
        except ListenError as error:
            self._failure = error
            return
        self._listening_since = now
        self._thread = self._new_thread()
        try:
            self._thread.start()
        except RuntimeError as error:  # no memory for a thread, or too many: it is tried again
            self._failure = error

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="osc", daemon=True)

    # What follows runs in the osc thread.

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                for one in self._sockets:
                    selector.register(one, selectors.EVENT_READ)
                while not self._stop.is_set():
                    for key, _ in selector.select(_WAIT_S):
                        assert isinstance(key.fileobj, socket.socket)
                        self._drain(key.fileobj)
        except Exception as error:
            self._failure = error

    def _drain(self, one: socket.socket) -> None:
        until = self._clock() + WORK_S
        while not self._stop.is_set():
            if (now := self._clock()) >= until:
                self._stop.wait(REST_S)
                return  # the other socket has its turn
            try:
                packet, sender = one.recvfrom(MAX_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.ECONNRESET, errno.ENETRESET):
                    continue  # Windows: a subscriber that was sent to is gone
                if error.errno != errno.EMSGSIZE:  # Windows; elsewhere it comes cut off
                    raise
                self._tally.add(1, 0, ["someone: a packet is larger than UDP carries"])
                continue
            self._take(packet, sender, now, self._wall_ns())

    def _take(self, packet: bytes, sender: Sender, at: float, wall_ns: int) -> None:
        """Keep the good messages of one packet, count the others."""
        if not allowed(sender[0], self._allow):
            self._tally.add(1, 0, [f"{sender[0]}: this address is not on the allow-list"])
            return
        messages, refusals = check(packet)
        received = len(messages) + len(refusals)
        for message in messages:
            try:
                self._keep(message, sender, at, self._due(message, sender, at, wall_ns))
            except ControlError as error:
                refusals.append(str(error))
        self._tally.add(received, 0, [f"{sender[0]}: {refusal}" for refusal in refusals])

    def _due(self, message: Message, sender: Sender, at: float, wall_ns: int) -> float | None:
        """The moment that a message is meant for; None for now, and for what is past or far."""
        if message.tag is None:
            return None
        ahead = ahead_s(message.tag, wall_ns)
        if 0 < ahead <= AHEAD_S:
            return at + ahead
        if ahead > AHEAD_S:
            self._once(
                ("tag", sender[0]),
                f"OSC from {sender[0]}: a time tag {ahead:.0f} s ahead counts as now; "
                f"{AHEAD_S:.0f} s is the most",
            )
        return None

    def _once(self, what: tuple[str, ...], sentence: str) -> None:
        """Say this at the desk, if it was not said before."""
        with self._lock:
            if what not in self._noted and len(self._noted) < _MAX_NOTED:
                self._noted.add(what)
                self._notes.append(sentence)

    def _keep(self, message: Message, sender: Sender, at: float, due: float | None) -> None:
        """Keep a message until it is polled. What the controls would refuse raises ControlError
        here, and so never takes the place of an older good value."""
        row = self._rows.get(message.address)
        if row is None:
            shown = message.address[:60]
            raise ControlError(f"there is no address {shown!r}; `lwlive osc` lists them")
        if row.verb in ("subscribe", "unsubscribe"):
            self._ask(row, port(row, message.values), sender)
            return
        command, more = heard(row, message.values)
        if more:
            first = f"OSC from {sender[0]}: of several values to {row.address} the first counts"
            self._once(("values", row.address), first)
        if command is None:
            return  # a button let go must not take the place of its press
        self._inbox.keep(row.address, Kept(command, sender, at, due))

    def _ask(self, row: Row, wanted: int | None, sender: Sender) -> None:
        target = (sender[0], wanted or sender[1], *sender[2:])
        with self._lock:
            if len(self._asking) >= _MAX_ASKING and (target, row.name) not in self._asking:
                raise ControlError("too many subscriptions are asked for together")
            if row.verb == "subscribe":
                self._asking[target, row.name] = sender
            else:
                self._asking |= dict.fromkeys([(target, ""), (target, HEARING)])
