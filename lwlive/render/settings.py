"""Settings of a render: its flags, declared once, and all that decides what its frames look like.

They are written beside the frames and into the movie. This file knows nothing of torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lwlive import __version__, hub
from lwlive.checkpoint import Opened, Size
from lwlive.config import Config
from lwlive.params import SPECS, ControlError, Params
from lwlive.routes import Routes, from_tables

log = logging.getLogger("lwlive")

MOST = 10_000_000  # frames of one render
DAY_S = 86_400.0
FRAMES = 10_000  # of a walk without an end, where no number is given
SOURCES = (
    "model",
    "lora",
    "decoder",
    "scheduler",
    "prediction",
)  # of Config: what makes the pictures
PER_KEYFRAME = 200  # frames from one keyframe to the next, where nothing else tells


Measure = Literal["pyramid", "lpips"]


class RenderError(ControlError):
    """A render cannot begin or go on; the message is a sentence for the person at the desk."""


class Render(BaseModel):
    """What is fixed for one render, beside the live parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(
        "walk", min_length=1, description="the folder of the frames and, with .mp4, the movie"
    )
    num_steps: int | None = Field(
        None, ge=1, le=MOST, description="frames from one keyframe to the next; default: 200"
    )
    seconds: float | None = Field(
        None,
        gt=0,
        le=DAY_S,
        description="seconds from one keyframe to the next, in place of --num-steps",
    )
    max_frames: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="frames in all; default: to the end, 10000 where there is none",
    )
    fps: float = Field(10.0, ge=1, le=240, description="frames in a second of the movie")
    eta: float = Field(0.0, ge=0, le=1, description="share of noise in the steps of ddim")
    output: Literal["both", "frames", "movie"] = Field("both", description="what is kept")
    format: Literal["jpg", "png"] = Field("jpg", description="of the frames")
    quality: int = Field(90, ge=1, le=100, description="of JPEG frames")
    crf: int = Field(10, ge=0, le=51, description="of the movie (x264): 0 is the finest")
    all_intra: bool = Field(
        False, description="make every frame of the movie a key frame, to scrub and reverse it live"
    )
    budget: int | None = Field(
        None,
        ge=2,
        le=MOST,
        description="pictures sampled from one keyframe to the next, where most changes",
    )
    budget_seconds: float | None = Field(
        None, gt=0, description="the same, as time for the whole render"
    )
    distance: Measure | None = Field(
        None,
        description="how a budget tells where most changes: lpips, a network's judgement, nearest "
        "to people's and the default where the extra lpips is installed, or pyramid, which needs "
        "no network and compares pictures at several sizes",
    )
    picture: Path | None = Field(
        None,
        description="a picture as a keyframe, in its order among the prompts; may be repeated",
    )
    mask: Path | None = Field(
        None, description="a picture, white where the walk may change the one of --picture"
    )
    audio: Path | None = Field(
        None, description="the walk goes with this file's drums, the movie carries its sound"
    )
    journal: Path | None = Field(None, description="render this performance of a show again")
    tiled: bool = Field(False, description="decode in tiles, for large sizes")
    ray: str | None = Field(
        None, description="spread over a Ray cluster at this address; without one: this machine's"
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="of the cluster; default: one a GPU, or one for every four cores",
    )
    overwrite: bool = Field(False, description="start again, whatever is there")


