"""The heartbeat: signs of life while something long is loaded or measured, from its own thread.

Each piece is announced when it begins. After that a sign is given as long as the process works at
it: it reads, its memory grows, or it computes. A process that only waits gives none, and no piece
may take longer than LONGEST_S. This file knows no pipes: what a sign is, is passed in.
"""

import threading
import time
from collections.abc import Callable

import psutil

EVERY_S = 5.0
LONGEST_S = 3600.0  # of one piece: a large file over a slow network, an evaluation without a GPU
WORKED = 0.04  # of a processor, between two looks
GREW = 2**20  # bytes read or taken, between two looks


class Alive:
    """Tells pieces, and that there is work at them. A context manager."""

    def __init__(self, tell: Callable[[str], None], every_s: float = EVERY_S) -> None:
        self._tell, self._every_s = tell, every_s
        self._ended = threading.Event()
        self._piece: tuple[str, float] | None = None  # text and beginning, swapped whole
        self._thread = threading.Thread(target=self._watch, name="alive", daemon=True)

    def __enter__(self) -> "Alive":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def __call__(self, text: str) -> None:
        """A piece begins."""
        self._piece = (text, time.monotonic())
        self._tell(text)

    def _watch(self) -> None:
        before = _work()
        while not self._ended.wait(self._every_s):
            now, piece = _work(), self._piece
            grew = max(now[1] - before[1], now[2] - before[2])
            worked = now[0] - before[0] > WORKED * self._every_s or grew > GREW
            before = now
            if piece is None or not worked:
                continue
            text, begun = piece
            spent = time.monotonic() - begun
            if spent < LONGEST_S:
                self._tell(f"{text}, {spent:.0f} s so far, {now[2] / 2**30:.1f} GB in memory")


def _work() -> tuple[float, int, int]:
    """What this process has done: processor seconds, bytes read, bytes of memory."""
    process = psutil.Process()
    times = process.cpu_times()
    try:
        read = int(process.io_counters().read_bytes)
    except (AttributeError, psutil.Error):  # macOS does not tell
        read = 0
    return times.user + times.system, read, int(process.memory_info().rss)
