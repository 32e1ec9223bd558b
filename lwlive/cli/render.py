"""`lwlive render`: flags and presets to settings, settings to frames and a movie."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from lwlive import hub, preset
from lwlive.checkpoint import ModelError, Opened, own_values
from lwlive.cli import flags
from lwlive.config import PARTS, Config
from lwlive.openmp import spin_briefly
from lwlive.params import SPECS, ControlError, Params
from lwlive.render import hearing, performance, routed, timing
from lwlive.render.distance import preferred
from lwlive.render.frames import open_folder, place_of
from lwlive.render.identity import weights
from lwlive.render.picture import check
from lwlive.render.settings import (
    FRAMES,
    KEY_VALUES,
    PER_KEYFRAME,
    SOURCES,
    Key,
    Render,
    RenderError,
    Settings,
    digest,
    key_of,
)
from lwlive.routes import Routes, tables

log = logging.getLogger("lwlive")

PROGRAM = "lwlive render"
ABOUT = """Write a walk to disk: frames, a movie, or both.

One prompt walks from seed to seed. Several, or pictures, are keyframes of a blend, in their order.
A second run with the same settings continues after the last whole frame."""
SHARED = (*SOURCES, "offline", "size", "device", "batch", "cache", "preset", "folder")  # of Config
OTHERWISE: dict[str, tuple[Any, str]] = {  # default, and what a render says of a show's flags
    "prompt": (
        SPECS["prompt"].default,
        "what is pictured; `a :1 | b :0.4` mixes with weights; given again: the next keyframe",
    ),
    "speed": (None, "keyframes a second, 0 to 4, in place of --num-steps and --seconds"),
    "bpm": (SPECS["bpm"].default, "tempo of --sync and of routes; beat 0 falls on the first frame"),
    "decoder": (
        "full",
        "full (the model's own), tiny (a faster one), or another one's folder or repository",
    ),
    "size": (
        None,
        "pixels, 512 or 768x512, multiples of 8 (ember: 16); default: the model's own",
    ),
    "batch": (None, "frames sampled together; default: 4, on a GPU 8"),
    "folder": (Path("."), "where the frames and the movie go"),
}
OFFERED = tuple(n for n, spec in SPECS.items() if spec.render)
_ORDERED = re.compile(r"--(prompt|picture)(?:=(.*))?", re.DOTALL)


def main(args: Sequence[str]) -> int:
    """Render; returns the exit code, 1 for anything that a sentence was printed for."""
    logging.basicConfig(level=logging.INFO, format="lwlive: %(message)s")
    spin_briefly(os.environ)  # before torch is imported, and for the workers of a cluster
    try:
        settings, place = parse(args)
        from lwlive.render import work

        with _enough_memory(settings):
            settings = work.budgeted(settings, place)
            work.run(open_folder(place, settings, settings.render.overwrite))
    except (ControlError, ModelError) as error:
        log.error(error)
        return 1
    except OSError as error:
        log.error(f"{error.filename or 'the render'}: {error.strerror or error}")
        return 1
    return 0


@contextmanager
def _enough_memory(settings: Settings) -> Iterator[None]:
    """Raises RenderError where memory runs out, which torch says by an error of its own kind."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        ours = isinstance(error, ModelError)  # which is a sentence already
        if ours or (not isinstance(error, MemoryError) and "memory" not in str(error)):
            raise
        raise RenderError(
            f"there is no memory for frames of {settings.size}, {settings.batch} together; "
            "give --batch 1, --tiled or a smaller --size"
        ) from error


def parse(args: Sequence[str]) -> tuple[Settings, Path]:
    """Settings and the folder for the frames. Raises ControlError, ModelError; ends for --help."""
    keyframes, rest = ordered(args)
    groups = {"What is shown": flags.of_params(OFFERED, render=True)}
    groups |= {"Render": flags.of_model(Render)}
    for part in PARTS:
        shared = {name: row for name, row in flags.of_model(part).items() if name in SHARED}
        groups |= {part.title: shared} if shared else {}
    rows = {name: row for group in groups.values() for name, row in group.items()}
    for group in groups.values():
        for name in set(group) & set(OTHERWISE):
            default, description = OTHERWISE[name]
            group[name] = rows[name] = flags.otherwise(rows[name], default, description)
    given = flags.read(PROGRAM, ABOUT, groups, rest)
    render = flags.filled(Render, given)
    defaults = {name: default for name, (default, _) in OTHERWISE.items()}
    config = flags.filled(Config, defaults | {n: v for n, v in given.items() if n in SHARED}, rows)
    place = place_of(config.folder, render.name)
    values: dict[str, object] = {}
    routes: Routes = ()
    if config.preset is not None:
        found = preset.find(config.preset, config.folder)
        values, routes, of_preset = preset.load_film(found)
        keyframes = keyframes or of_preset
    for name in OFFERED:
        if name in given:
            values[name] = SPECS[name].checked(flags.value(name, given[name]), render=True)
    if render.journal is not None:
        settings = _replayed(render, config, given, keyframes, values)
    else:
        settings = _settings(render, config, keyframes, values, routes)
    return settings, place


