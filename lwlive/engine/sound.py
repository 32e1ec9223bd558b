"""Sound, as far as the engine has to know: whether it moves anything at present.

While it does, frames are made as late as may be, since their bands are those of when they are made.
This file knows nothing of frames, devices or clocks: it is given the time.
"""

import math
from collections.abc import Sequence

from lwlive.routes import BANDS, Band, Routes

MOVES = 0.02  # of a band's range: less is stillness


class Sound:
    """Watches the bands that routes follow."""

    def __init__(self) -> None:
        self._heard: tuple[float, ...] = ()
        self.moved_at = -math.inf  # when one of them changed last

    def moves(self, routes: Routes, bands: Sequence[float], now: float) -> bool:
        """Whether a band that one of these routes follows has changed since the last call."""
        names = {route.source.name for route in routes if isinstance(route.source, Band)}
        heard = tuple(bands[BANDS.index(name)] for name in sorted(names))
        if len(heard) == len(self._heard):
            gaps = (abs(a - b) for a, b in zip(heard, self._heard, strict=True))
            if max(gaps, default=0.0) <= MOVES:
                return False
        self._heard = heard
        if not heard:
            return False
        self.moved_at = now
        return True
