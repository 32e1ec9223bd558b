"""Pictures and masks: every kind that a viewer shows is read as it shows it, the rest is told."""

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from lwlive.checkpoint import Size
from lwlive.render.picture import TURNS, is_whole, read, read_mask, written
from lwlive.render.settings import RenderError

SIZE = Size(60, 40)
RAMP = np.linspace(0, 1, 60)[None].repeat(40, 0)  # [40, 60], shares of white
BACK = {  # what undoes a turn
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
}


def four() -> Image.Image:
    """A picture with another colour in each corner."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:] = (200, 40, 40), (40, 200, 40)
    pixels[20:, :30], pixels[20:, 30:] = (40, 40, 200), (200, 200, 40)
    return Image.fromarray(pixels)


def gap(found: np.ndarray, image: Image.Image | np.ndarray) -> int:
    """The largest difference to a picture."""
    other = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    return int(np.abs(found.astype(int) - other).max())


def corners(pixels: np.ndarray) -> list[list[int]]:
    """Colours in the middle of the quarters."""
    return [pixels[y, x].astype(int).tolist() for y in (10, 30) for x in (15, 45)]


KINDS: dict[str, tuple[Any, float]] = {  # name of a file -> what is in it, and how near it comes
    "bit.png": (np.rint(RAMP).astype(bool), 0),
    "grey.png": (np.rint(RAMP * 255).astype(np.uint8), 1),
    "grey16.png": (np.rint(RAMP * 65535).astype(np.uint16), 1),
    "grey16.tiff": (np.rint(RAMP * 65535).astype(np.uint16), 1),
    "grey16big.tiff": (np.rint(RAMP * 65535).astype(">u2"), 1),
    "grey32.tiff": (np.rint(RAMP * (2**31 - 1)).astype(np.int32), 1),
    "grey16.pgm": (np.rint(RAMP * 65535).astype(np.uint16), 1),
    "float.tiff": (RAMP.astype(np.float32), 1),
    "levels.tiff": ((RAMP * 255).astype(np.float32), 1),
    "metres.tiff": ((RAMP * 65535).astype(np.float32), 1),
}


@pytest.mark.parametrize("name", KINDS)
def test_any_depth_is_read_as_shares_of_white(tmp_path: Path, name: str) -> None:
    numbers, near = KINDS[name]
    Image.fromarray(numbers).save(tmp_path / name)
    wanted = np.rint(RAMP * 255) if numbers.dtype != bool else np.rint(RAMP) * 255
    found = read(tmp_path / name, SIZE).astype(int)
    assert np.abs(found - wanted[..., None]).max() <= near
    assert np.abs(read_mask(tmp_path / name, SIZE) - wanted).max() <= near


def test_highlights_are_cut_and_what_is_no_number_is_black(tmp_path: Path) -> None:
    numbers = RAMP.astype(np.float32)
    numbers[:3, :3], numbers[5:8, :3], numbers[10:13, :3] = 3.5, np.nan, np.inf
    Image.fromarray(numbers).save(tmp_path / "a.tiff")
    found = read(tmp_path / "a.tiff", SIZE)
    assert found[1, 1, 0] == 255
    assert found[6, 1, 0] == found[11, 1, 0] == 0
    assert abs(int(found[30, 30, 0]) - 255 * RAMP[0, 30]) <= 1


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("held", range(1, 9))
def test_a_picture_stands_upright_however_the_camera_was_held(
    tmp_path: Path, kind: str, held: int
) -> None:
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    image, exif = four(), Image.Exif()
    exif[0x0112] = held
    turn = TURNS.get(held)
    stored = image if turn is None else image.transpose(BACK.get(turn, turn))
    stored.save(tmp_path / f"a.{kind}", exif=exif, quality=95)
    assert gap(np.array(corners(read(tmp_path / f"a.{kind}", SIZE))), np.array(corners_of())) <= 12


def corners_of() -> list[list[int]]:
    """The colours of the four corners, as they are."""
    return corners(np.asarray(four()))


@settings(max_examples=150)
@given(st.binary(max_size=80), st.booleans())
def test_a_broken_exif_costs_no_picture(tmp_path_factory: Any, data: bytes, marked: bool) -> None:
    file = io.BytesIO()
    four().save(file, "JPEG", quality=95)
    plain = file.getvalue()
    body = b"Exif\0\0" + (b"II*\0\x08\0\0\0" if marked else b"") + data
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    path = tmp_path_factory.getbasetemp() / "exif.jpg"
    path.write_bytes(plain[:2] + segment + plain[2:])
    assert read(path, SIZE).shape == (40, 60, 3)


def test_an_orientation_counts_though_the_rest_of_the_exif_is_broken(tmp_path: Path) -> None:
    file = io.BytesIO()
    four().transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", quality=95)
    entries = struct.pack("<HHIHH", 274, 3, 1, 6, 0) + struct.pack("<HHII", 256, 2, 1, 38)
    tiff = b"II*\0" + struct.pack("<IH", 8, 2) + entries + b"\0\0\0\0" + b"wide\0\0\0\0"
    body = b"Exif\0\0" + tiff
    data, segment = file.getvalue(), b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    assert gap(np.array(corners(read(tmp_path / "a.jpg", SIZE))), np.array(corners_of())) <= 12


def swapped() -> bytes:
    """A profile whose first channel is sRGB's green and whose second is its red."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_taken_from_their_profile(tmp_path: Path, mode: str) -> None:
    image = four().quantize(4) if mode == "P" else four().convert(mode)
    image.save(tmp_path / "a.png", icc_profile=swapped())
    found = corners(read(tmp_path / "a.png", SIZE))
    plain = [corners_of()[i] for i in (1, 0, 2, 3)]  # red and green change places
    assert gap(np.array(found), np.array(plain)) <= 3


