"""Lines of text on their way into a file, through whatever happens to its disk.

| thread | runs | may wait for |
|---|---|---|
| the show's | `Lines(...)`, `put`, `news`, `over`, `close` | `close`: as long as it is given |
| lines | the file | its queue, the disk |

Only whole lines are left in the file. While the disk takes none they are kept and written as soon
as it does, so that nothing is missing. Where the file itself is gone, or more lines wait than can
be kept, it is `over`: whoever writes begins another file. Nothing is known of what lines say.
"""

import contextlib
import io
import os
import queue
import threading
import time
from collections import deque
from pathlib import Path

from lwlive.files import free

AGAIN_S = 5.0  # between two attempts while the disk takes nothing, and two looks at the file
MOST_BYTES = 64 * 2**20  # of lines that wait for the disk


class Lines:
    """One file of lines, written over. Raises OSError where it cannot be opened now.

    about: what it is, for a sentence. later: open it when the disk allows, under the first of
    `name-2`, `name-3` ... where its own name is taken; nothing is raised.
    """

    def __init__(
        self, path: Path, about: str, later: bool = False, again_s: float = AGAIN_S
    ) -> None:
        self.path, self._about, self._again_s = path, about, again_s
        self._file = None if later else io.FileIO(path, "w")
        self._good = 0  # bytes of whole lines in the file
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # of those
        self._given = self._written = 0  # bytes: each is counted by one thread
        self._failing = False
        self.over = False  # nothing more can be written
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Write a line; never waits."""
        if self.over:
            return
        # half of a character, as in a file's name, becomes what JSON reads as just that
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        self._given += len(data)
        if self._given - self._written > MOST_BYTES:
            self._end(f"more of {self._about} {self.path} waits for its disk than can be kept")
        else:
            self._queue.put(data)

    def news(self) -> str | None:
        """A sentence about the disk that was not told yet."""
        with contextlib.suppress(queue.Empty):
            return self._news.get_nowait()
        return None

    def close(self, seconds: float) -> None:
        """Write what is left, for so long."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        looked, ended = time.monotonic(), False
        while not (ended or self.over):
            ended = self._collect()
            late = ended or time.monotonic() - looked >= self._again_s
            if late:
                looked = time.monotonic()
            self._work(late)
        if self._file is not None:
            self._file.close()

    def _collect(self) -> bool:
        """Take lines out of the queue, waiting for the first; whether they have ended."""
        with contextlib.suppress(queue.Empty):
            line = self._queue.get(timeout=self._again_s)
            while line is not None:
                self._waiting.append(line)
                self._bytes += len(line)
                line = self._queue.get_nowait()
            return True
        return False

    def _work(self, late: bool) -> None:
        """Write what waits. late: it is time to try again after a failure, and to look."""
        if self.over or (self._failing and not late):
            return
        try:
            if late and self._file is not None and not self.path.exists():
                self._end(f"{self._about} {self.path} is gone: it was removed meanwhile")
                return
            self._write()
        except OSError as error:
            if not self._failing:
                self._failing = True
                why = error.strerror or str(error)
                self._news.put(f"{self._about} {self.path} cannot be written: {why}; it is kept")
            with contextlib.suppress(OSError):
                if self._file is not None:
                    self._file.truncate(self._good)
            return
        if self._failing:
            self._failing = False
            self._news.put(f"{self._about} {self.path} is written again; nothing is missing")

    def _write(self) -> None:
        if self._file is None:
            self.path = free(self.path)
            self._file = io.FileIO(self.path, "x")
        if not self._waiting:
            return
        data = memoryview(b"".join(self._waiting))
        self._file.seek(self._good)
        while data:
            data = data[self._file.write(data) or 0 :]
        os.fsync(self._file.fileno())  # a full disk may say so only here
        self._good += self._bytes
        self._written += self._bytes
        self._waiting.clear()
        self._bytes = 0

    def _end(self, why: str) -> None:
        self.over = True
        self._news.put(f"{why}; another one begins")
