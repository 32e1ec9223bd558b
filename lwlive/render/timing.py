"""Timing: which frame number each keyframe has, and where between two of them a frame is.

Whole numbers throughout, so that counts are exact and every keyframe is hit by a frame of its own.
"""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from lwlive.render.settings import RenderError


def even(per: Fraction, frames: int) -> tuple[int, ...]:
    """Frame numbers of the keyframes of a walk without end, `per` frames from one to the next."""
    joints = [0]
    while joints[-1] < frames:
        joints.append(max(joints[-1] + 1, round(len(joints) * per)))
    return tuple(joints)


def chain(seconds: Sequence[float], fps: float, closed: bool) -> tuple[int, ...]:
    """Frame numbers of keyframes so many seconds apart: a film of exactly that length.

    Open, the last frame is the last keyframe; closed, the frame after the last is the first.
    Raises RenderError where a way is too short for a frame.
    """
    at, joints = Fraction(0), [0]
    for length in seconds:
        at += Fraction(length)
        joints.append(round(at * Fraction(fps)))
    if not closed:
        joints[-1] -= 1
    if any(b <= a for a, b in pairwise(joints)):
        raise RenderError(
            f"from one keyframe to the next there is less than a frame at {fps:g} frames/s; give "
            "more --seconds or more --fps"
        )
    return tuple(joints)


def place(joints: Sequence[int], frame: int) -> tuple[int, int, int]:
    """Where a frame is: its segment, the frames gone in it, and the frames that it has.

    The last joint is the end of the last segment.
    """
    segment = min(bisect_right(joints, frame) - 1, len(joints) - 2)
    return segment, frame - joints[segment], joints[segment + 1] - joints[segment]
