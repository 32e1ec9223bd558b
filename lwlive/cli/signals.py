"""The signals that end a show or its guard: Ctrl-C, SIGTERM, and a terminal that closes.

Handlers run in the main thread, between two of its instructions.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # as far as a system has them


@contextlib.contextmanager
def answered(end: Callable[[], None]) -> Iterator[list[str]]:
    """Each of them calls `end`. Yields the names of those that came."""
    came: list[str] = []

    def ending(number: int, _: object) -> None:
        came.append(signal.Signals(number).name)
        end()

    numbers = {getattr(signal, name) for name in NAMES if hasattr(signal, name)}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.discard(signal.SIGHUP)  # nohup: what runs is to outlive its terminal
    previous = {number: signal.signal(number, ending) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
