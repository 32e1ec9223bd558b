"""One member of a Link session, as a program: a lwlive show's controls, or another library.

Run inside a network namespace. It reads commands from stdin, a line each, and answers each with a
line of JSON: `look` says where it is, `bpm 133` sets the tempo, `beat` strikes one, `end` ends it.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from lwlive.commands import Command, Fire, Set
from lwlive.controls import Controls
from lwlive.params import Params
from lwlive.stage.desk import Desk
from lwlive.stage.parts import Arrived, Source
from lwlive.stage.sources.link import Link
from lwlive.stage.status import Status


class Show:
    """Controls, the desk and Link, as a show polls them."""

    def __init__(self, bpm: float) -> None:
        self.controls = Controls(Params(bpm=bpm))
        self.notices: list[str] = []
        self.desk = Desk(Path(), self.controls)
        self.link = Link(self.controls.snapshot.tempo, self.notices.append)
        self.offers = 0

    def turn(self) -> None:
        """One tick."""
        now = time.perf_counter()
        self.desk.poll(now)
        for arrived in self.link.poll(now):
            self.offers += 1
            self.desk.do(arrived, self.link)
        self.link.tell(cast(Status, SimpleNamespace(tempo=self.controls.snapshot.tempo)), {}, now)

    def do(self, command: Command) -> None:
        """What a hand does."""
        self.desk.do(Arrived(command, "keys", time.perf_counter()), Source())

    def look(self) -> dict[str, Any]:
        """Where the show is."""
        now, tempo = time.perf_counter(), self.controls.snapshot.tempo
        return {
            "now": now,
            "beat": tempo.beats(now),
            "bpm": tempo.bpm,
            "by": tempo.by,
            "peers": self.link.summary()["peers"],
            "offers": self.offers,
            "notices": self.notices,
        }


async def lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def ours(bpm: float) -> None:
    show, reader = Show(bpm), await lines()
    asked = asyncio.create_task(reader.readline())
    while True:
        show.turn()
        await asyncio.sleep(0.01)
        if not asked.done():
            continue
        word, *more = asked.result().decode().split() or ["end"]
        if word == "end":
            show.link.close()
            return
        if word == "bpm":
            show.do(Set("bpm", float(more[0])))
        elif word == "beat":
            show.do(Fire("beat"))
        print(json.dumps(show.look()), flush=True)
        asked = asyncio.create_task(reader.readline())


async def other(bpm: float) -> None:
    from aalink import Link as Other

    link, reader = Other(bpm, asyncio.get_running_loop()), await lines()
    link.quantum, link.enabled = 4, True
    while True:
        word, *more = (await reader.readline()).decode().split() or ["end"]
        if word == "end":
            return
        if word == "bpm":
            link.tempo = float(more[0])
        now = time.perf_counter()
        look = {"now": now, "beat": link.beat, "bpm": link.tempo, "peers": link.num_peers}
        print(json.dumps(look), flush=True)


if __name__ == "__main__":
    asyncio.run({"ours": ours, "other": other}[sys.argv[1]](float(sys.argv[2])))
