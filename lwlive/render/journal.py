"""A journal read: what took effect on which tick, and the settings to render it again.

The format is told in lwlive/stage/journal.py. This file knows nothing of torch.
"""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lwlive.params import Config, ControlError, Params, checked
from lwlive.render.settings import SOURCES, Render, RenderError, Settings, digest
from lwlive.stage.journal import Between

log = logging.getLogger("lwlive")


@dataclass
class Tick:
    """What a tick brought. `params` and `master` are whole, None where nothing changed."""

    begin: float | None = None  # a walk begins at this phase
    back: int = 0
    nexts: int = 0
    between: Between | None = None  # None where it follows from the frame before
    paced: bool | None = None
    eased: bool | None = None
    params: dict[str, Any] | None = None
    master: dict[str, Any] | None = None


@dataclass
class Performance:
    """A show as its journal tells it."""

    config: Config
    size: tuple[int, int]
    ticks: int = 0  # pictures, repeated ones included
    changes: dict[int, Tick] = field(default_factory=dict)
    repeats: set[int] = field(default_factory=set)
    dtype: str | None = None


def read(path: Path) -> Performance:
    """Read a journal up to its last whole line. Raises RenderError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RenderError(f"cannot read the journal {path}: {error.strerror}") from None
    lines = text.split(b"\n")[:-1]  # what follows the last line's end is not whole
    if not lines:
        raise RenderError(f"{path} is no journal of lwlive: there is no whole line in it")
    number = 0
    try:
        head = json.loads(lines[0])
        width, height = head["size"]
        config = {n: v for n, v in head["config"].items() if n in (*SOURCES, "fps")}
        found = Performance(Config(**config), (int(width), int(height)))
        params: dict[str, Any] = {}
        for line in lines[1:]:
            number += 1
            _take(found, json.loads(line), params)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ControlError) as error:
        raise RenderError(f"{path} is no journal of lwlive: line {number + 1}: {error}") from None
    if 0 not in found.changes or found.changes[0].begin is None:
        raise RenderError(f"{path} ends before the first picture; there is nothing to render")
    return found


def _take(found: Performance, line: dict[str, Any], params: dict[str, Any]) -> None:
    """One line into the performance. `params`: those in effect, brought up to date."""
    tick = int(line["tick"])
    found.ticks = max(found.ticks, tick + int(line.get("repeat", 1)))
    if "repeat" in line:
        found.repeats |= set(range(tick, tick + int(line["repeat"])))
    found.dtype = line.get("dtype", found.dtype)
    if not {"begin", "back", "params", "master", "between", "paced", "eased"} & set(line):
        return
    change = found.changes.setdefault(tick, Tick())
    change.begin = line.get("begin", change.begin)
    change.back += int(line.get("back", 0))
    if "params" in line:
        for name, value in line["params"].items():
            params[name] = None if value is None else checked(name, value)
        change.params, change.nexts = dict(params), int(line["nexts"])
    if "between" in line:
        which, stride = line["between"]
        if not 0 <= which < stride:
            raise ValueError("there is no such in-between")
        change.between = int(which), int(stride)
    change.paced = line.get("paced", change.paced)
    change.eased = line.get("eased", change.eased)
    if "master" in line:
        change.master = {n: checked(n, value) for n, value in line["master"].items()}


def settings_of(
    render: Render,
    config: Config,
    given: dict[str, Any],
    keyframes: list[dict[str, Any]],
    values: dict[str, object],
) -> Settings:
    """Settings of a performance, with what was given in place of what was performed."""
    from lwlive import hub
    from lwlive.checkpoint import FACTOR, size_of
    from lwlive.render.command import complete, machine

    assert render.journal is not None
    for name in ("mask", "audio", "budget", "budget_seconds", "num_steps", "seconds"):
        if getattr(render, name) is not None:
            flag = name.replace("_", "-")
            raise RenderError(f"--{flag} does not go together with --journal")
    if any("picture" in keyframe for keyframe in keyframes) or len(keyframes) > 1:
        raise RenderError("a journal has its own prompts: give one --prompt for all, or none")
    values = values | {k: checked(k, v) for one in keyframes for k, v in one.items()}
    played = read(render.journal)
    if config.model == played.config.model or "model" not in given:
        shown = {n: getattr(played.config, n) for n in SOURCES if n not in given}
        config = config.model_copy(update=shown)
    folder, added = hub.opened(config, log.info, masks=True)
    size = size_of(folder, config.size, FACTOR) if config.size else played.size
    about = machine(folder, added, config, size)
    alike = all(getattr(config, n) == getattr(played.config, n) for n in SOURCES)
    same = alike and size == played.size and not values
    if same and played.dtype is not None:
        about |= {"precision": played.dtype, "again": True}
    frames = min(played.ticks, render.max_frames or played.ticks)
    first = Params().model_copy(update=played.changes[0].params or {})
    params = complete(folder, added, {**first.model_dump(), **values})
    return Settings(
        **about,
        params=params,
        frames=frames,
        render=render.model_copy(update={"fps": played.config.fps}),
        files={str(render.journal): digest(render.journal)},
        overrides=values,
    )
