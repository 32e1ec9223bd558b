"""Boxes: a device and its bindings, as a TOML file; some come with lwlive, others are the user's.

    device = "APC MINI"          # what its ports are called, or a part of that
    [[bindings]]
    control = "cc 48"
    parameter = "speed"

A file of the user takes the place of a ready one for the same device. What is learnt is written
into it without touching its other lines. Everything here may wait for a disk.
"""

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import platformdirs
import tomli_w

from lwlive import files
from lwlive.params import ControlError
from lwlive.preset import toml
from lwlive.stage.sources.midi.binding import Binding
from lwlive.stage.sources.midi.row import read

MAX_BYTES = 1 << 20  # of a file
READY = Path(__file__).parent / "boxes"
_HEADER = re.compile(r"\s*\[\[\s*bindings\s*\]\]\s*(#.*)?")


@dataclass(frozen=True)
class Box:
    """A device and what its controls steer."""

    device: str
    bindings: tuple[Binding, ...] = ()
    about: str = ""  # for people
    path: Path | None = None  # the user's file, where there is one

    def learnt(self, binding: Binding) -> "Box":
        """The same with this binding in place of those of the same control."""
        kept = [old for old in self.bindings if not _same_control(old, binding)]
        return replace(self, bindings=(*kept, binding))


def folder() -> Path:
    """Where the user's own mappings are, unless a flag says otherwise."""
    return platformdirs.user_config_path("lwlive", appauthor=False) / "midi"


def load(path: Path) -> Box:
    """The box of one file. Raises ControlError naming the file and the row."""
    return parsed(_text(path), path)


def parsed(text: str, path: Path) -> Box:
    """The box that a text describes. Raises ControlError naming the file and the row."""
    try:
        found: dict[str, Any] = toml(text)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"{path} is not valid TOML: {error}") from None
    for key in found:
        if key not in ("device", "about", "bindings"):
            raise ControlError(f"{path}: there is no {key!r:.60}; it takes device, about, bindings")
    device, about, rows = found.get("device"), found.get("about", ""), found.get("bindings", [])
    if not isinstance(device, str) or not device.strip():
        raise ControlError(f'{path}: a line such as device = "APC MINI" is missing')
    if not isinstance(about, str):
        raise ControlError(f"{path}: about takes text")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ControlError(f"{path}: each binding stands under a line [[bindings]]")
    bindings = []
    for number, row in enumerate(rows, 1):
        try:
            bindings.append(read(row))
        except ControlError as error:
            where = f"binding {number} ({row.get('control', 'without a control')!s:.40})"
            raise ControlError(f"{path}: {where}: {error}") from None
    return Box(device.strip(), tuple(bindings), about, path)


def ready() -> list[Box]:
    """The boxes that come with lwlive."""
    return [replace(load(path), path=None) for path in sorted(READY.glob("*.toml"))]


def table() -> str:
    """The ready boxes as a Markdown table, for lwlive/stage/README.md."""
    lines = ["| ports with this in their name | box |", "|---|---|"]
    lines += [f"| `{box.device}` | {box.about} |" for box in ready()]
    return "\n".join(lines)


def own(where: Path) -> tuple[list[Box], list[str]]:
    """The user's boxes, and a sentence for each file that cannot be used."""
    boxes, refusals = [], []
    for path in _files(where):
        try:
            boxes.append(load(path))
        except ControlError as error:
            refusals.append(str(error))
    return boxes, refusals


