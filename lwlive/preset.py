"""Presets: TOML <-> values and routes, strict. A line for each value, only what makes the picture.

Below them may stand tables [[routes]], which say what moves by itself (see `routes.checked`). A
file may also say `title` and `about`, for people; they change nothing. What a preset leaves out
stays as it is, but for the routes: they are those of the preset. What belongs to the room, such as
`brightness`, is passed over, since older presets have it. Everything here may wait for a disk, so
a show calls it in a thread of its own. This file knows nothing of the show, of OSC or of torch.
"""

import logging
import os
import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

from lwlive import __version__, files
from lwlive.params import LOOK, SPECS, ControlError, Params
from lwlive.routes import Routes, from_tables, tables
from lwlive.spelling import did_you_mean

log = logging.getLogger(__name__)

_FOR_PEOPLE = ("title", "about")
MAX_BYTES = 1 << 20  # of a preset; a large one has a few thousand
MOST_BITS = 1 << 13  # of a whole number in a file; what is wrong with its key is said below that
_LOOKS = re.compile(rf"^\s*({'|'.join(LOOK)})\s*=", re.MULTILINE)  # what makes a file a preset
CUES = "cues"  # of a cue list: see `cuelist`
ROUTES = "routes"  # [[routes]] with a parameter, an amount, an lfo or a band each
KEYFRAMES = "keyframes"  # of a film: [[keyframes]] with a prompt, a seed, a picture ... each


class PresetError(ControlError):
    """A preset was refused; the message is a sentence for the person at the desk."""


def load(path: Path, say: Callable[[str], object] = log.warning) -> dict[str, object]:
    """The values in a preset file without its routes: see `load_look`. Raises PresetError."""
    return load_look(path, say)[0]


def load_look(
    path: Path, say: Callable[[str], object] = log.warning
) -> tuple[dict[str, object], Routes]:
    """The values in a preset file, each checked, only the keys that it has; and its routes.

    `say` gets a sentence about what was passed over. Raises PresetError naming the file, the key,
    what was expected and what was found.
    """
    found = read(path)
    if KEYFRAMES in found:
        raise PresetError(f"{path} has keyframes, which are for lwlive render, not for a show")
    if CUES in found:
        raise PresetError(f"{path} is a cue list, for --cues, and not a preset")
    routes = _routes(path, found)
    return _values(path, found, say), routes


def load_film(path: Path) -> tuple[dict[str, object], Routes, list[dict[str, Any]]]:
    """The values in a preset file, in the ranges of a render; its routes; its keyframes as is.

    Pictures are looked for beside the file. Raises PresetError.
    """
    found = read(path)
    keyframes: Any = found.pop(KEYFRAMES, [])
    if not isinstance(keyframes, list) or not all(isinstance(k, dict) for k in keyframes):
        raise PresetError(f"{path}: each keyframe stands under a line [[{KEYFRAMES}]]")
    for keyframe in keyframes:
        if isinstance(keyframe.get("picture"), str):
            keyframe["picture"] = path.parent / keyframe["picture"]
    routes = _routes(path, found)
    return _values(path, found, log.warning, render=True), routes, keyframes


def _routes(path: Path, found: dict[str, object]) -> Routes:
    """The routes, taken out of what was found. Raises PresetError."""
    try:
        return from_tables(found.pop(ROUTES, []))
    except ControlError as error:
        raise PresetError(f"{path}: {error}") from None


def _values(
    path: Path, found: dict[str, object], say: Callable[[str], object], render: bool = False
) -> dict[str, object]:
    values, room = {}, []
    for key, value in found.items():
        if key in _FOR_PEOPLE:
            if not isinstance(value, str):
                raise PresetError(f"{path}: {key} takes text, not {value!r}")
            continue
        if key not in SPECS:
            raise PresetError(f"{path}: {_unknown_key(key)}")
        if not SPECS[key].look:
            room.append(key)
            continue
        try:
            values[key] = SPECS[key].checked(value, render)
        except ControlError as error:
            raise PresetError(f"{path}: {error}") from None
    if room:
        say(f"{path.name}: ignored, since they belong to the room: {', '.join(room)}")
    return values


def save(path: Path, params: Params, routes: Routes = ()) -> None:
    """Write all that makes the picture, routes too; whole or not at all. Raises PresetError.

    Values left to the model (None) are left out. Loading the file gives the same values.
    """
    look: dict[str, Any] = {n: v for n in LOOK if (v := getattr(params, n)) is not None}
    if routes:
        look[ROUTES] = tables(routes)
    text = f"# a preset of lwlive {__version__}\n{tomli_w.dumps(look)}"
    try:
        files.write(path, text.encode())
    except OSError as error:
        raise PresetError(f"cannot save the preset {path}: {error.strerror}") from None


