"""The last pictures of a show, on disk, so that the next one has something to show at its start.

A few pictures of the last seconds, written whole and rarely. A show that is started again plays
them, slowly back and forth, until its engine has pictures of its own. This file knows nothing of
engines or windows.
"""

import json
from collections import deque
from pathlib import Path

import numpy as np

from lwlive import files
from lwlive.checkpoint import Size
from lwlive.ring import Pixels

COUNT, APART_S = 8, 0.4  # pictures kept, and seconds between them
MOST_BYTES = 256 * 2**20
MAGIC = b"lwlive pictures "


class Recent:
    """The pictures of the last seconds. They are not copied: nobody writes into them."""

    def __init__(self) -> None:
        self._pictures: deque[Pixels] = deque(maxlen=COUNT)
        self._next = -np.inf

    def add(self, pixels: Pixels, now: float) -> None:
        """A picture is shown."""
        if now >= self._next:
            self._pictures.append(pixels)
            self._next = now + APART_S

    def pictures(self) -> list[Pixels]:
        """Them, the oldest first."""
        return list(self._pictures)


def write(path: Path, pictures: list[Pixels]) -> None:
    """Write pictures [H, W, 3] of one size, whole or not at all. Raises OSError."""
    if pictures:
        head = json.dumps([len(pictures), *pictures[0].shape]).encode()
        files.write(path, b"".join([MAGIC, head, b"\n", *(each.tobytes() for each in pictures)]))


def read(path: Path, size: Size) -> list[Pixels]:
    """The pictures in a file; none where it is missing, damaged, or of another size."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return []
        head, _, data = path.read_bytes().partition(b"\n")
        count, height, width, planes = map(int, json.loads(head.removeprefix(MAGIC)))
        whole = np.frombuffer(data, np.uint8).reshape(count, height, width, planes)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):
        return []
    if not head.startswith(MAGIC) or (width, height, planes) != (*size, 3):
        return []
    return list(whole.copy())
