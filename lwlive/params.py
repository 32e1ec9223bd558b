"""Every live parameter, a row each: Spec; their values at one moment: Params.

Flags, OSC addresses, preset keys, HUD labels and the tables of lwlive/stage/README.md are derived
from these rows. This file knows nothing of torch, windows, sockets or files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeGuard, get_args

from lwlive import mix
from lwlive.tempo import FASTEST, SLOWEST

Value = str | int | float | bool


class ControlError(ValueError):
    """Something was refused; the message is a sentence for the person at the desk."""


@dataclass(frozen=True)
class Spec:
    """One row: all there is to know about a live parameter."""

    name: str
    kind: type  # str, float, int or bool
    default: Value | None  # None is the model's own value
    help: str
    low: float = 0.0
    high: float = 1.0  # of a text: its longest, in characters
    unit: str = ""
    step: float | None = None  # of an arrow key or an encoder
    curve: float = 1.0  # a fader's position is raised to this: above 1, finer at the low end
    fader: tuple[float, float] | None = None  # range of a 0..1 fader, where it is not low..high
    glide: float = 0.25  # seconds a number takes to reach a new value
    look: bool = True  # saved in presets; what is not belongs to the room
    stage: bool = False  # the stage's own: the engine need not know
    flag: bool = True  # offered on the command line under its own name
    routed: bool = True  # a number that routes may move
    render: bool = True  # has a meaning where frames are written to disk, without a show
    render_range: tuple[float, float] | None = None  # range there, where it is not low..high

    def checked(self, value: object, render: bool = False) -> Any:
        """The value as this parameter's type. Raises ControlError with a sentence otherwise."""
        low, high = (
            (self.render_range or (self.low, self.high)) if render else (self.low, self.high)
        )
        if self.kind is str:
            if isinstance(value, str) and len(value) <= high and _is_unicode(value):
                if trouble := mix.trouble(value):
                    raise ControlError(f"{self.name}: {trouble}")
                return value
        elif isinstance(value, bool):
            if self.kind is bool:
                return value
        elif (
            isinstance(value, int | float)
            and low <= value <= high  # NaN is not between
            and (self.kind is float or value == int(value))
        ):
            return self.kind(value)
        raise ControlError(f"{self.name} takes {self.expected(render)}, not {_short(value)}")

    def expected(self, render: bool = False) -> str:
        """What it accepts, in words: 'a number from 0 to 4 keyframes/s'."""
        if self.kind is str:
            return f"text of up to {self.high:g} characters"
        if self.kind is bool:
            return "on or off (true or false, 1 or 0)"
        low, high = (
            (self.render_range or (self.low, self.high)) if render else (self.low, self.high)
        )
        noun = "a whole number" if self.kind is int else "a number"
        span = f"of {low:g} or more" if high > 2**53 else f"from {low:g} to {high:g}"
        return f"{noun} {span}{' ' + self.unit if self.unit else ''}"

    @property
    def travel(self) -> tuple[float, float]:
        """The values at a fader's two ends."""
        return self.fader or (self.low, self.high)

    def value(self, position: float) -> Value:
        """The value at a fader's position, which is clamped to 0..1. Raises ControlError."""
        if self.kind is str:
            raise ControlError(f"{self.name!r} is text and has no fader")
        number = isinstance(position, int | float) and not isinstance(position, bool)
        if not number or not abs(position) < float("inf"):
            raise ControlError(f"a fader takes a number from 0 to 1, not {_short(position)}")
        x = float(min(1, max(0, position)))
        if self.kind is bool:
            return x >= 0.5
        low, high = self.travel
        value: float = low + (high - low) * x**self.curve
        return round(value) if self.kind is int else float(min(high, max(low, value)))

    def moved(self, value: float, by: float) -> Any:
        """A number with its fader moved by so much of its travel, clamped to its range.

        A value beyond the fader's travel is moved from where it is.
        """
        position = self.position(value)
        found: float = value + self.value(position + by) - self.value(position)  # type: ignore[operator] # numbers
        return self.kind(min(self.high, max(self.low, found)))

    def position(self, value: Value) -> float:
        """Where a fader stands at a value: the inverse of `value`. Text has no position."""
        if isinstance(value, str):
            raise ControlError(f"{self.name!r} is text and has no fader")
        low, high = self.travel
        x: float = min(1.0, max(0.0, (value - low) / (high - low))) ** (1 / self.curve)
        return x


