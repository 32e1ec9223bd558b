"""What the HUD says: plain data -> lines. They are painted by `panels.py`.

A line is cells parted by tabs. Two cells are a label and its text; three are a label, a number and
its unit, which may be empty. An empty line parts two groups. A line may end in a rail, on which a
mark moves where routes move the value (see `rail.py`). This file needs no pygame.
"""

import math
import textwrap
from collections.abc import Sequence

from lwlive.params import SPECS
from lwlive.routes import BANDS
from lwlive.stage.outputs.window import rail
from lwlive.stage.status import Status
from lwlive.tempo import BAR

UNKNOWN = "\N{EN DASH}"
METER = 24  # strokes of a full bar
TEXT_WIDTH = 46  # characters of a prompt before it is cut


def lines(status: Status) -> list[str]:
    """The HUD's lines: figures, then every live value with its unit."""
    stride = status.stride
    recording = status.parts.get("recording") if status.params.record else None
    rows = [
        _line("beat", _mark(status.beat)),
        _line("tempo by", status.tempo.by or "hand"),
        *_cues(status),
        _line("frames/s", (status.fps, round(status.fps_target, 2))),
        _line("sampled/s", status.fps_sampled),
        _line("late", status.late),
        _line("latency", status.latency_ms, "ms"),
        _line("replaced", status.replaced),
        _line("ring", status.queued),
        _line("in-betweens", _between(stride)),
        _line("engine", status.engine),
        _line("engine deaths", status.deaths),
        _line(
            "recording",
            f"{recording['frames']} frames" if recording and status.params.record else "off",
        ),
        *_midi(status),
        *(_line(name, _sent(status, name)) for name, on in status.outputs.items() if on),
        *_meter(status.bands),
        "",
    ]
    for name, spec in SPECS.items():
        value = getattr(status.params, name)
        shown = f"{value:.2f}" if spec.kind is float and value is not None else _shown(value)
        own = "model's own" if value is None else shown
        row = _cells(name, own, spec.unit, short=spec.kind is not str)
        moved = status.moved.get(name)
        rows.append(row if moved is None else row + rail.told(spec.position(value), moved))
    return rows


def _between(stride: int | None) -> str | None:
    """How many frames of how many are not sampled."""
    if stride is None:
        return None
    return "none" if stride == 1 else f"{stride - 1} of {stride}"


def _mark(beat: float) -> str:
    """Which beat of the bar it is: a dash is as wide as a digit, so that it moves evenly."""
    of_bar = math.floor(beat) % BAR
    return " ".join(str(n + 1) if n == of_bar else "\N{EN DASH}" for n in range(BAR))


def _midi(status: Status) -> list[str]:
    """What MIDI listens to, where it listens to anything."""
    ports = status.parts.get("midi", {}).get("ports", ())
    return [_line("MIDI", f"{len(ports)} port{'s' if len(ports) > 1 else ''}")] if ports else []


def _cues(status: Status) -> list[str]:
    """The cue that is on, and the one to come with its note: all of it, over several lines."""
    cue = status.cue
    if cue is None:
        return []
    on = UNKNOWN if cue.name is None else f"{cue.number} of {cue.count}: {cue.name}"
    to = UNKNOWN if cue.next_name is None else f"{cue.next_number}: {cue.next_name}"
    until = [] if cue.until_s is None else [_line("in", math.ceil(cue.until_s), "s")]
    notes = textwrap.wrap(cue.note, TEXT_WIDTH)
    told = [f"{'' if i else 'note'}\t{shortened(line)}" for i, line in enumerate(notes)]
    return [f"cue\t{shortened(on)}", f"next\t{shortened(to)}", *until, *told, ""]


def _sent(status: Status, name: str) -> str:
    """How an output for other programs is doing."""
    told = status.parts.get(name)
    return f"{told['sent']} sent" if told is not None and told["connected"] else "waiting"


def _meter(bands: Sequence[float] | None) -> list[str]:
    """The bands of the sound coming in as bars; no lines where nothing is listened to."""
    if bands is None:
        return []
    bars = ("|" * round(METER * value) or UNKNOWN for value in bands)
    return [
        _cells(f"sound {name}", bar, "", short=False) for name, bar in zip(BANDS, bars, strict=True)
    ]


def _line(label: str, value: object, unit: str = "") -> str:
    return _cells(label, _shown(value), unit, short=value is None or isinstance(value, int | float))


def _cells(label: str, value: str, unit: str, short: bool) -> str:
    """What is short goes into the column of numbers, with its unit; the rest is text."""
    short = short and len(value) <= 8
    return f"{label}\t{value}\t{unit}" if short else f"{label}\t{value} {unit}".rstrip()


def _shown(value: object) -> str:
    """A value in few letters; numbers keep about three digits."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"
    if isinstance(value, list | tuple):
        return shortened(" / ".join(_shown(one) for one in value))
    return shortened(str(value)) or UNKNOWN


def shortened(text: str, width: int = TEXT_WIDTH) -> str:
    """One line of at most `width` printable characters; what was cut shows as an ellipsis."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
