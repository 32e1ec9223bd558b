"""Takes: the recordings of one show, the one going on and those whose files are being closed.

A long one is a row of files: after so many minutes the next one begins, with the very next picture.

All of it runs in the stage's main thread; each take is opened in its recorder's thread and closed
in a thread of its own, since a slow disk takes its time. A control that flickers is followed once
it stands, so that a stuck button does not fill the folder with files. What movies are written with
is loaded from the first poll on, while there are no pictures yet: it would hold up those of a show.

An output, and a source where it asks for its switch: on where the whole show is recorded, off where
a take has failed that somebody began by hand. A show that is to be recorded whole is recorded on,
in another file, as soon as that can be done. This file knows nothing of windows or the walk.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from lwlive import __version__, movie
from lwlive.checkpoint import Size
from lwlive.commands import Set
from lwlive.encoders import CODECS
from lwlive.files import stamped
from lwlive.stage.outputs.recorder import Recorder
from lwlive.stage.outputs.soundtrack import Tap
from lwlive.stage.parts import Arrived, Output, Picture, Source

ORDINARY_S = 60.0  # at the end of a show, for files to become ordinary; systemd kills after 90
STANDS_S = 0.3  # a level that changed before it stood so long is not followed until it does
AGAIN_S = 5.0  # between two attempts to record on after a take has failed
SLOW_S = 3.0  # after so long a take that has not begun is named at the desk


class Ear(Protocol):
    """Where sound comes in."""

    def tap(self) -> Any:
        """A tap of its own for a recording."""

    def untap(self, tap: Any) -> None:
        """That tap is not needed any more."""


class Takes(Source, Output):
    """Starts and ends recordings as `record` says, `given` the file for the first one.

    codec: a name of CODECS. minutes: how long a file is at most. ear: whose sound they have.
    """

    name = "recording"

    def __init__(
        self,
        folder: Path,
        given: Path | None,
        fps: float,
        size: Size,
        say: Callable[[str], None],
        codec: str = "h264",
        minutes: float | None = None,
        ear: Ear | None = None,
    ) -> None:
        self._codec, self._ear = codec, ear
        self._ticks = math.inf if minutes is None else max(1, round(minutes * 60 * fps))
        self._start = 0  # tick with which the present file begins
        self._name = given  # that the files of this take are named after
        self._tap: Tap | None = None
        self._folder, self._given, self._fps, self._size = folder, given, fps, size
        self._whole = given  # the file of a show that is recorded whole, for those after it
        self._failing, self._again_at = (
            False,
            -math.inf,
        )  # since a take failed, until the next one
        self._say = say
        self._asks: list[bool] = [] if given is None else [True]  # for the switch
        self._recorder: Recorder | None = None
        self._loading = False  # whether what movies need is loaded, or being so
        self._begun, self._said = 0.0, ""  # when the present one did, and what was said of it
        self._closing: list[tuple[Recorder, threading.Thread, bool]] = []  # and if failure is known
        self._closed: dict[str, Any] | None = None  # the last take whose file is closed
        self._level, self._since, self._calm = False, -math.inf, True

    def poll(self, now: float) -> Sequence[Arrived]:
        """The switch, where it has to be turned."""
        if not self._loading:
            self._loading = True
            with suppress(RuntimeError):  # no memory for a thread: a recording loads it itself
                told = CODECS[self._codec].encoders, movie.rate_of(self._fps), self._size
                threading.Thread(target=movie.load, args=told, name="loading", daemon=True).start()
        recorder = self._recorder
        if recorder is not None and recorder.failed is not None:
            if not self._failing:
                self._say(recorder.failed)
            self._end(told=True)
            if self._whole is None:
                self._asks.append(False)
            else:
                self._failing, self._again_at = True, now + AGAIN_S
        elif recorder is not None and recorder.opened and not self._said:
            again = "recording again" if self._failing else "recording"
            self._said, self._failing = f"{again}: {recorder.path}", False
            self._say(self._said)
        elif recorder is not None and not self._said and now - self._begun >= SLOW_S:
            self._said = f"the disk does not answer: {recorder.path} has not begun"
            self._say(self._said)
        asks, self._asks = self._asks, []
        return [Arrived(Set("record", on), self.name, now) for on in asks]

    def put(self, picture: Picture) -> None:
        """Record the picture of a tick, where that is wanted."""
        params = picture.status.params
        title = {"title": params.prompt, "encoder": f"lwlive {__version__}"}
        self._follow(params.record, picture.status.now, title, picture.tick)
        if self._recorder is not None:
            self._recorder.put(picture.pixels, picture.tick, picture.status.now)

    def _follow(self, level: bool, now: float, about: dict[str, str], tick: int = 0) -> None:
        """Record or not, as the level says."""
        for _, thread, _ in self._closing:
            if thread.ident is None:
                _refusal(thread)
        if self._closing and self._closing[0][1].ident and not self._closing[0][1].is_alive():
            self._finish()
        if level != self._level:
            self._calm = now - self._since >= STANDS_S
            self._level, self._since = level, now
            if not level:  # somebody has turned it off
                self._whole, self._failing, self._again_at = None, False, -math.inf
        if self._recorder is not None and tick - self._start >= self._ticks:
            self._say(f"recorded: {self._recorder.path}; the next file begins")
            self._end()
            self._begin(self._name, now, tick, about, fresh=True)
        if level == self.going or not (self._calm or now - self._since >= STANDS_S):
            return
        if level and now < self._again_at:
            return
        if self._recorder is not None:
            self._say(f"recorded: {self._recorder.path}")
            self._end()
            return
        given, self._given = self._given, None
        self._name = given or (self._whole if self._failing else None)
        self._begin(self._name, now, tick, about, fresh=given is None)

    def _begin(
        self, given: Path | None, now: float, tick: int, about: dict[str, str], fresh: bool
    ) -> None:
        """Begin a file with the picture of this tick."""
        path = given or self._folder / stamped(datetime.now(), CODECS[self._codec].suffix)
        self._tap = None if self._ear is None else self._ear.tap()
        self._recorder = Recorder(
            path, self._fps, *self._size, about, fresh=fresh, codec=self._codec, tap=self._tap
        )
        self._begun, self._said, self._start = now, "", tick

    @property
    def going(self) -> bool:
        """Whether a recording is going on."""
        return self._recorder is not None

    @property
    def frames(self) -> int | None:
        """How many frames the recording going on has."""
        return self._recorder.frames if self._recorder is not None else None

    @property
    def dropped(self) -> int:
        """Frames that the recording going on could not take in time."""
        return self._recorder.dropped if self._recorder is not None else 0

    def _finish(self) -> None:
        """The oldest of the files being closed is closed, well or not."""
        recorder, thread, told = self._closing.pop(0)
        if thread.ident is not None:  # it was started
            thread.join()
        self._closed = _summary(recorder)
        if recorder.failed is not None and not told:
            self._say(recorder.failed)

    def _end(self, told: bool = False) -> None:
        """End the recording that is going on, and let its file be closed."""
        if self._recorder is not None:
            if self._ear is not None and self._tap is not None:
                self._ear.untap(self._tap)
            recorder, self._recorder = self._recorder, None
            thread = threading.Thread(target=recorder.close, name="closing")
            self._closing.append((recorder, thread, told))
            if (why := _refusal(thread)) is not None:
                self._say(f"{recorder.path} is not closed yet: {why}; it is tried again")

    def close(self) -> None:
        """End the recording and wait for every file to be closed.

        One that takes longer than ORDINARY_S to become ordinary is left in fragments.
        """
        self._end()
        until = time.monotonic() + ORDINARY_S
        for recorder, thread, _ in self._closing:
            if thread.ident is None and _refusal(thread) is not None:
                recorder.leave()
                recorder.close()
                continue
            thread.join(max(0.0, until - time.monotonic()))
            recorder.leave()
        while self._closing:
            self._finish()

    def summary(self) -> dict[str, Any] | None:
        """The recording going on or the last one, for the statistics."""
        recorder = self._recorder or (self._closing[-1][0] if self._closing else None)
        return self._closed if recorder is None else _summary(recorder)


def _refusal(thread: threading.Thread) -> str | None:
    """Start a thread; why it is refused: no memory for it, or too many."""
    try:
        thread.start()
    except RuntimeError as error:
        return str(error)
    return None


def _summary(recorder: Recorder) -> dict[str, Any]:
    return {
        "file": str(recorder.path),
        "frames": recorder.frames,
        "dropped": recorder.dropped,
        "failed": recorder.failed,
    }
