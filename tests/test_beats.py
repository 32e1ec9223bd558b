"""Beats read out of the recording of a real show: ember, headless, at 60 frames a second.

The program's own counters have no part in it. Black pictures, asked for at known moments, tell when
the recording's frames were shown; a render of the walk's keyframes tells what they look like. With
--bpm alone, beat 0 is at second 0 of the system's clock, which both processes have.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from test_engine import Running

from lwlive.checkpoint import folder_of
from lwlive.cli import render

pytestmark = pytest.mark.slow

FPS, BPM = 60.0, 126.0
SIDE = "128"  # pixels; smaller keyframes of ember look alike
BEAT_S, FRAME_S = 60 / BPM, 1 / FPS
BEATS = 34
NEAR = 0.3  # of the distance of two pictures, where they show the same
SEEN = 0.05  # of the way to another prompt's picture


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts shows of ember, and ends those that a test left running."""
    started: list[Running] = []

    def starting(*flags: str) -> Running:
        flags = ("--bpm", f"{BPM:g}", "--no-compile", "--fade", "0", *flags)
        movie = ("--fps", f"{FPS:g}", "--record", str(tmp_path / "show.mp4"))
        started.append(Running(folder_of("ember"), tmp_path / "cache", tmp_path, *movie, *flags))
        return started[-1]

    yield starting
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        running.client.close()


def wait(beat: float) -> float:
    """Until a beat. The moment at which it is over."""
    time.sleep(max(0.0, beat * BEAT_S - time.perf_counter()))
    return time.perf_counter()


def blink(running: Running) -> float:
    """A few black pictures. When they were asked for."""
    asked = time.perf_counter()
    running.send("blackout", 1)
    time.sleep(0.06)
    running.send("blackout", 0)
    return asked


def ended(running: Running, black_at: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The recorded pictures [n, H, W, 3], and when each was shown.

    A black one comes on the first tick after it was asked for, so the quickest of many tell.
    """
    with av.open(running.end()["recording"]["file"]) as source:
        frames = list(source.decode(video=0))
    recorded = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    times = np.array([frame.time for frame in frames], float)
    black = recorded.max((1, 2, 3)) < 40
    first = np.flatnonzero(black[1:] & ~black[:-1]) + 1
    assert len(first) == len(black_at)
    return recorded, times + np.median(np.sort(black_at - times[first])[-3:])


def keyframes(folder: Path, count: int) -> np.ndarray:
    """What the first keyframes of the walk look like, [count, H, W, 3]."""
    words = ["--model", str(folder_of("ember")), "--size", SIDE, "--folder", str(folder)]
    words += ["--name", "keyframes", "--format", "png", "--output", "frames", "--decoder", "tiny"]
    assert render.main([*words, "--num-steps", "1", "--max-frames", str(count)]) == 0
    files = sorted((folder / "keyframes").glob("*.png"))
    return np.stack([np.asarray(Image.open(path)) for path in files])


def test_keyframes_land_on_the_beat(show: Callable[..., Running], tmp_path: Path) -> None:
    running = show("--sync", "1", "--size", SIDE)
    running.playing()
    first = int(time.perf_counter() / BEAT_S) + 4
    black_at = []
    for beat in range(first, first + BEATS):
        wait(beat + 0.3)
        black_at.append(blink(running))
    recorded, times = ended(running, black_at)
    settled, end = (first + 4) * BEAT_S, (first + BEATS - 0.5) * BEAT_S
    lit = np.flatnonzero((recorded.max((1, 2, 3)) >= 40) & (times > settled) & (times < end))
    seen = recorded[lit][:, ::2, ::2].astype(np.int16)
    gaps = []
    for known in keyframes(tmp_path, BEATS + 60)[:, ::2, ::2].astype(np.int16):
        far = np.abs(seen - known).mean((1, 2, 3))
        if far.min() < NEAR * np.median(far):  # it was shown
            beat = times[lit[far.argmin()]] / BEAT_S
            gaps.append((beat - round(beat)) * BEAT_S / FRAME_S)
    print(f"{len(gaps)} keyframes, off their beats by {np.round(gaps, 1)} frames")
    assert len(gaps) >= BEATS - 7
    assert np.median(np.abs(gaps)) <= 1.0  # of a machine that may be busy with other things
    assert np.mean(np.abs(gaps) <= 2.0) >= 0.85


def test_a_prompt_sent_anywhere_in_a_bar_starts_on_the_next_one(
    show: Callable[..., Running],
) -> None:
    running = show("--quantise", "4", "--hold", "--transition", "0", "--steps", "1")
    running.playing()
    rng, black_at, sent = np.random.default_rng(6), [], []
    prompts = ["gold rings", "blue noodles", "red fire", "green dunes", "white lace"]
    first = int(time.perf_counter() / BEAT_S / 4) * 4 + 4
    for bar in range(first, first + 32, 4):
        wait(bar + 1.2)
        black_at.append(blink(running))
        sent.append(wait(bar + float(rng.uniform(1.5, 3.4))))
        running.send("prompt", prompts[bar // 4 % len(prompts)])
    wait(first + 35)
    recorded, times = ended(running, black_at)
    gaps, lit = [], recorded.max((1, 2, 3)) >= 40
    for at in sent:
        after = np.flatnonzero(lit & (times > at) & (times < at + 4 * BEAT_S))
        far = np.abs(recorded[after].astype(np.int16) - recorded[after[0]]).mean((1, 2, 3))
        found = after[np.flatnonzero(far > SEEN * far.max())[0]]
        due = np.ceil(at / (4 * BEAT_S)) * 4 * BEAT_S
        gaps.append((times[found] - due) / FRAME_S)
    print(f"first changes off their beats by {np.round(gaps, 2)} frames")
    assert abs(np.median(gaps)) <= 1.5
    assert np.mean(np.abs(gaps) <= 3.0) >= 0.7  # of a machine that may be busy with other things
