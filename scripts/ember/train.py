"""Trains ember: draws pictures, then the autoencoder, then text encoder and denoiser.

    python scripts/ember/train.py --work FOLDER

does all of it and writes the model into the package; --stage does one part, --start begins
from a saved model and keeps its encoder, so that latents mean the same. Killed, it continues
where it was.
"""

import argparse
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path

import autoencoder
import denoiser
import folder
import latents
import torch
from gather import SHARD, shard
from keep import restore
from sample import contrast, open_folder
from torch import nn
from words import FAMILIES, MODIFIERS

STAGES = ("draw", "autoencoder", "denoiser", "save")


def say(line: str) -> None:
    """One line of the log."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


def begun(work: Path, start: Path | None) -> folder.Ember:
    """The model before its denoiser is trained: blank or a saved one, with our autoencoder."""
    ember = folder.blank() if start is None else folder.retold(open_folder(start))
    restore(work / "autoencoder.pt", vae=ember.vae)
    return ember


def trained(work: Path, start: Path | None) -> folder.Ember:
    """The model with the newest weights of every checkpoint there is."""
    ember = begun(work, start)
    average = nn.ModuleDict({"unet": ember.unet, "text": ember.text})
    restore(work / "denoiser.pt", average=average)
    return ember


def learnt(ember: folder.Ember, work: Path, more: Sequence[str] = ()) -> latents.Store:
    """All drawn pictures, as the denoiser learns them; what is mentioned weighs more."""
    return latents.load(ember.vae, ember.tokenizer, work / "data", work / "latents", more)


def main() -> None:
    """Parse the flags and run the stages asked for, in their order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for data, checkpoints")
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    parser.add_argument("--pictures", type=int, default=12000)
    parser.add_argument("--autoencoder-steps", type=int, default=2800)
    parser.add_argument("--denoiser-steps", type=int, default=8000)
    parser.add_argument("--peak", type=float, default=denoiser.PEAK, help="learning rate at most")
    parser.add_argument("--start", type=Path, help="folder of a saved model to train on")
    parser.add_argument(
        "--more",
        nargs="*",
        default=(),
        metavar="WORD",
        choices=(*FAMILIES, *MODIFIERS),
        help="families and modifiers taken once more often for every mention",
    )
    parser.add_argument("--out", type=Path, default=folder.TARGET)
    parser.add_argument("--threads", type=int, default=2)
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    stages = STAGES if flags.stage == "all" else (flags.stage,)
    if "draw" in stages:
        jobs = [(flags.work / "data", n) for n in range(flags.pictures // SHARD)]
        with multiprocessing.get_context("spawn").Pool(flags.threads) as pool:
            pool.starmap(shard, jobs)
    if "autoencoder" in stages:
        fresh = flags.start is None
        autoencoder.train(
            begun(flags.work, flags.start).vae,
            flags.work / "data",
            flags.work / "autoencoder.pt",
            flags.autoencoder_steps,
            say,
            frozen=autoencoder.FROZEN if fresh else 0,
            peak=autoencoder.PEAK if fresh else autoencoder.PEAK / 4,
        )
    if "denoiser" in stages:
        ember = begun(flags.work, flags.start)
        data = learnt(ember, flags.work, flags.more)
        say(f"{len(data.latents)} latents, deviation {float(data.latents.float().std()):.3f}")
        checkpoint = flags.work / "denoiser.pt"
        denoiser.train(ember, data, checkpoint, flags.denoiser_steps, say, peak=flags.peak)
    if "save" in stages:
        ember = trained(flags.work, flags.start)
        share = contrast(ember, learnt(ember, flags.work))
        say(f"what one step makes has {share:.3f} of the contrast of what was drawn")
        ember.vae.register_to_config(scaling_factor=round(share, 3))
        folder.save(ember, flags.out)


if __name__ == "__main__":
    main()
