"""Every parameter, declared once: Params (live), Config (fixed for a run), Controls (the door in).

Flags, OSC addresses, preset keys, HUD labels and the README's tables are derived from the rows
below. This file knows nothing of torch, windows, sockets or files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Live:
    """What a live parameter says about itself beyond its type, range and help."""

    unit: str = ""
    glide: float = 0.25  # seconds a number takes to reach a new value
    fader: tuple[float, float] | None = None  # range of a 0..1 fader, where it is not ge..le
    curve: float = 1.0  # fader position is raised to this: above 1, finer at the low end
    look: bool = True  # saved in presets
    stage: bool = False  # the stage's own: the engine need not know
    flag: bool = True  # offered on the command line under its own name
    render: bool = True  # has a meaning where frames are written to disk, without a show
    offline: tuple[float, float] | None = None  # range there, where it is not ge..le


class Params(BaseModel):
    """Every live control, as one frozen snapshot. `None` means the model's own value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    prompt: Annotated[str, Live()] = Field(
        "blueberry spaghetti",
        max_length=500,
        description="what is pictured; `a :1 | b :0.4` mixes with weights",
    )
    negative: Annotated[str, Live()] = Field(
        "", max_length=500, description="what to steer away from, when guidance is above 1"
    )
    speed: Annotated[float, Live("keyframes/s", curve=2)] = Field(
        0.25, ge=0, le=4, description="how fast the walk goes"
    )
    guidance: Annotated[float | None, Live(glide=2.0)] = Field(
        None, ge=0, le=20, description="classifier-free guidance; at 1 or below it costs nothing"
    )
    steps: Annotated[int | None, Live(offline=(1, 1000))] = Field(
        None, ge=1, le=8, description="denoising steps a frame"
    )
    seed: Annotated[int, Live(fader=(0, 9999))] = Field(
        1337, ge=0, le=2**63 - 1, description="bends towards this seed; keyframes follow from it"
    )
    depth: Annotated[float, Live()] = Field(
        0.0,
        ge=0,
        le=0.9,
        description="latent blending: share of the steps taken from keyframes",
    )
    crossfeed: Annotated[float, Live(glide=2.0)] = Field(
        0.0, ge=0, le=1, description="pull of each later step towards the mixed trajectories"
    )
    crossfeed_range: Annotated[float, Live(glide=2.0)] = Field(
        1.0, ge=0, le=1, description="share of the steps, from the first, that crossfeed pulls"
    )
    crossfeed_decay: Annotated[float, Live(glide=2.0)] = Field(
        1.0, ge=0, le=1, description="what is left of crossfeed's pull at the end of its range"
    )
    damping: Annotated[float, Live(glide=2.0)] = Field(
        0.0, ge=0, le=1, description="share of the guidance taken away halfway between prompts"
    )
    transition: Annotated[float, Live("s", curve=2, render=False)] = Field(
        4.0, ge=0, le=60, description="how long a new prompt takes to arrive"
    )
    pace: Annotated[float, Live(glide=2.0)] = Field(
        1.0, ge=0, le=1, description="0 raw slerp, 1 even visual speed along a segment"
    )
    loop: Annotated[int, Live("keyframes")] = Field(
        0, ge=0, le=64, description="0 walks without end, n closes a loop of n keyframes"
    )
    hold: Annotated[bool, Live(render=False)] = Field(
        False, description="the walk stands still, the show goes on"
    )
    brightness: Annotated[float, Live(stage=True)] = Field(
        1.0, ge=0, le=1, description="master brightness"
    )
    blackout: Annotated[bool, Live(look=False, stage=True)] = Field(
        False, description="fades the master to black and back over `fade`"
    )
    fade: Annotated[float, Live("s", curve=2, stage=True)] = Field(
        0.5, ge=0, le=10, description="how long a blackout takes to close and to open"
    )
    hud: Annotated[bool, Live(look=False, stage=True)] = Field(
        False, description="numbers over the picture, never recorded"
    )
    record: Annotated[bool, Live(look=False, stage=True, flag=False)] = Field(
        False, description="write what is shown into an MP4"
    )


TRIGGERS = {
    "next": "bend to the following keyframe at once",
    "panic": "every value back to where the show started",
}

DEFAULT_PORT = 7770


