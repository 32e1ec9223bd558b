"""Trains ember: draws pictures, then text encoder, denoiser and decoder, then the encoder.

    python scripts/ember/train.py --work FOLDER

does all of it and writes the model into FOLDER/ember; only --out lwlive/ember writes over the
built-in one. --stage does one part, --start begins from a saved model. Killed, it continues where
it was. Two processes with a core each learn faster than one with two:

    torchrun --nproc-per-node 2 scripts/ember/train.py --work FOLDER --threads 1

On a machine that is lent for minutes

    python scripts/ember/train.py --work FOLDER --device cuda --minutes 8.5 --pieces SAFE

draws with all cores while the GPU learns, stops in time, and leaves its checkpoint in SAFE in
pieces that are small enough to be sent; the same command there again continues from them. With
--finish the training is planned to be over in that time, however many steps that is.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import autoencoder
import denoiser
import folder
import latents
import together
import torch
from canvas import SIZE
from gather import SHARD, ready, shard
from keep import cut, join, restore
from sample import open_folder
from torch import nn
from words import FAMILIES, MODIFIERS

STAGES = ("draw", "denoiser", "encoder", "save")
LEARNT = ("denoiser.pt", "encoder.pt")  # the checkpoints in the folder for work
ENOUGH = 4  # shards with which learning begins while others are still drawn


def say(line: str) -> None:
    """One line of the log."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


def begun(start: Path | None) -> folder.Ember:
    """The model before it is trained: blank, or a saved one with the words of today.

    Raises ValueError for a saved one of another shape.
    """
    fresh = folder.blank()
    if start is None:
        return fresh
    saved = folder.retold(open_folder(start))
    if shape(saved) != shape(fresh):
        raise ValueError(f"The model in {start} is of another shape than the one that is trained.")
    return saved


def shape(ember: folder.Ember) -> list[torch.Size]:
    """The shapes of all weights."""
    nets = (ember.unet, ember.text, ember.vae)
    return [weight.shape for net in nets for weight in net.parameters()]


def trained(work: Path, start: Path | None) -> folder.Ember:
    """The model with the newest weights of every checkpoint there is: else as it begins."""
    ember = begun(start)
    parts = {"unet": ember.unet, "text": ember.text, "decoder": ember.vae.decoder}
    restore(work / LEARNT[0], average=nn.ModuleDict(parts))
    restore(work / LEARNT[1], encoder=ember.vae.encoder)
    return ember


def draw(flags: argparse.Namespace, beside: Callable[[], None] | None) -> None:
    """Draw what is missing, in processes of their own, and do something beside, or afterwards.

    Beside it on a GPU, which leaves the cores nothing else to do; it begins when there is enough
    to begin with, and where it ends early, so does the drawing.
    """
    jobs = [(flags.work / "data", number) for number in range(flags.pictures // SHARD)]
    spare = max(1, (os.cpu_count() or 2) - 2)
    processes = flags.threads if flags.device == "cpu" else spare
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        coming = pool.starmap_async(shard, jobs, chunksize=1)
        if beside is None or flags.device == "cpu":
            coming.get()
        while not coming.ready() and len(list(ready(flags.work / "data"))) < ENOUGH:
            time.sleep(0.2)
        if coming.ready():
            coming.get()  # or what went wrong there would not be told
        if beside:
            beside()


def room(device: str) -> int:
    """Bytes of a GPU that are for pictures: half of its memory."""
    return torch.cuda.mem_get_info()[1] // 2 if device == "cuda" else 0


def learn(flags: argparse.Namespace, until: float) -> None:
    """Train text encoder, denoiser and decoder, with a checkpoint in pieces where one is asked."""
    together.wait()  # until the first process has drawn what there is to learn from
    checkpoint = flags.work / LEARNT[0]
    ember = begun(flags.start)
    place = flags.device if flags.pictures * 3 * SIZE**2 < room(flags.device) else "cpu"
    denoiser.train(
        ember,
        latents.Drawn(ember.tokenizer, flags.work / "data", flags.more, place).now,
        checkpoint,
        flags.denoiser_steps,
        say,
        peak=flags.peak,
        pairs=flags.pairs,
        device=flags.device,
        until=until,
        finish=flags.finish,
        compiled=flags.compile,
        kept=lambda: cut(checkpoint, flags.pieces) if flags.pieces else None,
    )


def main(args: Sequence[str] | None = None) -> None:
    """Parse the flags and run the stages asked for, in their order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for data, checkpoints")
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    parser.add_argument("--pictures", type=int, default=12000)
    parser.add_argument("--denoiser-steps", type=int, default=16000)
    parser.add_argument("--encoder-steps", type=int, default=2000)
    parser.add_argument("--peak", type=float, default=denoiser.PEAK, help="learning rate at most")
    parser.add_argument("--pairs", type=int, default=denoiser.PAIRS, help="pictures at a time")
    parser.add_argument("--start", type=Path, help="folder of a saved model to train on")
    parser.add_argument(
        "--more",
        nargs="*",
        default=(),
        metavar="WORD",
        choices=(*FAMILIES, *MODIFIERS),
        help="families and modifiers taken once more often for every mention",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--finish", action="store_true", help="be done when --minutes are over")
    parser.add_argument("--compile", action="store_true", help="compile denoiser and decoder")
    parser.add_argument("--pieces", type=Path, help="folder for checkpoints in pieces of 16 MB")
    parser.add_argument("--out", type=Path, help="where the model goes; default: ember in --work")
    parser.add_argument("--threads", type=int, default=2)
    flags = parser.parse_args(args)
    if flags.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda wants an NVIDIA GPU that torch sees; leave --device out here")
    if flags.pictures < SHARD:
        parser.error(f"--pictures wants {SHARD} or more: they are drawn so many at a time")
    if flags.finish and flags.minutes == float("inf"):
        parser.error("--finish wants --minutes: it plans the training to be over when they are")
    until = time.monotonic() + 60 * flags.minutes
    torch.set_num_threads(flags.threads)
    together.begin()
    first = together.number() == 0
    stages = STAGES if flags.stage == "all" else (flags.stage,)
    try:
        begun(flags.start)
        if first and flags.pieces and not (flags.work / LEARNT[0]).exists():
            join(flags.pieces, flags.work / LEARNT[0])
    except ValueError as error:
        parser.error(str(error))
    learning = partial(learn, flags, until) if "denoiser" in stages else None
    if "draw" in stages and first:
        draw(flags, learning)
    elif learning:
        learning()
    together.end()
    if not first:
        return
    if time.monotonic() >= until and not flags.finish:
        say("time is up; the same command continues from here")
        return
    if "encoder" in stages:
        autoencoder.train(
            trained(flags.work, flags.start).vae,
            flags.work / "data",
            flags.work / LEARNT[1],
            flags.encoder_steps,
            say,
            device=flags.device,
        )
    if "save" in stages:
        out = flags.out or flags.work / "ember"
        folder.save(trained(flags.work, flags.start), out)
        say(f"the model is in {out}")


if __name__ == "__main__":
    main()
