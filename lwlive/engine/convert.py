"""A single .safetensors checkpoint made into a diffusers folder: `python -m lwlive.engine.convert`.

diffusers knows the layouts; small configuration files come from the hub's cache, or the hub. They
tell the usual kind of prediction; a file that says another of itself is believed, and so is the
.yaml of the same name beside it. The folder is there whole or not at all. This file knows nothing
of shows.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from lwlive.checkpoint import FAMILIES, why
from lwlive.engine.folders import keep, sweep

PREDICTIONS = {"v": "v_prediction", "epsilon": "epsilon"}  # as files name them, and diffusers
YAML_PREDICTIONS = {"v": "v_prediction", "eps": "epsilon", "x0": "sample"}  # of its code
SCALING = ("model", "params", "denoiser_config", "params", "scaling_config", "target")
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


def convert(file: Path, to: Path) -> None:
    """Write the folder `to`. Raises ValueError with a sentence."""
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
    from diffusers.loaders.single_file_utils import infer_diffusers_model_type
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        kind = infer_diffusers_model_type(load_file(file))
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    except Exception as error:  # diffusers takes some tensors for granted
        raise ValueError(f"{file} is not a checkpoint that lwlive can walk: {error}") from error
    keys, about = _header(file)
    families = {"v1": StableDiffusionPipeline, "v2": StableDiffusionPipeline}
    families |= {"xl_base": StableDiffusionXLPipeline, "playground-v2-5": StableDiffusionXLPipeline}
    if kind not in families or not _has_text(keys):
        raise ValueError(f"{file} is not a checkpoint that lwlive can walk: choose {FAMILIES}")
    prediction = told(keys, about) | beside(file)
    sweep(to.parent)
    making = to.with_name(f"{to.name}.{os.getpid()}")
    try:
        pipe = families[kind].from_single_file(str(file), dtype=torch.float16)
        pipe.scheduler.register_to_config(**prediction)  # which is what is saved
        pipe.save_pretrained(making)
        keep(making, to)
    except Exception as error:  # whatever the libraries make of a file
        raise ValueError(
            f"{file} cannot be made into a folder ({why(error)}); the first time this takes a few "
            "small files from the hub, so connect this machine once"
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def beside(file: Path) -> dict[str, Any]:
    """What the .yaml beside a checkpoint says of its prediction, as a scheduler's options.

    Raises ValueError for one that cannot be read: it would change every picture.
    """
    path = file.with_suffix(".yaml")
    if not path.is_file():
        return {}
    import yaml

    try:
        found = yaml.safe_load(path.read_text("utf-8", "replace"))
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {why(error)}; mend it or move it away") from error
    name = _inside(found, "model", "params", "parameterization")
    scaling = _inside(found, *SCALING)  # of SDXL's code
    if name is None:
        kind = str(scaling).rpartition(".")[2].removesuffix("Scaling").lower()
        name = kind if kind in YAML_PREDICTIONS else None
    if name is None:
        return {}
    if not isinstance(name, str) or name not in YAML_PREDICTIONS:
        names = ", ".join(YAML_PREDICTIONS)
        raise ValueError(f"{path} has a parameterization {name!r}; known are {names}")
    return {"prediction_type": YAML_PREDICTIONS[name]}


def _inside(found: Any, *names: str) -> Any:
    """What lies so deep in mappings, None where there is no such place."""
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def told(keys: set[str], about: dict[str, str]) -> dict[str, Any]:
    """What a checkpoint says of its own prediction, as a scheduler's options.

    Some have it in their header, others hold an empty tensor of that name.
    """
    kind = PREDICTIONS.get(about.get("modelspec.prediction_type", ""))
    kind = "v_prediction" if "v_pred" in keys else kind
    return ({"prediction_type": kind} if kind else {}) | (ZERO_SNR if "ztsnr" in keys else {})


def _has_text(keys: set[str]) -> bool:
    """Whether a checkpoint has its text encoders in it, and is more than a UNet or a LoRA."""
    return any(key.startswith(("cond_stage_model.", "conditioner.")) for key in keys)


def _header(file: Path) -> tuple[set[str], dict[str, str]]:
    """The names of a file's tensors, and what it says of itself."""
    from safetensors import safe_open

    with safe_open(file, "pt") as tensors:
        return set(tensors.keys()), dict(tensors.metadata() or {})


def main() -> int:
    """Convert what the command line names; what is wrong is the last line of stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("to", type=Path)
    given = parser.parse_args()
    try:
        given.to.parent.mkdir(parents=True, exist_ok=True)
        convert(given.file, given.to)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
