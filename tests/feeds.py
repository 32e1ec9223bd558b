"""What tests of feeds share: pictures for them, sinks that do as they are told, and a show's ticks.

Nothing here imports av or a library of an output.
"""

import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from lwlive.checkpoint import Size
from lwlive.ring import Pixels
from lwlive.stage.outputs.feed import Feed, Sink
from lwlive.stage.outputs.scaling import Scaling
from lwlive.stage.parts import Picture

FPS = 30.0
SIDE = 64
BITS = 16  # stripes of a numbered picture


def picture(pixels: Pixels, tick: int, **outputs: bool) -> Picture:
    """The picture of a tick, as far as a feed looks at it."""
    status: Any = SimpleNamespace(outputs=outputs)
    shown: Any = None
    return Picture(pixels, tick, 1.0, shown, status)


def numbered(n: int, side: int = SIDE) -> Pixels:
    """A picture that says its number: 16 stripes, one for each bit, dark grey or light grey."""
    bits = np.repeat([64 + 128 * (n >> bit & 1) for bit in range(BITS)], side // BITS)
    return np.ascontiguousarray(np.broadcast_to(bits[None, :, None], (side, side, 3)), np.uint8)


def number_in(pixels: Pixels) -> int:
    """The number in a received picture, [H, W, 3 or 4]."""
    height, width = pixels.shape[:2]
    wide = width / BITS
    return sum(
        int(pixels[height // 2, round(wide * (bit + 0.5)), 1] > 127) << bit for bit in range(BITS)
    )


class Played:
    """A show's ticks: pictures are put into a feed at a steady rate until the block ends."""

    def __init__(self, feed: Feed, switch: str, draw: Callable[[int], Pixels] = numbered) -> None:
        self.feed, self.switch, self.draw = feed, switch, draw
        self.on, self.tick = True, 0
        self.longest_s = 0.0  # that a call of `put` took
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticks")

    def __enter__(self) -> "Played":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.feed.close()

    def _run(self) -> None:
        begun = time.perf_counter()
        while not self._stop.is_set():
            pixels = self.draw(self.tick)
            before = time.thread_time()
            ticked(self.feed, picture(pixels, self.tick, **{self.switch: self.on}))
            self.longest_s = max(self.longest_s, time.thread_time() - before)
            self.tick += 1
            time.sleep(max(0.0, begun + self.tick / FPS - time.perf_counter()))


def feed_of(make: Callable[[], Sink], said: list[str], **more: Any) -> Feed:
    """A feed named `test` that follows the switch `test`."""
    scaling = more.pop("scaling", Scaling())
    return Feed("test", "test", make, scaling, Size(SIDE, SIDE), FPS, said.append, **more)


def ticked(feed: Feed, picture: Picture) -> None:
    """A tick: the feed is told how things stand, and gets its picture."""
    feed.tell(picture.status, {}, 0.0)
    feed.put(picture)


def until(true: Callable[[], object], what: str | Callable[[], str], limit_s: float = 30.0) -> None:
    """Wait until something is so. what: is said where it is not; a function is asked at the end."""
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, what if isinstance(what, str) else what()
        time.sleep(0.0005)


class Told:
    """A sink that does as it is told. `plan`: what the calls of `show` raise, in their order."""

    form: Any = "rgb24"
    patient = False

    def __init__(self, seen: list[tuple[int, Any]], plan: Mapping[int, Exception]) -> None:
        self.seen, self.plan = seen, dict(plan)
        self.opened = self.closed = self.aborted = 0

    def open(self) -> str:
        self.opened += 1
        return "there"

    def show(self, pixels: Any, number: int) -> None:
        if number in self.plan:
            raise self.plan.pop(number)
        self.seen.append((number, pixels))

    def abort(self) -> None:
        self.aborted += 1

    def close(self) -> None:
        self.closed += 1
