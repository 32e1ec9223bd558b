"""The pictures that show what lwlive looks like: one beside each preset, and the README's strip.

    python scripts/pictures.py

Frames of the walk as the show makes them on ember, in float32, side by side. Run it again when
the model or a preset changes.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from lwlive import preset
from lwlive.checkpoint import folder_of, own_values
from lwlive.engine.keyframe import Cond
from lwlive.engine.model import Eager, load
from lwlive.engine.networks import Kind
from lwlive.engine.prompt import Conds
from lwlive.engine.sampler import Sampler
from lwlive.engine.walk import Walk, begin
from lwlive.params import Params, Snapshot
from lwlive.ring import Pixels

ROOT = Path(__file__).resolve().parents[1]
STRIP = ROOT / "presets" / "strip.jpg"
FPS = 30.0
SIZE = 256


def main() -> None:
    """Make all pictures, or only those of the presets named."""
    folder = folder_of("ember")
    model = Eager(load(folder, (SIZE, SIZE), "cpu", Kind("float32", True)), 4)
    own = own_values(folder)
    named = sys.argv[1:]
    for path in preset.bundled():
        if named and path.stem not in named:
            continue
        params = Params.model_validate({**own, **preset.load(path)})
        save(path.with_suffix(".jpg"), frames(model, params, [0, 60, 120, 180]))
    if not named:
        save(STRIP, bending(model, Params.model_validate(own)))


def encoded(model: Eager, params: Params) -> Cond:
    """Conditioning of both prompts."""
    return Conds(model.encode)(params.prompt, params.negative)


def frames(model: Eager, params: Params, numbers: Iterable[int]) -> list[Pixels]:
    """Frames of a preset's walk, by their numbers."""
    walk = begin(Snapshot(0, params), encoded(model, params), model.shape, "cpu")
    return pictures(model, walk, numbers)


def pictures(model: Eager, walk: Walk, numbers: Iterable[int]) -> list[Pixels]:
    """Frames of a walk, by their numbers from here on."""
    wanted, found, last = set(numbers), [], max(numbers)
    for number in range(last + 1):
        if number in wanted:
            found.append(walk)
        walk = walk.after(1 / FPS)
    sampler = Sampler(model)
    return sampler.pixels(sampler.latents(found))


def bending(model: Eager, params: Params) -> list[Pixels]:
    """Blueberry spaghetti, and its bend to gold rings on black."""
    walk = begin(Snapshot(0, params), encoded(model, params), model.shape, "cpu")
    for _ in range(40):
        walk = walk.after(1 / FPS)
    other = params.model_copy(update={"prompt": "gold rings on black"})
    bent = walk.steered(Snapshot(1, other), encoded(model, other))
    return pictures(model, bent, [0, 60, 78, 90, 102, 120])


def save(path: Path, row: list[Pixels]) -> None:
    """Pictures side by side, as a JPEG."""
    Image.fromarray(np.concatenate(row, axis=1)).save(path, quality=88, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
