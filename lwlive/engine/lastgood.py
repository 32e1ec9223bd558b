"""The last good picture, in the place of those that NaN has spoilt. Nothing is known of models."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor

from lwlive.engine.cuda import filled, to_host
from lwlive.ring import Pixels


class LastGood:
    """Puts the last good picture in the place of each that is not good, and counts those."""

    def __init__(self) -> None:
        self.replaced = 0
        self._last: Pixels | None = None

    def __call__(self, parts: Iterable[tuple[Tensor, Tensor]]) -> Pixels:
        """Pictures [n, H, W, 3] as they can be shown, before the first good one black.

        Each part has some of them and which are good, [n] bool. All are asked for before the
        first is waited for, so that a device works on while pictures leave it.
        """
        leaving = [to_host(pictures, good) for pictures, good in parts]
        shown = [self._mended(*arrived()) for arrived in leaving]
        return shown[0] if len(shown) == 1 else np.concatenate(shown)

    def decoded(self, decoder: Any, latents: Tensor, batch: int, rows: int) -> Pixels:
        """Pictures of clean latents [n, C, H, W], a batch at a time, filled up to so many rows.

        The latents are looked at too: compiled code may make a dark picture of NaN, and call it
        good.
        """

        def pictures(part: Tensor) -> tuple[Tensor, Tensor]:
            found, good = decoder(filled(part, rows))
            n = len(part)
            return found[:n], good[:n] & part.isfinite().flatten(1).all(1)

        return self(pictures(part) for part in latents.split(batch))

    def _mended(self, pictures: Tensor, good: Tensor) -> Pixels:
        found: Pixels = pictures.numpy()
        sound = good.tolist()
        if not all(sound):
            found = found.copy()
            self.replaced += sound.count(False)
            for i, fine in enumerate(sound):
                if not fine:
                    before = found[i - 1] if i else self._last
                    found[i] = 0 if before is None else before
        if self._last is not None or any(sound):
            self._last = found[-1].copy()
        return found
