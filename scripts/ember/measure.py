"""Measures ember on captions and seeds it was not trained on; a table and one JSON line.

python scripts/ember/measure.py --work FOLDER

FOLDER has the drawn shards that the classifier is trained on. Every made picture begins with the
noise its drawn one was drawn from, so the two are compared picture by picture. Asked is what the
model has words for: drawings may be ahead of it.
"""

import argparse
import json
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from autoencoder import decibels
from caption import Wish
from draw import draw, example, starting
from folder import TARGET, Ember, knows, unknown
from judge import collect, guess, network, present, teach
from likeness import detail, spread
from motion import jump, opened, rate
from sample import filled, open_folder, pictures, side
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from words import FAMILIES

HELD_OUT = 10**9  # the first seed that no training picture has
SEEDS = 4  # of one prompt, whose distances are measured
WALKS = (
    "blueberry spaghetti",
    "gold rings on black",
    "purple smoke",
    "red and white marble",
    "teal and indigo waves",
    "ruby and sapphire stained glass",
)


def fresh(
    ember: Ember, families: list[str], each: int
) -> tuple[Tensor, Tensor, list[str], list[Wish]]:
    """`each` drawn pictures of these families, unmixed: pictures, noises, captions and wishes."""
    seeds, made = [], []
    for i, family in enumerate(families):
        places = (HELD_OUT + 1000 * k + i for k in count())
        drawn = ((seed, example(seed, family)) for seed in places)
        for seed, one in islice((d for d in drawn if knows(ember, d[1][1])), each):
            seeds.append(seed)
            made.append(one)
    noises = filled(ember, torch.stack([starting(seed) for seed in seeds]))
    images = shrunk(torch.stack([m[0] for m in made]), ember)
    return images, noises, [m[1] for m in made], [m[2] for m in made]


def shrunk(drawn: Tensor, ember: Ember) -> Tensor:
    """Drawn pictures as large as the model's own."""
    return adaptive_avg_pool2d(drawn, side(ember))


def judge(work: Path, shards: int, steps: int) -> nn.Sequential:
    """The classifier, trained once and kept."""
    path = work / "judge.pt"
    model = network().eval()
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model
    model = teach(*collect(work / "data", shards), steps, print)
    torch.save(model.state_dict(), path)
    return model


def verdict(model: nn.Sequential, images: Tensor, wishes: list[Wish]) -> dict[str, Any]:
    """Share of pictures with the right family, and of those told a colour that have it."""
    kinds = torch.tensor([list(FAMILIES).index(w.family) for w in wishes])
    right = (guess(model, images) == kinds).float()
    told = [
        (present(i, w.colours), len(w.colours))
        for i, w in zip(images, wishes, strict=True)
        if w.named
    ]
    by_number = {
        f"colours_{n}": [sum(there for there, m in told if m == n), sum(m == n for _, m in told)]
        for n in (1, 2, 3)
    }
    missed = {
        family: round(float(right[kinds == i].mean()), 2)
        for i, family in enumerate(FAMILIES)
        if bool((kinds == i).any()) and right[kinds == i].mean() < 1
    }
    shares = {"family": float(right.mean()), "colours": sum(t for t, _ in told) / len(told)}
    return {**shares, **by_number, "families": missed}


def variety(ember: Ember, captions: list[str], wishes: list[Wish], steps: int) -> float:
    """Mean distance between seeds of one prompt, as a share of that of drawn pictures."""
    noises = torch.stack([starting(HELD_OUT - 1 - k) for k in range(SEEDS)])
    with torch.inference_mode():
        drawn = shrunk(
            torch.stack([draw(wish, noise) for wish in wishes for noise in noises]), ember
        )
    repeated = [caption for caption in captions for _ in noises]
    noises = filled(ember, noises)
    made = pictures(ember, repeated, noises.repeat(len(captions), 1, 1, 1), steps)
    groups = (len(captions), SEEDS)
    return spread(made.unflatten(0, groups)) / spread(drawn.unflatten(0, groups))


def smoothness(folder: Path, pixels: int) -> dict[str, float]:
    """The largest change from frame to frame in medians: the worst of the walks."""
    model = opened(folder, pixels)
    found = {}
    for name, pace in (("pace_off", 0.0), ("pace_on", 1.0)):
        jumps = [jump(model, folder, prompt, seed, pace) for seed, prompt in enumerate(WALKS)]
        found[name] = round(max(jumps), 3)
        found[f"{name}_mean"] = round(float(np.mean(jumps)), 3)
    return found


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where train.py worked")
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--each", type=int, default=6, help="pictures of every family")
    parser.add_argument("--shards", type=int, default=16, help="drawn shards for the classifier")
    parser.add_argument("--judge-steps", type=int, default=1200)
    parser.add_argument("--steps", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512], help="for frames/s")
    flags = parser.parse_args()
    torch.set_num_threads(1)  # drawing is many small steps, slower with more
    ember = open_folder(flags.model)
    families = [family for family in FAMILIES if family not in unknown(ember)]
    drawn, noises, captions, wishes = fresh(ember, families, flags.each)
    torch.set_num_threads(flags.threads)
    model = judge(flags.work, flags.shards, flags.judge_steps)
    report: dict[str, Any] = {"pictures": len(wishes), "guidance": flags.guidance}
    noise_db = decibels(ember.vae, drawn * 2 - 1)
    report["psnr_db"] = round(float(noise_db.mean()), 2)
    report["psnr_db_by_family"] = {
        family: round(float(noise_db[i * flags.each : (i + 1) * flags.each].mean()), 1)
        for i, family in enumerate(families)
    }
    report["drawn"] = verdict(model, drawn, wishes)
    fine = detail(drawn)
    for steps in flags.steps:
        made = pictures(ember, captions, noises, steps, flags.guidance)
        found = verdict(model, made, wishes)
        found["detail"] = float(detail(made).sum() / fine.sum())
        found["variety"] = variety(ember, captions[:: flags.each], wishes[:: flags.each], steps)
        report[f"steps_{steps}"] = found
        print(f"{steps} steps", found, flush=True)
    report |= smoothness(flags.model, side(ember))
    report["frames_s"] = {side: round(rate(flags.model, side), 1) for side in flags.sizes}
    for name, value in report.items():
        print(f"{name:18} {value}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
