"""The process that MIDI has: ports are listed, opened, polled and sent to here, in one thread.

A library that aborts, hangs while a server dies, or writes to the terminal does so here, where no
show is hurt. It reads and stamps messages while the show is busy. Messages go up the pipe as they
come, every few milliseconds; what is sent to boxes comes down. When the show is gone, so is this.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from lwlive.stage.sources.midi import device, ports
from lwlive.stage.sources.midi.ports import In, MidiError, Out, System

POLL_S = 0.004  # between two looks at what came,
IDLE_S = 0.1  # or so long, where no port is open
LOOK_S = 1.0  # between two looks at which ports there are
AGAIN_S = 3.0  # between two tries to open MIDI, or a port that did not open


@dataclass(frozen=True)
class Order:
    """What the show asks for."""

    names: tuple[str, ...] = ()  # ports with one of these in their names; empty: every one
    system: str = "auto"


class Ports(NamedTuple):
    """Which ports there are, once a second: also a sign of life."""

    system: str  # ALSA or another, and the library; "" where there is none
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    listening: tuple[str, ...]  # inputs that are open
    trouble: str  # a sentence, or ""


class Heard(NamedTuple):
    """Messages that came: port, bytes and time."""

    messages: list[tuple[str, bytes, float]]


class Failed(NamedTuple):
    """The last words of a process that cannot continue."""

    why: str


class Send(NamedTuple):
    """Messages for a box: the name of its output, and the bytes of each."""

    port: str
    messages: list[bytes]


def run(order: Order, pipe: "Connection[Any, Any]") -> None:
    """Entry of the spawned process."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the show's to answer; this ends with its pipe
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    with contextlib.suppress(OSError), open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)  # libjack tells the terminal about every server not there
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    try:
        _serve(Rig(order), pipe)
    except (EOFError, OSError):
        pass  # the show is gone
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(Failed(f"{type(error).__name__}: {error}"))
    sys.stdout.flush()
    os._exit(0)  # libraries have threads that need not be waited for, and last words


def _serve(rig: "Rig", pipe: "Connection[Any, Any]") -> None:
    look_at = 0.0
    while True:
        now = time.perf_counter()
        if now >= look_at:
            pipe.send(rig.look(now))
            look_at = now + LOOK_S
        while pipe.poll(0):
            asked = pipe.recv()
            if asked is None:
                return
            rig.send(asked)
        messages = rig.poll()
        if messages:
            pipe.send(Heard(messages))
        pipe.poll(POLL_S if rig.listening else IDLE_S)  # sooner where there is something to send


class Rig:
    """The open ports."""

    def __init__(
        self,
        order: Order,
        systems: Callable[[], list[str]] = ports.systems,
        opened: Callable[[str], System] = ports.opened,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._order, self._systems, self._opened = order, systems, opened
        self._clock = clock
        self._system: System | None = None
        self._inputs: dict[str, In] = {}
        self._outputs: dict[str, Out] = {}
        self._not_before: dict[str, float] = {}  # ports that did not open, and when to try again
        self._trouble: dict[str, str] = {}
        self._open_at = 0.0

    @property
    def listening(self) -> bool:
        """Whether any port is open."""
        return bool(self._inputs)

    def look(self, now: float) -> Ports:
        """Open what has come, close what has gone."""
        if self._system is not None and not self._system.alive:
            self._let_go(now, f"{ports.SYSTEMS[self._system.name]} has ended")
        if self._system is None and now >= self._open_at:
            self._open(now)
        if self._system is None:
            return Ports("", (), (), (), self._trouble.get("", ""))
        try:
            inputs, outputs = self._system.library.inputs(), self._system.library.outputs()
        except MidiError as error:
            self._let_go(now, str(error))
            return Ports("", (), (), (), str(error))
        for name, port in list(self._inputs.items()):
            if name not in inputs or not port.alive:
                self._close(self._inputs.pop(name))
        for name in list(self._outputs):
            if name not in outputs:
                self._close(self._outputs.pop(name))
        self._trouble = {n: why for n, why in self._trouble.items() if n in inputs}
        for name in filter(self._wanted, inputs):
            if name not in self._inputs:
                self._listen(name, now)
        found = Ports(
            self._system.called,
            tuple(name for name in inputs if not device.ours(name)),
            tuple(name for name in outputs if not device.ours(name)),
            tuple(self._inputs),
            "; ".join(f"{name}: {why}" for name, why in self._trouble.items()),
        )
        if not any(map(self._wanted, inputs)):
            self._let_go(now)  # a server may be gone, or another system have the port by now
        return found

    def poll(self) -> list[tuple[str, bytes, float]]:
        """What came since the last call, in the order of its stamps."""
        found: list[tuple[str, bytes, float]] = []
        for name, port in self._inputs.items():
            found.extend((name, data, at) for data, at in port.poll(self._clock()))
        found.sort(key=lambda message: message[2])
        return found

    def send(self, asked: Send) -> None:
        """Send to a box. What cannot be sent is a lamp that stays dark, and is tried again."""
        if self._system is None:
            return
        try:
            if asked.port not in self._outputs:
                self._outputs[asked.port] = self._system.library.open_output(asked.port)
            for data in asked.messages:
                self._outputs[asked.port].send(data)
        except MidiError:
            if asked.port in self._outputs:
                self._close(self._outputs.pop(asked.port))

    def _open(self, now: float) -> None:
        """Open the first system that has a port to listen to, else the first that opens."""
        self._open_at = now + AGAIN_S
        there_are, asked = self._systems(), self._order.system
        tried = [one for one in there_are if asked in ("auto", one)]
        missing = "MIDI" if asked == "auto" else ports.SYSTEMS[asked]
        self._trouble = {} if tried else {"": f"this machine has no sign of {missing}"}
        best: System | None = None
        for name in tried:
            try:
                system: System | None = self._opened(name)
                assert system is not None
                found = any(map(self._wanted, system.library.inputs()))
            except MidiError as error:
                self._trouble.setdefault("", str(error))
                continue
            if found or best is None:
                best, system = system, best
            if system is not None:
                self._close(system)
            if found:
                break
        self._system = best
        if best is not None:
            self._trouble = {}

    def _wanted(self, name: str) -> bool:
        return device.wanted(name, self._order.names)

    def _listen(self, name: str, now: float) -> None:
        assert self._system is not None
        if now < self._not_before.get(name, 0.0):
            return
        try:
            self._inputs[name] = self._system.library.open_input(name)
            self._trouble.pop(name, None)
        except MidiError as error:
            self._not_before[name] = now + AGAIN_S
            self._trouble[name] = str(error)

    def _let_go(self, now: float, trouble: str = "") -> None:
        open_ports: list[In | Out] = [*self._inputs.values(), *self._outputs.values()]
        for port in open_ports:
            self._close(port)
        self._inputs, self._outputs = {}, {}
        if self._system is not None:
            self._close(self._system)
        self._system = None
        self._open_at = now + AGAIN_S
        self._trouble = {"": trouble} if trouble else {}

    def _close(self, one: In | Out | System) -> None:
        with contextlib.suppress(Exception):  # of a port that is gone, closing may say anything
            one.close()
