"""`lwlive cues`: a cue list, checked and printed as a cue sheet, before the doors open."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lwlive import cuelist
from lwlive.cli import flags
from lwlive.cuelist import Cue, CueList

ABOUT = "Check a cue list and its presets, and print it as a cue sheet."
WIDE = 36  # characters of what a cue sets


def main(args: Sequence[str]) -> None:
    """Do what follows `lwlive cues`. Raises ControlError."""
    given = flags.read("lwlive cues", ABOUT, {}, args, ["FILE"])
    found = cuelist.load(Path(given["file"]), Path("."), lambda told: print(told, file=sys.stderr))
    print(sheet(found))


def sheet(cues: CueList) -> str:
    """The list as aligned plain text."""
    table: list[tuple[str, ...]] = [("", "cue", "sets", "transition", "then", "at", "note")]
    table += [(str(number), *_row(cue)) for number, cue in enumerate(cues.cues, 1)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return "\n".join([*lines, *(["and from the first again"] if cues.loop else [])])


def _row(cue: Cue) -> tuple[str, ...]:
    others = [name for name in cue.values if name != "prompt"]
    sets = ", ".join([*([cue.values["prompt"]] if "prompt" in cue.values else []), *others])
    if cue.seconds is not None:
        over = f"{cue.seconds:g} s"
    elif cue.beats is not None:
        over = f"{cue.beats:g} beats"
    else:
        over = f"{cue.values['transition']:g} s" if "transition" in cue.values else "as it stands"
    then = ""
    if cue.follow is not None:
        then = f"{cue.follow:g} s"
    elif cue.follow_beats is not None:
        then = f"{cue.follow_beats:g} beats"
    at = f"{cue.at:%H:%M:%S}".removesuffix(":00") if cue.at is not None else ""
    sets = sets if len(sets) <= WIDE else f"{sets[: WIDE - 3]}..."
    return cue.name, sets, over, then, at, cue.note
