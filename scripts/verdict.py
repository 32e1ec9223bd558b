"""What came of a soak: its table, a row for each kind of trouble, and what does not hold."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from soak import Soak


class Gap(NamedTuple):
    """The longest time without a new picture, of one trouble."""

    seconds: float
    load: float  # programs that wanted a core at its end
    stood_s: float  # of the whole trouble, in which the soak itself got no core
    slowed: float = 1.0  # the factor by which the show was slowed since others had the cores

    @property
    def own_s(self) -> float:
        """What of it is the show's."""
        return self.seconds - self.stood_s

    def __str__(self) -> str:
        without = f", {self.stood_s:.1f} without a core" if self.stood_s > 0.05 else ""
        slowed = f", slowed {self.slowed:.1f} times" if self.slowed >= 2 else ""
        return f"{self.seconds:.1f} ({self.load:.0f}{without}{slowed})"


@dataclass
class Row:
    """What one kind of trouble did."""

    times: int = 0
    gaps: list[Gap] = field(default_factory=list)  # each time
    level: float = 255.0  # darkest picture while there was one
    lost_s: float = 0.0  # most seconds of recording that are missing
    engine: int = 0  # restarts
    stage: int = 0
    deaf_s: float = 0.0  # longest time that the show heard nothing
    page_s: float = 0.0  # longest time that the page did not answer
    cues: int = 0  # most that came by the clock

    @property
    def slowed(self) -> float:
        """The largest factor by which others slowed the show, of one trouble."""
        return max((gap.slowed for gap in self.gaps), default=1.0)

    @property
    def stood_s(self) -> float:
        """The longest time in which the machine gave no core, of one trouble."""
        return max((gap.stood_s for gap in self.gaps), default=0.0)


@dataclass
class Report:
    """The table, and what does not hold."""

    lines: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


LIMITS = {"stage": 10.0, "everything": 10.0, "state": 10.0, "machine": 14.0}  # by first word
ENGINE_S = 6.0
LOST_S = 1.0  # at the end of a recording
AGAIN_S = 30.0  # without sound, without the page


def report(soak: "Soak", minutes: float, fair: bool) -> Report:
    """What came of it. fair: limits are longer by the factor by which others slowed the show."""
    found = Report()
    head = "| trouble | seconds without a new picture, each time (load) | darkest picture | "
    head += (
        "lost at the end of a recording | engine, stage started again | longest without sound | "
    )
    head += "longest without the page |"
    found.lines += [head, "|---|---|---|---|---|---|---|"]
    for name, row in soak.rows.items():
        if not row.times:
            continue
        gaps = ", ".join(map(str, row.gaps))
        found.lines.append(
            f"| {name} | {gaps} | "
            f"{row.level:.0f} of 255 | {max(0.0, row.lost_s):.1f} s | {row.engine}, {row.stage} | "
            f"{row.deaf_s:.1f} s | {row.page_s:.1f} s |"
        )
        limit = LIMITS.get(name.split()[0], ENGINE_S)
        slow = row.slowed if fair else 1.0
        if late := [gap for gap in row.gaps if gap.own_s > limit * (gap.slowed if fair else 1.0)]:
            longest = max(gap.own_s for gap in late)
            found.broken.append(f"{name}: {longest:.1f} s without a new picture")
        if row.lost_s - row.stood_s > LOST_S * slow:
            found.broken.append(f"{name}: {row.lost_s:.1f} s of a recording are missing")
        if row.cues > 1:
            found.broken.append(f"{name}: {row.cues} cues came by the clock")
        for thing, seconds in (("sound", row.deaf_s), ("the page", row.page_s)):
            if seconds - row.stood_s > AGAIN_S * slow:
                found.broken.append(f"{name}: {seconds:.1f} s without {thing}")
    memory = [mb for _, mb in soak.memory]
    first = np.median(memory[6:12]) if len(memory) > 12 else float("nan")
    last = np.median(memory[-6:]) if memory else float("nan")
    names = [*Path("/dev/shm").glob("lwlive-*"), *Path("/dev/shm").glob("sem.lwlive-*")]
    left = [str(path) for path in names if _ours(path, soak)]
    said = (soak.folder / "said.txt").read_text("utf-8", "replace")
    found.lines.append(
        f"\n{minutes:g} minutes, {sum(row.times for row in soak.rows.values())} times trouble, "
        f"{soak.starts + said.count('it is started again')} starts of the stage; memory "
        f"{first:.0f} MB after a minute, {last:.0f} MB at the end; {len(soak.left)} processes and "
        f"{len(left)} pieces of shared memory left; the end took the exit code {soak.code}"
    )
    if soak.left or left:
        found.broken.append(f"left behind: {[each.pid for each in soak.left]} {left}")
    if "Traceback" in said:
        found.broken.append("a traceback, see said.txt")
    if soak.code:
        found.broken.append(f"the show ended with code {soak.code}")
    return found


def _ours(path: Path, soak: "Soak") -> bool:
    """Whether one of the show's processes has made it; see lwlive/shared.py."""
    pid = path.name.split("-")[2:3]
    return bool(pid) and pid[0].isdecimal() and int(pid[0]) in soak.pids
