"""A render's identity: what its pictures depend on, so that a render only continues its own.

| part of it | why |
|---|---|
| the files of networks, tokenizers, scheduler, LoRAs | they make the pictures, wherever they lie |
| live parameters, keyframes, eta, budget, size, tiles | they say what is pictured |
| bytes of pictures, mask, sound and journal | by what is in them, not by their names |
| device, precision and batch | other arithmetic and roundings, which can be seen |
| format and quality of the frames | a folder holds one kind |

Not part of it: where files lie, a model's card and other files that nothing reads, versions of
libraries, the make of processor (their roundings stay below what is seen), the name of the render,
what is only about the movie, and how the work is spread. This file knows nothing of torch.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lwlive.checkpoint import TEXTS, Additions, part_of, read_json, scheduler_name
from lwlive.params import SPECS
from lwlive.render.settings import SOURCES, Render, digest

TOLD = 5  # differences from earlier settings

# Settings that are compared as they are.
AS_IT_IS = ("prediction", "size", "device", "precision", "batch", "joints", "frames", "again")
# Flags that change no frame, or are known from the joints.
MOVIE = {"crf", "fps", "all_intra"}
MADE_BY = {"name", "max_frames", "num_steps", "seconds", "output"} | MOVIE
RUN_BY = {"overwrite", "ray", "workers"}  # these do not even change what is made
FILES = ("picture", "mask", "audio", "journal")  # flags that name files

BOOKKEEPING = ("_name_or_path", "_diffusers_version", "_commit_hash", "transformers_version")
TOKENIZERS = ("tokenizer", "tokenizer_2")


class Value(NamedTuple):
    """What is compared, and what people are told of it."""

    compared: Any
    shown: Any

    @classmethod
    def plain(cls, value: Any) -> "Value":
        """One that is told as it is."""
        return cls(value, value)


def weights(folder: Path, added: Additions) -> dict[str, str]:
    """Digests of all that a model's files bring into the pictures.

    Raises RenderError, ModelError.
    """
    index = read_json(folder / "model_index.json")
    parts = [p for p in ("unet", "scheduler", *TEXTS, *TOKENIZERS) if part_of(index, p)[0]]
    decoder = folder / "vae" if added.decoder is None else Path(added.decoder)
    return {
        "model": _together([f"{p} {index[p]} {_folder(folder / p)}" for p in parts]),
        "decoder": _folder(decoder),
        "lora": _together([f"{digest(Path(path))} {weight!r}" for path, weight in added.loras]),
    }


def identity(settings: dict[str, Any]) -> dict[str, Value]:
    """What frames depend on, flat and by the names that people use, of told settings."""
    render = settings["render"]
    plain: dict[str, Any] = {name: settings[name] for name in AS_IT_IS}
    if not settings["keys"] and not render["journal"]:  # further frames change none of those before
        plain["frames a keyframe"] = plain.pop("joints")[1]
        plain.pop("frames")
    plain |= {k: v for k, v in render.items() if k not in MADE_BY | RUN_BY and k not in FILES}
    for route in settings.get("routes", []):
        plain[f"route {route['number']}"] = route
    if render["audio"] or settings.get("routes"):
        plain["fps"] = render["fps"]
    plain |= settings["params"] | settings["overrides"]
    found = {name: Value.plain(value) for name, value in plain.items()}
    for name in ("model", "lora", "decoder"):
        made_of = settings["weights"][name]
        found[name] = Value(made_of, f"{settings[name]} ({made_of[:8]})")
    scheduler = settings["scheduler"]
    found["scheduler"] = Value(scheduler and scheduler_name(scheduler), scheduler)
    for name in FILES:
        found[name] = _file(settings, render[name])
    for i, key in enumerate(settings["keys"]):
        for name, value in key.items():
            told = _file(settings, value) if name == "picture" else Value.plain(value)
            found[f"keyframe {i + 1}: {name}"] = told
    return found


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two told settings, each in a few words, what was given first."""
    before, after = identity(old), identity(new)
    nothing = Value.plain(None)
    found = [
        (name, before.get(name, nothing), after.get(name, nothing))
        for name in {**before, **after}
        if before.get(name, nothing).compared != after.get(name, nothing).compared
    ]
    given = {*SPECS, *Render.model_fields, *SOURCES}
    found.sort(key=lambda row: row[0] not in given)
    told_of = [f"{n} was {_short(was.shown)} and is {_short(now.shown)}" for n, was, now in found]
    return told_of if len(found) <= TOLD else [*told_of[:TOLD], f"and {len(found) - TOLD} more"]


def _file(settings: dict[str, Any], path: str | None) -> Value:
    if path is None:
        return Value.plain(None)
    return Value(settings["files"].get(path), path)


def _folder(folder: Path) -> str:
    """What the files of a part hold that are read when it is loaded."""
    return _together([f"{path.name} {_contents(path)}" for path in _loaded(folder)])


def _loaded(folder: Path) -> Iterator[Path]:
    files = sorted(folder.glob("*")) if folder.is_dir() else [folder]
    yield from (path for path in files if path.suffix in (".json", ".txt", ".model"))
    for suffix in (".safetensors", ".bin"):
        whole = [path for path in files if path.suffix == suffix and ".non_ema." not in path.name]
        full = [path for path in whole if ".fp16." not in path.name]
        if whole:
            yield from full or whole
            return


def _contents(path: Path) -> str:
    """A digest; of a configuration without what is told of its own origin."""
    if path.suffix == ".json":
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return digest(path)
        if isinstance(found, dict):
            kept = {name: value for name, value in found.items() if name not in BOOKKEEPING}
            return _together([json.dumps(kept, sort_keys=True)])
    return digest(path)


def _together(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _short(value: object) -> str:
    text = "not given" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
