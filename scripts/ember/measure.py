"""Measures ember on captions and seeds it was not trained on; a table and one JSON line.

python scripts/ember/measure.py --work FOLDER
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from autoencoder import decibels
from caption import Wish
from draw import example
from folder import TARGET, Ember
from judge import collect, guess, network, present, teach
from sample import open_folder, pictures, starting
from torch import Tensor, nn
from words import FAMILIES

HELD_OUT = 10**9  # the first seed that no training picture has


def fresh(each: int) -> tuple[Tensor, list[str], list[Wish]]:
    """`each` drawn pictures of every family on held-out seeds, with captions and wishes."""
    made = [
        example(HELD_OUT + 1000 * k + i, f) for i, f in enumerate(FAMILIES) for k in range(each)
    ]
    return torch.stack([m[0] for m in made]), [m[1] for m in made], [m[2] for m in made]


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


def verdict(model: nn.Sequential, images: Tensor, wishes: list[Wish]) -> dict[str, float]:
    """Share of pictures with the right family, and of those told a colour that have it."""
    kinds = torch.tensor([list(FAMILIES).index(w.family) for w in wishes])
    right = (guess(model, images) == kinds).float()
    told = [present(i, w.colours) for i, w in zip(images, wishes, strict=True) if w.named]
    return {"family": float(right.mean()), "colours": sum(told) / len(told)}


def milliseconds(call: Callable[[], object], images: int) -> float:
    """The best of several runs, per image."""
    call()
    best = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best * 1000 / images


@torch.inference_mode()
def speed(ember: Ember) -> dict[str, float]:
    """Eager milliseconds an image at batch 4, 256 px, float32, two threads."""
    x = torch.cat([starting(i) for i in range(4)]).to(memory_format=torch.channels_last)
    text = torch.zeros(4, 32, ember.text.config.hidden_size)
    return {
        "unet_ms": milliseconds(lambda: ember.unet(x, 999, text), 4),
        "decode_ms": milliseconds(lambda: ember.vae.decoder(x), 4),
    }


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where train.py worked")
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--each", type=int, default=6, help="pictures of every family")
    parser.add_argument("--shards", type=int, default=16, help="drawn shards for the classifier")
    parser.add_argument("--judge-steps", type=int, default=700)
    parser.add_argument("--steps", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    flags = parser.parse_args()
    torch.set_num_threads(1)  # drawing is many small steps, slower with more
    drawn, captions, wishes = fresh(flags.each)
    torch.set_num_threads(flags.threads)
    model, ember = judge(flags.work, flags.shards, flags.judge_steps), open_folder(flags.model)
    report: dict[str, object] = {"pictures": len(wishes), "guidance": flags.guidance}
    report["psnr_db"] = decibels(ember.vae, drawn * 2 - 1)
    report["drawn"] = verdict(model, drawn, wishes)
    for steps in flags.steps:
        made = pictures(ember, captions, HELD_OUT, steps, flags.guidance)
        report[f"steps_{steps}"] = verdict(model, made, wishes)
        print(f"{steps} steps", report[f"steps_{steps}"], flush=True)
    report |= speed(ember)
    for name, value in report.items():
        print(f"{name:10} {value}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
