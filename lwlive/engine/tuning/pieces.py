"""Pieces of a measurement, each kept on disk as soon as it is there.

An engine that is ended while it measures leaves those it has; the next one measures only the
others. A piece that none has come back from three times is left out.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lwlive import files

MOST_TRIES = 3  # of a piece that none has come back from


class Cost(NamedTuple):
    """Seconds that a batch takes."""

    evaluation: float
    decoding: float


class Pieces:
    """What is known so far. `path` None: nothing is kept.

    doing: hears of each piece before it is measured.
    """

    def __init__(
        self, path: Path | None = None, doing: Callable[[str], None] = lambda _: None
    ) -> None:
        self._path, self._doing = path, doing
        self._known, self._tried = _read(path) if path is not None else ({}, {})

    def get(self, name: str, measure: Callable[[], Cost]) -> Cost | None:
        """A piece, measured where it is not known. None for one that is left out."""
        if name in self._known:
            return self._known[name]
        if self._tried.get(name, 0) >= MOST_TRIES:
            return None
        self._doing(f"measuring this machine: {name}")
        self._tried[name] = self._tried.get(name, 0) + 1
        self._write()
        found = measure()
        self._known[name] = found
        del self._tried[name]
        self._write()
        return found

    def left_out(self) -> list[str]:
        """Pieces that none has come back from so often."""
        return [name for name, tries in self._tried.items() if tries >= MOST_TRIES]

    def forget(self) -> None:
        """Remove what was kept."""
        self._known, self._tried = {}, {}
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        """Keep all of it, on a disk that can be written to; elsewhere it is measured again."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"known": self._known, "tried": self._tried})
            files.write(self._path, text.encode())
        except OSError:
            self._path = None


def _read(path: Path) -> tuple[dict[str, Cost], dict[str, int]]:
    """What was kept; nothing of a file that is not as it was written."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        known = {str(n): Cost(float(one), float(two)) for n, (one, two) in found["known"].items()}
        tried = {str(n): int(count) for n, count in found["tried"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, {}
    if not all(0 <= x < math.inf for pair in known.values() for x in pair):
        return {}, {}
    return known, tried
