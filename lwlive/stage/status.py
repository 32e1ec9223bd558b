"""Status: every figure and value of a show at one tick, once, for whoever shows or tells it.

The HUD, OSC subscribers and the statistics file read it, and whatever else reports. It is plain
data; this file knows nothing of who reads it.
"""

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from lwlive import __version__
from lwlive.checkpoint import Size
from lwlive.params import Params
from lwlive.routes import ROUTES, Routes, table
from lwlive.stage.cues import Standing
from lwlive.stage.figures import Figures
from lwlive.stage.machine import Look
from lwlive.stage.supply import Supply
from lwlive.tempo import UNTOLD, Tempo


@dataclass(frozen=True)
class Status:
    """How things stand at one tick."""

    params: Params
    model: str
    now: float  # seconds of the show's clock
    since_start_s: float
    level: float  # of the master, 0 to 1
    notice: str | None  # the sentence that is up at present
    pictures: bool  # whether there has been one yet
    fps_target: float
    fps: int  # pictures shown in the last second
    fps_sampled: int  # of those, the ones that went through the model
    late: int
    latency_ms: float | None  # from the last control to the first picture made with it
    replaced: int  # frames that were not shown, since their values were NaN
    queued: int  # frames ready in the ring
    stride: int | None  # every how many frames one is sampled
    engine: str  # in a few words
    doing: str  # what it is busy with before its first frame
    trouble: str  # what the last one was lost to
    starts: int
    deaths: int
    phase: float
    dtype: str | None  # what the engine computes in
    parts: Mapping[str, Mapping[str, Any]]  # what sources and outputs say of themselves, by name
    tempo: Tempo = UNTOLD
    routes: Routes = ()
    # for other programs, and which of them are on
    outputs: Mapping[str, bool] = field(default_factory=dict)
    snapshots: int = 0  # how often one was asked for
    bands: tuple[float, ...] | None = None  # of the sound coming in, None where none does
    over: Mapping[str, float] = field(default_factory=dict)  # see `Snapshot`
    moved: Mapping[str, float] = field(
        default_factory=dict
    )  # where routes have a fader now, by name
    learning: str | None = None  # what the next control that moves is bound to: see Learn
    preset: tuple[str | int, ...] = ()  # taken up last: its name, and as it was asked for
    cue: Standing | None = None  # of the cue list, where there is one
    late_minute: int = 0  # of `late`, those of the last minute
    skipped: int = 0  # of `late`, ticks that passed while the one before still went on
    restarts: int = 0  # of the stage, since a show that ended in order
    machine: Look = field(default_factory=Look)  # memory, disk and temperature

    @property
    def beat(self) -> float:
        """The beat of this tick, with its fraction."""
        return self.tempo.beats(self.now)

    @classmethod
    def taken(
        cls,
        params: Params,
        model: str,
        figures: Figures,
        supply: Supply,
        parts: Mapping[str, Mapping[str, Any]],
        **now: Any,
    ) -> Self:
        """From those who keep the figures. `now`: the fields that the show itself knows."""
        running = supply.host.running
        return cls(
            params=params,
            model=model,
            fps_target=figures.fps,
            fps=figures.fps_shown,
            fps_sampled=figures.fps_sampled,
            late=figures.late,
            late_minute=figures.late_minute,
            skipped=figures.skipped,
            latency_ms=figures.latency_ms,
            replaced=supply.host.replaced,
            queued=supply.host.queued,
            stride=running.stride if running else None,
            engine=supply.host.state,
            doing=supply.host.doing,
            trouble=supply.host.trouble,
            starts=supply.host.starts,
            deaths=supply.host.deaths,
            phase=supply.host.phase,
            dtype=running.dtype if running else None,
            parts=parts,
            **now,
        )

    def values(self) -> dict[str, object]:
        """What subscribers get, by name: every parameter, and a few figures."""
        return asdict(self.params) | {
            "fps": self.fps,
            "late": self.late,
            "latency_ms": self.latency_ms,
            "engine": self.engine,
            "deaths": self.deaths,  # a level: however short, none goes unseen
            "phase": self.phase,
            "replaced": self.replaced,
            "beat": math.floor(self.beat),
            "tempo": self.tempo.by or "hand",
            **({} if self.cue is None else _cues(self.cue)),
            **{f"output/{name}": on for name, on in self.outputs.items()},
            **self._routed(),
            "uptime": int(self.since_start_s),
            "restarts": self.restarts,
            "late_minute": self.late_minute,
            "memory_mb": self.machine.memory_mb,
            "disk_free_mb": self.machine.disk_free_mb,
            "temperature_c": self.machine.temperature_c,
        }

    def _routed(self) -> dict[str, object]:
        """The routes as their addresses have them; a number without one has no parameter."""
        found: dict[str, object] = {f"route/{n}/parameter": "" for n in range(1, ROUTES + 1)}
        for route in self.routes:
            found |= {f"route/{route.number}/{key}": v for key, v in table(route).items()}
        return found


def _cues(cue: Standing) -> dict[str, object]:
    """What subscribers get of a cue list."""
    until = -1 if cue.until_s is None else round(cue.until_s)
    return {
        "cue": cue.name or "",
        "cue_next": cue.next_name or "",
        "cue_note": cue.note,
        "cue_until": until,
    }


def statistics(
    status: Status,
    size: Size,
    figures: Figures,
    supply: Supply,
    rss_mb: tuple[float | None, float | None],
) -> dict[str, Any]:
    """The figures of the whole run, as the statistics file has them.

    status: at the end; figures and supply tell what only this file has. rss_mb: memory after a
    second, and at the end.
    """
    running, loaded = supply.host.running, supply.host.loaded
    return {
        "version": __version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "model": loaded.model if loaded else status.model,
        "device": running.device if running else None,
        "dtype": status.dtype,
        "size": str(size),
        "batch": running.batch if running else None,
        "compiled": running.compiled if running else None,
        "stride": status.stride,
        **figures.summary(),
        "replaced": status.replaced,
        "osc": None,
        "recording": None,
        **status.parts,
        "engine": {"starts": status.starts, "deaths": status.deaths},
        "restarts": status.restarts,
        "rss_mb_start": rss_mb[0],
        "rss_mb_end": rss_mb[1],
    }


def write_statistics(path: Path, found: Mapping[str, Any]) -> None:
    """Write the statistics file. Raises OSError."""
    path.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
