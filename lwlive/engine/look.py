"""The look of a frame: what of the controls cannot glide."""

from dataclasses import dataclass

from lwlive.params import Params


@dataclass(frozen=True)
class Look:
    """What cannot glide: pictures follow a new look at a limited rate, as a cross-fade does."""

    steps: int
    inherited: int  # steps taken over from the keyframes' trajectories


def look_of(params: Params) -> Look:
    """The look that the controls ask for. `steps` must be known by now."""
    assert params.steps is not None
    return Look(params.steps, int(params.depth * params.steps))
