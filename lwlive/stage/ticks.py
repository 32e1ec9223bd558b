"""Ticks: when the next picture is shown, and how many were missed.

Where pictures wait for the monitor, ticks follow it: the show's rate and the monitor's are never
quite the same, and two clocks that disagree double or drop a picture every few seconds (mpv's
display-resample is the model). Elsewhere the clock alone decides. A tick is numbered by the show's
frame rate, whatever the monitor's is, so that what is recorded keeps its time.
This file waits for nothing and reads no clock.
"""

import math

NEAR = 0.015  # a monitor this near to a multiple of the frame rate is followed
AFTER = 0.3  # of a monitor's period: so long after the last picture the next one is sent to it


class Ticks:
    """The ticks of one show. `fps`: those wanted in a second; `now`: when the first one is due."""

    def __init__(self, fps: float, now: float) -> None:
        self._fps, self._start = fps, now
        self._period: float | None = None  # of the monitor, where it is followed
        self._every = 1  # of its pictures one is new
        self.number = 0  # of the tick to come
        self.due = now  # of the tick to come
        self.seconds = 1 / fps  # from tick to tick

    def follow(self, refresh_hz: float | None) -> None:
        """Follow a monitor of this rate, where that can be done; None: the clock alone.

        One slower than the show is always followed: it can show no more than it does.
        """
        every = max(1, round(refresh_hz / self._fps)) if refresh_hz else 1
        near = refresh_hz and abs(refresh_hz / every / self._fps - 1) <= NEAR
        if refresh_hz and (near or refresh_hz < self._fps):
            self._period, self._every = 1 / refresh_hz, every
            self.seconds = every / refresh_hz
        else:
            self._period, self.seconds = None, 1 / self._fps

    def done(self, now: float) -> int:
        """The picture of this tick is on screen. Returns how many ticks were missed since then."""
        before, at = self.number, now - self._start
        if self._period is None:
            behind = int(at * self._fps) - before
            self.number = before + max(1, behind)
            self.due = self._start + self.number / self._fps
            return max(0, behind - 1)
        missed = max(0, math.floor((now - self.due) / self.seconds))
        gone = round((at + self.seconds) * self._fps)  # ticks of the show by the next picture
        self.number = max(before + 1, gone)
        self.due = now + (self._every - 1 + AFTER) * self._period
        return missed
