"""What can be asked of a show, a type each: the one vocabulary of whatever steers it.

Keys, OSC, MIDI, the page, cues and presets all say these. What they do is in changes.py (to values,
tempo and routes) and in stage/desk.py (to files, sources and outputs).
"""

from dataclasses import dataclass

from lwlive.routes import Route
from lwlive.tempo import Tempo


@dataclass(frozen=True)
class Set:
    """Set a parameter to a value in its own unit."""

    name: str
    value: object


@dataclass(frozen=True)
class Move:
    """Move a parameter's fader to a position, 0 to 1."""

    name: str
    position: float


@dataclass(frozen=True)
class Nudge:
    """Change a number by so many of its steps, as an arrow key or an encoder does."""

    name: str
    steps: float


@dataclass(frozen=True)
class Toggle:
    """Turn a switch to the opposite of what it is."""

    name: str


@dataclass(frozen=True)
class Fire:
    """Fire a trigger."""

    name: str


@dataclass(frozen=True)
class Recall:
    """Bend to a preset: its name, or its number in the list, from 1; over so many seconds."""

    preset: str | int
    seconds: float | None = None  # None: the transition that the preset or the show has


@dataclass(frozen=True)
class Go:
    """Go to a cue: its name, or its number in the list, from 1."""

    cue: str | int


@dataclass(frozen=True)
class Offer:
    """Offer a tempo. The newest one that is offered counts.

    Its beats run on from where they are (`Tempo.after`); with `jump` they are where it says.
    """

    tempo: Tempo
    jump: bool = False  # a start from the top, a place in the song


@dataclass(frozen=True)
class Patch:
    """Put a route at its number, in place of the one that is there."""

    route: Route


@dataclass(frozen=True)
class Alter:
    """Change one key of a route, as `[[routes]]` has it; `parameter` begins a new one."""

    number: int
    key: str
    value: object


@dataclass(frozen=True)
class Unpatch:
    """Take the route of this number away."""

    number: int


@dataclass(frozen=True)
class Amount:
    """Set how far a route moves its parameter: -1 to 1 of the fader's travel."""

    number: int
    amount: float


@dataclass(frozen=True)
class Learn:
    """Bind the next control that moves to a target; None ends it.

    A target is the name of a parameter or trigger, `preset NAME`, `cue NAME` or `route NUMBER`.
    """

    target: str | None


@dataclass(frozen=True)
class Switch:
    """Turn an output for other programs on or off, or `all` that the show was started with."""

    output: str
    on: bool | None  # None: the opposite of what it is


@dataclass(frozen=True)
class Hear:
    """Take note of the sound that comes in."""

    bands: tuple[float, ...]  # in the order of BANDS


Command = (
    Set
    | Move
    | Nudge
    | Toggle
    | Fire
    | Recall
    | Go
    | Offer
    | Patch
    | Alter
    | Unpatch
    | Amount
    | Learn
    | Switch
    | Hear
)
