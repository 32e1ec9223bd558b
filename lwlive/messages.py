"""What the engine tells the stage beside its frames. Snapshots of the controls go the other way.

Plain data only: this file knows nothing of torch, processes or windows. An engine is started with a
`Begin`. A `Snapshot` (snapshot.py) or None (stop) goes down the pipe; the other classes come up.
"""

from dataclasses import dataclass, field
from typing import Any

LEAD_S = 1.0  # from the start of an engine's walk to its first picture, at most, where all is well


@dataclass(frozen=True)
class Begin:
    """Where on the walk an engine begins."""

    phase: float = 0.0
    since: float | None = None  # when that was shown, by the stage's clock; None: nothing was yet
    beside: bool = False  # another engine walks on from there, until this one has frames

    def at(self, now: float, speed: float) -> "Begin":
        """The same once the model is there. speed: of the walk, in keyframes a second.

        Beside another engine it begins where that one will be in a moment: further back, the walk
        would show places a second time.
        """
        if not self.beside or self.since is None:
            return self
        soon = now + LEAD_S
        return Begin(self.phase + speed * (soon - self.since), soon)


@dataclass(frozen=True)
class Turn:
    """How the engine made some frames together, as far as the controls do not tell.

    Every frame carries it, so that a journal can tell and a render repeat how it was made.
    """

    frames: int = 1  # of the walk, as planned; the first ones may have come too late
    stride: int = 1  # every how many frames one is sampled, the ones between are in-betweens
    step_s: float = 1 / 30  # from frame to frame on the walk: a walk that is late catches up
    joined: int = 0  # the first of the frames that came in time; those before it were not shown
    behind: bool = False  # the frame before had not caught up with the walk
    paced: bool = False  # a segment that begins here has its pace
    free: bool = False  # it inherits nothing, since trajectories were not there yet
    lone: bool = False  # it inherits from its first keyframe alone: the other's was not there yet
    due: float = 0.0  # second of the show's clock at which the first of its frames is seen
    every_s: float = 1 / 30  # from frame to frame on the screen
    bands: tuple[float, ...] = (0.0,) * 6  # of the sound coming in, as routes.py names them


@dataclass(frozen=True)
class Heard:
    """The engine has these controls: the next ones may be sent."""

    version: int


@dataclass(frozen=True)
class Doing:
    """What the engine loads, in words for the window. Frames may be long in coming."""

    text: str


@dataclass(frozen=True)
class Loaded:
    """The model is there: its own values for parameters left to it, such as steps."""

    model: str
    own: dict[str, Any]


@dataclass(frozen=True)
class Running:
    """How the engine samples now. Sent when any of it changes."""

    device: str
    dtype: str
    batch: int
    compiled: bool
    sample_ms: float  # one fully sampled frame, its share of a batch
    decode_ms: float  # one in-between, its share of a batch
    stride: int  # every so many frames one is sampled, the ones between are in-betweens
    turn_s: float  # about what the frames that it makes at a time take
    replaced: int = 0  # frames with NaN in them, shown as the last good one


@dataclass(frozen=True)
class Note:
    """A sentence for the log and the HUD: something was refused or left out."""

    text: str


@dataclass(frozen=True)
class Failed:
    """The engine cannot continue. `lasting`: starting it again would fail in the same way."""

    text: str
    trace: str = field(default="", repr=False)
    lasting: bool = False
