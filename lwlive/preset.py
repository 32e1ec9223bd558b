"""Presets: TOML <-> Params, strict. One `name = value` a line, only what makes the picture.

A file may also say `title` and `about`, for people; they change nothing. What a preset leaves out
stays as it is. This file knows nothing of the show, of OSC or of torch.
"""

import os
import re
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tomli_w

from lwlive import __version__
from lwlive.params import LOOK, ControlError, Params, checked

_FOR_PEOPLE = ("title", "about")
KEYFRAMES = "keyframes"  # of a film: [[keyframes]] with a prompt, a seed, a picture ... each


class PresetError(ControlError):
    """A preset was refused; the message is a sentence for the person at the desk."""


def load(path: Path) -> dict[str, object]:
    """The values in a preset file, each checked; only the keys that it has.

    Raises PresetError naming the file, the key, what was expected and what was found.
    """
    found = _read(path)
    if KEYFRAMES in found:
        raise PresetError(f"{path} has keyframes, which are for lwlive render, not for a show")
    return _values(path, found, offline=False)


def load_film(path: Path) -> tuple[dict[str, object], list[dict[str, Any]]]:
    """The values in a preset file, in the ranges of a render, and its keyframes as they stand.

    Pictures are looked for beside the file. Raises PresetError.
    """
    found = _read(path)
    keyframes: Any = found.pop(KEYFRAMES, [])
    if not isinstance(keyframes, list) or not all(isinstance(k, dict) for k in keyframes):
        raise PresetError(f"{path}: each keyframe stands under a line [[{KEYFRAMES}]]")
    for keyframe in keyframes:
        if isinstance(keyframe.get("picture"), str):
            keyframe["picture"] = path.parent / keyframe["picture"]
    return _values(path, found, offline=True), keyframes


def _values(path: Path, found: dict[str, object], offline: bool) -> dict[str, object]:
    values = {}
    for key, value in found.items():
        if key in _FOR_PEOPLE:
            if not isinstance(value, str):
                raise PresetError(f"{path}: {key} takes text, not {value!r}")
            continue
        if key not in LOOK:
            raise PresetError(f"{path}: {_unknown_key(key)}")
        try:
            values[key] = checked(key, value, offline)
        except ControlError as error:
            raise PresetError(f"{path}: {error}") from None
    return values


def save(path: Path, params: Params) -> None:
    """Write every value that makes the picture; whole or not at all. Raises PresetError.

    Values left to the model (None) are left out. Loading the file gives the same values.
    """
    look: dict[str, Any] = {n: v for n in LOOK if (v := getattr(params, n)) is not None}
    text = f"# a preset of lwlive {__version__}\n{tomli_w.dumps(look)}"
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(text.encode())
        os.replace(draft, path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise PresetError(f"cannot save the preset {path}: {error.strerror}") from None


def bundled() -> list[Path]:
    """The presets that come with lwlive, sorted by name."""
    here = Path(__file__).parent
    inside = here / "presets"  # in a wheel; in the repository they lie beside the package
    return sorted((inside if inside.is_dir() else here.parent / "presets").glob("*.toml"))


def find(name_or_path: str, folder: Path) -> Path:
    """The file meant by `--preset`: a path is taken as it is, a name is looked up by `named`."""
    if re.search(r"[/\\]|\.toml$", name_or_path):
        return Path(name_or_path)
    return named(name_or_path, folder)


def named(name: str, folder: Path) -> Path:
    """The bundled preset of this name, else the one in the folder. Never a path, so safe for OSC.

    Raises PresetError listing what there is.
    """
    known = {path.stem: path for path in [*sorted(folder.glob("*.toml")), *bundled()]}
    if name not in known:
        there_are = ", ".join(sorted(known)) or "none"
        raise PresetError(f"there is no preset {name!r}{_or(name, known)}; there are {there_are}")
    return known[name]


def _read(path: Path) -> dict[str, object]:
    try:
        text = path.read_bytes().decode("utf-8-sig")  # editors on Windows write a mark in front
        return tomllib.loads(text)
    except OSError as error:
        raise PresetError(f"cannot read the preset {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise PresetError(f"{path} is not text in UTF-8: {error.reason}") from None
    except (ValueError, RecursionError) as error:
        last = f"at line {text.count(chr(10)) + 1}, the end"
        why = str(error).replace("at end of document", last)
        raise PresetError(f"{path} is not valid TOML: {why}") from None


def _unknown_key(key: str) -> str:
    if key in Params.model_fields:
        return f"{key} is no part of the picture and cannot stand in a preset"
    return (
        f"there is no parameter {key!r}{_or(key, LOOK)}; a preset takes "
        f"{', '.join([*_FOR_PEOPLE, *LOOK])}"
    )


def _or(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""
