"""A checkpoint's components, read from its folder: whole and of numbers, or refused by a sentence.

What diffusers and transformers would mend by themselves, such as a tensor that is missing and made
up at random, is an error here. How parts are put together is load.py's to know.
"""

import contextlib
import importlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lwlive.checkpoint import TEXTS, Additions, ModelError, part_of, read_json, why
from lwlive.engine.schedule import ScheduleError, named

LIBRARIES = ("diffusers", "transformers")
NAMED = 3  # names in a sentence
FEW = 0.5  # share of a network's weights that may be zeros, as in a file cut and filled up


def hush() -> None:
    """No progress bars, no advice: the show's log is for the person at the desk."""
    import diffusers
    import transformers
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own lock is left behind by a process that is killed
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


@contextlib.contextmanager
def sentences(what: str, folder: Path) -> Iterator[None]:
    """Whatever the libraries raise over a file, as a ModelError; too little memory stays that."""
    try:
        yield
    except (ModelError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ModelError(
            f"the checkpoint's {what} in {folder} cannot be loaded: {why(error)}"
        ) from error


def network(folder: Path, index: dict[str, Any], part: str, **options: Any) -> Any:
    """A network with all of its weights. Raises ModelError."""
    inside = folder / part
    files = [p.name for p in [*inside.glob("*.safetensors")] or inside.glob("*.bin")]
    if files and all(".fp16." in file for file in files):
        options["variant"] = "fp16"
    with sentences(part, folder / part):
        loader = _class(folder, index, part)
        net, info = loader.from_pretrained(folder / part, output_loading_info=True, **options)
    if lacking := sorted(info["missing_keys"]):
        raise ModelError(
            f"the checkpoint's {part} in {folder / part} is not whole: {len(lacking)} of its "
            f"weights are missing ({_some(lacking)}); fetch or convert it again"
        )
    return net


def autoencoder(folder: Path, index: dict[str, Any], other: str | None, dtype: torch.dtype) -> Any:
    """The checkpoint's own autoencoder, or another one from a folder of its own."""
    options = {"dtype": dtype, "low_cpu_mem_usage": False}
    if other is None:
        return network(folder, index, "vae", **options)
    name = str(read_json(Path(other) / "config.json").get("_class_name"))
    where = {Path(other).name: ["diffusers", name]}
    return network(Path(other).parent, where, Path(other).name, **options)


def scheduler(folder: Path, index: dict[str, Any], additions: Additions) -> tuple[Any, list[str]]:
    """The checkpoint's own scheduler, or another one with its numbers, and what is to be said.

    Raises ModelError.
    """
    import diffusers

    place = folder / "scheduler"
    told = read_json(place / "scheduler_config.json").get("_class_name")
    with sentences("scheduler", place):
        own = _class(folder, index, "scheduler").from_pretrained(place)
    notes = []
    if additions.scheduler is None and told != type(own).__name__:
        if not hasattr(diffusers, str(told)):
            raise ScheduleError(
                f"{place / 'scheduler_config.json'} names a scheduler {told}, which diffusers "
                "does not have: choose one with --scheduler"
            )
        notes.append(
            f"the checkpoint names two schedulers; the one in its model_index.json is used: "
            f"{type(own).__name__}, not {told}"
        )
    if additions.prediction is not None:
        if "prediction_type" not in own.config:
            raise ScheduleError(f"{type(own).__name__} knows no prediction type: leave it out")
        own = type(own).from_config(own.config, prediction_type=additions.prediction)
    if additions.scheduler is not None:
        own = named(additions.scheduler, own, additions.spaced)
    return own, notes


def check_numbers(part: str, net: nn.Module, folder: Path) -> None:
    """Raises ModelError for a network with weights that are NaN, infinite, or mostly zeros."""
    bad, empty, all_ = [], 0, 0
    for name, weight in net.named_parameters():
        if not weight.sum(dtype=torch.float32).isfinite() and not weight.isfinite().all():
            bad.append(name)
        if weight.dim() > 1:
            all_ += weight.numel()
            empty += 0 if weight.any() else weight.numel()
    if bad:
        raise ModelError(
            f"the checkpoint's {part} in {folder} has NaN or infinite numbers in {len(bad)} of its "
            f"weights ({_some(bad)}): fetch or convert it again"
        )
    if empty > FEW * all_:
        raise ModelError(
            f"the checkpoint's {part} in {folder} has nothing but zeros in most of its weights: "
            "fetch or convert it again"
        )


def check_memory(folder: Path) -> None:
    """Raises ModelError where a GPU cannot hold the weights, before they are loaded."""
    free, _ = torch.cuda.mem_get_info()
    parts = ("unet", "vae", *TEXTS)
    needed = sum(_bytes(folder / part) for part in parts if (folder / part).is_dir())
    if needed > free:
        raise ModelError(
            f"the GPU has {free / 2**30:.1f} GB free and {folder.name} needs {needed / 2**30:.1f}: "
            "close what else uses the GPU, or choose a smaller model or --device cpu"
        )


def _bytes(folder: Path) -> int:
    """Bytes of a network in float16, whatever its file has."""
    files = list(folder.glob("*.safetensors"))
    half = [file for file in files if ".fp16." in file.name]
    return sum(file.stat().st_size for file in half) or sum(f.stat().st_size for f in files) // 2


def _class(folder: Path, index: dict[str, Any], part: str) -> Any:
    """The class that the index names for a part. Raises ModelError."""
    library, name = part_of(index, part)
    found = None
    if library in LIBRARIES:
        found = getattr(importlib.import_module(str(library)), str(name), None)
    if found is None or not hasattr(found, "from_pretrained"):
        raise ModelError(
            f"the checkpoint in {folder} has a {part} of a kind that is not known here: "
            f"{library}.{name}"
        )
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
