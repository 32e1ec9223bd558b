"""Snapshots: the picture that is shown as PNG, and beside it a preset with the values that made it.

It follows a number in the status that grows with each press. Files are written aside (see `disk`);
all that runs here runs in the show's thread and waits for nothing. The preset's seed is that of the
keyframe nearest to the picture, so that the walk bends back to where it was found; what the PNG
says of itself has the exact place.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lwlive import __version__, files, preset
from lwlive.files import claimed, stamped
from lwlive.params import ControlError, Params
from lwlive.ring import Pixels
from lwlive.seeds import seed_of
from lwlive.snapshot import Snapshot
from lwlive.stage.disk import Disk
from lwlive.stage.parts import Output, Picture


class Snapshots(Output):
    """Writes what is shown whenever it is asked for. `folder`: where presets are saved, too."""

    name = "snapshots"

    def __init__(self, folder: Path, disk: Disk, say: Callable[[str], None]) -> None:
        self._folder, self._disk, self._say = folder, disk, say
        self._asked = 0  # how often, when last looked at
        self._made: Snapshot | None = None  # the controls that made what is shown
        self._phase = 0.0
        self._written = 0

    def put(self, picture: Picture) -> None:
        """Write the picture of a tick where that was asked for since the last one."""
        shown = picture.shown
        if shown.frame is not None and shown.snapshot is not None:
            self._made, self._phase = shown.snapshot, shown.frame.phase
        asked, self._asked = self._asked, picture.status.snapshots
        if self._asked == asked:
            return
        params = self._made.params if self._made else picture.status.params
        routes = self._made.routes if self._made else picture.status.routes
        pixels, about = picture.pixels, _about(params, self._phase)
        found = replace(params, seed=seed_nearest(params, self._phase))
        wanted = self._folder / stamped(datetime.now(), ".png")

        def write() -> Path:
            path, beside = _both(wanted)
            try:
                _write_png(path, pixels, about)
                preset.save(beside, found, routes)
            except Exception:
                path.unlink(missing_ok=True)  # half of it is of no use
                beside.unlink(missing_ok=True)
                raise
            return path

        def written(path: Any) -> None:
            self._written += 1
            self._say(f"snapshot: {path}, and its values as the preset {path.stem}")

        try:
            self._disk.do("writing a snapshot", write, written, self._say)
        except ControlError as error:
            self._say(str(error))

    def summary(self) -> Mapping[str, Any] | None:
        """How many there are."""
        return {"written": self._written} if self._written else None


def _both(wanted: Path) -> tuple[Path, Path]:
    """Names for a picture and its preset, alike but for their ends, and both claimed."""
    while True:
        path = claimed(wanted)
        beside = claimed(path.with_suffix(".toml"))
        if beside.stem == path.stem:
            return path, beside
        path.unlink()
        beside.unlink()
        wanted = wanted.with_name(f"{beside.stem}{wanted.suffix}")


def seed_nearest(params: Params, phase: float) -> int:
    """The seed of a walk that begins at the keyframe nearest to a place on the walk."""
    index = max(0, round(phase))  # below 0 a bend is on its way to keyframe 0
    return seed_of(params.seed, index % params.loop if params.loop else index)


def _about(params: Params, phase: float) -> dict[str, str]:
    """What the PNG says of itself."""
    made = json.dumps({"phase": phase, **asdict(params)}, ensure_ascii=False)
    return {"Title": params.prompt, "Software": f"lwlive {__version__}", "lwlive": made}


def _write_png(path: Path, pixels: Pixels, about: Mapping[str, str]) -> None:
    """Write a PNG, whole or not at all. Raises OSError."""
    from io import BytesIO

    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    words = PngInfo()
    for key, text in about.items():
        words.add_itxt(key, text)
    data = BytesIO()
    Image.fromarray(pixels).save(data, "PNG", pnginfo=words)
    files.write(path, data.getvalue())
