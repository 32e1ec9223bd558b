"""OSC over UDP: packets in -> Controls, present values out to those who asked for them.

Threads: the osc thread alone receives. It may wait for the socket and for nothing else; it checks,
decodes and judges every message and keeps the newest good one per address. The stage's main
thread calls `apply` and `feedback` once per tick and never waits: the socket does not block, and
a lock is held for a few dictionary operations. Both threads use the one socket, which a system's
sockets allow: one only receives, the other only sends.

OSC has no passwords: whoever reaches the socket and is on the allow-list may play. There is no
quit, no path and no evaluation to be had. This file knows nothing of windows, frames or engines,
and reads no clock: `feedback` is told the time.
"""

import errno
import logging
import math
import selectors
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import BuildError, build_msg

from lwlive.params import ControlError, Controls
from lwlive.stage.packet import (
    LEASE_S,
    MAX_BYTES,
    STATUS,
    STATUS_PERIOD_S,
    OscError,
    Row,
    Value,
    addresses,
    allowed,
    check,
    describe,
    judged,
    networks,
    perform,
)

__all__ = ["Counts", "Osc", "OscError", "Row", "addresses", "describe"]

LOG_PERIOD_S = 1.0  # least time between two lines about refused messages
MAX_SUBSCRIBERS = 16
_MAX_ASKING = 64  # subscriptions asked for between two ticks; bounds the memory a flood can take
_WAIT_S = 0.1  # how long closing may take
_RECEIVE_BUFFER = 1 << 20  # bytes; lets a burst wait while the thread does not get its turn

_log = logging.getLogger(__name__)

Sender = tuple[Any, ...]  # a socket address: host and port, for IPv6 also flow and scope
LoadPreset = Callable[[str], None]


class Counts(NamedTuple):
    """Messages so far. Those neither applied nor refused gave way to newer ones, or were a 0 of a
    button."""

    received: int
    applied: int
    refused: int


class _Arrived(NamedTuple):
    """A good message on its way to the controls."""

    row: Row
    value: Value
    sender: Sender
    contested: bool = False  # it took the place of another sender's value


@dataclass
class _Subscriber:
    """Who gets status, and what it was told. Used by the main thread alone."""

    asked_from: Sender  # where the subscription came from; status may go to another port
    until: float | None = None  # end of the lease; None until the next `feedback` tells the time
    due: float = -math.inf  # no status before this time
    told: dict[str, object] = field(default_factory=dict)


