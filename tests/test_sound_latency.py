"""From a sound to a picture through the engine, on simulated time that passes inside the work."""

import numpy as np
import pytest
from simulated import Machine

from lwlive.commands import Patch
from lwlive.ring import Frame
from lwlive.routes import Band, Route

HEARD_S = (0.004, 0.016)  # from a sound to its band, as found with PipeWire: 5th, 95th percentile
SEEN_S = 0.15  # what a sound may take to be seen, nearly always


class Sounding(Machine):
    """A show whose first band takes another value now and then, at any moment."""

    def __init__(self, faster: float, batch: int, pauses_s: tuple[float, float]) -> None:
        self._rng, self._pauses_s, self._value = np.random.default_rng(batch), pauses_s, 0.0
        self._next_sound = 2.0
        self._unseen: list[tuple[float, float]] = []
        each = batch / faster
        super().__init__(0.6 * each, 0.4 * each, batch, 30.0, steps=1, pace=0)
        self.controls.do(Patch(Route("speed", 0.3, Band("low"))))
        self.delays: list[float] = []
        self.watch = self._look

    def spend(self, seconds: float) -> None:
        until = self.now + seconds
        while self._next_sound <= until:
            super().spend(self._next_sound - self.now)
            self._value = (self._value + 0.381966) % 1  # never twice the same
            self.ring.bands = (self._value, 0, 0, 0, 0, 0)
            self._unseen.append((self._value, self.now))
            self._next_sound += self._rng.uniform(*self._pauses_s)
        super().spend(until - self.now)

    def _look(self, frame: Frame | None) -> None:
        found = [n for n, (value, _) in enumerate(self._unseen) if frame is not None]
        found = [n for n in found if frame and frame.turn.bands[0] == self._unseen[n][0]]
        if found:
            self.delays.append(self.now - self._unseen[found[0]][1])
            del self._unseen[: found[0] + 1]


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_on_a_machine_that_samples_60_a_sound_is_seen_in_150_ms(batch: int) -> None:
    show = Sounding(60.0, batch, (0.2, 0.7)).play(24)
    show.close()
    delays = np.array(show.delays)  # type: ignore[attr-defined]
    assert len(delays) > 36
    heard = np.random.default_rng(1).uniform(*HEARD_S, len(delays))
    assert np.percentile(delays + heard, 95) <= SEEN_S
    assert show.late <= 0.01 * show.ticks


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_the_first_sound_after_a_rest_takes_back_what_was_made_ahead(batch: int) -> None:
    """In silence half a second of frames is ready; a sound does not wait until they are shown."""
    show = Sounding(60.0, batch, (3.0, 4.0)).play(60)
    show.close()
    delays = show.delays  # type: ignore[attr-defined]
    assert len(delays) > 12
    assert max(delays) < 0.25
    assert show.late <= 0.01 * show.ticks


def test_where_no_route_follows_the_sound_it_takes_nothing_back() -> None:
    show = Sounding(60.0, 2, (0.2, 0.7))
    show.controls.do(Patch(Route("speed", 0.3, Band("mid"))))
    show.play(10)
    show.close()
    assert min(show.delays) > 0.4
    epochs = {frame.epoch for frame in show.frames[30:]}
    assert len(epochs) == 1