@pytest.mark.parametrize("profile", [b"", b"no profile", swapped()[:200]])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_a_profile_that_cannot_be_used_is_passed_over(
    tmp_path: Path, mode: str, profile: bytes
) -> None:
    image = Image.fromarray(KINDS["grey16.png"][0]) if mode == "I;16" else four().convert(mode)
    image.save(tmp_path / "a.png", icc_profile=profile)
    image.save(tmp_path / "plain.png")
    assert gap(read(tmp_path / "a.png", SIZE), read(tmp_path / "plain.png", SIZE)) <= 1


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_colours_of_print_and_video_are_shown(tmp_path: Path, mode: str) -> None:
    if mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(four(), srgb, lab, outputMode="LAB")
        assert image is not None
    else:
        image = four().convert(mode)
    image.save(tmp_path / "a.tiff")
    assert gap(read(tmp_path / "a.tiff", SIZE), four()) <= 6
    if mode == "CMYK":
        image.save(tmp_path / "a.jpg", quality=95)
        found = corners(read(tmp_path / "a.jpg", SIZE))
        assert gap(np.array(found), np.array(corners_of())) <= 12


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tiff"])
def test_of_an_animation_the_first_picture_is_read(tmp_path: Path, kind: str) -> None:
    other = Image.new("RGB", SIZE, (9, 9, 9))
    four().save(tmp_path / f"a.{kind}", save_all=True, append_images=[other], lossless=True)
    assert gap(read(tmp_path / f"a.{kind}", SIZE), four()) <= 6


def test_a_palette_with_a_clear_colour_shows_black_there(tmp_path: Path) -> None:
    image = Image.new("P", SIZE)
    image.putpalette([200, 40, 40, 255, 255, 255])
    image.paste(1, (0, 0, 30, 40))
    image.save(tmp_path / "a.png", transparency=1)
    image.save(tmp_path / "a.gif", transparency=1)
    for name in ("a.png", "a.gif"):
        found = read(tmp_path / name, SIZE)
        assert found[20, 10].tolist() == [0, 0, 0]
        assert found[20, 50].tolist() == [200, 40, 40]


@pytest.mark.parametrize("paint", [(255, 255, 255), (0, 0, 0), (250, 20, 90)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_mask_painted_on_nothing_counts_whatever_its_colour(
    tmp_path: Path, paint: tuple[int, int, int], mode: str
) -> None:
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[10:30, 15:45] = (*paint, 255)
    Image.fromarray(pixels).convert(mode).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", SIZE)
    assert mask[20, 30] == 255
    assert mask[5, 5] == 0


def test_a_mask_in_black_and_white_with_clear_parts_counts_its_white(tmp_path: Path) -> None:
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[:, :40, 3] = 255
    pixels[:, :20, :3] = 255
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", SIZE)[20, ::15].tolist() == [255, 255, 0, 0]


def test_a_mask_that_lets_nothing_change_is_told(tmp_path: Path) -> None:
    Image.new("L", SIZE).save(tmp_path / "m.png")
    with pytest.raises(RenderError, match=r"m\.png is black all over.*paint white"):
        read_mask(tmp_path / "m.png", SIZE)


def told_of(reading: Callable[[Path, Size], np.ndarray], path: Path) -> str | None:
    """The sentence for a file that cannot be read; None for one that is, at the size asked for."""
    try:
        assert reading(path, SIZE).shape[:2] == (40, 60)
    except RenderError as error:
        return str(error)
    return None


RARER = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("tiff", "gif", "bmp", "avif")]


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", *RARER])
@settings(max_examples=60)
@given(st.data())
def test_a_spoilt_picture_is_read_or_told_in_a_sentence(
    tmp_path_factory: Any, kind: str, data: st.DataObject
) -> None:
    file = io.BytesIO()
    four().save(file, {"jpg": "JPEG"}.get(kind, kind.upper()))
    spoilt = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(0, 6))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(spoilt)))
    path = tmp_path_factory.getbasetemp() / f"spoilt.{kind}"
    path.write_bytes(spoilt[:cut] if data.draw(st.booleans()) else spoilt)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing but sentences for the person at the desk
        for sentence in (told_of(read, path), told_of(read_mask, path)):
            assert sentence is None or (str(path) in sentence and "\n" not in sentence)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_random_bytes_are_no_picture(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(data)
    with pytest.raises(RenderError, match="cannot be read as a picture"):
        read(path, SIZE)


def test_a_picture_that_would_fill_the_memory_is_told(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = b"\0\0\0\rIHDR" + head + b"\0\0\0\0" + b"\0\0\0\0IDAT\0\0\0\0"
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(RenderError, match=r"bomb\.png cannot be read as a picture"):
        read(tmp_path / "bomb.png", SIZE)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.png"):
        with pytest.raises(RenderError, match=str(path)):
            read(path, SIZE)


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_frame_is_whole_from_its_first_byte_to_its_last(tmp_path: Path, kind: str) -> None:
    data, path = written(np.asarray(four()), kind, 90), tmp_path / f"a.{kind}"
    path.write_bytes(data)
    assert is_whole(path, SIZE)
    assert not is_whole(path, Size(60, 41))
    for cut in range(0, len(data) - 1, 7):
        path.write_bytes(data[:cut])
        assert not is_whole(path, SIZE)
        path.write_bytes(data[:cut] + bytes(len(data) - cut))  # as a power cut leaves it
        assert not is_whole(path, SIZE)
