"""Disk: what reads or writes small files during a show, so that no disk can hold it up.

| thread | runs | may wait for |
|---|---|---|
| the show's | `do`, `poll` | nothing |
| disk, one for each job | the job | the disk |

A job's result is taken up by `poll`, on a later tick of the show's thread. A disk that hangs keeps
its threads; they end with the process. The queue is the one thing that both threads touch.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lwlive.params import ControlError

SLOW_S = 3.0  # after so long the person at the desk hears of it
MOST = 8  # jobs under way

Start = Callable[[Callable[[], None]], None]


@dataclass
class _Job:
    about: str
    done: Callable[[Any], None]
    failed: Callable[[str], None]
    since: float | None = None  # the first poll after its start
    told: bool = False


def _in_a_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="disk", daemon=True).start()


class Disk:
    """Jobs under way. `start` runs one aside."""

    def __init__(self, say: Callable[[str], None], start: Start = _in_a_thread) -> None:
        self._say, self._start = say, start
        self._jobs: dict[int, _Job] = {}
        self._count = 0
        self._results: queue.SimpleQueue[tuple[int, Any, str | None]] = queue.SimpleQueue()

    def do(
        self,
        about: str,
        job: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[str], None],
    ) -> None:
        """Run a job aside. Later `poll` calls `done` with its result or `failed` with a sentence.

        about: what it does, for a sentence. Raises ControlError where too many are under way
        or no thread can be started.
        """
        if len(self._jobs) >= MOST:
            raise ControlError(
                f"{about}: the disk does not answer, and {MOST} requests wait for it"
            )
        self._count += 1
        number = self._count
        self._jobs[number] = _Job(about, done, failed)

        def run() -> None:
            try:
                self._results.put((number, job(), None))
            except Exception as error:  # whatever a file system does, the show continues
                self._results.put((number, None, _sentence(about, error)))

        try:
            self._start(run)
        except RuntimeError as error:  # no memory for a thread, or too many: the show continues
            del self._jobs[number]
            raise ControlError(f"{about}: {error}; try again") from None

    def poll(self, now: float) -> None:
        """Take up what has finished, and say what takes long. Never waits."""
        while not self._results.empty():
            number, result, error = self._results.get_nowait()
            job = self._jobs.pop(number)
            if error is None:
                job.done(result)
            else:
                job.failed(error)
        for job in self._jobs.values():
            job.since = now if job.since is None else job.since
            if not job.told and now - job.since >= SLOW_S:
                job.told = True
                self._say(f"{job.about}: the disk has not answered for {SLOW_S:.0f} s yet")


def _sentence(about: str, error: Exception) -> str:
    if isinstance(error, ControlError):
        return str(error)
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return f"{about}:{where} {error.strerror or error}"
    return f"{about}: {error!r}"
