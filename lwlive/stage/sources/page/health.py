"""Health: whether pictures continue, in a line for monitoring, and figures for Prometheus.

Pure: times and figures in, text out. Nothing here tells what is shown.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

STILL_S = 3.0  # without a picture for so long, pictures do not continue
STANDBY_S = 60.0  # nor do they where the last seconds are played for so long

# name in Prometheus, kind, what it is; figures by these names come from the state
METRICS = {
    "fps": ("gauge", "Pictures shown in the last second."),
    "fps_target": ("gauge", "Pictures to be shown in a second."),
    "fps_sampled": ("gauge", "Pictures of the last second that went through the model."),
    "late": ("counter", "Ticks that had to repeat a picture."),
    "late_minute": ("gauge", "Those of them in the last minute."),
    "skipped": ("counter", "Late ticks that passed while the tick before still went on."),
    "replaced": ("counter", "Frames with NaN, shown as the last good one."),
    "deaths": ("counter", "How often the engine was lost."),
    "starts": ("counter", "How often an engine was started."),
    "latency_ms": ("gauge", "From the last control to its first picture, in milliseconds."),
    "since_start_s": ("gauge", "Age of the show, in seconds."),
    "restarts": ("gauge", "Shows since one that ended in order."),
    "memory_mb": ("gauge", "Memory of the show's processes, in MB."),
    "disk_free_mb": ("gauge", "What is left where recordings go, in MB."),
    "temperature_c": ("gauge", "Of the machine's warmest sensor, in degrees Celsius."),
    "phase": ("gauge", "Where the walk is, in keyframes."),
}
LINE = (  # of those, what /health has as well
    *("fps", "fps_target", "late", "late_minute", "deaths", "restarts", "since_start_s"),
    *("memory_mb", "disk_free_mb", "temperature_c"),
)


class Times(NamedTuple):
    """When the show last ticked, showed a picture and showed a new frame; -inf: never."""

    ticked: float
    picture: float
    frame: float


def trouble(times: Times, now: float) -> str | None:
    """Why pictures do not continue, as a sentence; None where they do."""
    if times.picture == float("-inf"):
        return "no picture has been shown yet"
    if now - times.ticked > STILL_S:
        return f"the show has stood still for {now - times.ticked:.0f} s"
    if now - times.picture > STILL_S:
        return f"no picture has been shown for {now - times.picture:.0f} s"
    if now - times.frame > STANDBY_S:
        return f"the model has made no picture for {now - times.frame:.0f} s"
    return None


def line(times: Times, state: Mapping[str, Any], now: float) -> tuple[int, str]:
    """The status of /health, 200 or 503, and its line of JSON."""
    why = trouble(times, now)
    age = now - times.picture
    told = {
        "ok": why is None,
        "trouble": why,
        "picture_age_s": round(age, 3) if age < float("inf") else None,
        **{name: state.get(name) for name in ("engine", *LINE)},
    }
    return (200 if why is None else 503), json.dumps(told)


def metrics(times: Times, state: Mapping[str, Any], now: float) -> str:
    """The figures in Prometheus' text format."""
    lines = [
        "# HELP lwlive_up Whether pictures continue.",
        "# TYPE lwlive_up gauge",
        f"lwlive_up {int(trouble(times, now) is None)}",
    ]
    for name, (kind, about) in METRICS.items():
        value = state.get(name)
        if isinstance(value, int | float):
            full = f"lwlive_{name}" + ("_total" if kind == "counter" else "")
            lines += [f"# HELP {full} {about}", f"# TYPE {full} {kind}", f"{full} {value}"]
    return "\n".join(lines) + "\n"
