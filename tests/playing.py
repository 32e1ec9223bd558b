"""A show that plays by the real clock, with the real page and no model: for tests of the page.

Its pictures are of one colour, which the prompt decides, so that what a browser sees tells whether
the show heard it.
"""

import threading
import time
import zlib
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import numpy as np
from fakes import FakeEars, FakeSupply

from lwlive import logs
from lwlive.checkpoint import Size
from lwlive.config import Config
from lwlive.controls import Controls
from lwlive.cuelist import CueList
from lwlive.params import Params
from lwlive.ring import Pixels
from lwlive.stage.clock import WallClock
from lwlive.stage.desk import Desk
from lwlive.stage.machine import Machine
from lwlive.stage.qrcode import Code
from lwlive.stage.rig import rigged
from lwlive.stage.show import Show
from lwlive.stage.sources.midi.source import Midi
from lwlive.stage.sources.osc.server import Osc
from lwlive.stage.sources.page.opening import opened, told
from lwlive.stage.supply import Shown

SIDE = 64


def colour(prompt: str) -> tuple[int, int, int]:
    """The colour of a prompt's pictures: strong, so that a JPEG leaves it what it is."""
    crc = zlib.crc32(prompt.encode())
    return crc & 0xFF | 0x40, crc >> 8 & 0xFF | 0x40, crc >> 16 & 0xFF | 0x40


def painted(prompt: str) -> Pixels:
    """A picture of that colour."""
    pixels = np.empty((SIDE, SIDE, 3), np.uint8)
    pixels[:] = colour(prompt)
    return pixels


class Painter(FakeSupply):
    """Pictures in the colour of the newest prompt. `standing` makes them end."""

    def __init__(self, prompt: str) -> None:
        super().__init__()
        self.pixels, self.standing = painted(prompt), False

    def tick(self, now: float) -> Shown | None:
        if self.host.sent:
            self.pixels = painted(self.host.sent[-1].params.prompt)
        return None if self.standing else super().tick(now)


class Playing:
    """A show with a page, in a thread of its own. A context manager.

    Its log is the file show.log of the folder. ears: what it hears of MIDI, None where it has none.
    """

    def __init__(
        self,
        folder: Path,
        fps: float = 30.0,
        cues: CueList | None = None,
        ears: FakeEars | None = None,
        **config: Any,
    ) -> None:
        settings: dict[str, Any] = {"osc_port": 0, "page_port": 0, **config}
        self.config = Config(folder=folder, page=True, fps=fps, **settings)
        self.controls = Controls(Params(steps=1, guidance=1.0))
        self.desk = Desk(folder, self.controls, cues=cues)
        self.ears = ears
        self.supply = Painter(self.controls.params.prompt)
        self.said: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        size, clock, config = Size(SIDE, SIDE), WallClock(), self.config
        osc = None
        if config.osc:
            osc = self._stack.enter_context(
                Osc(config.osc_host, config.osc_port, config.osc_allow, self.said.append)
            )
        self.osc_port = osc.port if osc is not None else None
        say, stack = self.say, self._stack
        self.recent = stack.enter_context(logs.opened(config.folder / "show.log", "a head"))
        self.page, self.address = opened(config, size, self.osc_port, stack, say, self.recent)
        told(self.address, Code.of(self.address.url))
        midi = None
        if self.ears is not None:
            midi = Midi(self.ears, config.folder, say)
        sources, outputs = rigged(config, size, self.desk, None, osc, midi, self.page)
        supply: Any = self.supply
        machine = stack.enter_context(closing(Machine(config.folder)))
        parts = sources, outputs, machine
        self.show = Show(config, self.desk, supply, size, clock, clock.now(), *parts)
        self._thread = threading.Thread(target=self.show.run, name="show", daemon=True)
        self._thread.start()
        until(self._served)
        return self

    def _served(self) -> bool:
        """Whether the page's process is there, and knows of a picture."""
        board = self.page._board
        return board is not None and board.times[1] > 0

    def say(self, text: str) -> None:
        """A sentence for the person at the desk."""
        self.said.append(text)
        self.desk.say(text)

    def __exit__(self, *_: object) -> None:
        self.desk.end()
        self._thread.join(10)
        self._stack.close()
        assert not self._thread.is_alive(), "the show stands still"

    @property
    def log(self) -> str:
        """What the log file says."""
        return (self.config.folder / "show.log").read_text()

    @property
    def params(self) -> Params:
        """The present values."""
        return self.controls.params

    @property
    def playing(self) -> bool:
        """Whether the show is still going."""
        return self._thread.is_alive()


def until(true: Any, seconds: float = 40.0) -> None:
    """Wait until something is true. Fails where it does not come true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)
