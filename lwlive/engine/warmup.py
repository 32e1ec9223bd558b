"""Warm-up: a model's first uses, which take longer than later ones, one at a time.

Code is loaded, kernels are chosen and graphs recorded when a function is first called with inputs
of a shape. This file knows no rings or clocks; whoever has time to spare takes the next one.
"""

from collections.abc import Iterator
from contextlib import suppress

from torch import Tensor

from lwlive.engine.model import Model
from lwlive.engine.schedule import MOST_STEPS, ScheduleError
from lwlive.engine.walk import Walk


def first_uses(model: Model, walk: Walk, latents: Tensor) -> Iterator[None]:
    """Use a model in every way that the controls can ask for; each turn is one use.

    walk and latents [C, H, W] are those of a picture that was shown. Any number of steps is the
    same function with another schedule, and guidance above 1 asks that function a second time.
    """
    for steps in range(1, MOST_STEPS + 1):
        for begin in range(steps):
            with suppress(ScheduleError):  # a number of steps that is refused when it is asked for
                model.schedule(steps, begin)
            yield
    wanted = [part[:1] for part in walk.cond()]
    if model.embeds_guidance:
        wanted.append(latents.new_ones(1))
    for rows in range(model.batch, 0, -1):
        x = latents.expand(rows, *latents.shape)
        model.denoise(x, 500.0, tuple(part.expand(rows, *part.shape[1:]) for part in wanted))
        yield
        model.decode(x)
        yield
    for prompts in ([""], ["", ""]):
        model.encode(prompts)
        yield
