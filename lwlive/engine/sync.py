"""Sync: how the walk comes to keyframes on the beat.

A phase-locked loop. The walk goes as fast as the tempo asks for, and a bit faster or slower in
proportion to how far from its beat it is, so that a jittering clock moves it by a few per cent and
nothing jumps. After a bend it is on the beat within two keyframes or so. Plain arithmetic.
"""

from lwlive.params import SPECS
from lwlive.snapshot import Snapshot
from lwlive.tempo import Tempo

GAIN = 4.0  # share of its rate by which a walk is faster, for each keyframe that it is late
MOST = 0.5  # share of its rate at most
EDGE = 0.4  # keyframes from which on it keeps to the way that it has taken to its beat
SLEW = 2.0  # a second, or of each keyframe: how soon the share changes


def beats(tempo: Tempo, wanted: float) -> float:
    """Beats from keyframe to keyframe: as wanted, doubled until the walk can go so fast."""
    while wanted * SPECS["speed"].high < tempo.bpm / 60:
        wanted *= 2
    return wanted


def rate(tempo: Tempo, every: float) -> float:
    """Keyframes a second of a walk that comes to one every so many beats."""
    return tempo.bpm / 60 / every


def steady(snapshot: Snapshot) -> float:
    """Keyframes a second that hands ask for, holding and routes aside."""
    if not snapshot.params.sync:
        return snapshot.params.speed
    return rate(snapshot.tempo, beats(snapshot.tempo, snapshot.params.sync))


def drift(early: float, before: float, cruise: float, seconds: float) -> float:
    """The share of its rate by which a walk is to be faster.

    early: keyframes by which it is before its beat, whole ones aside; before: the share so far;
    cruise: keyframes a second.
    """
    early = (early + 0.5) % 1 - 0.5
    if abs(early) > EDGE and early * before > 0:  # the other way round is nearer by now
        early -= 1 if early > 0 else -1
    wanted = max(-MOST, min(MOST, -GAIN * early))
    step = SLEW * max(1.0, cruise) * seconds
    return max(before - step, min(before + step, wanted))
