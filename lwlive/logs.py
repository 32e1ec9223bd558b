"""What the show says, written by threads of their own, so that nothing it says can make it wait.

A terminal stands still after Ctrl-S, a reader of a pipe may stop reading, a disk may hang. So each
place that lines go to has a bounded queue and a thread, which alone may wait. A line for which
there is no room is counted and left out, and the number is said as soon as lines go out again.
At the end a second is given to what is still queued.

The terminal gets sentences. A file gets them with their times, and what `event` tells besides: it
is read days later by whoever wants to know what happened when. Files are rotated. What is for the
eyes at the terminal alone, as a secret is, `whisper` tells it and no file.
"""

import contextlib
import io
import logging
import queue
import select
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from lwlive.logfile import NAME, Rotated, folder, tail
from lwlive.recent import FULL, KEPT, Recent

LINES = 1000  # kept while a place stands still
END_S = 1.0  # how long the end waits for what is queued
LONGEST = 500  # letters of a sentence that says why something ended
TERSE = "lwlive: %(message)s"

events = logging.Logger("lwlive.events", logging.INFO)  # for files alone, and so of no tree
whispers = logging.Logger("lwlive.whispers", logging.INFO)  # for the terminal alone


def one_line(sentence: str) -> str:
    """The sentence as a terminal can take it, whatever was typed or found in a file.

    What cannot be printed, such as a line's end or an escape, is spelled out.
    """
    short = sentence if len(sentence) <= LONGEST else f"{sentence[: LONGEST - 3]}..."
    letters = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
    return "".join(letters)


def fault(error: BaseException) -> str:
    """What an exception says and where it came from, as one line."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f", {Path(frame.filename).name}:{frame.lineno}" for frame in place)
    return one_line(f"{type(error).__name__}: {error}{where}")


class Raw(Protocol):
    """An unbuffered file. No lock of Python's is held while it waits: the process can end."""

    def fileno(self) -> int:
        """Its descriptor."""

    def write(self, data: Any, /) -> int | None:
        """Write some of the data; how much, or None where it would have had to wait."""


class Log(logging.Handler):
    """Lines to one place. `close` ends it, within a second even where the place stands still."""

    def __init__(self, place: Raw, form: str, encoding: str = "utf-8") -> None:
        self._place, self._encoding = place, encoding
        self._queue: queue.Queue[bytes | None] = queue.Queue(LINES)
        self.dropped = 0  # written under the handler's lock, and once by the writer after a swap
        self._refused = 0  # lines that the place did not take; the writer's own
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()
        super().__init__()  # from here on it is closed at exit, also where Ctrl-C comes now
        self.setFormatter(logging.Formatter(form))

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; never waits."""
        try:
            line = self.format(record)
        except Exception:  # a wrong number of arguments: the words are worth having all the same
            line = str(record.msg)
        try:
            self._queue.put_nowait(line.encode(self._encoding, "backslashreplace") + b"\n")
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is queued, as far as a second allows."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(END_S)
        super().close()

    def _work(self) -> None:
        """The thread, whole."""
        while (line := self._queue.get()) is not None:
            dropped, self.dropped = self.dropped, 0
            self._refused += dropped
            if missing := self._refused:
                many = "a line was" if missing == 1 else f"{missing} lines were"
                if self._write(f"lwlive: {many} left out here, for want of room\n".encode()):
                    self._refused = 0
            if not self._write(line):
                self._refused += 1

    def _write(self, data: bytes) -> bool:
        """Write all of it, however long that takes; False where the place takes nothing now."""
        try:
            while data:
                done = self._place.write(data)
                if done is None:  # somebody has made the terminal non-blocking
                    _wait(self._place)
                data = data[done or 0 :]
        except (OSError, ValueError):
            return False
        return True


def _wait(place: Raw) -> None:
    try:
        select.select([], [place.fileno()], [], 1.0)
    except (OSError, ValueError, TypeError):
        time.sleep(0.05)


def event(text: str) -> None:
    """Tell the files what whoever reads them wants to know; the terminal does not say it."""
    events.info(text)


def whisper(text: str) -> None:
    """Tell the terminal, and keep it out of the log."""
    whispers.info(text)


@contextlib.contextmanager
def opened(file: Path | None = None, head: str = "") -> Iterator[Recent]:
    """Send what is logged to the terminal, and into a file, by default in the state folder.

    Yields the newest lines, of the file and from now on. head: a line about the program and the
    machine. Raises OSError for a file that was named.
    """
    root = logging.getLogger()
    with contextlib.ExitStack() as stack:
        handlers: list[logging.Handler] = [terminal()]
        whispers.addHandler(handlers[0])
        trouble, past = "", list[str]()
        try:
            place = _place(file, f"{head}\n".encode() if head else b"")
        except OSError as error:
            if file is not None:
                raise
            trouble = f"there is no log in {folder()}: {error.strerror or error}"
        else:
            stack.callback(place.close)
            with contextlib.suppress(OSError):  # it can be written to, and not read
                past = tail(KEPT, place.path)
            handlers.append(Log(place, FULL))
            events.addHandler(handlers[-1])
        recent = Recent(past)
        handlers.append(recent)
        events.addHandler(recent)
        before = root.level
        root.setLevel(logging.INFO)
        for handler in handlers:
            root.addHandler(handler)
        if trouble:
            root.info(trouble)
        try:
            yield recent
        finally:
            root.setLevel(before)
            for handler in handlers:
                root.removeHandler(handler)
                events.removeHandler(handler)
                whispers.removeHandler(handler)
                handler.close()


def _place(file: Path | None, head: bytes) -> Rotated:
    if file is not None:
        return Rotated(file, head)
    folder().mkdir(parents=True, exist_ok=True)
    return Rotated(folder() / NAME, head, own=True)


def terminal() -> logging.Handler:
    """Lines to standard error; to nowhere where a program has none, as one without a console."""
    buffer = getattr(sys.stderr, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if isinstance(raw, io.RawIOBase):
        return Log(raw, TERSE, sys.stderr.encoding or "utf-8")
    handler = logging.StreamHandler() if sys.stderr is not None else logging.NullHandler()
    handler.setFormatter(logging.Formatter(TERSE))
    return handler
