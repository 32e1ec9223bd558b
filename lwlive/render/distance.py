"""Distances: how different two pictures look, so that pictures are sampled where most changes.

`lpips` (Zhang 2018) compares what a network sees, which comes nearest to people's judgement; it is
an extra and fetches its network once. `pyramid` asks no network: it compares pictures at several
sizes, so that a moved edge, a new thing and a new light count alike.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from lwlive.extras import command
from lwlive.render.settings import Measure, RenderError
from lwlive.ring import Pixels

Distance = Callable[[Pixels, Pixels], float]  # two pictures [H, W, 3] -> 0 or more

SIZES = 5


def preferred() -> Measure:
    """The measure where none is chosen: LPIPS where it is installed."""
    return "lpips" if find_spec("lpips") else "pyramid"


def distance(measure: Measure, device: str) -> Distance:
    """The distance of this name. Raises RenderError where it is not there."""
    return pyramid if measure == "pyramid" else _lpips(device)


def pyramid(a: Pixels, b: Pixels) -> float:
    """RMS of the difference of two pictures, summed over sizes from whole to a sixteenth."""
    gap: npt.NDArray[np.float32] = a.astype(np.float32) - b.astype(np.float32)
    total = 0.0
    for _ in range(SIZES):
        total += float(np.sqrt(np.mean(gap**2)))
        h, w = gap.shape[0] // 2 * 2, gap.shape[1] // 2 * 2
        if min(h, w) < 2:
            break
        gap = gap[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean((1, 3))
    return total


def _lpips(device: str) -> Distance:
    """LPIPS with AlexNet, as latent blending has it."""
    import torch

    try:
        from lpips import LPIPS

        network: Any = LPIPS(net="alex", verbose=False).to(device).eval()
    except ImportError as error:
        raise RenderError(
            f"--distance lpips cannot be used here ({error}): {command('lpips')}"
        ) from None
    except (OSError, RuntimeError) as error:
        raise RenderError(
            f"the network of LPIPS cannot be loaded ({error}): connect this machine once, or give "
            "--distance pyramid"
        ) from None

    def tensor(picture: Pixels) -> torch.Tensor:
        whole = torch.from_numpy(np.ascontiguousarray(picture)).to(device)
        return whole.permute(2, 0, 1)[None].float() / 127.5 - 1

    @torch.inference_mode()
    def seen(a: Pixels, b: Pixels) -> float:
        return float(network(tensor(a), tensor(b)))

    return seen