def within(value: object, low: float, high: float) -> TypeGuard[int | float]:
    """Whether a value from outside is a number in this range; NaN and switches are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _row(default: Value | None, help: str, **more: object) -> Any:
    """One row of the table below: what Spec has beyond the name, the kind and the default."""
    return field(default=default, metadata={"help": help, **more})


@dataclass(frozen=True)
class Params:
    """Every live control, as one frozen snapshot. `None` means the model's own value."""

    prompt: str = _row(
        "blueberry spaghetti", "what is pictured; `a :1 | b :0.4` mixes with weights", high=500
    )
    negative: str = _row("", "what to steer away from, when guidance is above 1", high=500)
    speed: float = _row(
        0.25, "how fast the walk goes", high=4, unit="keyframes/s", curve=2, step=0.05
    )
    guidance: float | None = _row(
        None,
        "classifier-free guidance; at 1 or below it costs nothing",
        high=20,
        step=0.5,
        glide=2.0,
    )
    steps: int | None = _row(
        None,
        "denoising steps a frame; each takes its time, and ember is best at 1",
        low=1,
        high=8,
        render_range=(1, 1000),
    )
    seed: int = _row(
        1337,
        "bends towards this seed; keyframes follow from it",
        high=2**63 - 1,
        fader=(0, 9999),
    )
    depth: float = _row(0.0, "latent blending: share of the steps taken from keyframes", high=0.9)
    crossfeed: float = _row(
        0.0, "pull of each later step towards the mixed trajectories", glide=2.0
    )
    crossfeed_range: float = _row(
        1.0, "share of the steps, from the first, that crossfeed pulls", glide=2.0
    )
    crossfeed_decay: float = _row(
        1.0, "what is left of crossfeed's pull at the end of its range", glide=2.0
    )
    damping: float = _row(
        0.0, "share of the guidance taken away halfway between prompts", glide=2.0
    )
    transition: float = _row(
        4.0, "how long a new prompt takes to arrive", high=60, unit="s", curve=2, render=False
    )
    pace: float = _row(1.0, "0 raw slerp, 1 even visual speed along a segment", glide=2.0)
    loop: int = _row(
        0, "0 walks without end, n closes a loop of n keyframes", high=64, unit="keyframes"
    )
    hold: bool = _row(False, "the walk stands still, the show continues", look=False, render=False)
    sync: float = _row(
        0.0,
        "the walk arrives at a keyframe every so many beats, on the beat; 0: as `speed` says",
        high=64,
        unit="beats",
        step=1.0,
        curve=2,
        glide=0.0,
    )
    quantise: float = _row(
        0.0,
        "a prompt, seed, next, preset or cue waits for a beat that is a multiple of this",
        high=64,
        unit="beats",
        step=1.0,
        curve=2,
        look=False,
        stage=True,
        render=False,
        routed=False,
    )
    bpm: float = _row(
        120.0,
        "tempo, where no clock gives one",
        low=SLOWEST,
        high=FASTEST,
        unit="beats/min",
        step=1.0,
        look=False,
        stage=True,
        routed=False,
    )
    morph: float = _row(
        0.0,
        "0 preset A, 1 preset B, between them a mix",
        look=False,
        stage=True,
        render=False,
        routed=False,
    )
    morph_a: str = _row("", "preset A of `morph`", high=100, look=False, stage=True, render=False)
    morph_b: str = _row("", "preset B of `morph`", high=100, look=False, stage=True, render=False)
    brightness: float = _row(1.0, "master brightness", look=False, stage=True, render=False)
    blackout: bool = _row(
        False,
        "fades the master to black and back over `fade`",
        look=False,
        stage=True,
        render=False,
    )
    fade: float = _row(
        0.5,
        "how long a blackout takes to close and to open",
        high=10,
        unit="s",
        curve=2,
        stage=True,
        render=False,
    )
    hud: bool = _row(
        False, "numbers over the picture, never recorded", look=False, stage=True, render=False
    )
    record: bool = _row(
        False,
        "write what is shown into an MP4",
        look=False,
        stage=True,
        flag=False,
        render=False,
    )

    @property
    def complete(self) -> bool:
        """Whether no value is left to the model any more."""
        return None not in (self.guidance, self.steps)


def _default(row: Any) -> Value | None:
    default: Value | None = row.default
    return default


def _kind(annotation: Any) -> type:
    kinds: tuple[type, ...] = get_args(annotation) or (annotation,)
    return next(kind for kind in kinds if kind is not type(None))


SPECS: Mapping[str, Spec] = {
    row.name: Spec(row.name, _kind(row.type), _default(row), **row.metadata)
    for row in fields(Params)
}
LOOK = tuple(name for name, spec in SPECS.items() if spec.look)
SAMPLED = tuple(name for name, spec in SPECS.items() if not spec.stage)

TRIGGERS = {
    "next": "bend to the following keyframe immediately",
    "tap": "tap the tempo, four times or more",
    "beat": "the first beat of a bar falls now",
    "go": "the next cue",
    "back": "the cue before",
    "snapshot": "write the picture and its values to disk",
    "panic": "every value back to where the show started",
}


def spec(name: str) -> Spec:
    """The row of a name that somebody gave. Raises ControlError with the names there are."""
    if name not in SPECS:
        raise ControlError(f"there is no parameter {name!r}; known are {', '.join(SPECS)}")
    return SPECS[name]


def table() -> str:
    """The live parameters as a Markdown table, for lwlive/stage/README.md."""
    rows = ["| parameter | accepts | default | meaning |", "|---|---|---|---|"]
    for spec in SPECS.values():
        default = spec.default
        if default is None:
            shown = "the model's own"
        elif isinstance(default, bool):
            shown = "on" if default else "off"
        elif isinstance(default, str):
            shown = f'"{default}"'
        else:
            shown = f"{default:g}"
        meaning = spec.help.replace("|", "\\|")
        rows.append(f"| `{spec.name}` | {spec.expected()} | {shown} | {meaning} |")
    return "\n".join(rows)
