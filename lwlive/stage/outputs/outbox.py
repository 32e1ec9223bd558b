"""Outbox: pictures on their way to a thread of their own, for outputs whose work takes time.

| thread | runs | may wait for |
|---|---|---|
| the show's | `put`, `end` | nothing |
| one that may wait | `close`; `join` | as long as it is given; until the work is over |
| the outbox's | `work`, which draws pictures from an iterator | the queue, and whatever it likes |

What is put is the picture itself and no copy of it, since nobody writes into a picture of a show;
where a queue is full a picture is counted as dropped. `queue` is the one thing both threads touch,
beside counters with one writing thread each.
The outbox knows nothing of files, encoders or networks.
"""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from lwlive.checkpoint import Size
from lwlive.ring import Pixels

QUEUE_S = 1.5  # how long the work may stall before pictures are dropped
QUEUE_BYTES = 256 * 2**20  # and how much memory that may take

Pictures = Iterator[tuple[Pixels, int]]  # each with the number it was put with


class Outbox:
    """Runs `work(pictures)` in a thread of its own from `start` on, until the pictures end.

    What it raises goes to `failed`, in that thread. size: width and height. Up to `queue_s` seconds
    of pictures at `fps` wait for the work.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Pictures], None],
        failed: Callable[[Exception], None],
        size: Size,
        fps: float,
        queue_s: float = QUEUE_S,
    ) -> None:
        width, height = size
        self._work, self._failed, self._shape = work, failed, (height, width, 3)
        most = QUEUE_BYTES // (height * width * 3)
        self._count = max(4, min(math.ceil(fps * queue_s), most))
        self._queue: queue.SimpleQueue[tuple[Pixels, int] | None] = queue.SimpleQueue()
        self._taken = 0  # into the queue; counted by the show's thread, and so is `_missed`
        self._missed = 0  # the queue was full
        self._done = 0  # with; counted by the outbox's thread, and so is `_left`
        self._left = 0  # queued and never drawn
        self._closed = self._over = False
        self._deadline = math.inf  # written once by `close`, a float is read whole
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work. Pictures may be put before."""
        try:
            self._thread.start()
        except RuntimeError as error:  # no memory for a thread, or too many: the show continues
            self._over = True
            self._failed(error)

    @property
    def over(self) -> bool:
        """Whether the work is over, or was never begun."""
        return not self._thread.is_alive()

    @property
    def dropped(self) -> int:
        """Pictures put and never drawn, because the work was too slow."""
        return self._missed + self._left

    def fits(self, pixels: Pixels) -> bool:
        """Whether a picture is of the size that the outbox was made for."""
        return pixels.shape == self._shape and pixels.dtype == np.uint8

    def put(self, pixels: Pixels, number: int) -> bool:
        """Queue one picture; False where it is dropped. Never waits, never raises."""
        if self._closed or self._over:
            return False
        if self._taken - self._done >= self._count:
            self._missed += 1
            return False
        self._taken += 1
        self._queue.put((pixels, number))
        return True

    def miss(self) -> None:
        """Count a picture that is not put at all."""
        self._missed += 1

    def end(self, work_s: float = math.inf) -> None:
        """No picture comes any more, and what is not drawn after `work_s` is dropped."""
        if work_s < math.inf:
            self._deadline = time.monotonic() + work_s
        self._closed = True
        self._queue.put(None)

    def close(self, work_s: float, end_s: float) -> bool:
        """End it, dropping what is not drawn after `work_s`.

        False where the work still hangs `end_s` later.
        """
        self.end(work_s)
        self.join(work_s + end_s)
        return not self._thread.is_alive()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the work is over, however long that takes where nothing is said."""
        if self._thread.ident is not None:  # it was started
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._work(self._pictures())
        except Exception as error:  # whatever it meets, the show continues
            self._over = True
            self._failed(error)
        finally:
            self._over = True
            with suppress(queue.Empty):
                while True:
                    self._left += self._queue.get_nowait() is not None

    def _pictures(self) -> Pictures:
        while (item := self._queue.get()) is not None:
            if time.monotonic() > self._deadline:
                self._left += 1
            else:
                yield item
            self._done += 1
