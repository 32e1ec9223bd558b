"""MIDI as a source of the show: what boxes send, in; commands, out; lamps and faders back.

Everything here runs in the show's thread and waits for nothing: ports belong to a process of their
own (see `link`), mapping files are read and written aside (see `shelf`). What arrives is stamped
where it arrives. Clock messages are not understood here; each port has a `MidiClock` for them.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lwlive.commands import Amount, Learn, Move
from lwlive.params import SPECS, ControlError, Value
from lwlive.stage.disk import Disk
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.midi import box as boxes
from lwlive.stage.sources.midi.binding import Binding
from lwlive.stage.sources.midi.box import Box
from lwlive.stage.sources.midi.child import Heard, Ports
from lwlive.stage.sources.midi.device import device
from lwlive.stage.sources.midi.feedback import Lamps
from lwlive.stage.sources.midi.hands import Hands
from lwlive.stage.sources.midi.learn import Learner
from lwlive.stage.sources.midi.message import Moved, Parser, Ticked
from lwlive.stage.sources.midi.shelf import Shelf
from lwlive.stage.sources.tempo import MidiClock
from lwlive.stage.status import Status

PAUSE_S = 2.0  # a fader that waits is named again after it has rested for so long

log = logging.getLogger(__name__)


class Ears(Protocol):
    """The process that MIDI has; `Link` is one."""

    def poll(self, now: float) -> Iterable[Ports | Heard]:
        """What it has said since the last call."""

    def send(self, port: str, messages: list[bytes], now: float) -> bool:
        """Send to a box; False where it cannot be."""

    def close(self) -> None:
        """End it."""


class _Port:
    """An input that is listened to."""

    def __init__(self, name: str) -> None:
        self.device, self.parser = device(name), Parser()
        self.by = f"midi {self.device}"
        self.clock = MidiClock(self.by)


class _Plugged:
    """A box that is here, or was: what is known of its controls."""

    def __init__(self, box: Box) -> None:
        self.hands, self.lamps = Hands(box), Lamps(box)
        self.output: str | None = None  # its port for lamps, where it has one


class Midi(Source):
    """Every box. folder: the user's mappings."""

    name = "midi"

    def __init__(
        self,
        ears: Ears,
        folder: Path,
        say: Callable[[str], None],
        names: Sequence[str] = (),
        disk: Disk | None = None,
    ) -> None:
        self._ears, self._say = ears, say
        self._names = names  # that were asked for
        self._shelf = Shelf(folder, Disk(say) if disk is None else disk, say)
        self._now = 0.0  # of the last poll
        self._ports: dict[str, _Port] = {}
        self._plugged: dict[str, _Plugged] = {}  # by device
        self._values: dict[str, Value | None] = {}  # known by now, by target
        self._amounts: dict[str, Value | None] = {}  # of the routes, as last told
        self._running: frozenset[str] = frozenset()
        self._learner: Learner | None = None
        self._told_of: dict[Binding, float] = {}  # faders that wait, and when they last moved
        self._system = self._trouble = ""
        self._outputs: tuple[str, ...] = ()
        self._looked = False  # whether it is known which ports there are
        self._counts = {"received": 0, "commands": 0, "refused": 0}

    def close(self) -> None:
        """Lamps off, and the process ended."""
        for plugged in self._plugged.values():
            if plugged.output is not None and (off := plugged.lamps.dark()):
                self._ears.send(plugged.output, off, self._now)
        self._ears.close()
        self._shelf.close()

    def summary(self) -> Mapping[str, Any]:
        """Ports and counts, for the statistics and the HUD."""
        return {"system": self._system, "ports": list(self._ports), **self._counts}

    def refused(self, arrived: Arrived, why: str) -> None:
        """Say on screen what a control could not do."""
        self._counts["refused"] += 1
        self._say(f"{arrived.by}: {why}")

    def poll(self, now: float) -> Sequence[Arrived]:
        """What controls have asked for since the last call."""
        self._now = now
        if self._shelf.poll(now):
            self._take()
        arrived: list[Arrived] = []
        for said in self._ears.poll(now):
            if isinstance(said, Ports):
                self._plug(said)
                continue
            for name, data, at in said.messages:
                port = self._ports.get(name)
                if port is not None:
                    self._read(name, port, data, at, arrived)
        for name, port in self._ports.items():
            for moved in port.parser.waited(now):
                self._moved(name, port, moved, arrived)
        self._learn(now, arrived)
        return _newest(arrived)

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:
        """Faders and lamps hear how things stand; learning begins or ends."""
        self._follow(status, changes)
        for port in self._ports.values():
            port.clock.told(status.tempo)
        if status.learning is None:
            self._learner = None
        elif self._learner is None or self._learner.target != status.learning:
            self._learner = Learner(status.learning)
        for plugged in self._plugged.values():
            if plugged.output is None:
                continue
            due = plugged.lamps.messages(self._values, self._running, now)
            if due and not self._ears.send(plugged.output, due, now):
                plugged.lamps.forget()

    def _follow(self, status: Status, changes: Mapping[str, str]) -> None:
        amounts: dict[str, Value | None] = {
            f"route {route.number}": route.amount for route in status.routes
        }
        known: dict[str, Value | None] = {n: getattr(status.params, n) for n in SPECS} | amounts
        moved = {name for name in amounts if amounts[name] != self._amounts.get(name)}
        moved |= set(self._amounts) - set(amounts) | set(changes)
        for plugged in self._plugged.values():
            for name in moved:
                plugged.hands.changed(name, known.get(name))
        self._amounts, self._values = amounts, known
        self._running = frozenset(f"preset {one}" for one in status.preset)
        if status.cue is not None and status.cue.number is not None:
            self._running |= {f"cue {status.cue.name}", f"cue {status.cue.number}"}

    def _read(self, name: str, port: _Port, data: bytes, at: float, arrived: list[Arrived]) -> None:
        for found in port.parser.read(data, at):
            if isinstance(found, Moved):
                self._counts["received"] += 1
                self._moved(name, port, found, arrived)
            elif isinstance(found, Ticked):
                offer = port.clock.heard(found.data, found.at)
                if offer is not None:
                    arrived.append(Arrived(offer, port.by, found.at))

    def _moved(self, name: str, port: _Port, moved: Moved, arrived: list[Arrived]) -> None:
        plugged = self._plugged.get(port.device)
        if plugged is not None:
            plugged.lamps.heard(moved)
        if self._learner is not None:
            self._learner.heard(name, moved)
            return
        if plugged is None:
            return
        by = f"midi {port.device}"
        for command in plugged.hands.moved(moved, self._values):
            arrived.append(Arrived(command, by, moved.at))
            self._counts["commands"] += 1
            if isinstance(command, Move):
                self._values[command.name] = SPECS[command.name].value(command.position)
            elif isinstance(command, Amount):
                self._values[f"route {command.number}"] = command.amount
        for binding in plugged.hands.bindings(moved):
            self._wait(binding, plugged, moved)

    def _wait(self, binding: Binding, plugged: _Plugged, moved: Moved) -> None:
        """Say of a fader that begins to move that the value does not follow it yet."""
        if not plugged.hands.waits(binding):
            return
        new = moved.at - self._told_of.get(binding, -PAUSE_S) >= PAUSE_S
        self._told_of[binding] = moved.at
        row, value = binding.spec, self._values.get(binding.target)
        if new and row is not None and value is not None:
            stands, there = moved.value / moved.top, binding.share(row.position(value))
            way = "up" if there > stands else "down"
            self._say(f"{binding.target} waits for its fader: move it {way} to {100 * there:.0f} %")

    def _learn(self, now: float, arrived: list[Arrived]) -> None:
        """Bind what was learnt."""
        learner = self._learner
        if learner is None:
            return
        try:
            binding = learner.done(now, self._values.get(learner.target))
        except ControlError as error:
            self._say(str(error))
            binding = None
        else:
            if binding is None:
                return
        self._learner = None
        name = device(learner.port or "")
        arrived.append(Arrived(Learn(None), f"midi {name}", now))
        if binding is not None:
            self._shelf.learn(name, binding)
            self._take()
            self._say(f"{binding.control} of {name} moves {binding.target} ({binding.mode})")

    def _take(self) -> None:
        """Let every device that is here have the box that is known for it."""
        for name in {port.device for port in self._ports.values()}:
            box, old = boxes.find(name, self._shelf.boxes), self._plugged.get(name)
            if box is None:
                self._plugged.pop(name, None)
            elif old is None or old.hands.box.bindings != box.bindings:
                self._plugged[name] = _Plugged(box)
        self._find_outputs()

    def _plug(self, said: Ports) -> None:
        """Ports have come or gone."""
        came = [name for name in said.listening if name not in self._ports]
        went = [name for name in self._ports if name not in said.listening]
        for name in went:
            del self._ports[name]
        for name in came:
            self._ports[name] = _Port(name)
        if self._looked:
            for word, names in (("is gone", went), ("is here", came)):
                for one in dict.fromkeys(device(name) for name in names):
                    self._say(f"MIDI: {one} {word}")
        elif came:
            log.info(f"MIDI on {said.system}: {', '.join(came)}")
        self._complain(said)
        self._looked, self._system = True, said.system or self._system
        if came or went or said.outputs != self._outputs:
            self._outputs = said.outputs
            here = {port.device for port in self._ports.values()}
            self._plugged = {name: one for name, one in self._plugged.items() if name in here}
            self._take()

    def _complain(self, said: Ports) -> None:
        if said.trouble and said.trouble != self._trouble:
            say = self._say if self._names or self._ports else log.info
            say(f"MIDI: {said.trouble}")
        self._trouble = said.trouble or self._trouble
        if self._looked:
            return
        for name in self._names:
            if not any(name.casefold() in port.casefold() for port in said.listening):
                there_are = ", ".join(said.inputs) or "none"
                self._say(f"MIDI: no port has {name!r} in its name yet; there are {there_are}")

    def _find_outputs(self) -> None:
        """The port for a box's lamps: of its name, or where both have names, one that it fits."""
        for name, plugged in self._plugged.items():
            box = plugged.hands.box
            fit = [port for port in self._outputs if boxes.find(device(port), [box])]
            same = [port for port in fit if device(port) == name]
            output = next(iter(same or fit), None)
            if output != plugged.output:
                plugged.output = output
                plugged.lamps.forget()


def _newest(arrived: list[Arrived]) -> list[Arrived]:
    """Of the places that a fader went through between two polls the last, with the first's time."""
    kept: list[Arrived] = []
    places: dict[tuple[str, str], int] = {}  # since the last command of another kind
    for one in arrived:
        if not isinstance(one.command, Move):
            places.clear()
        elif (at := places.setdefault((one.by, one.command.name), len(kept))) < len(kept):
            kept[at] = one._replace(at=kept[at].at)
            continue
        kept.append(one)
    return kept
