"""What a show is made of: sources, which steer it, and outputs, which take its pictures.

The show polls every source once a tick, puts one picture into every output, and tells every
source how things stand. None of them may wait in the show's thread: what takes time, a part does
in a thread of its own. A class that inherits from Source or Output writes only what it needs;
what is both, as a window with its keys is, inherits from both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lwlive.commands import Command
from lwlive.ring import Pixels
from lwlive.stage.status import Status
from lwlive.stage.supply import Shown


class Arrived(NamedTuple):
    """A command on its way: who asked, and when, in seconds of the show's clock."""

    command: Command
    by: str
    at: float
    due: float | None = None  # when it is to take effect, where that was said; None: now


@dataclass(frozen=True)
class Picture:
    """The picture of one tick. Nobody writes into its pixels, so it may be kept."""

    pixels: Pixels  # [H, W, 3], dimmed by the master
    tick: int
    level: float  # of the master, 0 to 1
    shown: Shown  # as it came, with its frame and the controls that it was made with
    status: Status


class Part:
    """What sources and outputs have in common."""

    name: str = ""

    def close(self) -> None:
        """The show is over: finish."""

    def summary(self) -> Mapping[str, Any] | None:
        """What the statistics file says under this part's name; None for nothing."""
        return None


class Source(Part):
    """Steers a show."""

    def poll(self, now: float) -> Sequence[Arrived]:  # noqa: ARG002 - for those who override it
        """What was asked for since the last call, in its order."""
        return ()

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:
        """How things stand at the end of a tick. `changes`: see `Controls.changed`."""

    def refused(self, arrived: Arrived, why: str) -> None:
        """One of its commands was not carried out; `why` is a sentence."""


class Output(Part):
    """Takes the pictures of a show."""

    on_screen: bool = False  # whether an audience sees it here

    @property
    def refresh_hz(self) -> float | None:
        """Rate of the monitor that `put` waits for; None where it waits for nothing."""
        return None

    @property
    def dropped(self) -> int:
        """Pictures that could not be taken in time."""
        return 0

    def put(self, picture: Picture) -> None:
        """Take the picture of a tick."""
