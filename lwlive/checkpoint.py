"""Checkpoints as files: where a model lies, and what its own files say of it.

Read by the stage too, so nothing here loads weights or imports torch.
"""

import json
import os
from pathlib import Path
from typing import Any

from lwlive.params import ControlError, checked

EMBER = Path(__file__).parent / "ember"
OWN = "lwlive.json"  # in a checkpoint's folder: its own values of live parameters
FACTOR = 8  # pixels a latent
GRID = 64  # sizes are multiples of it, so that every UNet can halve its latents often enough


class ModelError(RuntimeError):
    """A checkpoint cannot be used; the message is a sentence that says what to do."""


def folder_of(model: str) -> Path:
    """The folder of a model as named on the command line. Raises ModelError."""
    folder = EMBER if model == "ember" else Path(os.path.expanduser(model))
    if not (folder / "model_index.json").is_file():
        raise ModelError(
            f"{model!r} is not a model: give ember, or a folder in diffusers format, with a "
            "model_index.json in it"
        )
    return folder


def own_values(folder: Path) -> dict[str, Any]:
    """Steps and guidance that suit a checkpoint, as its own files tell. Raises ModelError."""
    if (folder / OWN).is_file():
        try:
            return {name: checked(name, value) for name, value in _json(folder / OWN).items()}
        except ControlError as error:
            raise ModelError(f"the checkpoint's file {folder / OWN}: {error}") from None
    config = _json(folder / "scheduler" / "scheduler_config.json")
    if config.get("_class_name") == "LCMScheduler":
        return {"steps": 4, "guidance": 1.0}
    if config.get("timestep_spacing") == "trailing":  # distilled to a step or a few
        return {"steps": 1, "guidance": 1.0}
    return {"steps": 8, "guidance": 7.5}


def size_of(folder: Path, wanted: str | None, grid: int = GRID) -> tuple[int, int]:
    """Width and height of pictures: as wanted, '512' or '768x512', else the model's own.

    Raises ModelError for sizes that are no multiples of the grid.
    """
    if wanted is None:
        sides = _json(folder / "unet" / "config.json").get("sample_size") or 64
        height, width = sides if isinstance(sides, list) else (sides, sides)  # as diffusers has it
        return int(width) * FACTOR, int(height) * FACTOR
    numbers = [int(part) for part in wanted.split("x")]
    width, height = numbers[0], numbers[-1]
    if width % grid or height % grid or not width or not height:
        raise ModelError(f"a picture's sides are multiples of {grid} pixels, not {wanted}")
    return width, height


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"the checkpoint's file {path} cannot be read: {why}") from error
    return found
