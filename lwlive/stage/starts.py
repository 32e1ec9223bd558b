"""Starts that failed: what they failed at, and what the next one leaves out (safe mode).

Kept in a small file beside the state, written whole before and after each step of a start, so that
a process that is simply gone has failed, too. Three failures in a row at one part leave it out at
the fourth start; where the part is not known, or the next start fails again, one more is left out,
down to the built-in model and defaults. After an hour the whole is tried again, once.
This file knows no parameter and starts nothing.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lwlive import files

PARTS = (  # left out in this order; the last two say more exactly what belongs to others
    *("compiled package", "output", "model", "preset", "configuration"),
    *("cues", "network control"),
)
UNKNOWN = "start"  # where a process was gone before its first picture
IN_A_ROW = 3
AGAIN_S = 3600.0  # after so long in safe mode the whole is tried again
WELL_S = 5.0  # of pictures: a start that has not failed


@dataclass(frozen=True)
class Record:
    """What is known of the starts before."""

    failed: tuple[str, ...] = ()  # what each start since the last good one has failed at
    step: str = ""  # what the present one is at; "" where it went well
    without: tuple[str, ...] = ()  # what is left out
    since: float = 0.0  # seconds since 1970: when the first of these was left out
    doubted: tuple[str, ...] = ()  # what was left out before the whole was tried again
    why: Mapping[str, str] = field(default_factory=dict)  # by part, a sentence


class Starts:
    """The starts of one show, in a file. What cannot be written is not counted: a full disk is no
    reason to play less.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.time, note: "str | None" = None
    ) -> None:
        self._path, self._clock = path, clock
        self.record = _read(path)
        self.said: list[str] = []  # sentences for the log
        if self.record.step:  # the one before was gone in the midst of it
            self._count(self.record.step, note or "the process was gone before its first picture")
        self._choose()
        self._keep(replace(self.record, step=UNKNOWN))

    @property
    def without(self) -> tuple[str, ...]:
        """What this start leaves out."""
        return self.record.without

    def failed(self, part: str, why: str) -> None:
        """This start has failed at a part."""
        self._count(part, why)
        self._keep(replace(self.record, step=""))

    def well(self) -> None:
        """This start went well: pictures are shown. What is left out stays so for its hour."""
        self._keep(replace(self.record, failed=(), step="", doubted=()))

    def ended(self) -> None:
        """The show was ended in order, however early: it has not failed."""
        if self.record.step:
            self._keep(replace(self.record, failed=(), step=""))

    def not_tried(self) -> None:
        """Nothing has begun, such as where only help was asked for."""
        self._keep(replace(self.record, step=""))

    def over(self) -> bool:
        """Whether this show has played in safe mode for long enough: the whole is to be tried."""
        return bool(self.without) and not 0 <= self._clock() - self.record.since < AGAIN_S

    def _count(self, part: str, why: str) -> None:
        old = self.record
        why = f"{why:.300}"
        self.record = replace(
            old, failed=(*old.failed[-IN_A_ROW:], part), why={**old.why, part: why}, step=""
        )

    def _choose(self) -> None:
        """What this start leaves out, from how those before went."""
        old = self.record
        if self.over() and not old.failed:
            self.said.append("everything is tried again that was left out for an hour")
            self.record = replace(old, without=(), doubted=old.without)
        elif old.failed and old.doubted:
            self.said.append(f"that failed again, so {_joined(old.doubted)} stay left out")
            self.record = replace(
                old, without=old.doubted, doubted=(), failed=(), since=self._clock()
            )
        elif len(old.failed) >= IN_A_ROW or (old.failed and old.without):
            self._leave_out()

    def _leave_out(self) -> None:
        old = self.record
        last = old.failed[-IN_A_ROW:]
        part = last[-1]
        known = part in PARTS and part not in old.without
        if not known or (not old.without and set(last) != {part}):
            part = next((one for one in PARTS if one not in old.without), "")
        if not part:
            return
        why = old.why.get(last[-1], "")
        times = "again" if old.without else f"{len(last)} times in a row"
        self.said.append(
            f"the start failed {times} ({why}), so this one is without its {part}; the whole is "
            "tried again in an hour"
        )
        since = old.since if old.without else self._clock()
        self.record = replace(old, without=(*old.without, part), since=since)

    def _keep(self, record: Record) -> None:
        self.record = record
        with suppress(OSError):
            files.write(self._path, json.dumps(asdict(record)).encode())


def _joined(parts: tuple[str, ...]) -> str:
    return " and ".join(parts)


def _read(path: Path) -> Record:
    """The record in a file; an empty one where it is missing or damaged."""
    try:
        found = json.loads(path.read_bytes()[: 2**16])
        texts = {n: tuple(map(str, found[n])) for n in ("failed", "without", "doubted")}
        known = tuple(one for one in texts["without"] if one in PARTS)
        doubted = tuple(one for one in texts["doubted"] if one in PARTS)
        return Record(
            failed=texts["failed"][-IN_A_ROW:],
            step=str(found["step"]),
            without=known,
            since=float(found["since"]),
            doubted=doubted,
            why={str(part): str(why) for part, why in dict(found["why"]).items()},
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return Record()