def marks(where: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when one of the user's files does."""
    found = []
    for path in _files(where):
        try:
            about = path.stat()
        except OSError:
            continue
        found.append((path.name, about.st_mtime_ns, about.st_size))
    return tuple(found)


def find(device: str, boxes: Iterable[Box]) -> Box | None:
    """The box for a device: one of just its name, else one whose name is a part of it in words.

    Of several the user's comes before a ready one, and the longer name before the shorter.
    """
    name = device.casefold()
    fit = [box for box in boxes if _in_words(box.device.casefold(), name)]

    def likeness(box: Box) -> tuple[bool, bool, int]:
        return box.device.casefold() == name, box.path is not None, len(box.device)

    return max(fit, key=likeness, default=None)


def _in_words(part: str, name: str) -> bool:
    """Whether it stands in the name, and not as a part of a word: nanoKONTROL2 is another box."""
    return re.search(rf"(?<!\w){re.escape(part)}(?!\w)", name) is not None


def save(box: Box, where: Path) -> Box:
    """Write a box into the user's folder; the lines of the file that stay true stay as they are.

    Raises OSError, and ControlError where the file is there and cannot be read.
    """
    path = box.path or _new_path(box.device, where)
    try:
        text = _text(path)
        parsed(text, path)  # a file with a mistake in it is somebody's work: it is not written over
    except FileNotFoundError:
        text = next((_text(p) for p in READY.glob("*.toml") if load(p).device == box.device), "")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, edited(text, box, path).encode())
    return replace(box, path=path)


def edited(text: str, box: Box, path: Path) -> str:
    """The text, changed so that it describes the box."""
    head, *blocks = _blocks(text)
    kept, left = [head], list(box.bindings)
    for block in blocks:
        binding = read(tomllib.loads(block)["bindings"][0])
        if binding in left:
            left.remove(binding)
            kept.append(block)
    new = "".join(kept).rstrip("\n")
    rows = [f"[[bindings]]\n{tomli_w.dumps(binding.written())}" for binding in left]
    new = "\n\n".join([*([new] if new else [_head(box)]), *rows]).rstrip("\n") + "\n"
    try:
        if parsed(new, path).bindings == box.bindings and parsed(new, path).device == box.device:
            return new
    except ControlError:
        pass  # written in an unusual way, such as bindings = [{...}]: it is written again, whole
    return "\n\n".join([_head(box), *map(_row, box.bindings)]).rstrip("\n") + "\n"


def _head(box: Box) -> str:
    words = {"device": box.device} | ({"about": box.about} if box.about else {})
    return tomli_w.dumps(words).rstrip("\n")


def _row(binding: Binding) -> str:
    return f"[[bindings]]\n{tomli_w.dumps(binding.written())}".rstrip("\n")


def _blocks(text: str) -> Sequence[str]:
    """The text in front of the first binding, and one text for each, its comments included."""
    lines = text.splitlines(keepends=True)
    starts = []
    for number, line in enumerate(lines):
        if _HEADER.fullmatch(line.rstrip("\n")):
            while number and lines[number - 1].lstrip().startswith("#"):
                number -= 1
            starts.append(number)
    edges = [0, *starts, len(lines)]
    parts = ["".join(lines[a:b]) for a, b in pairwise(edges)]
    return parts if starts else [text]


def _same_control(one: Binding, other: Binding) -> bool:
    anywhere = None in (one.channel, other.channel)
    return one.control == other.control and (anywhere or one.channel == other.channel)


def _files(where: Path) -> list[Path]:
    try:
        return sorted(path for path in where.glob("*.toml") if path.is_file())
    except OSError:
        return []


def _new_path(device: str, where: Path) -> Path:
    name = re.sub(r"[^\w]+", "-", device.casefold()).strip("-_")[:80] or "box"
    path, number = where / f"{name}.toml", 1
    while path.exists() and not _describes(path, device):
        number += 1
        path = where / f"{name}-{number}.toml"
    return path


def _describes(path: Path, device: str) -> bool:
    try:
        return load(path).device == device
    except (ControlError, OSError):
        return False


def _text(path: Path) -> str:
    """What is in a file. Raises OSError where it cannot be read, ControlError where it is odd."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ControlError(f"{path} is larger than a megabyte: not a MIDI mapping")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ControlError(f"{path} is not text in UTF-8: {error.reason}") from None
