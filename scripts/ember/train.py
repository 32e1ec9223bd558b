"""Trains ember: draws pictures, then the autoencoder, then text encoder and denoiser.

    python scripts/ember/train.py --work FOLDER

does all of it and writes the model into the package; --stage does one part. Killed, it
goes on where it was.
"""

import argparse
import multiprocessing
import time
from pathlib import Path

import autoencoder
import folder
import torch
from gather import SHARD, shard

STAGES = ("draw", "autoencoder")


def say(line: str) -> None:
    """One line of the log."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


def main() -> None:
    """Parse the flags and run the stages asked for, in their order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for data, checkpoints")
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    parser.add_argument("--pictures", type=int, default=16000)
    parser.add_argument("--autoencoder-steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    stages = STAGES if flags.stage == "all" else (flags.stage,)
    ember = folder.blank()
    if "draw" in stages:
        jobs = [(flags.work / "data", n) for n in range(flags.pictures // SHARD)]
        with multiprocessing.get_context("spawn").Pool(flags.threads) as pool:
            pool.starmap(shard, jobs)
    if "autoencoder" in stages:
        checkpoint = flags.work / "autoencoder.pt"
        autoencoder.train(
            ember.vae, flags.work / "data", checkpoint, flags.autoencoder_steps, say
        )


if __name__ == "__main__":
    main()
