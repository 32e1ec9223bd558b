"""Pictures: files to pixels of the size asked for, as an ordinary viewer shows them, and back.

Whatever Pillow opens is read: its first picture, turned as the camera held it, its colours taken
from their own profile to sRGB, sixteen bits and floating point scaled to eight. What is transparent
shows black, as it does on a stage.
"""

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps

from lwlive.checkpoint import Size
from lwlive.render.settings import RenderError, regular
from lwlive.ring import Pixels

ORIENTATION = 0x0112  # of EXIF: how the camera was held
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SCALES = (255.0, 65_535.0, 2.0**31)  # white, in files that hold whole numbers
END_OF_JPEG, END_OF_PNG = b"\xff\xd9", b"IEND\xaeB`\x82"
BRIGHT = 4.0  # times white: more than a highlight, so that numbers are no shares of white
ONE_COLOUR = 16  # levels within which what is painted counts as of one colour


def read(path: Path, size: Size) -> Pixels:
    """A picture [H, W, 3] of any kind, turned upright and cropped to fill. Raises RenderError."""
    image = _opened(path)
    if image.mode == "RGBA":
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image).convert("RGB")
    return np.asarray(ImageOps.fit(image, size, Image.Resampling.LANCZOS))


def check(path: Path) -> None:
    """Raises RenderError for a file that holds no picture."""
    _opened(path)


def read_mask(path: Path, size: Size) -> Pixels:
    """A mask [H, W], fitted as its picture is: 255 where the walk may change it.

    White says where; or what is painted, in one colour whatever it is, on nothing. Raises
    RenderError.
    """
    image = _opened(path)
    if image.mode == "RGBA":
        pixels = np.asarray(image)
        seen = pixels[pixels[..., 3] > 0][:, :3]
        if not len(seen) or np.ptp(seen, axis=0).max() <= ONE_COLOUR < np.ptp(pixels[..., 3]):
            image = image.getchannel("A")
        else:
            black = Image.new("RGBA", image.size, (0, 0, 0, 255))
            image = Image.alpha_composite(black, image)
    mask = np.asarray(ImageOps.fit(image.convert("L"), size, Image.Resampling.BILINEAR))
    if not mask.any():
        raise RenderError(
            f"the mask {path} is black all over, so that nothing would change: paint white where "
            "the walk may change the picture"
        )
    return mask


def _opened(path: Path) -> Image.Image:
    """A file's first picture, upright, in RGB or RGBA."""
    regular(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and odd tags; errors are told
            with Image.open(path) as image:
                turn = _turn(image)
                image.load()
                turn = turn if _turn(image) == turn else None  # Pillow has turned it by itself
                plain = _eight_bits(_displayed(image))
        return plain if turn is None else plain.transpose(turn)
    except Exception as error:  # decoders meet hostile files with errors of every kind
        why = getattr(error, "strerror", None) or error
        why = why if str(why) else type(error).__name__
        raise RenderError(f"{path} cannot be read as a picture: {why}") from None


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How it is to be turned; not at all where its EXIF cannot be read that far."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # cameras and editors write broken ones, of every kind
        return None


def _displayed(image: Image.Image) -> Image.Image:
    """The picture in sRGB, where it brings a profile of its own that can be used."""
    profile = image.info.get("icc_profile")
    if image.mode == "LAB":
        lab, srgb = (ImageCms.createProfile(name) for name in ("LAB", "sRGB"))
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if not profile:
        return image
    alpha = None
    if "transparency" in image.info or image.mode in ("P", "PA", "LA", "RGBA", "RGBa", "La"):
        whole = image.convert("RGBA")
        alpha, image = whole.getchannel("A"), whole.convert("L" if "L" in image.mode else "RGB")
    if image.mode.startswith(("I", "F", "1")):
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = str(getattr(own.profile, "xcolor_space", "")).strip()
        if space == "GRAY":
            image = image.convert("L")
        elif space == "RGB" and image.mode != "RGB":
            image = image.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        found = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        found = None  # one that is broken, or of another kind of picture: viewers pass it over
    found = image.convert("RGB") if found is None else found
    if alpha is not None:
        found.putalpha(alpha)
    return found


def _eight_bits(image: Image.Image) -> Image.Image:
    """The picture in RGB, or in RGBA where it may be seen through."""
    if image.mode.startswith(("I", "F")):
        shares = _shares(np.asarray(image, dtype=np.float32), whole=image.mode.startswith("I"))
        return Image.fromarray(np.rint(shares * 255).astype(np.uint8)).convert("RGB")
    clear = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    return image.convert("RGBA" if clear else "RGB")


def _shares(numbers: npt.NDArray[np.float32], whole: bool) -> npt.NDArray[np.float32]:
    """Numbers of any range as shares of white, 0 to 1.

    Whole numbers have as many bits as they need, at least sixteen. Those in floating point are
    shares already, highlights above white cut; where most are far above, they are levels.
    """
    numbers = np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0)
    high = float(numbers.max(initial=0.0))
    if whole:
        white = next((scale for scale in SCALES[1:] if high <= scale), high)
    elif float(np.quantile(numbers, 0.99)) <= BRIGHT:
        white = 1.0
    else:
        white = next((scale for scale in SCALES if high <= scale), high)
    shares: npt.NDArray[np.float32] = np.clip(numbers / max(white, math.ulp(1.0)), 0, 1)
    return shares


def frame(path: Path) -> Pixels:
    """A frame of a render [H, W, 3], as it was written. Raises RenderError."""
    return np.asarray(_opened(path).convert("RGB"))


def is_whole(path: Path, size: Size) -> bool:
    """Whether a file begins and ends as a frame of this size does; it is not decoded."""
    try:
        with path.open("rb") as file:
            file.seek(-min(len(END_OF_PNG), path.stat().st_size), io.SEEK_END)
            end = file.read()
            file.seek(0)
            with Image.open(file) as image:
                if image.format == "PNG":
                    image.verify()  # its sums; a JPEG has none
                ended = end.endswith(END_OF_PNG if image.format == "PNG" else END_OF_JPEG)
                return image.size == size and ended
    except Exception:  # as above: a spoilt file can raise anything
        return False


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
        options: dict[str, Any] = {"subsampling": 0 if quality >= 90 else -1}
        image.save(file, "JPEG", quality=quality, **options)
    return file.getvalue()
