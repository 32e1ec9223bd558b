"""A listener: blocks of an input in, its newest bands and tempo out.

Used by one thread. Where no blocks come there is silence, so that no band stays where it was. This
file knows nothing of devices or of the show.
"""

import numpy as np

from lwlive.routes import SILENCE
from lwlive.stage.sources.audio.beat import Beat
from lwlive.stage.sources.audio.capture import QUIET_S, RATE, Block
from lwlive.stage.sources.audio.features import Features
from lwlive.tempo import Tempo

_HALF = np.float32(0.5)
_SILENCE = np.zeros((round(QUIET_S * RATE), 2), np.float32)


class Listener:
    """Listens to one input."""

    def __init__(self) -> None:
        self._features = Features(RATE)
        self._beat = Beat(self._features.hop_s)
        self.bands: tuple[float, ...] = SILENCE  # in the order of BANDS
        self.tempo: Tempo | None = None  # of the last estimate that was sure; None before the first
        self.sure = 0.0  # of the newest estimate, 0 to 1

    def hear(self, block: Block) -> None:
        """Take in a block."""
        mono = (block.frames[:, 0] + block.frames[:, 1]) * _HALF
        new = self._features.heard(mono)
        ends = block.at + len(mono) / RATE
        for n, heard in enumerate(new):
            at = ends - (len(new) - 1 - n) * self._features.hop_s
            self.tempo = self._beat.heard(heard, at) or self.tempo
        if new:
            self.bands = new[-1].bands
        self.sure = self._beat.confidence

    def rest(self, now: float) -> None:
        """Take in that there was no block for QUIET_S."""
        self.hear(Block(_SILENCE, now - QUIET_S))
