"""Hearing: what a show would hear of a sound file when each of a render's frames is on screen.

The same features as those of the sound that comes into a show, but in step with the sound: no
device and no machine is in between. This file knows nothing of routes or torch.
"""

from functools import lru_cache
from pathlib import Path

from lwlive.render.sound import blocks
from lwlive.routes import SILENCE
from lwlive.stage.sources.audio.features import Features

RATE = 48_000  # as in a show


@lru_cache(maxsize=2)
def bands(path: Path, fps: float, frames: int) -> tuple[tuple[float, ...], ...]:
    """The bands halfway through each frame; silence behind the file's end. Raises RenderError."""
    features = Features(RATE)
    found: list[tuple[float, ...]] = []
    newest, hops = SILENCE, 0
    for block in blocks(path, RATE, 1, quiet=True):
        for heard in features.heard(block[0]):
            hops += 1
            newest = heard.bands
            while len(found) < frames and (len(found) + 0.5) / fps <= hops * features.hop_s:
                found.append(newest)
        if len(found) == frames:
            break
    return (*found, *[(*SILENCE[:-1], newest[-1])] * (frames - len(found)))