def bundled() -> list[Path]:
    """The presets that come with lwlive, sorted by name."""
    here = Path(__file__).parent
    inside = here / "presets"  # in a wheel; in the repository they lie beside the package
    return sorted((inside if inside.is_dir() else here.parent / "presets").glob("*.toml"))


def listed(folder: Path) -> list[Path]:
    """The presets of a show in their order: those in the folder, then the bundled ones.

    Of two with the same name the first counts. A .toml file that sets no parameter of a look is
    another program's. Raises OSError where the folder cannot be read.
    """
    found: dict[str, Path] = {}
    for path in [*_own(folder), *bundled()]:
        found.setdefault(path.stem, path)
    return list(found.values())


def appended(order: tuple[str, ...], found: list[Path]) -> tuple[str, ...]:
    """The names of presets in the order they have, those that are new behind them.

    So a preset that is saved in mid-show moves no other under the performer's hands.
    """
    return (*order, *(path.stem for path in found if path.stem not in order))


def _own(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.toml")) if _sets_a_look(path)]


def _sets_a_look(path: Path) -> bool:
    """Whether it is meant as a preset, right or wrong: a name stands in front of any table."""
    try:
        text = _bytes(path).decode("utf-8-sig", "replace")
    except (OSError, PresetError):
        return False
    if re.search(rf"^\s*(\[\[\s*)?({KEYFRAMES}|{CUES})\b", text, re.MULTILINE):
        return False  # a film, for lwlive render, or a cue list
    above = re.split(r"^\s*\[", text, maxsplit=1, flags=re.MULTILINE)[0]
    return _LOOKS.search(above) is not None


def find(name_or_path: str, folder: Path) -> Path:
    """The file meant by `--preset`: a path is taken as it is, a name is looked up by `named`."""
    if re.search(r"[/\\]|\.toml$", name_or_path):
        return Path(name_or_path)
    return named(name_or_path, folder)


def named(name: str, folder: Path) -> Path:
    """The preset of this name in the folder, else the bundled one. Never a path: safe for OSC.

    Raises PresetError, which lists what there is or says why that cannot be read.
    """
    try:
        own = sorted(folder.glob("*.toml"))
    except OSError as error:
        raise PresetError(f"presets in {folder} cannot be read: {error.strerror}") from None
    known = {path.stem: path for path in [*bundled(), *own]}
    if name not in known:
        there_are = ", ".join(path.stem for path in listed(folder)) or "none"
        raise PresetError(
            f"there is no preset {name!r}{did_you_mean(name, known)}; there are {there_are}"
        )
    return known[name]


def _bytes(path: Path, what: str = "preset") -> bytes:
    """What is in an ordinary file of a bounded size. Raises OSError or PresetError."""
    # a FIFO would wait for a writer for ever; on Windows there are none, and no such flag
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        raise PresetError(f"{path} is not an ordinary file, so not a {what}")
    with os.fdopen(handle, "rb") as file:
        found = file.read(MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise PresetError(
            f"{path} has {about.st_size / 2**20:.0f} MB; a {what} has {MAX_BYTES >> 20} MB at most"
        )
    return found


def read(path: Path, what: str = "preset") -> dict[str, Any]:
    """A TOML file of this kind as it stands. Raises PresetError."""
    try:
        found = _bytes(path, what)
    except OSError as error:
        raise PresetError(f"cannot read the {what} {path}: {error.strerror}") from None
    try:
        text = found.decode("utf-8-sig")  # editors on Windows write a mark in front
        return toml(text)
    except UnicodeDecodeError as error:
        raise PresetError(f"{path} is not text in UTF-8: {error.reason}") from None
    except (ValueError, RecursionError) as error:
        last = f"at line {text.count(chr(10)) + 1}, the end"
        why = str(error).replace("at end of document", last)
        raise PresetError(f"{path} is not valid TOML: {why}") from None


def toml(text: str) -> dict[str, Any]:
    """TOML without numbers so long that Python reads them and cannot write them into a sentence.

    Raises ValueError or RecursionError.
    """
    found = tomllib.loads(text)
    waiting: list[Any] = [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, int) and one.bit_length() > MOST_BITS:
            raise ValueError("a whole number in it has thousands of digits")
    return found


def _unknown_key(key: str) -> str:
    return (
        f"there is no parameter {key!r}{did_you_mean(key, LOOK)}; a preset takes "
        f"{', '.join([*_FOR_PEOPLE, *LOOK, ROUTES])}"
    )
