"""Contact sheets to be looked at closely: all that ember knows, several sizes, in motion.

python scripts/ember/sheet.py --out FOLDER [--model FOLDER] [--only families_1 walks ...]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from draw import example
from folder import TARGET, Ember, knows
from motion import bend, opened, places, shown
from PIL import Image, ImageDraw
from sample import noises, open_folder, pictures, side
from torch import Tensor
from torch.nn.functional import avg_pool2d
from words import COLOURS, FAMILIES, MODIFIERS

Sheet = tuple[Tensor, list[str], int]  # pictures [N, 3, H, W] 0..1, their labels, columns

MOODS = (
    "blueberry spaghetti",
    "gold rings on black",
    "emerald and gold dragon skin",
    "glowing purple and cyan nebula",
    "white and grey marble with gold",
    "red and orange flames on black",
    "dark teal ocean waves",
    "pale pink flowers on white",
    "stained glass in red, blue and gold",
    "turquoise aurora on midnight",
    "large amber crystals on black",
    "soft violet smoke on black",
    "copper dunes on indigo",
    "tiny lime cells on black",
    "sapphire and white spiral",
    "neon magenta and blue tunnel",
)
BASES = ("spaghetti", "smoke", "crystals", "flowers")  # what colours and modifiers are shown on
WALKS = MOODS[:8]
LARGE = ("blueberry spaghetti", "gold rings on black", "neon magenta and blue tunnel")


def save(images: Tensor, labels: list[str], columns: int, path: Path) -> None:
    """Pictures in rows, each with its label."""
    height, width = images.shape[-2:]
    canvas = Image.new("RGB", (columns * width, -(-len(images) // columns) * height))
    pen = ImageDraw.Draw(canvas)
    for i, image in enumerate(images):
        pixels = (image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        spot = (i % columns * width, i // columns * height)
        canvas.paste(Image.fromarray(pixels), spot)
        pen.text(spot, f" {labels[i]}", "white", stroke_width=1, stroke_fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path, quality=92)
    print(path, flush=True)


def prompted(ember: Ember, prompts: list[str], columns: int, steps: int = 1) -> Sheet:
    """A picture of each prompt, half as large; a row of them shares its noises with the others."""
    noise = noises(ember, 5, columns).repeat(-(-len(prompts) // columns), 1, 1, 1)[: len(prompts)]
    return avg_pool2d(pictures(ember, prompts, noise, steps), 2), prompts, columns


def drawn() -> Sheet:
    """Six drawn pictures of every family."""
    seed = 10**9
    made = [example(seed + 100 * k + i, name) for i, name in enumerate(FAMILIES) for k in range(6)]
    return avg_pool2d(torch.stack([m[0] for m in made]), 2), [m[1] for m in made], 6


def forms_of(ember: Ember) -> list[str]:
    """The plain names of all families that a model has words for."""
    return [names[0] for names, _ in FAMILIES.values() if knows(ember, names[0])]


def families(ember: Ember, steps: int) -> Sheet:
    """Every family, as it is by itself and in colours."""
    forms = ("{}", "{}", "blue {}", "red and gold {}")
    prompts = [form.format(name) for name in forms_of(ember) for form in forms]
    return prompted(ember, prompts, 8, steps)


def colours(ember: Ember) -> Sheet:
    """Every colour on several families."""
    known = [colour for colour in COLOURS if knows(ember, colour)]
    return prompted(ember, [f"{colour} {base}" for colour in known for base in BASES], 8)


def modifiers(ember: Ember) -> Sheet:
    """Every modifier on several families, after those without."""
    kinds = [kind for kind in ("", *MODIFIERS) if knows(ember, kind)]
    return prompted(ember, [f"{kind} {base}".strip() for kind in kinds for base in BASES], 8)


def mixes(ember: Ember) -> Sheet:
    """Two families together."""
    firsts = forms_of(ember)
    pairs = zip(firsts, firsts[5:] + firsts[:5], strict=True)
    return prompted(ember, [f"{a} {b}" for a, b in pairs], 6)


def moods(ember: Ember) -> Sheet:
    """The same prompts and noises at 1, 2, 4 and 20 steps."""
    noise = noises(ember, 40, len(MOODS))
    rows = [pictures(ember, list(MOODS), noise, steps) for steps in (1, 2, 4, 20)]
    labels = [f"{n} {mood}" for mood in MOODS for n in (1, 2, 4, 20)]
    return avg_pool2d(torch.stack(rows, 1).flatten(0, 1), 2), labels, 8


def large(ember: Ember, pixels: int) -> Sheet:
    """Pictures of another size, as large as they are."""
    return (
        pictures(ember, list(LARGE), noises(ember, 5, len(LARGE), pixels), 1),
        list(LARGE),
        len(LARGE),
    )


def walks(folder: Path, pixels: int) -> Sheet:
    """Eight walks, eight frames of each, half a second apart."""
    model, made = opened(folder, pixels), []
    for seed, prompt in enumerate(WALKS):
        walk = places(model, folder, prompt=prompt, seed=seed)
        made += shown(model, [next(walk) for _ in range(120)][::15])
    return as_sheet(made), [prompt for prompt in WALKS for _ in range(8)], 8


def bends(folder: Path, pixels: int) -> Sheet:
    """Eight bends from one prompt to the next, eight frames of each, half a second apart."""
    model, made = opened(folder, pixels), []
    for seed, (prompt, other) in enumerate(zip(MOODS[:8], MOODS[8:], strict=True)):
        made += shown(model, bend(model, folder, prompt, other, seed, 120)[::15])
    labels = [f"{a} > {b}" for a, b in zip(MOODS[:8], MOODS[8:], strict=True) for _ in range(8)]
    return as_sheet(made), labels, 8


def as_sheet(made: list[np.ndarray]) -> Tensor:
    """Pictures of bytes as the others are, half as large."""
    return avg_pool2d(torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float() / 255, 2)


def main() -> None:
    """Write every sheet, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--threads", type=int, default=2)
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    ember = open_folder(flags.model)
    sheets: dict[str, Callable[[], Sheet]] = {
        "families_1": lambda: families(ember, 1),
        "families_4": lambda: families(ember, 4),
        "colours": lambda: colours(ember),
        "modifiers": lambda: modifiers(ember),
        "mixes": lambda: mixes(ember),
        "moods": lambda: moods(ember),
        "large_384": lambda: large(ember, 384),
        "large_512": lambda: large(ember, 512),
        "walks": lambda: walks(flags.model, side(ember)),
        "bends": lambda: bends(flags.model, side(ember)),
        "drawn": drawn,
    }
    for name in flags.only or sheets:
        save(*sheets[name](), flags.out / f"{name}.jpg")


if __name__ == "__main__":
    main()
