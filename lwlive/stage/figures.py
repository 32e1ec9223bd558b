"""Figures: what the show counts, for the HUD, OSC feedback and the statistics file.

It counts the frames and milliseconds that it is given. It has no clock.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from lwlive.stage.supply import Shown

MINUTE_S = 60.0
LATENCIES = 100_000  # the newest ones are kept; a show of months has no end of them


class Figures:
    """Counters of one show."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.ticks = self.late = self.skipped = 0
        self.new = self.sampled = 0  # frames of the walk shown, and those of them not in-betweens
        self.first_picture_s: float | None = None
        self.window_s: float | None = None
        self.latencies_ms: deque[float] = deque(maxlen=LATENCIES)
        self._second: deque[float] = deque()  # times of the ticks of the last second
        self._sampled_second: deque[float] = deque()
        self._late_minute: deque[tuple[float, int]] = deque()  # times, and how many were late
        self._first_at = self._last_at = 0.0  # when the first and the last picture were shown

    def showed(self, shown: Shown, now: float, since_start: float, delay_s: float = 0.0) -> None:
        """One tick's picture went to the screen, and is seen `delay_s` later."""
        if self.first_picture_s is None:
            self.first_picture_s, self._first_at = since_start, now
        self._last_at = now
        self.ticks += 1
        self._count_late(int(shown.late), now)
        self._second.append(now)
        if shown.frame is not None:
            self.new += 1
            self.sampled += shown.frame.sampled
            if shown.frame.sampled:
                self._sampled_second.append(now)
            self.latencies_ms.extend((now + delay_s - asked) * 1e3 for asked in shown.asked)
        for times in (self._second, self._sampled_second):
            while times and now - times[0] >= 1.0:
                times.popleft()

    def missed(self, ticks: int) -> None:
        """So many ticks passed without a picture, since the one before took too long."""
        self.skipped += ticks
        self._count_late(ticks, self._last_at)

    def _count_late(self, many: int, now: float) -> None:
        self.late += many
        if many:
            self._late_minute.append((now, many))
        while self._late_minute and now - self._late_minute[0][0] >= MINUTE_S:
            self._late_minute.popleft()

    @property
    def late_minute(self) -> int:
        """Late frames of the last minute."""
        return sum(many for _, many in self._late_minute)

    @property
    def fps_shown(self) -> int:
        """Pictures put on screen in the last second."""
        return len(self._second)

    @property
    def fps_sampled(self) -> int:
        """Frames shown in the last second that went through the model."""
        return len(self._sampled_second)

    @property
    def inbetween_ratio(self) -> float:
        """Share of the frames shown that are in-betweens."""
        return 1 - self.sampled / self.new if self.new else 0.0

    @property
    def latency_ms(self) -> float | None:
        """From the last control to the first picture made with it."""
        return self.latencies_ms[-1] if self.latencies_ms else None

    def summary(self) -> Mapping[str, Any]:
        """What the statistics file says about frames."""
        shown_s = self._last_at - self._first_at + 1 / self.fps  # the last one has its time too
        latencies = list(self.latencies_ms)
        p50, p95 = np.percentile(latencies, [50, 95]) if latencies else (None, None)
        return {
            "fps_target": self.fps,
            "fps_shown": round(self.ticks / shown_s, 3),
            "fps_sampled": round(self.sampled / shown_s, 3),
            "frames_shown": self.ticks,
            "frames_late": self.late,
            "frames_skipped": self.skipped,
            "frames_new": self.new,
            "inbetween_ratio": round(self.inbetween_ratio, 4),
            "latency_ms": {
                "p50": None if p50 is None else round(float(p50), 1),
                "p95": None if p95 is None else round(float(p95), 1),
                "n": len(latencies),
            },
            "first_picture_s": _rounded(self.first_picture_s),
            "window_s": _rounded(self.window_s),
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
