"""The journal: what was performed, as JSON lines, so that it can be rendered again.

| thread | runs | may wait for |
|---|---|---|
| the show's | `Journal(...)`, `sent`, `tick`, `close` | `close`: a second at most, nothing else |
| journal | the file | its queue, the disk |

A line tells what took effect on a tick, counted from the first picture:

    {"lwlive": "0.1.0", "config": {...}, "size": [256, 256]}      once, first
    {"tick": 0, "begin": 0.0, "nexts": 0, "params": {...}}        a walk begins at this phase
    {"tick": 90, "nexts": 0, "params": {"prompt": "smoke"}}       only what differs
    {"tick": 97, "back": 2, ...}                                  and two frames were taken back
    {"tick": 98, "between": [1, 3], "paced": false, "eased": true}    see below
    {"tick": 99, "repeat": 1}                                     so many ticks repeat a picture
    {"tick": 120, "master": {"blackout": true}}                   what the stage does by itself
    {"tick": 4, "dtype": "float32"}                               what the engine computes in
    {"tick": 150}                                                 nothing, once a second

`between` tells an in-between: which one it is, and every how many frames one is sampled; 0 is one
that is sampled. It stands where it does not follow from the frame before (`follows`). `paced` tells
whether the segment's pace had been measured in time, `eased` whether the change was limited, both
where that changes.

A file cut short is good up to its last whole line. The journal knows nothing of the walk.
"""

import json
import queue
import threading
from pathlib import Path
from typing import Any

from lwlive import __version__
from lwlive.config import Config
from lwlive.params import SAMPLED, ControlError, Params, Snapshot
from lwlive.stage.supply import Shown

Between = tuple[int, int]  # which in-between, 0 for none, and the stride

MASTER = ("brightness", "blackout", "fade")
CLOSE_S = 1.0


def follows(before: Between) -> Between:
    """What the frame after one is, if nothing is told."""
    which, stride = before
    return (which + 1) % stride, stride


class Journal:
    """Writes the journal of one show. Raises ControlError where the file cannot be opened."""

    def __init__(self, path: Path, config: Config, size: tuple[int, int], first: Snapshot) -> None:
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise ControlError(f"--journal: cannot write {path}: {error.strerror}") from None
        self._path = path
        self._known = {first.version: first}  # snapshots that a frame may still be made with
        self._params: dict[str, Any] = {}
        self._master: dict[str, Any] = {}
        self._version = -1
        self._engine = -1  # number of the engine whose walk this is
        self._dtype: str | None = None
        self._place = -1
        self._between: Between = (0, 1)
        self._paced = self._eased = False
        self._first: int | None = None
        self._last = 0
        self._second = 0
        self._failed: str | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()
        self._put(lwlive=__version__, config=config.model_dump(mode="json"), size=size)

    def sent(self, snapshot: Snapshot) -> None:
        """New controls went to the engine; frames will tell when they took effect."""
        self._known[snapshot.version] = snapshot

    def tick(
        self, n: int, shown: Shown, params: Params, engine: int, dtype: str | None, fps: float
    ) -> None:
        """What was shown on tick n. `engine`: how many were started; `params`: the present ones."""
        if self._first is None:
            self._first, self._last = n, n - 1
        now = n - self._first
        if n - self._last > 1:
            self._put(tick=self._last + 1 - self._first, repeat=n - self._last - 1)
        self._last = n
        if shown.frame is None:
            self._put(tick=now, repeat=1)
        else:
            self._frame(now, shown, engine)
        master = {name: getattr(params, name) for name in MASTER}
        if master != self._master:
            self._master = master
            self._put(tick=now, master=master)
        if dtype is not None and dtype != self._dtype:
            self._dtype = dtype
            self._put(tick=now, dtype=dtype)
        if int(now / fps) > self._second:
            self._second = int(now / fps)
            self._put(tick=now)

    def _frame(self, now: int, shown: Shown, engine: int) -> None:
        frame = shown.frame
        assert frame is not None
        line: dict[str, Any] = {}
        if engine != self._engine:
            self._engine, self._place, self._params = engine, frame.place - 1, {}
            line["begin"] = frame.phase
            self._between = (0, 1)
        back = self._place + 1 - frame.place
        if back:
            line["back"] = back
        self._place = frame.place
        if frame.version != self._version or "begin" in line:
            self._version = frame.version
            snapshot = self._known[frame.version]
            values = {name: getattr(snapshot.params, name) for name in SAMPLED}
            old = self._params
            line |= {
                "nexts": snapshot.nexts,
                "params": {k: v for k, v in values.items() if k not in old or old[k] != v},
            }
            self._params = values
            for version in [v for v in self._known if v < frame.version]:
                del self._known[version]
        between = (frame.between, frame.stride)
        if between != follows(self._between):
            line["between"] = between
        if frame.paced != self._paced:
            line["paced"] = frame.paced
        if frame.eased != self._eased:
            line["eased"] = frame.eased
        self._between, self._paced, self._eased = between, frame.paced, frame.eased
        if line:
            self._put(tick=now, **line)

    def close(self) -> None:
        """Write what is left, for a second at most."""
        if self._first is not None:
            self._put(tick=self._last - self._first)
        self._lines.put(None)
        self._thread.join(CLOSE_S)

    def failed(self) -> str | None:
        """Why the journal ended early, as a sentence; told once."""
        failed, self._failed = self._failed, None
        return failed

    def _put(self, **line: Any) -> None:
        if self._thread.is_alive():  # it ends where the file cannot be written to
            self._lines.put(json.dumps(line, ensure_ascii=False))

    def _run(self) -> None:
        try:
            with self._file as file:
                while (line := self._lines.get()) is not None:
                    file.write(line + "\n")
                    if self._lines.empty():
                        file.flush()
        except (OSError, ValueError) as error:
            self._failed = f"cannot write the journal {self._path}: {error}; the show goes on"