def ordered(args: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Prompts and pictures in the order they were given, and the other arguments.

    Raises RenderError where one has no value.
    """
    keyframes: list[dict[str, Any]] = []
    rest, waiting = [], list(args)
    while waiting:
        word = waiting.pop(0)
        match = _ORDERED.fullmatch(word)
        if match is None:
            rest.append(word)
            if word == "--ray" and (not waiting or waiting[0].startswith("-")):
                rest.append("local")
            continue
        if match[2] is None and not waiting:
            raise RenderError(f"argument {word}: expected one argument; see {PROGRAM} --help")
        value = waiting.pop(0) if match[2] is None else match[2]
        keyframes.append({match[1]: Path(value) if match[1] == "picture" else value})
    return keyframes, rest


def _settings(
    render: Render,
    config: Config,
    keyframes: list[dict[str, Any]],
    values: dict[str, object],
    routes: Routes,
) -> Settings:
    opened = hub.opened(config, log.info, masks=True, fine=True)
    paced = "speed" in values
    params = _complete(opened, values)
    if render.mask is not None:
        below = [k for k in keyframes if "picture" in k]
        if len(below) != 1:
            raise RenderError("--mask takes one --picture, of which it says what may change")
        keyframes = [k for k in keyframes if k is not below[0]]
        render = render.model_copy(update={"picture": below[0]["picture"]})
    if render.budget is not None or render.budget_seconds is not None:
        render = render.model_copy(update={"distance": render.distance or preferred()})
    if len(keyframes) == 1 and "picture" not in keyframes[0]:
        params |= {n: SPECS[n].checked(v, True) for n, v in keyframes[0].items() if n in KEY_VALUES}
        keyframes = []
    keys = tuple(_prompted(keyframes, params))
    _check(keys, params)
    joints, frames = _timed(render, keys, params, paced)
    routes = _routed(render, keys, params, routes)
    per = float(joints[1]) if any(route.name == "speed" for route in routes) else None
    if per is not None:
        of_walk = params["bpm"], params["seed"], render.fps / per, render.fps, frames
        bands = () if render.audio is None else hearing.bands(render.audio, render.fps, frames)
        joints, _ = routed.swung(routes, *of_walk, bands)
    pictures = [p for p in (render.mask, render.picture, *(k.picture for k in keys)) if p]
    for path in pictures:
        check(path)
    files = [*pictures, *([render.audio] if render.audio else [])]
    return Settings(
        **_machine(opened, config),
        params=params,
        routes=tables(routes),
        keys=keys,
        joints=joints,
        per=per,
        frames=frames,
        render=render,
        files={str(path): digest(path) for path in files},
    )


def _replayed(
    render: Render,
    config: Config,
    given: dict[str, Any],
    keyframes: list[dict[str, Any]],
    values: dict[str, object],
) -> Settings:
    """Settings of a performance, with what was given in place of what was performed."""
    assert render.journal is not None
    for name in ("mask", "audio", "budget", "budget_seconds", "num_steps", "seconds"):
        if getattr(render, name) is not None:
            flag = name.replace("_", "-")
            raise RenderError(f"--{flag} does not go together with --journal")
    if any("picture" in keyframe for keyframe in keyframes) or len(keyframes) > 1:
        raise RenderError("a journal has its own prompts: give one --prompt for all, or none")
    values = values | {k: SPECS[k].checked(v) for one in keyframes for k, v in one.items()}
    played = performance.read(render.journal)
    if config.model == played.config.model or "model" not in given:
        shown = {n: getattr(played.config, n) for n in SOURCES if n not in given}
        config = config.model_copy(update=shown)
    shown_at = None if config.size else str(played.size)
    opened = hub.opened(config, log.info, masks=True, fine=True, wanted=shown_at)
    about = _machine(opened, config)
    alike = all(getattr(config, n) == getattr(played.config, n) for n in SOURCES)
    same = alike and opened.size == played.size and not values
    if same and played.dtype is not None:
        about |= {"precision": played.dtype, "again": True}
    frames = min(played.ticks, render.max_frames or played.ticks)
    first = Params(**(played.changes[0].params or {}))
    params = _complete(opened, {**asdict(first), **values})
    return Settings(
        **about,
        params=params,
        frames=frames,
        render=render.model_copy(update={"fps": played.config.fps}),
        files={str(render.journal): digest(render.journal)},
        overrides=values,
    )


def _complete(opened: Opened, values: dict[str, object]) -> dict[str, Any]:
    """Every live parameter: as given, else the model's own, else as declared."""
    given = {n: v for n, v in values.items() if v is not None}
    return asdict(Params(**{**own_values(opened.folder, opened.additions), **given}))


def _machine(opened: Opened, config: Config) -> dict[str, Any]:
    """The part of the settings that tells model and machine."""
    from lwlive.engine.tuning.measure import device_of

    device = device_of(config.device)
    return {
        **{name: getattr(config, name) for name in (*SOURCES, "offline", "cache")},
        "weights": weights(opened.folder, opened.additions),
        "size": opened.size,
        "device": device,
        "precision": "float32" if device == "cpu" else "float16",
        "batch": config.batch or (4 if device == "cpu" else 8),
    }


def _prompted(keyframes: list[dict[str, Any]], params: dict[str, Any]) -> list[Key]:
    """Keyframes, complete. A picture without a prompt has the one before it, or the next one."""
    prompts = [k.get("prompt") for k in keyframes]
    keys = []
    for i, keyframe in enumerate(keyframes):
        near = [p for p in [*prompts[i::-1], *prompts[i:]] if p is not None]
        common = params | {"prompt": near[0] if near else params["prompt"]}
        keys.append(key_of(i, keyframe, common))
    return keys


def _check(keys: tuple[Key, ...], params: dict[str, Any]) -> None:
    if len(keys) == 1 and not params["loop"]:
        raise RenderError("a picture needs something to walk to: give a --prompt or another one")
    if keys and params["loop"] not in (0, len(keys)):
        raise RenderError(
            f"a loop through these keyframes has {len(keys)}: give --loop {len(keys)}, or none"
        )
    if any(key.picture for key in keys) and int(params["depth"] * params["steps"]) < 1:
        raise RenderError(
            f"a picture as a keyframe needs --depth: with {params['steps']} steps at least "
            f"{1 / params['steps']:.3g}"
        )


def _routed(
    render: Render, keys: tuple[Key, ...], params: dict[str, Any], routes: Routes
) -> Routes:
    """The routes that have a meaning here. Says which have none. Raises RenderError."""
    heard = render.audio is not None
    drums = heard and not routed.leads(routes)
    timed = bool(keys or params["loop"] or params["sync"] or drums)
    left, without = routed.kept(routes, any(key.picture for key in keys), timed, heard)
    if without:
        log.info(f"routes without a meaning in this render: {', '.join(without)}")
    if left and (render.budget is not None or render.budget_seconds is not None):
        raise RenderError(
            "--budget does not go together with routes, which move every frame: leave it out, or "
            "take a preset without [[routes]]"
        )
    return left


def _timed(
    render: Render, keys: tuple[Key, ...], params: dict[str, Any], paced: bool
) -> tuple[tuple[int, ...], int]:
    """Frame numbers of the keyframes, and how many frames there are."""
    fps = Fraction(render.fps)
    loop, sound = params["loop"], None
    if render.audio is not None:
        from lwlive.render.drums import heard

        sound = heard(render.audio).seconds
    if render.num_steps is not None:
        per = Fraction(render.num_steps)
    elif render.seconds is not None:
        per = Fraction(render.seconds) * fps
    elif params["sync"]:
        per = fps * 60 * Fraction(params["sync"]) / Fraction(params["bpm"])
    elif paced and params["speed"]:
        per = fps / Fraction(params["speed"])
    elif sound is not None and keys:
        per = Fraction(sound) * fps / (len(keys) - (0 if loop else 1))
    else:
        per = Fraction(PER_KEYFRAME)
    if keys:
        ways = len(keys) - (0 if loop else 1)
        lengths = [key.seconds or float(per / fps) for key in keys[:ways]]
        joints = timing.chain(lengths, render.fps, bool(loop))
        natural = joints[-1] if loop else joints[-1] + 1
    else:
        per = max(per, Fraction(1))
        natural = round(loop * per) if loop else FRAMES
        if sound is not None:
            natural = round(Fraction(sound) * fps)
        wanted = render.max_frames or natural
        joints = timing.even(per, max(wanted, round(loop * per)))
    frames = natural if render.max_frames is None else render.max_frames
    if keys and (not loop or sound is not None):
        frames = min(frames, natural)
    return joints, frames
