"""Slew: how fast pictures may change while the walk is steered.

A model answers a steady change of prompt, look or guidance with sudden ones: several steps can tip
a whole region from one frame to the next. So while anything is on its way to what the controls ask
for, the clean latents follow at a limited rate, as a slew-rate limiter lets a voltage follow, and
pictures that would jump are passed through. Where nothing is steered, nothing is limited. This
file holds no state: the frame before is passed in.
"""

import torch
from torch import Tensor

from lwlive.engine.glide import EASE_S
from lwlive.engine.place import LOOK_S
from lwlive.engine.walk import Walk

APART = 1.4  # distance of two pictures that have nothing in common, in deviations of the latents
WINDING = 1.5  # how much longer the way from keyframe to keyframe is
MOST_LOOK_S = 4.0  # a new look arrives as a prompt does, but takes no longer than that
SLACK = 1.1  # times the rate at which a transition and the walk get there in time


def most(walk: Walk, seconds: float) -> float:
    """How far a frame may be from the one so many seconds before it: RMS over all latents."""
    transition = max(walk.transition, EASE_S)
    if walk.looked_s < walk.look_s:  # a cue may give a look the time of its own transition
        look = walk.look_s if walk.look_s > LOOK_S else min(transition, MOST_LOOK_S)
        transition = look if walk.arrived >= 1 else min(transition, look)
    return SLACK * APART * (1 / transition + WINDING * walk.rate) * seconds


def eased(before: Tensor, after: Tensor, far: float) -> Tensor:
    """`after`, or the place so far on the way to it from `before`.

    before, after: clean latents [C, H, W]. What is not finite is left as it is.
    """
    distance = (after - before).square().mean().sqrt()
    near = torch.lerp(before, after, far / distance)
    return torch.where(distance > far, near, after)  # a comparison with NaN is false
