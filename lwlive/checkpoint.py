"""Checkpoints as files: where a model lies, and what its own files say of it.

Read by the stage too, so nothing here loads weights or imports torch.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lwlive.params import ControlError, spec

EMBER = Path(__file__).parent / "ember"
OWN = "lwlive.json"  # in a checkpoint's folder: its own values of live parameters
TEXTS = ("text_encoder", "text_encoder_2")  # a checkpoint has one or both
LARGEST = 1024  # latents of a side that a checkpoint may ask for by itself
GRID = 64  # sizes are multiples of it, so that every UNet can halve its latents often enough

FAMILIES = "Stable Diffusion 1, 2 or XL, or one distilled from these"


class Size(NamedTuple):
    """Width and height of pictures, in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Additions:
    """What goes into a checkpoint from outside, and is measured and compiled with it."""

    loras: tuple[tuple[str, float], ...] = ()  # files and weights
    decoder: str | None = None  # folder of another one
    scheduler: str | None = None  # a name of one of diffusers
    prediction: str | None = None  # what the UNet gives, where the files say something else
    spaced: bool = True  # whether that one's steps are spaced for a few, as distilled models need
    own: tuple[tuple[str, Any], ...] = ()  # values of live parameters that are known to suit it


@dataclass(frozen=True)
class Opened:
    """A checkpoint that a run uses: where its files are, with what, and in which size."""

    folder: Path
    additions: Additions
    size: Size
    cache: Path  # where what is compiled and measured is kept


MASKED = 9  # channels an inpainting UNet sees: latents, mask, latents of what stays


class ModelError(RuntimeError):
    """A checkpoint cannot be used; the message is a sentence that says what to do."""


def why(error: BaseException) -> str:
    """What an error says in one line; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def scheduler_name(name: str) -> str:
    """A scheduler's name in diffusers without what all of them have in common.

    `LMSDiscreteScheduler` is lms; `euler-ancestral` and `EulerAncestralDiscreteScheduler` are one.
    """
    name = name.lower().replace("-", "").replace("_", "").removesuffix("scheduler")
    for ending in ("discrete", "multistep"):
        name = name.removesuffix(ending)
    return name


def folder_of(model: str, masks: bool = False) -> Path:
    """The folder of a model that is ember or a folder. Raises ModelError.

    masks: whether one made for inpainting, which sees a mask and a picture, is welcome.
    """
    folder = EMBER if model == "ember" else Path(os.path.expanduser(model))
    if not (folder / "model_index.json").is_file():
        raise ModelError(
            f"{model!r} is not a model: give ember, a folder in diffusers format with a "
            "model_index.json in it, a .safetensors file, or a name that `lwlive models` lists"
        )
    check(folder, masks)
    return folder


def name_of(folder: Path) -> str:
    """What a checkpoint is called, also where its folder lies in the hub's cache."""
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.split("--")[-1]
    return folder.name


def check(folder: Path, masks: bool = False) -> None:
    """Raises ModelError for a checkpoint of a kind that cannot be walked; masks as above."""
    index = read_json(folder / "model_index.json")
    kind = index.get("_class_name", "unknown")
    _, text = part_of(index, TEXTS[0])
    _, unet = part_of(index, "unet")
    if unet != "UNet2DConditionModel" or text != "CLIPTextModel":
        raise ModelError(
            f"the checkpoint in {folder} is a {kind}, which lwlive cannot walk: choose {FAMILIES}"
        )
    config = read_json(folder / "unet" / "config.json")
    masked = masks and config.get("in_channels") == MASKED
    if config.get("in_channels") != config.get("out_channels") and not masked:
        raise ModelError(
            f"the checkpoint in {folder} is made for inpainting or editing pictures; choose one "
            "that makes pictures from text"
        )


def part_of(index: dict[str, Any], part: str) -> tuple[str | None, str | None]:
    """Library and class of a part as a checkpoint's index names them, (None, None) without it."""
    row = index.get(part)
    if isinstance(row, list) and len(row) == 2 and all(isinstance(name, str) for name in row):
        return row[0], row[1]
    return None, None


def family(folder: Path) -> str:
    """What tiny decoder a checkpoint needs: 'sdxl' or 'sd'."""
    return "sdxl" if part_of(read_json(folder / "model_index.json"), TEXTS[1])[0] else "sd"


def own_values(folder: Path, additions: Additions = Additions()) -> dict[str, Any]:
    """Steps and guidance that suit a checkpoint, as its own files tell. Raises ModelError."""
    if (folder / OWN).is_file() and additions.scheduler is None:
        try:
            return {
                name: spec(name).checked(value) for name, value in read_json(folder / OWN).items()
            }
        except ControlError as error:
            raise ModelError(f"the checkpoint's file {folder / OWN}: {error}") from None
    if additions.own:
        return dict(additions.own)
    config = read_json(folder / "scheduler" / "scheduler_config.json")
    kind = scheduler_name(additions.scheduler or str(config.get("_class_name")))
    if knows_guidance(folder):
        return {"steps": 4, "guidance": 8.0}
    if kind in ("lcm", "tcd"):
        return {"steps": 4, "guidance": 1.0}
    if additions.scheduler is None and config.get("timestep_spacing") == "trailing":
        return {"steps": 1, "guidance": 1.0}  # distilled to a step or a few
    return {"steps": 8, "guidance": 7.5}


def knows_guidance(folder: Path) -> bool:
    """Whether a checkpoint's UNet takes the guidance as an input, one call a step (Meng 2023)."""
    return bool(read_json(folder / "unet" / "config.json").get("time_cond_proj_dim"))


def factor_of(folder: Path) -> int:
    """Pixels a side that one latent stands for, as the autoencoder's own file says.

    Raises ModelError where that does not fit the grid of sizes.
    """
    path = folder / "vae" / "config.json"
    config = read_json(path)
    levels = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    if not levels:
        return 8
    if not isinstance(levels, list) or GRID % 2 ** (len(levels) - 1):
        raise ModelError(
            f"the checkpoint's file {path} gives {str(levels)[:40]} as the channels of its levels: "
            f"a list of 1 to {GRID.bit_length()} numbers is expected; fetch or convert it again"
        )
    return int(2 ** (len(levels) - 1))


def size_of(folder: Path, wanted: str | None, grid: int = GRID) -> Size:
    """The size of pictures: as wanted, '512' or '768x512', else the model's own.

    Raises ModelError for sizes that are not multiples of the grid.
    """
    if wanted is None:
        told = read_json(folder / "unet" / "config.json").get("sample_size") or 64
        sides = (
            told if isinstance(told, list) else [told, told]
        )  # height first, as diffusers has it
        if len(sides) != 2 or not all(isinstance(n, int) and 0 < n <= LARGEST for n in sides):
            raise ModelError(
                f"the checkpoint in {folder} says that its pictures are {told!r} latents large, "
                f"which is not a size: say one with --size"
            )
        factor = factor_of(folder)
        return Size(sides[1] * factor, sides[0] * factor)
    numbers = [int(part) for part in wanted.split("x")]
    width, height = numbers[0], numbers[-1]
    if width % grid or height % grid or not width or not height:
        raise ModelError(f"a picture's sides are multiples of {grid} pixels, not {wanted}")
    return Size(width, height)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint. Raises ModelError."""
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"the checkpoint's file {path} cannot be read: {told}") from error
    return found
