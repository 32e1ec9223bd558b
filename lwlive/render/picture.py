"""Pictures: files to pixels of the size asked for, and pixels to files."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lwlive.render.settings import RenderError
from lwlive.ring import Pixels


def read(path: Path, size: tuple[int, int]) -> Pixels:
    """A picture [H, W, 3] of any size and orientation, turned upright and cropped to fill.

    Raises RenderError.
    """
    image = _opened(path)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return np.asarray(ImageOps.fit(image.convert("RGB"), size, Image.Resampling.LANCZOS))


def check(path: Path) -> None:
    """Raises RenderError for a file that holds no picture."""
    _opened(path)


def read_mask(path: Path, size: tuple[int, int]) -> Pixels:
    """A mask [H, W], fitted as its picture is: 255 where the walk may change it.

    Raises RenderError.
    """
    image = ImageOps.fit(_opened(path).convert("L"), size, Image.Resampling.BILINEAR)
    return np.asarray(image)


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RenderError(f"{path} cannot be read as a picture: {why}") from None


def merged(below: Pixels, above: Pixels, mask: Pixels) -> Pixels:
    """One picture over another [H, W, 3] where the mask [H, W] is 255; exact at 0 and 255."""
    share = mask.astype(np.uint32)[..., None]
    both = above.astype(np.uint32) * share + below.astype(np.uint32) * (255 - share)
    return ((both + 127) // 255).astype(np.uint8)


def written(pixels: Pixels, kind: str, quality: int) -> bytes:
    """A picture as the bytes of a JPEG or PNG file."""
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    if kind == "png":
        image.save(file, "PNG", compress_level=4)
    else:
        image.save(file, "JPEG", quality=quality, subsampling=0 if quality >= 90 else -1)
    return file.getvalue()
