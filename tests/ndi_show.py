"""Run by test_ndi in a network of its own: a show that sends NDI, and a receiver that comes, goes
and comes back. Prints what was found as JSON."""

import json
import statistics
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from feeds import Played, feed_of, numbered, until

from lwlive.stage.outputs import ndi

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 120), (255, 255, 255), (0, 0, 0))
SIDE = 128


class Receiving:
    """A receiver in a process of its own, and the lines that it has printed."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).parent / "ndi_receiver.py"), "rig"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.got: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.got.append(json.loads(line))

    def end(self) -> list[dict[str, Any]]:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        return self.got


def main() -> None:
    said: list[str] = []
    put_at: dict[int, float] = {}
    colour: list[Any] = [None]

    def draw(tick: int) -> Any:
        put_at[tick] = time.perf_counter()
        if colour[0] is not None:
            return np.full((SIDE, SIDE, 3), colour[0], np.uint8)
        return numbered(tick, SIDE)

    found: dict[str, Any] = {}
    feed = feed_of(lambda: ndi.Ndi("rig", "", None, Fraction(30)), said)
    with Played(feed, "test", draw) as show:
        until(lambda: feed.sent > 3, "it does not begin")
        first = Receiving()
        until(lambda: len(first.got) >= 60, "the receiver gets nothing")
        got = first.end()
        numbers = [one["n"] for one in got]
        span = got[-1]["at"] - got[0]["at"]
        late = [one["at"] - put_at[one["n"]] for one in got[10:]]
        found["numbers"], found["rate"] = numbers, (numbers[-1] - numbers[0]) / span
        found["late_ms"] = 1e3 * statistics.median(late)
        second = Receiving()
        until(lambda: len(second.got) >= 10, "the receiver is not found again")
        found["again"] = [one["n"] for one in second.got[:10]]
        colours = []
        for one in COLOURS:
            colour[0] = one
            seen = len(second.got)
            until(lambda seen=seen: len(second.got) >= seen + 12, "no colours come")  # type: ignore[misc]
            colours.append(second.got[-1]["mean"])
        found["colours"] = colours
        twin: list[str] = []
        with Played(feed_of(lambda: ndi.Ndi("rig", "", None, Fraction(30)), twin), "test"):
            until(lambda: twin, "a name that is taken is not told of")
        found["twin"] = twin[0]
        second.end()
    found["longest_s"], found["said"] = show.longest_s, said
    found["sent"], found["dropped"], found["ticks"] = feed.sent, feed.dropped, show.tick
    print(json.dumps(found))


if __name__ == "__main__":
    main()
