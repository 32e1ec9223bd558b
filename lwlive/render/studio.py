"""The studio: a model opened for a render, and frames made with it.

The same in one process and on every machine of a cluster; it writes nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from lwlive.checkpoint import folder_of
from lwlive.engine.encoder import encoded
from lwlive.engine.model import Eager, Kind, Modules, load
from lwlive.engine.sampler import Held, Sampler
from lwlive.engine.schedule import ScheduleError, levels, named
from lwlive.render import picture
from lwlive.render.placing import Placed
from lwlive.render.plan import Levels, Places, Plan
from lwlive.render.settings import RenderError, Settings
from lwlive.ring import Pixels


class Studio:
    """Makes frames of one render, any of them, in any order. Raises RenderError, ModelError."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        render = settings.render
        kind = Kind(settings.precision, True)
        modules = load(folder_of(settings.model), settings.size, settings.device, kind)
        if render.tiled:
            modules.decoder.vae.enable_tiling()
        try:
            if render.scheduler is not None:
                modules = replace(modules, scheduler=named(render.scheduler, modules.scheduler))
            self.model = Eager(modules, settings.batch, render.eta)
            params = settings.live()
            assert params.steps is not None
            self.model.schedule(params.steps, 0)
        except (ScheduleError, ImportError) as error:
            raise RenderError(str(error)) from None
        except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
            name = render.scheduler or type(modules.scheduler).__name__
            raise RenderError(f"the scheduler {name} cannot be used here: {error}") from None
        self._levels: Levels = cache(lambda steps: levels(modules.scheduler, steps))
        self._still: tuple[Pixels, Pixels] | None = None  # picture and mask of an inpainting
        self.sampler = Sampler(self.model, self._held(modules))
        self.places = self._places(modules)

    def frames(self, numbers: Sequence[int]) -> list[Pixels]:
        """The pictures [H, W, 3] of so many frames, a batch at a time."""
        if isinstance(self.places, Plan) and self._budget:
            latents = torch.stack([self._placed(n) for n in numbers])
        else:
            latents = self.sampler.latents(self.places.walks(numbers))
        found = self.sampler.pixels(latents)
        if self._still is not None:
            below, mask = self._still
            found = [picture.merged(below, pixels, mask) for pixels in found]
        return found

    @property
    def _budget(self) -> int | None:
        return self.settings.render.budget

    def _placed(self, number: int) -> Tensor:
        """Clean latents of a frame between those sampled of its segment."""
        assert isinstance(self.places, Plan)
        i, fraction = self.places.segment(number)
        if self._segment is None or self._segment[0] != i:
            assert self._budget is not None
            self._segment = i, Placed(self.sampler, self.places.along(i), self._budget)
        return self._segment[1].latents(fraction)

    _segment: tuple[int, Placed] | None = None

    def _places(self, modules: Modules) -> Places:
        settings = self.settings
        if settings.render.journal is not None:
            from lwlive.render.replay import Replay

            return Replay(settings, self.sampler)
        files = {key.picture for key in settings.keys if key.picture is not None}
        pictures = {path: self._encoded(modules, path) for path in sorted(files)}
        shares: Sequence[float] = ()
        if settings.render.audio is not None:
            from lwlive.render.sound import shares as heard

            shares = heard(settings.render.audio, settings.joints, settings.render.fps)
        return Plan(settings, self.sampler, pictures, self._levels, shares)

    def _encoded(self, modules: Modules, path: Path) -> Tensor:
        return encoded(modules, picture.read(path, self.settings.size))

    def _held(self, modules: Modules) -> Held | None:
        """What an inpainting keeps: the picture where the mask is black."""
        render, size = self.settings.render, self.settings.size
        if render.mask is None:
            return None
        assert render.picture is not None
        below, mask = picture.read(render.picture, size), picture.read_mask(render.mask, size)
        self._still = below, mask
        clean = encoded(modules, below)
        walks = torch.from_numpy((mask > 0).copy()).float()[None, None].to(modules.device)
        walks = torch.nn.functional.adaptive_max_pool2d(walks, clean.shape[1:])[0]
        return Held(walks, clean, self._levels)
