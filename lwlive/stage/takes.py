"""Takes: the recordings of one show, the one going on and those whose files are being closed.

All of it runs in the stage's main thread; each take is closed in a thread of its own, since a slow
disk takes its time. A control that flickers is followed once it stands, so that a stuck button
does not fill the folder with files. This file knows nothing of windows, parameters or the walk.
"""

import math
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from lwlive.ring import Pixels
from lwlive.stage.recorder import Recorder, free_path

ORDINARY_S = 60.0  # at the end of a show, for files to become ordinary; systemd kills after 90
STANDS_S = 0.3  # a level that changed before it stood so long is not followed until it does


class Takes:
    """Starts and ends recordings as a level says, `given` the file for the first one."""

    def __init__(self, folder: Path, given: Path | None, fps: float, size: tuple[int, int]) -> None:
        self._folder, self._given, self._fps, self._size = folder, given, fps, size
        self._recorder: Recorder | None = None
        self._closing: list[tuple[Recorder, threading.Thread]] = []
        self._closed: dict[str, Any] | None = None  # the last take whose file is closed
        self._level, self._since, self._calm = False, -math.inf, True

    @property
    def going(self) -> bool:
        """Whether a recording is going on."""
        return self._recorder is not None

    @property
    def failed(self) -> str | None:
        """Why the one going on has failed, as a sentence; None where it has not."""
        return self._recorder.failed if self._recorder is not None else None

    def follow(self, level: bool, now: float, about: dict[str, str]) -> str | None:
        """Record or not, as the level says; what was done, as a sentence.

        Raises RecordError or OSError where a recording cannot start.
        """
        if self._closing and not self._closing[0][1].is_alive():
            self._closed = _summary(self._closing.pop(0)[0])
        if level != self._level:
            self._calm = now - self._since >= STANDS_S
            self._level, self._since = level, now
        if level == self.going or not (self._calm or now - self._since >= STANDS_S):
            return None
        if self._recorder is not None:
            path = self._recorder.path
            self.end()
            return f"recorded: {path}"
        given, self._given = self._given, None
        path = given or free_path(self._folder, datetime.now())
        self._recorder = Recorder(path, self._fps, *self._size, about)
        return f"recording: {path}"

    def put(self, pixels: Pixels, number: int) -> None:
        """Record the picture of a tick, where a recording is going on."""
        if self._recorder is not None:
            self._recorder.put(pixels, number)

    def end(self) -> None:
        """End the recording that is going on, and let its file be closed."""
        if self._recorder is not None:
            thread = threading.Thread(target=self._recorder.close, name="closing")
            self._closing.append((self._recorder, thread))
            self._recorder = None
            thread.start()

    def close(self) -> None:
        """End the recording and wait for every file to be closed.

        One that takes longer than ORDINARY_S to become ordinary is left in fragments.
        """
        self.end()
        until = time.monotonic() + ORDINARY_S
        for recorder, thread in self._closing:
            thread.join(max(0.0, until - time.monotonic()))
            recorder.leave()
            thread.join()

    def summary(self) -> dict[str, Any] | None:
        """The recording going on or the last one, for the statistics."""
        recorder = self._recorder or (self._closing[-1][0] if self._closing else None)
        return self._closed if recorder is None else _summary(recorder)


def _summary(recorder: Recorder) -> dict[str, Any]:
    return {
        "file": str(recorder.path),
        "frames": recorder.frames,
        "dropped": recorder.dropped,
        "failed": recorder.failed,
    }