class Config(BaseModel):
    """What is fixed for one run; not offered over OSC."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = Field(
        "ember",
        min_length=1,
        description="ember, a name from `lwlive models`, a repository of the hub, a diffusers "
        "folder or a .safetensors file",
    )
    lora: list[str] = Field(
        default_factory=list,
        description="a LoRA, PATH_OR_ID[:weight], 1 without a weight; may be repeated",
    )
    decoder: str = Field(
        "tiny",
        min_length=1,
        description="tiny (the fast one for the model), full (its own), or another one's folder "
        "or repository",
    )
    scheduler: str | None = Field(
        None,
        min_length=1,
        description="how steps are taken: a scheduler of diffusers by name, such as lcm for "
        "LCM-LoRAs, tcd, ddim, euler or lms; default: the model's own",
    )
    prediction: Literal["epsilon", "v_prediction", "sample"] | None = Field(
        None,
        description="what the model's UNet was trained to give, where its files do not say it or "
        "say something else; default: as the files say",
    )
    offline: bool = Field(False, description="fetch nothing from the hub")
    size: str | None = Field(
        None,
        pattern=r"^\d{2,4}(x\d{2,4})?$",
        description="pixels, 512 or 768x512, multiples of 64; default: the model's own",
    )
    fps: float = Field(30.0, ge=1, le=240, description="frames shown in a second")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where torch runs")
    attention: Literal["auto", "sdpa", "xformers"] = Field(
        "auto", description="how the model attends; auto: xformers where it is there and faster"
    )
    batch: int | None = Field(
        None, ge=1, le=64, description="frames sampled at once; default: measured at start"
    )
    compile: bool = Field(True, description="build compiled packages in the background")
    cache: Path | None = Field(
        None, description="where compiled packages are kept; default: the user's cache folder"
    )
    preset: str | None = Field(None, description="name of a preset, or a TOML file")
    folder: Path = Field(Path("."), description="where recordings and saved presets go")
    record: Path | None = Field(None, description="record the whole show into this MP4 file")
    journal: Path | None = Field(
        None, description="write the performance into this file, for lwlive render --journal"
    )
    duration: float | None = Field(None, gt=0, description="end the show after so many seconds")
    stats: Path | None = Field(None, description="write the figures of the run as JSON at the end")
    headless: bool = Field(False, description="no window: controls, OSC and recording only")
    fullscreen: bool = Field(False, description="cover a whole monitor, hide the cursor")
    monitor: int = Field(0, ge=0, le=15, description="which monitor, from 0")
    fit: Literal["fill", "fit", "mirror"] = Field(
        "fit", description="crop to fill, show all, or show all and mirror into the borders"
    )
    vsync: bool = Field(True, description="show frames in step with the monitor")
    osc: bool = Field(True, description="listen for OSC")
    osc_host: str = Field(
        "127.0.0.1", description="address to listen on; 0.0.0.0 opens the show to the network"
    )
    osc_port: int = Field(
        DEFAULT_PORT, ge=0, le=65535, description="UDP port to listen on; 0 takes a free one"
    )
    osc_allow: list[str] = Field(
        default_factory=list,
        description="only these sender addresses or networks, e.g. 192.168.1.0/24; may be repeated",
    )


class ControlError(ValueError):
    """A value was refused; the message is a sentence for the person at the desk."""


def live(name: str) -> Live:
    """The Live row of a parameter. Raises KeyError for a name that is not a parameter."""
    return next(m for m in Params.model_fields[name].metadata if isinstance(m, Live))


def bounds(name: str) -> tuple[float, float] | None:
    """Lowest and highest value of a numeric parameter, None for text and switches."""
    low = high = None
    for rule in Params.model_fields[name].metadata:
        low = getattr(rule, "ge", low)
        high = getattr(rule, "le", high)
    return None if low is None or high is None else (low, high)


def kind(name: str) -> type:
    """The plain type of a parameter: str, float, int or bool."""
    return _plain(Params.model_fields[name])


def _plain(field: FieldInfo) -> type:
    options: tuple[type, ...] = get_args(field.annotation) or (cast(type, field.annotation),)
    return next(option for option in options if option is not type(None))


def expected(name: str, offline: bool = False) -> str:
    """What a parameter accepts, in words: 'a number from 0 to 4 keyframes/s'."""
    plain, ends, unit = kind(name), bounds(name), live(name).unit
    ends = (live(name).offline or ends) if offline else ends
    if plain is str:
        return f"text of up to {_max_length(name)} characters"
    if plain is bool:
        return "on or off (true or false, 1 or 0)"
    assert ends is not None
    noun = "a whole number" if plain is int else "a number"
    span = f"of {ends[0]:g} or more" if ends[1] > 2**53 else f"from {ends[0]:g} to {ends[1]:g}"
    return f"{noun} {span}{' ' + unit if unit else ''}"


def _max_length(name: str) -> int:
    rules = (getattr(rule, "max_length", None) for rule in Params.model_fields[name].metadata)
    return next(int(length) for length in rules if length is not None)


_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    # the row's own rules, on its plain type: what mypy cannot see is built from the declaration
    name: TypeAdapter(Annotated[_plain(field), *field.metadata])  # type: ignore[arg-type]
    for name, field in Params.model_fields.items()
}
_OFFLINE: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(Annotated[kind(name), Field(ge=ends[0], le=ends[1])])  # type: ignore[arg-type]
    for name in Params.model_fields
    if (ends := live(name).offline)
}


def checked(name: str, value: object, offline: bool = False) -> Any:
    """The value as its parameter's type. Raises ControlError with a sentence otherwise."""
    if name not in Params.model_fields:
        raise ControlError(
            f"there is no parameter {name!r}; known are {', '.join(Params.model_fields)}"
        )
    plain = kind(name)
    fits = isinstance(value, str) if plain is str else isinstance(value, bool | int | float)
    if plain in (int, float) and isinstance(value, bool):
        fits = False
    try:
        if not fits:
            raise ValueError
        adapter = _OFFLINE.get(name, _ADAPTERS[name]) if offline else _ADAPTERS[name]
        result = adapter.validate_python(value)
        if plain is float and not abs(result) < float("inf"):
            raise ValueError
    except (ValidationError, ValueError, OverflowError):
        raise ControlError(f"{name} takes {expected(name, offline)}, not {_short(value)}") from None
    return result


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


