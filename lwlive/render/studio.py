"""The studio: a model opened for a render, and frames made with it.

The same in one process and on every machine of a cluster; it writes nothing.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lwlive.engine.eager import Eager
from lwlive.engine.inpainting import Inpainting, grown, wants_mask
from lwlive.engine.latents import encoded
from lwlive.engine.load import Modules, load
from lwlive.engine.networks import Kind
from lwlive.engine.sampler import Held, Sampler
from lwlive.engine.schedule import levels
from lwlive.render import hearing, picture, routed
from lwlive.render.distance import distance
from lwlive.render.placing import Placed
from lwlive.render.plan import Levels, Plan
from lwlive.render.replay import Replay
from lwlive.render.settings import RenderError, Settings
from lwlive.ring import Pixels
from lwlive.stage.master import dimmed


def batches(missing: Sequence[int], size: int) -> Iterator[list[int]]:
    """The whole batches in which something is missing; always cut alike, so bytes are the same."""
    for start in sorted({n // size * size for n in missing}):
        yield list(range(start, start + size))


class Studio:
    """Makes frames of one render, any of them, in any order. Raises RenderError, ModelError."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        render = settings.render
        self._still = self._inpainted()
        kind = Kind(settings.precision, True)
        found = settings.opened()
        modules = load(found.folder, found.size, settings.device, kind, found.additions)
        if render.tiled:
            modules.decoder.vae.enable_tiling()
        try:
            self.model = self._opened(modules)
            params = settings.live()
            assert params.steps is not None
            if render.journal is None or "steps" in settings.overrides:  # a show took what there is
                self.model.schedule(params.steps, 0)
            self._levels: Levels = cache(lambda steps: levels(modules.scheduler, steps))
            if render.mask is not None or any(key.picture for key in settings.keys):
                self._levels(params.steps)
        except (ImportError, AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
            name = settings.scheduler or type(modules.scheduler).__name__
            raise RenderError(f"the scheduler {name} cannot be used here: {error}") from None
        self.sampler = Sampler(self.model, self._held(modules))
        self.places = self._places(modules)
        if render.distance is not None:
            self._distance = distance(render.distance, settings.device)

    def frames(self, numbers: Sequence[int]) -> list[Pixels]:
        """The pictures [H, W, 3] of so many frames, a batch at a time."""
        if isinstance(self.places, Plan) and self._budget:
            latents = torch.stack([self._placed(n) for n in numbers])
        else:
            latents = self.places.latents(numbers)
        found = self.sampler.pixels(latents)
        if self._still is not None:
            below, mask = self._still
            found = [picture.merged(below, pixels, mask) for pixels in found]
        if not isinstance(self.places, Plan):
            found = [dimmed(p, self.places.levels[n]) for n, p in zip(numbers, found, strict=True)]
        return found

    def files(self, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
        """The files of one batch of frames, those past the end left out.

        The last batch is filled up, so that a frame is the same whatever follows it.
        """
        render, last = self.settings.render, self.settings.frames - 1
        pictures = self.frames([min(n, last) for n in numbers])
        return [
            (n, picture.written(np.ascontiguousarray(pixels), render.format, render.quality))
            for n, pixels in zip(numbers, pictures, strict=True)
            if n <= last
        ]

    @property
    def _budget(self) -> int | None:
        return self.settings.render.budget

    def _placed(self, number: int) -> Tensor:
        """Clean latents of a frame between those sampled of its segment."""
        assert isinstance(self.places, Plan)
        i, fraction = self.places.segment(number)
        if self._segment is None or self._segment[0] != i:
            assert self._budget is not None
            self._segment = (
                i,
                Placed(self.sampler, self.places.along(i), self._budget, self._distance),
            )
        return self._segment[1].latents(fraction)

    _segment: tuple[int, Placed] | None = None

    def _places(self, modules: Modules) -> Plan | Replay:
        settings = self.settings
        if settings.render.journal is not None:
            return Replay(settings, self.sampler)
        files = {key.picture for key in settings.keys if key.picture is not None}
        pictures = {path: self._encoded(modules, path) for path in sorted(files)}
        shares: Sequence[float] = ()
        audio, fps = settings.render.audio, settings.render.fps
        bands: routed.Bands = ()
        if audio is not None and settings.moving:
            bands = hearing.bands(audio, fps, settings.frames)
        if settings.per is not None:
            params = settings.params
            of_walk = params["bpm"], params["seed"], fps / settings.per, fps, settings.frames
            _, shares = routed.swung(settings.moving, *of_walk, bands)
        elif audio is not None:
            from lwlive.render import drums

            shares = drums.shares(audio, settings.joints, fps)
        return Plan(settings, self.sampler, pictures, self._levels, shares, bands)

    def _encoded(self, modules: Modules, path: Path) -> Tensor:
        return encoded(modules, picture.read(path, self.settings.size))

    def _inpainted(self) -> tuple[Pixels, Pixels] | None:
        """Picture and mask of an inpainting."""
        render, size = self.settings.render, self.settings.size
        if render.mask is None or render.picture is None:
            return None
        return picture.read(render.picture, size), picture.read_mask(render.mask, size)

    def _opened(self, modules: Modules) -> Eager:
        batch, eta = self.settings.batch, self.settings.render.eta
        if not wants_mask(modules):
            return Eager(modules, batch, eta)
        width, height = self.settings.size
        below, mask = self._still or (
            np.zeros((height, width, 3), np.uint8),
            np.full((height, width), 255, np.uint8),
        )
        return Inpainting(modules, batch, eta, below, mask)

    def _held(self, modules: Modules) -> Held | None:
        """What an inpainting keeps, where the checkpoint knows of no masks."""
        if self._still is None or wants_mask(modules):
            return None
        below, mask = self._still
        return Held(grown(mask, modules), encoded(modules, below), self._levels)
