"""A listener: blocks of an input in, its newest bands and tempo out.

Used by one thread. Where blocks are missing there is silence for as long, so that no band stays
where it was and beats keep their distances. This file knows nothing of devices or of the show.
"""

import numpy as np

from lwlive.routes import SILENCE
from lwlive.stage.sources.audio.beat import Beat
from lwlive.stage.sources.audio.capture import LOST_S, RATE, Block
from lwlive.stage.sources.audio.features import Features, Samples
from lwlive.tempo import Tempo

LATE_S = 0.4  # what has not come for so long is not late but missing
GAP_S = 0.005  # so much that is missing between two blocks is filled with silence
_HALF = np.float32(0.5)


class Listener:
    """Listens to one input."""

    def __init__(self) -> None:
        self._features = Features(RATE)
        self._beat = Beat(self._features.hop_s)
        self._ends: float | None = None  # moment of the end of what was heard
        self.bands: tuple[float, ...] = SILENCE  # in the order of BANDS
        self.tempo: Tempo | None = None  # of the last estimate that was sure; None before the first
        self.sure = 0.0  # of the newest estimate, 0 to 1

    def hear(self, block: Block) -> None:
        """Take in a block, and silence for what is missing before it."""
        if self._ends is not None and GAP_S < block.at - self._ends < LOST_S:
            self._pass(block.at)
        mono = (block.frames[:, 0] + block.frames[:, 1]) * _HALF
        self._ends = block.at + len(mono) / RATE
        self._take(mono, self._ends)

    def rest(self, now: float) -> None:
        """Take in that there is no block; one that is a bit late may still come."""
        if self._ends is None or now - self._ends > LOST_S + LATE_S:
            self._ends = now - LATE_S
        if now - self._ends >= LATE_S:
            self._pass(now)

    def _pass(self, until: float) -> None:
        """Silence until then."""
        assert self._ends is not None
        count = round((until - self._ends) * RATE)
        self._ends = until
        self._take(np.zeros(count, np.float32), until)

    def _take(self, mono: Samples, ends: float) -> None:
        new = self._features.heard(mono)
        for n, heard in enumerate(new):
            at = ends - (len(new) - 1 - n) * self._features.hop_s
            self.tempo = self._beat.heard(heard, at) or self.tempo
        if new:
            self.bands = new[-1].bands
        self.sure = self._beat.confidence
