"""The window and its keys as parts of the show: a source of commands, an output of pictures.

It joins `Display` to the show and draws nothing itself. Everything runs in the stage's main thread.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from lwlive.commands import Command
from lwlive.ring import Pixels
from lwlive.stage.outputs.window import hud
from lwlive.stage.outputs.window.choice import Choice
from lwlive.stage.parts import Arrived, Output, Picture, Source
from lwlive.stage.status import Status


class Screen(Protocol):
    """What is needed of a window; `Host` is one."""

    @property
    def open(self) -> bool:
        """Whether there is a window at present."""

    @property
    def refresh_hz(self) -> float | None:
        """The monitor's rate, None where pictures do not wait for it."""

    def presses(self) -> list[tuple[Command, float]]:
        """What keys have asked for since the last call, and when."""

    def show(
        self, pixels: Pixels, master: float, hud: list[str] | None, notice: str | None
    ) -> None:
        """Show one picture, dimmed already."""

    def splash(self, lines: list[str], elapsed: float, master: float, notice: str | None) -> None:
        """Show what is being loaded."""


class Window(Source, Output):
    """A screen in the show."""

    name = "keys"

    def __init__(
        self, screen: Screen, say: Callable[[str], None], learnable: Sequence[str] = ()
    ) -> None:
        self._screen, self._say = screen, say
        self._choice = Choice(learnable)
        self._put_at = -math.inf  # when the last picture was

    def poll(self, now: float) -> Sequence[Arrived]:  # noqa: ARG002 - keys bring their own
        """Keys pressed since the last call."""
        pressed = ((self._choice.press(command), at) for command, at in self._screen.presses())
        return [Arrived(command, self.name, at) for command, at in pressed if command is not None]

    @property
    def on_screen(self) -> bool:  # type: ignore[override] # of others it is fixed
        """Whether there is a window at present."""
        return self._screen.open

    @property
    def refresh_hz(self) -> float | None:
        """Rate of the monitor that the window waits for."""
        return self._screen.refresh_hz

    def refused(self, arrived: Arrived, why: str) -> None:  # noqa: ARG002 - whose key is plain
        """Say on screen what a key could not do."""
        self._say(why)

    def put(self, picture: Picture) -> None:
        """Show the picture of a tick, with the words that belong over it."""
        status = picture.status
        words = self._choice.lines() or (hud.lines(status) if status.params.hud else None)
        self._put_at = status.now
        self._screen.show(picture.pixels, picture.level, words, status.notice)

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:  # noqa: ARG002
        """Before the first picture, show what is being loaded."""
        self._choice.told(status.learning)
        if not status.pictures and self._put_at != status.now:
            words = [line for line in (status.model, status.doing, status.trouble) if line]
            words += [line.replace("\t", "  ") for line in self._choice.lines() or ()]
            self._screen.splash(words, status.since_start_s, status.level, status.notice)
