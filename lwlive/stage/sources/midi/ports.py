"""Ports: what a MIDI library is to lwlive: list, open, poll, send, close. One library a file.

Runs in the process of its own that MIDI has (see `child`), in its one thread. No library calls back
into Python on a thread of its own: a message waits in the library's queue until it is polled.
"""

import contextlib
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from lwlive.stage.sources.midi import jack

NS = 1e-9
LEAK = 1e-4  # how far two clocks may drift apart, as a share,
JUMP_S = 0.005  # or, beyond this, has one jumped
WINDOW_S = 2.5  # the least delay of this and the last one counts
ALSA_SEQUENCER = "/dev/snd/seq"
SYSTEMS = {  # what --midi-system takes -> its name for people
    "alsa": "the ALSA sequencer",
    "jack": "JACK",
    "coremidi": "CoreMIDI",
    "winmm": "Windows MIDI",
}


class MidiError(RuntimeError):
    """MIDI, or one port, cannot be opened; the message says why."""


class In(Protocol):
    """An open input."""

    def poll(self, now: float) -> Sequence[tuple[bytes, float]]:
        """Messages that came since the last call, each with the time of the show's clock."""

    @property
    def alive(self) -> bool:
        """Whether it works, as far as the library knows; asked for once a second."""

    def close(self) -> None:
        """Close it."""


class Out(Protocol):
    """An open output."""

    def send(self, data: bytes) -> None:
        """Send one message. Raises MidiError."""

    def close(self) -> None:
        """Close it."""


class Library(Protocol):
    """A MIDI library on one system of this machine."""

    name: str

    def inputs(self) -> list[str]:
        """The names of the ports that send, each once. Raises MidiError."""

    def outputs(self) -> list[str]:
        """The names of the ports that receive, each once. Raises MidiError."""

    def open_input(self, name: str) -> In:
        """Open a port by its name. Raises MidiError."""

    def open_output(self, name: str) -> Out:
        """Open a port by its name. Raises MidiError."""

    def close(self) -> None:
        """Let go of the library."""


class Stamps:
    """A library's stamps, in seconds of the show's clock.

    A library counts from a moment of its own. A message cannot come before it was stamped, so the
    least delay of the last seconds is taken for none. It may grow slowly, since two clocks drift
    apart; where it grows much, the library's clock has jumped, as that of a server does which the
    machine kept waiting.
    """

    def __init__(self) -> None:
        self._offset = math.inf  # of the show's clock
        self._at = -math.inf
        self._since = -math.inf  # when the present window began
        self._least = self._before = math.inf  # offsets: of this window, and of the one before

    def time(self, stamp: float, now: float) -> float:
        """When a message was stamped that is read now."""
        if now - self._since >= WINDOW_S:
            self._since, self._before, self._least = now, self._least, math.inf
        self._least = min(self._least, now - stamp)
        least = min(self._least, self._before)
        if 0 <= least - self._offset < JUMP_S:
            least = min(least, self._offset + LEAK * (now - self._at))
        self._offset, self._at = least, now
        return min(now, stamp + least)


def named_once(names: Sequence[str]) -> list[str]:
    """The names with a number behind those that come again: two boxes of one kind."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return found


def systems() -> list[str]:
    """The MIDI systems that this machine has at present, the better one first."""
    if sys.platform == "darwin":
        return ["coremidi"]
    if sys.platform == "win32":
        return ["winmm"]
    found = []
    with contextlib.suppress(OSError):
        os.close(os.open(ALSA_SEQUENCER, os.O_RDWR | os.O_NONBLOCK))  # a library may abort without
        found.append("alsa")
    if jack.installed():
        found.append("jack")
    return found


@dataclass(frozen=True)
class System:
    """A MIDI system that is open: its library, and who tells when it dies, where it can."""

    name: str
    library: Library
    watch: jack.Watch | None = None

    @property
    def alive(self) -> bool:
        """Whether it is still there."""
        return self.watch is None or self.watch.alive

    @property
    def called(self) -> str:
        """What people call it, and the library."""
        return f"{SYSTEMS[self.name]} ({self.library.name})"

    def close(self) -> None:
        """Let go of it."""
        self.library.close()
        if self.watch is not None:
            self.watch.close()


def opened(system: str) -> System:
    """A system, with the best library for it. Raises MidiError with a sentence."""
    try:
        watch = jack.Watch() if system == "jack" else None
    except jack.NoServer as error:
        raise MidiError(str(error)) from None
    why = []
    for file in ("libremidi", "rtmidi"):
        try:
            module = import_module(f"lwlive.stage.sources.midi.{file}")
            return System(system, module.opened(system), watch)
        except MidiError as error:
            why.append(str(error))
        except ImportError as error:
            why.append(f"{error.name or error} is not installed")
    if watch is not None:
        watch.close()
    raise MidiError(f"{SYSTEMS[system]} cannot be used: {'; '.join(why)}")