LOOK = tuple(name for name in Params.model_fields if live(name).look)
SAMPLED = tuple(name for name in Params.model_fields if not live(name).stage)


@dataclass(frozen=True)
class Snapshot:
    """All controls at one moment; `version` grows by one with every change."""

    version: int
    params: Params
    nexts: int = 0  # how often `next` was triggered: a level, so a lost message is mended


class Controls:
    """The one door in: validate, then swap the whole snapshot. Used by one thread."""

    def __init__(self, start: Params) -> None:
        self._start = start
        self.snapshot = Snapshot(0, start)

    @property
    def params(self) -> Params:
        """The present values; take them once and pass them down."""
        return self.snapshot.params

    def set(self, name: str, value: object) -> None:
        """Set one parameter. Raises ControlError and changes nothing on a value out of range."""
        self.load({name: value})

    def fader(self, name: str, position: float) -> None:
        """Set a parameter from a fader's 0..1, clamped. Raises ControlError for what is no number.

        NaN and the infinities are none.
        """
        if name not in Params.model_fields or kind(name) is str:
            raise ControlError(f"{name!r} has no fader")
        number = isinstance(position, int | float) and not isinstance(position, bool)
        if not number or not abs(position) < float("inf"):
            raise ControlError(f"a fader takes a number from 0 to 1, not {_short(position)}")
        x = float(min(1, max(0, position)))
        if kind(name) is bool:
            self.set(name, x >= 0.5)
            return
        low, high = live(name).fader or bounds(name) or (0.0, 1.0)
        value = low + (high - low) * x ** live(name).curve
        self.set(name, round(value) if kind(name) is int else value)

    def load(self, values: Mapping[str, object]) -> None:
        """Set several parameters as one change, all or none. Raises ControlError."""
        good = {name: checked(name, value) for name, value in values.items()}
        self._swap(self.params.model_copy(update=good))

    def trigger(self, name: str) -> None:
        """Fire `next` or `panic`. Raises ControlError for another name."""
        if name == "next":
            old = self.snapshot
            self.snapshot = Snapshot(old.version + 1, old.params, old.nexts + 1)
        elif name == "panic":
            keep = {"record": self.params.record, "hud": self.params.hud}
            self._swap(self._start.model_copy(update=keep))
        else:
            raise ControlError(f"there is no trigger {name!r}; known are {', '.join(TRIGGERS)}")

    def adopt(self, own: Mapping[str, object]) -> None:
        """Fill in the model's own values where none was chosen yet. Raises ControlError."""
        good = {name: checked(name, value) for name, value in own.items()}
        self._start = _completed(self._start, good)
        self._swap(_completed(self.params, good))

    def _swap(self, params: Params) -> None:
        if params != self.params:
            self.snapshot = Snapshot(self.snapshot.version + 1, params, self.snapshot.nexts)


def _completed(params: Params, own: Mapping[str, object]) -> Params:
    missing = {name: value for name, value in own.items() if getattr(params, name) is None}
    return params.model_copy(update=missing)


def table() -> str:
    """The live parameters as a Markdown table, for the README."""
    rows = ["| parameter | accepts | default | meaning |", "|---|---|---|---|"]
    for name, field in Params.model_fields.items():
        default = field.default
        if default is None:
            shown = "the model's own"
        elif isinstance(default, bool):
            shown = "on" if default else "off"
        elif isinstance(default, str):
            shown = f'"{default}"'
        else:
            shown = f"{default:g}"
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {expected(name)} | {shown} | {meaning} |")
    return "\n".join(rows)
