"""A single .safetensors checkpoint made into a diffusers folder: `python -m lwlive.engine.convert`.

diffusers knows the layouts; small configuration files come from the hub's cache, or the hub. The
folder is there whole or not at all. This file knows nothing of shows.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

import torch

from lwlive.checkpoint import FAMILIES


def convert(file: Path, to: Path, offline: bool) -> None:
    """Write the folder `to`. Raises ValueError with a sentence."""
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
    from diffusers.loaders.single_file_utils import infer_diffusers_model_type
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        kind = infer_diffusers_model_type(load_file(file))
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    families = {"v1": StableDiffusionPipeline, "v2": StableDiffusionPipeline}
    families |= {"xl_base": StableDiffusionXLPipeline, "playground-v2-5": StableDiffusionXLPipeline}
    if kind not in families or not _has_text(file):
        raise ValueError(f"{file} is no checkpoint that lwlive can walk: choose {FAMILIES}")
    making = to.with_name(f"{to.name}.{os.getpid()}")
    try:
        pipe = families[kind].from_single_file(
            str(file), dtype=torch.float16, local_files_only=offline
        )
        pipe.save_pretrained(making)
        making.rename(to)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{file} cannot be made into a folder ({str(error).splitlines()[0]}); the first time "
            "this takes a few small files from the hub, so connect this machine once"
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _has_text(file: Path) -> bool:
    """Whether a checkpoint has its text encoders in it, and is more than a UNet or a LoRA."""
    from safetensors import safe_open

    starts = ("cond_stage_model.", "conditioner.")
    with safe_open(file, "pt") as tensors:
        return any(key.startswith(starts) for key in tensors.keys())  # noqa: SIM118 - no mapping


def main() -> int:
    """Convert what the command line names; what is wrong is the last line of stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("to", type=Path)
    parser.add_argument("--offline", action="store_true")
    given = parser.parse_args()
    given.to.parent.mkdir(parents=True, exist_ok=True)
    try:
        convert(given.file, given.to, given.offline)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
