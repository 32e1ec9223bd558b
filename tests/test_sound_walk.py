"""From a sound to the walk: clicks found again in the recording of a real show of ember.

The walk stands still but for a route that moves `speed` with each hit, so the first picture that
differs from the one before it is the engine's answer. When the pictures were shown is told by black
ones, asked for at known moments; the program's own counters have no part in it.

The test leaves room for a busy machine. By hand, on a quiet one, at full size and with what is
compiled already: `.venv/bin/python tests/test_sound_walk.py CACHE SIZE SECONDS`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from soundrig import SoundRig, sound_rig
from test_beats import ended
from test_engine import Running

from lwlive.checkpoint import folder_of

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
GAPS_S = ("0.7307", "0.8613")  # after which the walk stands still again
MOVED = 0.5  # grey levels, on the average, by which a picture differs from one that stood still
PRESET = """prompt = "gold rings on black"
speed = 0.0
[[routes]]
parameter = "speed"
amount = 0.9
band = "onset"
"""


def measured(
    rig: SoundRig, folder: Path, cache: Path, seconds: float, *flags: str
) -> tuple[np.ndarray, int, dict[str, float]]:
    """Seconds from each click to its picture; how many clicks there were; the show's figures."""
    rig.plug("rig")
    (folder / "hits.toml").write_text(PRESET)
    movie, preset = str(folder / "show.mp4"), str(folder / "hits.toml")
    sound = ("--audio-in", "rig", "--no-audio-tempo", "--preset", preset)
    common = ("--fps", "30", "--fade", "0", "--record", movie, "--no-midi")
    show = Running(folder_of("ember"), cache, folder, *sound, *common, *flags)
    try:
        show.playing()
        time.sleep(3)
        black = [shut(show) for _ in range(10)]
        player = subprocess.run(
            ["pw-jack", sys.executable, str(HERE / "clicks.py"), "rig", f"{seconds:g}", *GAPS_S],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        black += [shut(show) for _ in range(10)]
        recorded, times = ended(show, black)
    finally:
        if show.process.poll() is None:
            show.process.kill()
            show.process.wait()
        show.client.close()
    clicks = [float(line) for line in player.stdout.split()]
    step = np.array([np.abs(a.astype(np.int16) - b).mean() for a, b in pairwise(recorded)])
    at, found = times[1:], []
    for click in clicks[1:]:
        if click > times[-1] - 1:
            continue
        still = step[(at > click - 0.2) & (at < click)]
        after = at[(at > click) & (at < click + 0.6) & (step > still.max(initial=0.0) + MOVED)]
        if len(after):
            found.append(after[0] - click)
    return np.array(found), len(clicks) - 1, json.loads(show.stats.read_text())


def shut(show: Running) -> float:
    """Black for a few pictures, at any moment of a tick."""
    time.sleep(0.3 + 0.0037 * (time.perf_counter_ns() % 10))
    asked = time.perf_counter()
    show.send("blackout", 1)
    time.sleep(0.15)
    show.send("blackout", 0)
    return asked


def test_a_hit_is_seen_in_the_walk_within_a_few_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """From the moment the sink had it, at 30 frames a second."""
    with sound_rig() as system:
        for name, value in system.env.items():
            monkeypatch.setenv(name, value)
        delays, count, _ = measured(system, tmp_path, tmp_path / "cache", 12, "--no-compile")
    record_property("click to walk, ms", np.percentile(delays, [5, 50, 95]) * 1e3)
    assert count > 12
    assert len(delays) >= 0.8 * count
    assert np.percentile(delays, 10) > 0.01  # no picture knows of a hit beforehand
    assert np.median(delays) < 0.2


if __name__ == "__main__":
    with sound_rig() as system:
        os.environ.update(system.env)
        cache, size, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
        delays, count, figures = measured(
            system, Path(tempfile.mkdtemp()), cache, seconds, "--size", size
        )
    told = {name: value for name, value in figures.items() if not isinstance(value, dict | list)}
    print(told, "load", os.getloadavg()[0])
    print(f"{len(delays)} of {count} clicks seen; ms, 5th, 50th, 95th percentile:")
    print(np.percentile(delays * 1e3, [5, 50, 95]).round(1))
