"""`lwlive midi`: the MIDI ports, and what arrives at them, until Ctrl-C. Apart from the show."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from lwlive.cli import flags
from lwlive.config import Config, MidiPart
from lwlive.params import ControlError
from lwlive.stage.sources.midi import box as boxes
from lwlive.stage.sources.midi.box import Box
from lwlive.stage.sources.midi.child import Order, Ports
from lwlive.stage.sources.midi.device import device
from lwlive.stage.sources.midi.link import Link
from lwlive.stage.sources.midi.message import Moved, Parser, Ticked

PROGRAM = "lwlive midi"
ABOUT = """List the MIDI ports, and show what arrives at them, until Ctrl-C. What a control steers
stands behind it; a mapping is written by learning it in a show (key L), or by hand."""
TICKS = {0xFA: "start", 0xFB: "continue", 0xFC: "stop"}
CLOCK, POSITION = 0xF8, 0xF2
COUNT_S = 1.0  # over which clock ticks are counted
WAIT_S = 0.005


def main(args: Sequence[str]) -> None:
    """Do what follows `lwlive midi`. Raises ControlError."""
    only: Any = Field(None, description="list the ports and end")
    rows = flags.of_model(MidiPart)
    del rows["no_midi"]
    given = flags.read(PROGRAM, ABOUT, {"MIDI": rows, "This list": {"list": (bool, only)}}, args)
    listing = given.pop("list", None)
    config = flags.filled(Config, given)
    folder = config.midi_folder or boxes.folder()
    own, refusals = boxes.own(folder)
    for why in refusals:
        print(why)
    known, trouble = [*own, *boxes.ready()], list[str]()
    link = Link(Order(tuple(config.midi), config.midi_system), trouble.append)
    try:
        _watch(link, Screen(known, folder, partial(print, flush=True)), trouble, bool(listing))
    finally:
        link.close()


def _watch(link: Link, screen: "Screen", trouble: list[str], listing: bool) -> None:
    while True:
        now = time.perf_counter()
        for said in link.poll(now):
            if isinstance(said, Ports):
                screen.ports(said)
                if listing:
                    return
            else:
                for name, data, at in said.messages:
                    screen.message(name, data, at)
        if trouble:
            raise ControlError(trouble[0])
        screen.count(now)
        time.sleep(WAIT_S)


class Screen:
    """What is printed of ports and messages, each once."""

    def __init__(self, known: list[Box], folder: Path, out: Callable[[str], object]) -> None:
        self._known, self._folder, self._out = known, folder, out
        self._parsers: dict[str, Parser] = {}
        self._said: Ports | None = None
        self._start: float | None = None
        self._ticks: dict[str, list[float]] = {}  # by port, when they came
        self._count_at = 0.0

    def ports(self, said: Ports) -> None:
        """The ports there are; after the first time, only what has changed."""
        if self._said is None:
            self._first(said)
        elif said.inputs != self._said.inputs:
            for name in said.inputs:
                if name not in self._said.inputs:
                    self._out(f"{name} is here, {self._mapping(name)}")
            for name in self._said.inputs:
                if name not in said.inputs:
                    self._out(f"{name} is gone")
        if said.trouble and (self._said is None or said.trouble != self._said.trouble):
            self._out(said.trouble)
        self._said = said

    def message(self, name: str, data: bytes, at: float) -> None:
        """What one message says."""
        self._start = at if self._start is None else self._start
        parser = self._parsers.setdefault(name, Parser())
        for found in parser.read(data, at):
            if isinstance(found, Moved):
                self._moved(name, found)
            else:
                self._ticked(name, found)

    def count(self, now: float) -> None:
        """Once a second, how fast a clock ticks."""
        if now - self._count_at < COUNT_S:
            return
        self._count_at = now
        for name, ticks in self._ticks.items():
            if len(ticks) > 1:
                bpm = 60 / 24 * (len(ticks) - 1) / max(1e-3, ticks[-1] - ticks[0])
                self._line(name, ticks[-1], f"clock, {bpm:.1f} bpm")
            del ticks[:-1]

    def _first(self, said: Ports) -> None:
        if said.system:
            self._out(f"MIDI by {said.system}")
        for name in said.inputs:
            heard = "listens to" if name in said.listening else "passes over"
            self._out(f"  {heard} {name}, {self._mapping(name)}")
        for name in said.outputs:
            self._out(f"  can send to {name}")
        if not said.inputs:
            self._out("  there is no port to listen to yet")
        self._out(f"Your own mappings are in {self._folder}")

    def _mapping(self, name: str) -> str:
        box = boxes.find(device(name), self._known)
        if box is None:
            return "no mapping yet"
        return f"mapped by {box.path}" if box.path else f"mapped as {box.device}: {box.about}"

    def _moved(self, name: str, moved: Moved) -> None:
        if not moved.whole:
            return
        box = boxes.find(device(name), self._known)
        bindings = [] if box is None else [one for one in box.bindings if one.hears(moved)]
        steers = ", ".join(f"{one.target} ({one.mode})" for one in bindings)
        told = f"{moved.name:<9} channel {moved.channel:<2} {moved.value:>5} of {moved.top}"
        self._line(name, moved.at, f"{told}{'  -> ' if steers else ''}{steers}")

    def _ticked(self, name: str, tick: Ticked) -> None:
        if tick.data[0] == CLOCK:
            self._ticks.setdefault(name, []).append(tick.at)
        elif tick.data[0] == POSITION:
            sixteenths = tick.data[1] | tick.data[2] << 7
            self._line(name, tick.at, f"song position: beat {sixteenths / 4:g}")
        else:
            self._line(name, tick.at, TICKS[tick.data[0]])

    def _line(self, name: str, at: float, text: str) -> None:
        self._out(f"{at - (self._start or at):9.3f}  {device(name)}: {text}")
