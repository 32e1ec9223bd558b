"""Routes of a render, where time is a frame's number over the frame rate and beat 0 is frame 0.

Plain arithmetic on what a preset says. This file knows nothing of torch.
"""

from collections.abc import Sequence
from math import floor

from lwlive.params import SPECS
from lwlive.render.settings import RenderError
from lwlive.routes import SILENCE, Band, Routes, offsets
from lwlive.tempo import Tempo

Bands = Sequence[tuple[float, ...]]

SHOWN = ("loop", "sync", "transition", "brightness", "fade")  # parameters that only a show moves


def kept(
    routes: Routes, pictures: bool, timed: bool, heard: bool = False
) -> tuple[Routes, list[str]]:
    """The routes that have a meaning in a render, and the names of the others' parameters.

    pictures: some keyframes are pictures, which have a trajectory for one number of steps alone;
    timed: something other than a speed tells when keyframes come; heard: there is sound for bands.
    """
    idle = {*SHOWN, *(["steps"] if pictures else []), *(["speed"] if timed else [])}
    left = tuple(
        r for r in routes if r.name not in idle and (heard or not isinstance(r.source, Band))
    )
    return left, list(dict.fromkeys(r.name for r in routes if r not in left))


def leads(routes: Routes) -> bool:
    """Whether the walk goes with a band of the sound."""
    return any(r.name == "speed" and isinstance(r.source, Band) for r in routes)


def tempo(bpm: float) -> Tempo:
    """The tempo of a render."""
    return Tempo(bpm)


def swung(
    routes: Routes,
    bpm: float,
    seed: int,
    rate: float,
    fps: float,
    frames: int,
    bands: Bands = (),
) -> tuple[tuple[int, ...], list[float]]:
    """The frame of each keyframe, and each frame's share of its way, where routes move the speed.

    rate: keyframes a second without them; bands: of each frame, if there is sound. Raises
    RenderError where a frame would pass several.
    """
    phases, phase = [0.0], 0.0
    while len(phases) < frames or phase < floor(phases[frames - 1]) + 1:
        by = 0.0
        if len(phases) < frames:  # further on, only to the end of the last way
            n = len(phases)
            heard = bands[n] if bands else SILENCE
            by = offsets(routes, n / fps, tempo(bpm), seed, heard).get("speed", 0.0)
        step = SPECS["speed"].moved(rate, by) / fps
        if step >= 1:
            raise RenderError("a route moves speed past a keyframe a frame; give more --fps")
        phase = round(phase + step, 9)
        phases.append(phase)
    joints = [0]
    for number, place in enumerate(phases):
        while place >= len(joints):
            joints.append(number)
    return tuple(joints), [place - floor(place) for place in phases[:frames]]
