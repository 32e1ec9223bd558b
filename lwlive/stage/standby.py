"""The last seconds of the show, kept to be played back and forth while there is no engine."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lwlive.ring import Pixels

KEPT_S = 3.0  # seconds of pictures
KEPT_BYTES = 256 * 2**20  # and no more than so many


class Standby:
    """Pictures of the last seconds. Each [H, W, 3], all of one size."""

    def __init__(self, fps: float) -> None:
        self._most = KEPT_S * fps
        self._pictures: deque[Pixels] = deque()
        self._swing = 0  # pictures played since the newest

    def __len__(self) -> int:
        return len(self._pictures)

    def add(self, pixels: Pixels) -> None:
        """Keep one more, and let go of the oldest where they are too many."""
        self._pictures.append(pixels)
        while len(self._pictures) > max(2, min(self._most, KEPT_BYTES / pixels.nbytes)):
            self._pictures.popleft()

    def fill(self, pictures: Sequence[Pixels]) -> None:
        """Keep a few pictures, apart in time, as if what lies between them had been shown."""
        between = max(1, int(self._most / len(pictures)))
        for one, other in pairwise(pictures):
            for step in range(between):
                self.add(mixed(one, other, 1 - step / between))
        self.add(pictures[-1])

    def rewind(self) -> None:
        """Play from the newest again."""
        self._swing = 0

    def play(self) -> Pixels:
        """The next picture: back from the newest and forth again, at half speed, mixed."""
        self._swing += 1
        last = len(self._pictures) - 1
        if last < 1:
            return self._pictures[0]
        at = (self._swing / 2) % (2 * last)
        place = last - at if at <= last else at - last
        low = min(int(place), last - 1)
        return mixed(self._pictures[low + 1], self._pictures[low], place - low)


def mixed(old: Pixels, new: Pixels, share: float) -> Pixels:
    """`share` of the old picture and the rest of the new one."""
    part = np.uint16(round(256 * share))
    both = old.astype(np.uint16) * part + new.astype(np.uint16) * (np.uint16(256) - part)
    return (both >> 8).astype(np.uint8)
