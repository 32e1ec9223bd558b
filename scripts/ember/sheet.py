"""Contact sheets: drawn pictures, every family at several step counts, a walk.

python scripts/ember/sheet.py --model FOLDER --out FOLDER
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from draw import example
from folder import TARGET, Ember
from PIL import Image, ImageDraw
from sample import denoise, open_folder, pictures, starting
from torch import Tensor
from words import FAMILIES

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


def sheet(images: Tensor, labels: list[str], columns: int, path: Path) -> None:
    """Save pictures [N, 3, H, W] 0..1 in rows, each with its label."""
    side = images.shape[-1]
    rows = -(-len(images) // columns)
    canvas = Image.new("RGB", (columns * side, rows * side))
    pen = ImageDraw.Draw(canvas)
    for i, image in enumerate(images):
        pixels = (image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        spot = (i % columns * side, i // columns * side)
        canvas.paste(Image.fromarray(pixels), spot)
        pen.text(spot, f" {labels[i]}", "white", stroke_width=1, stroke_fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)


def drawn(path: Path, seed: int) -> None:
    """Six drawn pictures of every family."""
    made = [example(seed + 100 * k + i, name) for i, name in enumerate(FAMILIES) for k in range(6)]
    small = [torch.nn.functional.avg_pool2d(picture, 2) for picture, _, _ in made]
    sheet(torch.stack(small), [caption for _, caption, _ in made], 6, path)


def families(ember: Ember, path: Path, steps: int) -> None:
    """Four generated pictures of every family, two with colours."""
    prompts = [p.format(FAMILIES[f][0][0]) for f in FAMILIES for p in ("{}", "blue {}")]
    prompts += [p.format(FAMILIES[f][0][0]) for f in FAMILIES for p in ("red and gold {}",)]
    made = torch.nn.functional.avg_pool2d(pictures(ember, prompts, 5, steps), 2)
    sheet(made, prompts, 9, path)


def moods(ember: Ember, path: Path) -> None:
    """The same prompts and noises at 1, 2 and 4 steps and at 20."""
    rows = [pictures(ember, list(MOODS), 40, steps) for steps in (1, 2, 4, 20)]
    made = torch.nn.functional.avg_pool2d(torch.stack(rows, 1).flatten(0, 1), 2)
    sheet(made, [f"{n} {m}" for m in MOODS for n in (1, 2, 4, 20)], 8, path)


@torch.inference_mode()
def walk(ember: Ember, path: Path, prompt: str, steps: int) -> None:
    """Sixteen frames between two noises."""
    a, b = starting(1), starting(2)
    angle = torch.arccos((a * b).sum() / a.norm() / b.norm())
    parts = torch.linspace(0, 1, 16).view(-1, 1, 1, 1)
    noise = (torch.sin((1 - parts) * angle) * a + torch.sin(parts * angle) * b) / torch.sin(angle)
    latents = denoise(ember, noise, [prompt] * len(noise), steps)
    made = torch.nn.functional.avg_pool2d(ember.vae.decoder(latents).clamp(-1, 1) / 2 + 0.5, 2)
    sheet(made, [prompt] + [""] * 15, 8, path)


def main() -> None:
    """Write every sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--out", type=Path, required=True)
    flags = parser.parse_args()
    torch.set_num_threads(2)
    ember = open_folder(flags.model)
    moods(ember, flags.out / "moods.png")
    for steps in (1, 4):
        families(ember, flags.out / f"families_{steps}.png", steps)
    walk(ember, flags.out / "walk.png", "blueberry spaghetti", 2)
    drawn(flags.out / "drawn.png", 10**9)


if __name__ == "__main__":
    main()
