"""`lwlive audio`: the inputs that there are, and a meter of what one of them hears.

In a terminal the meter is drawn over itself until Ctrl-C; elsewhere it is a line a second.
"""

import math
import sys
import threading
import time
from collections.abc import Sequence

from pydantic import BaseModel, Field

from lwlive.cli import flags
from lwlive.routes import BANDS
from lwlive.stage.sources.audio.capture import USUAL, Capture, inputs, matching
from lwlive.stage.sources.audio.listener import Listener

ABOUT = """List the audio inputs, and show what one of them hears: DEVICE, by its name or a part of
it, or the one that the system uses. What this machine plays is heard through a monitor."""
WIDE = 40  # characters of a full bar
OFTEN_S, SELDOM_S = 1 / 30, 1.0  # between two drawings, in a terminal and elsewhere


class Meter(BaseModel):
    """The flags."""

    seconds: float | None = Field(None, gt=0, description="end after so many seconds")


def main(args: Sequence[str]) -> int:
    """List and listen; returns the exit code. Raises ControlError."""
    rows = {"Meter": flags.of_model(Meter)}
    given = flags.read("lwlive audio", ABOUT, rows, args, ["[DEVICE]"])
    meter = flags.filled(Meter, given)
    known = inputs()
    print("Inputs, for --audio-in:" if known else "There are no audio inputs.")
    for one in known:
        print(f"  {one.name}")
    if "device" in given:
        matching(given["device"], known)
    drawn = sys.stdout.isatty()
    if not drawn and not given:  # a list, for a program
        return 0
    try:
        _listen(given.get("device", USUAL), meter.seconds or math.inf, drawn)
    except KeyboardInterrupt:
        print()
    return 0


def _listen(device: str, seconds: float, drawn: bool) -> None:
    listener, every_s = Listener(), OFTEN_S if drawn else SELDOM_S
    began = time.perf_counter()
    due, lines = began, 0
    notes: list[str] = []
    for block in Capture(device, notes.append).blocks(threading.Event()):
        now = time.perf_counter()
        if block is None:
            listener.rest(now)
        else:
            listener.hear(block)
        if now < due and not notes:
            continue
        due = max(now, due + every_s)
        if drawn and lines:
            print(f"\x1b[{lines}A\x1b[J", end="")
        while notes:
            print(notes.pop(0))
        shown = _bars(listener) if drawn else [_line(listener)]
        print("\n".join(shown), flush=True)
        lines = len(shown)
        if now - began >= seconds:
            return


def _bars(listener: Listener) -> list[str]:
    """The meter, a bar for each band."""
    fine = "block" if "utf" in (sys.stdout.encoding or "").lower() else "plain"
    named = zip(BANDS, listener.bands, strict=True)
    return [*(f"{name:>9} {bar(value, fine):<{WIDE}}" for name, value in named), _tempo(listener)]


def bar(value: float, kind: str = "block") -> str:
    """A value from 0 to 1 as a bar, in eighths of a character where the terminal has them."""
    if kind == "plain":
        return "#" * round(WIDE * value)
    whole, eighths = divmod(round(8 * WIDE * value), 8)
    return "\N{FULL BLOCK}" * whole + (chr(0x2590 - eighths) if eighths else "")


def _line(listener: Listener) -> str:
    named = zip(BANDS, listener.bands, strict=True)
    return ", ".join([*(f"{name} {value:.2f}" for name, value in named), _tempo(listener).strip()])


def _tempo(listener: Listener) -> str:
    if listener.tempo is None:
        return f"{'tempo':>9} not found yet"
    return f"{'tempo':>9} {listener.tempo.bpm:.1f} beats a minute"