class Key(BaseModel):
    """One keyframe of a blend, complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str
    negative: str
    seed: int
    index: int  # keyframe of the seed's own walk
    guidance: float
    seconds: float | None = None  # to the next keyframe
    picture: Path | None = None


KEY_VALUES = ("prompt", "negative", "seed", "guidance")  # of a keyframe, as parameters have them


class Settings(BaseModel):
    """Everything that decides what frames look like, and how many there are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str  # this and the next as on the command line
    lora: tuple[str, ...] = ()
    decoder: str
    scheduler: str | None = None
    prediction: str | None = None
    offline: bool = False
    cache: Path | None = None
    weights: dict[str, str]  # digests of what the model's files bring in, as identity.py has them
    size: Size
    device: str
    precision: str
    batch: int
    params: dict[str, Any]  # live parameters, complete
    routes: list[dict[str, Any]] = Field(default_factory=list)  # as presets have them
    keys: tuple[Key, ...] = ()  # of a blend; empty for the walk of one prompt
    joints: tuple[int, ...] = ()  # frame number of each keyframe
    per: float | None = None  # frames from keyframe to keyframe before routes move the speed
    frames: int
    render: Render
    files: dict[str, str] = Field(default_factory=dict)  # pictures, sound ... -> digest
    again: bool = False  # a performance just as it was shown: pictures that were mixed are mixed
    overrides: dict[str, Any] = Field(default_factory=dict)  # of a journal's parameters

    @property
    def looped(self) -> bool:
        """Whether the last keyframe is the first one again."""
        return bool(self.params["loop"])

    def live(self) -> Params:
        """The live parameters, in the ranges of a render."""
        return Params(**self.params)

    @property
    def moving(self) -> Routes:
        """The routes that move parameters from frame to frame."""
        return from_tables(self.routes)

    def opened(self) -> Opened:
        """The model, with what is added to it. Raises ModelError.

        A scheduler is spaced as in a show for steps that a show could have.
        """
        names = (*SOURCES, "offline", "cache")
        config = Config(**{name: getattr(self, name) for name in names})
        found = hub.opened(config, log.info, masks=True, fine=True, wanted=str(self.size))
        spaced = self.params["steps"] <= SPECS["steps"].high
        return replace(found, additions=replace(found.additions, spaced=spaced))


def versions() -> dict[str, str]:
    """What frames were made with; other versions may round otherwise."""
    from importlib.metadata import version

    names = ("torch", "diffusers", "transformers", "numpy", "pillow", "av")
    found = {name: version(name) for name in names}
    return {"lwlive": __version__, "python": platform.python_version(), **found}


def told(settings: Settings) -> str:
    """The settings as JSON, for the file beside the frames and the movie's metadata.

    The same for whatever gives the same frames and movie.
    """
    without: Any = {"offline": True, "cache": True, "render": {"overwrite", "ray", "workers"}}
    both = {"settings": settings.model_dump(mode="json", exclude=without), "versions": versions()}
    return json.dumps(both, indent=2)


def regular(path: Path) -> None:
    """Raises RenderError for what is no plain file: a folder, a pipe or a device has no end."""
    if path.exists() and not path.is_file():
        raise RenderError(f"{path} is no file; give one that can be read from begin to end")


def digest(path: Path) -> str:
    """What a file holds, in a few letters. Raises RenderError."""
    regular(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise RenderError(f"cannot read {path}: {error.strerror}") from None


def key_of(number: int, given: dict[str, Any], params: dict[str, Any]) -> Key:
    """A keyframe from what was given of it, the rest from the parameters. Raises ControlError.

    One without a seed of its own has its place on the walk of the common seed.
    """
    known = (*KEY_VALUES, "seconds", "picture")
    for name in given:
        if name not in known:
            raise RenderError(f"keyframe {number + 1} has no {name!r}; it takes {', '.join(known)}")
    values = {n: SPECS[n].checked(given[n], render=True) for n in KEY_VALUES if n in given}
    seconds = given.get("seconds")
    numbers = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (numbers and 0 < seconds <= DAY_S):
        raise RenderError(
            f"a keyframe's seconds are a number above 0, up to {DAY_S:.0f}, not {seconds!r:.60}"
        )
    if not isinstance(given.get("picture"), Path | None):
        raise RenderError(f"a keyframe's picture is a file's name, not {given['picture']!r:.60}")
    index = 0 if "seed" in values else number
    complete = {n: params[n] for n in KEY_VALUES} | values
    return Key(**complete, index=index, seconds=seconds, picture=given.get("picture"))
