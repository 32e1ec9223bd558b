"""The model: what the sampler asks of a checkpoint, and what every kind of one answers to."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from lwlive.engine.keyframe import Cond
from lwlive.engine.schedule import Schedule
from lwlive.ring import Pixels


class Model(Protocol):
    """A checkpoint, ready to be asked. Eager or compiled, they all look like this."""

    name: str
    shape: tuple[int, int, int]  # latents [C, h, w]
    own: dict[str, Any]  # the model's own values of live parameters
    device: str
    dtype: str
    compiled: bool
    batch: int  # frames asked together go best in such numbers
    embeds_guidance: bool  # guidance is the last part of a conditioning, [B]
    notes: list[str]  # sentences for the person at the desk, not told yet

    @property
    def replaced(self) -> int:
        """Pictures with NaN in them, given as the last good one."""

    def encode(self, prompts: Sequence[str]) -> Cond:
        """Conditioning of n prompts, each tensor [n, ...]."""

    def denoise(self, x: Tensor, timestep: float, cond: Cond) -> Tensor:
        """Model output for scaled latents [B, C, H, W], float32, conditionings [B, ...]."""

    def decode(self, latents: Tensor) -> Pixels:
        """Pictures [n, 8H, 8W, 3] of clean latents [n, C, H, W], however many."""

    def schedule(self, steps: int, begin: int) -> Schedule:
        """The checkpoint's own schedule at so many steps, from step `begin` on."""
