"""The pictures that show what lwlive looks like: one beside each preset, and those of the READMEs.

    python scripts/pictures.py             # all
    python scripts/pictures.py gold blend  # some: names of presets, bend, strip and blend

Frames of the walk as the show makes them on ember, in float32: side by side, or moving; and a
blend, rendered by the commands in lwlive/render/README.md. Run it again when the model or a preset
changes.
"""

import math
import re
import shlex
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from lwlive import preset
from lwlive.checkpoint import folder_of, own_values, size_of
from lwlive.cli import render
from lwlive.engine.eager import Eager
from lwlive.engine.keyframe import Cond
from lwlive.engine.load import load
from lwlive.engine.networks import Kind
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Sampler
from lwlive.engine.walk import Walk, begin
from lwlive.params import Params
from lwlive.ring import Pixels
from lwlive.routes import Routes
from lwlive.snapshot import Snapshot

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ROOT / "lwlive" / "render" / "README.md"
BEND, STRIP, BLEND = (ROOT / "presets" / name for name in ("bend.webp", "strip.jpg", "blend.jpg"))
FPS = 30.0
SHOWN = 256  # pixels of a frame in a row, however large the model makes it
# Of the moving bend: its rate, its length, and when it bends there and back. At this speed it comes
# round to its first keyframe as the second bend ends, so that it repeats without a jump.
MOVING_FPS, MOVING_S, BENDS_S, TRANSITION_S, SPEED = 20, 6.0, (1.0, 4.0), 2.0, 1 / 3
EVERY, COLUMNS, SMALL = 5, 10, 128  # of the blend: which frames, how many a row, pixels of each


def main() -> None:
    """Make all pictures, or only those named."""
    folder = folder_of("ember")
    model = Eager(load(folder, size_of(folder, None), "cpu", Kind("float32", True)), 4)
    own = own_values(folder)
    presets = {path.stem: path for path in preset.bundled()}
    for name in sys.argv[1:] or [*presets, BEND.stem, STRIP.stem, BLEND.stem]:
        if name == BEND.stem:
            save_moving(BEND, moving(model, Params(**own)))
        elif name == STRIP.stem:
            save(STRIP, [bending(model, Params(**own))])
        elif name == BLEND.stem:
            save(BLEND, blended())
        else:
            values, routes = preset.load_look(presets[name])
            row = frames(model, Params(**{**own, **values}), [0, 60, 120, 180], routes)
            save(presets[name].with_suffix(".jpg"), [row])


def encoded(model: Eager, params: Params) -> Cond:
    """Conditioning of both prompts."""
    return Conds(model.encode)(params.prompt, params.negative)


def frames(
    model: Eager, params: Params, numbers: Iterable[int], routes: Routes = ()
) -> list[Pixels]:
    """Frames of a preset's walk, by their numbers."""
    snapshot = Snapshot(0, params, routes=routes)
    return pictures(model, begin(snapshot, encoded(model, params), model.shape, "cpu"), numbers)


def heard(number: int) -> tuple[float, ...]:
    """What presets hear that go with the sound, as bands: kicks twice a second, and hats."""
    kick, hat = (math.exp(-(number * often / FPS % 1) / 0.3) for often in (2, 4))
    return kick, 0.4, 0.7 * hat, kick, kick, 0.4


def pictures(model: Eager, walk: Walk, numbers: Iterable[int]) -> list[Pixels]:
    """Frames of a walk, by their numbers from here on."""
    wanted, found, last = set(numbers), [], max(numbers)
    for number in range(last + 1):
        if number in wanted:
            found.append(walk)
        walk = walk.after(1 / FPS, bands=heard(number))
    sampler = Sampler(model)
    return small(sampler.pixels(sampler.latents(found)))


def small(made: Iterable[Pixels]) -> list[Pixels]:
    """Frames in the size in which they are shown."""
    size = (SHOWN, SHOWN)
    images = (Image.fromarray(frame) for frame in made)
    return [np.asarray(image.resize(size, Image.Resampling.LANCZOS)) for image in images]


def bending(model: Eager, params: Params) -> list[Pixels]:
    """Blueberry spaghetti, and its bend to gold rings on black."""
    walk = begin(Snapshot(0, params), encoded(model, params), model.shape, "cpu")
    for _ in range(40):
        walk = walk.after(1 / FPS)
    other = replace(params, prompt="gold rings on black")
    bent = walk.steered(Snapshot(1, other), encoded(model, other))
    return pictures(model, bent, [0, 60, 78, 90, 102, 120])


def moving(model: Eager, params: Params) -> list[Pixels]:
    """Blueberry spaghetti, gold rings on black and back, in a loop of two keyframes."""
    params = replace(params, loop=2, speed=SPEED, transition=TRANSITION_S)
    bent = replace(params, prompt="gold rings on black")
    conds = {each.prompt: encoded(model, each) for each in (params, bent)}
    walk = begin(Snapshot(0, params), conds[params.prompt], model.shape, "cpu")
    asked = {round(at * MOVING_FPS): to for at, to in zip(BENDS_S, (bent, params), strict=True)}
    walks = []
    for number in range(round(MOVING_S * MOVING_FPS)):
        if to := asked.get(number):
            walk = walk.steered(Snapshot(number, to), conds[to.prompt])
        walks.append(walk)
        walk = walk.after(1 / MOVING_FPS)
    sampler = Sampler(model)
    return small(sampler.pixels(sampler.latents(walks)))


def blended() -> list[list[Pixels]]:
    """The blend of the README, with the first frame of its walk as the picture: rows of frames."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rendered(folder, "blueberry", "--max-frames", "1", "--pace", "0")
        rendered(folder, "blend")
        files = sorted((folder / "blend").glob("frame*"))[::EVERY]
        made = [np.asarray(Image.open(file).resize((SMALL, SMALL))) for file in files]
    return [made[i : i + COLUMNS] for i in range(0, len(made), COLUMNS)]


def rendered(folder: Path, name: str, *more: str) -> None:
    """Run the README's `lwlive render` of this name, with files in the folder."""
    words = told(name)
    words = [str(folder / word) if word.endswith(".jpg") else word for word in words]
    if render.main([*words, "--folder", str(folder), "--output", "frames", *more]):
        sys.exit(f"the README's render of {name} fails")


def told(name: str) -> list[str]:
    """What follows `lwlive render` in the README, in the command that gives this name."""
    text = COMMANDS.read_text("utf-8").replace("\\\n", " ")
    (line,) = re.findall(rf"^lwlive render (.*--name {name} .*)$", text, re.MULTILINE)
    return shlex.split(line)


def save_moving(path: Path, pixels: list[Pixels]) -> None:
    """Pictures as an animated WebP that repeats for ever."""
    first, *others = (Image.fromarray(each) for each in pixels)
    first.save(
        path,
        save_all=True,
        append_images=others,
        duration=round(1000 / MOVING_FPS),
        loop=0,
        quality=80,
        method=6,
    )
    print(path)


def save(path: Path, rows: list[list[Pixels]]) -> None:
    """Pictures in rows, as a JPEG."""
    whole = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    Image.fromarray(whole).save(path, quality=88, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
