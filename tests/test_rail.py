"""The HUD's rails: where a hand has put a fader, and where routes have it now."""

import numpy as np
import pygame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwlive.stage.outputs.window import rail
from lwlive.stage.outputs.window.lettering import Lettering, panel

PLACES = st.floats(0, 1)


@given(st.text(alphabet="ab \t12"), PLACES, PLACES)
def test_a_line_keeps_its_words_and_its_marks(words: str, hand: float, now: float) -> None:
    line, marks = rail.parted(words + rail.told(hand, now))
    assert line == words
    assert marks is not None
    assert list(marks) == [pytest.approx(hand, abs=0.001), pytest.approx(now, abs=0.01)]
    assert rail.parted(words) == (words, None)


def test_the_mark_goes_from_end_to_end_as_the_fader_does() -> None:
    places = []
    for now in (0.0, 0.5, 1.0):
        drawn = panel(Lettering(20), ["speed\t0.50\tkeyframes/s" + rail.told(0.25, now)])
        pixels = pygame.surfarray.array3d(drawn).astype(int).sum(2)  # [W, H]
        bright = pixels[-8 * 20 :] > 600
        places.append(float(np.flatnonzero(bright.any(1)).mean()))
    assert places[2] - places[0] == pytest.approx(rail.WIDE * 20, abs=4)
    assert places[1] == pytest.approx((places[0] + places[2]) / 2, abs=2)
    plain = panel(Lettering(20), ["speed\t0.50\tkeyframes/s"])
    assert plain.get_width() < drawn.get_width()