class Osc:
    """The socket, its thread and the subscribers. A context manager; `port` is the bound port.

    host: address or name to listen on, IPv4 or IPv6. port: 0 takes a free one. allow: addresses
    and networks that may send; empty lets in everyone who reaches the socket. Raises OscError.
    """

    def __init__(self, host: str, port: int, allow: Sequence[str]) -> None:
        self._allow = networks(allow)
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._rows = {row.address: row for row in addresses()}
        self._subscribers: dict[Sender, _Subscriber] = {}  # used by the main thread alone
        self._log_due = -math.inf
        self._logged = 0  # refusals the log has told of
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="osc", daemon=True)
        self._failure: Exception | None = None  # written once by the osc thread, before it ends
        self._lock = threading.Lock()  # guards everything below
        self._newest: dict[str, _Arrived] = {}  # by address, in order of arrival
        self._asking: dict[Sender, Sender | None] = {}  # target -> asked from, None to leave
        self._counts = Counts(0, 0, 0)
        self._refusal = ""  # the latest, in words

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    @property
    def counts(self) -> Counts:
        """Messages received, applied and refused so far. May be read from any thread."""
        with self._lock:
            return self._counts

    def apply(self, controls: Controls, load_preset: LoadPreset) -> None:
        """Apply what arrived since the last call. `load_preset` gets a plain name and may raise
        ControlError. Raises OscError when the osc thread has failed."""
        if self._failure is not None:
            raise OscError(f"OSC stopped listening: {self._failure}") from self._failure
        with self._lock:
            newest, self._newest = self._newest, {}
            asking, self._asking = self._asking, {}
        applied = 0
        refusals = []
        for arrived in newest.values():
            try:
                perform(arrived.row, arrived.value, controls, load_preset)
            except ControlError as error:
                refusals.append(f"{arrived.sender[0]}: {error}")
                continue
            applied += 1
            if arrived.row.verb in ("set", "fader"):
                self._own(arrived, getattr(controls.params, arrived.row.name))
        for target, asked_from in asking.items():
            if asked_from is None:
                self._subscribers.pop(target, None)
            elif target in self._subscribers:  # a renewal: everything anew, at the same rate
                due = self._subscribers[target].due
                self._subscribers[target] = _Subscriber(asked_from, due=due)
            elif len(self._subscribers) < MAX_SUBSCRIBERS:
                self._subscribers[target] = _Subscriber(asked_from)
            else:
                refusals.append(f"{target[0]}: {MAX_SUBSCRIBERS} have subscribed already")
                continue
            applied += 1
        if applied or refusals:
            self._count(0, applied, refusals)

    def feedback(self, values: Mapping[str, object], now: float) -> None:
        """Tell every subscriber what changed, and the log what was refused. Never waits or raises.

        values: by name; text, switches and numbers. What is None or not finite is left out.
        now: seconds on any clock that does not run backwards.
        """
        self._log_refusals(now)
        known = {name: value for name, value in values.items() if _can_be_told(value)}
        built: dict[str, bytes | None] = {}
        for target, subscriber in list(self._subscribers.items()):
            if subscriber.until is None:
                subscriber.until = now + LEASE_S
            if now >= subscriber.until:
                del self._subscribers[target]
                continue
            if now < subscriber.due - 1e-6:  # a tick at a whole multiple of 1/30 s is in time
                continue
            told = subscriber.told
            changed = [n for n, v in known.items() if n not in told or told[n] != v]
            if changed:
                subscriber.due = now + STATUS_PERIOD_S
            for name in changed:
                if name not in built:
                    built[name] = _status(name, known[name])
                if self._send(built[name], target):
                    told[name] = known[name]

    def _send(self, packet: bytes | None, target: Sender) -> bool:
        """Whether there is nothing to try again."""
        if packet is None:  # it cannot be put into a message, now or later
            return True
        try:
            self._socket.sendto(packet, target)
        except OSError:  # no room or no way there; the next burst tries again
            return False
        return True

    def _own(self, arrived: _Arrived, value: object) -> None:
        """The sender of a value knows it already, so that no fader is moved under its finger."""
        for target, subscriber in self._subscribers.items():
            if arrived.sender in (target, subscriber.asked_from):
                subscriber.told[arrived.row.name] = value
            elif arrived.contested:  # it may believe in a value of its own that never was
                subscriber.told.pop(arrived.row.name, None)

    def _log_refusals(self, now: float) -> None:
        with self._lock:
            new, refusal = self._counts.refused - self._logged, self._refusal
        if new and now >= self._log_due:
            more = f" (and {new - 1} more were refused)" if new > 1 else ""
            _log.warning("OSC refused, from %s%s", refusal, more)
            self._logged += new
            self._log_due = now + LOG_PERIOD_S

    def _count(self, received: int, applied: int, refusals: list[str]) -> None:
        with self._lock:
            old = self._counts
            self._counts = Counts(
                old.received + received, old.applied + applied, old.refused + len(refusals)
            )
            if refusals:
                self._refusal = refusals[-1]

    # What follows runs in the osc thread.

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                while not self._stop.is_set():
                    if selector.select(_WAIT_S):
                        self._drain()
        except Exception as error:
            self._failure = error

    def _drain(self) -> None:
        while not self._stop.is_set():
            try:
                packet, sender = self._socket.recvfrom(MAX_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.ECONNRESET, errno.ENETRESET):
                    continue  # Windows: a subscriber that was sent to is gone
                if error.errno != errno.EMSGSIZE:  # Windows; elsewhere it comes cut off
                    raise
                self._count(1, 0, ["someone: a packet is larger than UDP carries"])
                continue
            self._take(packet, sender)

    def _take(self, packet: bytes, sender: Sender) -> None:
        """Keep the good messages of one packet, count the others."""
        if not allowed(sender[0], self._allow):
            self._count(1, 0, [f"{sender[0]}: this address is not on the allow-list"])
            return
        messages, refusals = check(packet)
        received = len(messages) + len(refusals)
        for message in messages:
            try:
                self._keep(self._arrived(message.address, message.data, sender))
            except ControlError as error:
                refusals.append(str(error))
        self._count(received, 0, [f"{sender[0]}: {refusal}" for refusal in refusals])

    def _arrived(self, address: str, data: bytes, sender: Sender) -> _Arrived:
        """Decode a checked message. What the controls would refuse raises ControlError here, and
        so never takes the place of an older good value."""
        row = self._rows.get(address)
        if row is None:
            raise ControlError(f"there is no address {address[:60]!r}; `lwlive osc` lists them")
        values = OscMessage(data).params
        if len(values) > 1:
            raise ControlError(f"{address} takes one value, not {len(values)}")
        return _Arrived(row, judged(row, values[0] if values else None), sender)

    def _keep(self, arrived: _Arrived) -> None:
        row, value, sender, _ = arrived
        if row.verb == "trigger" and not value:
            return  # a button let go must not take the place of its press
        with self._lock:
            if row.verb in ("subscribe", "unsubscribe"):
                target = (sender[0], value or sender[1], *sender[2:])
                if target not in self._asking and len(self._asking) >= _MAX_ASKING:
                    raise ControlError("too many subscriptions are asked for at once")
                self._asking[target] = sender if row.verb == "subscribe" else None
                return
            older = self._newest.pop(row.address, None)  # the order is that of the newest values
            if older is not None and (older.contested or older.sender != sender):
                arrived = arrived._replace(contested=True)
            self._newest[row.address] = arrived


def _can_be_told(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _status(name: str, value: object) -> bytes | None:
    """The message that tells a value; None where OSC has no way to."""
    try:
        return build_msg(STATUS + name, [value]).dgram
    except (BuildError, ValueError, OverflowError):
        return None


def _bind(host: str, port: int) -> socket.socket:
    """A UDP socket that never blocks."""
    where = f"UDP port {port} of {host!r}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise OscError(
            f"{host!r} is not an address of this machine; give --osc-host one, such as 127.0.0.1"
        ) from None
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6 and address[0] == "::":  # every address means IPv4's too
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        with suppress(OSError):  # a system that grants less makes longer bursts lose packets
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        opened.bind(address)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            why = "is in use by another program; choose another with --osc-port, 0 for a free one"
        elif error.errno == errno.EADDRNOTAVAIL:
            why = "cannot be opened: this machine has no such address; change --osc-host"
        else:
            why = f"cannot be opened ({error.strerror}); choose another with --osc-port"
        raise OscError(f"{where} {why}") from error
    return opened
