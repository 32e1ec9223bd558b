"""The file of a journal: what its lines say, for whoever writes or reads one.

A line tells what took effect on a tick, counted from the first picture:

    {"lwlive": "0.1.0", "journal": 3, "config": {...}, "size": [256, 256]}    once, first
    {"tick": 0, "begin": 0.0, "at": 0, "turn": {...}, "nexts": 0, "params": {...}}    see below
    {"tick": 90, ..., "nexts": 0, "params": {"prompt": "smoke"}}  what differs from a line before
    {"tick": 91, ..., "tempo": {"bpm": 126.0, ...}, "routes": [...]}    the same
    {"tick": 97, "at": 2, "turn": {"joined": 2}}                  see below
    {"tick": 99, "repeat": 1}                                     so many ticks repeat a picture
    {"tick": 120, "master": {"blackout": true}}                   what the stage does by itself
    {"tick": 121, "level": 0.75}                                  its master, until null follows
    {"tick": 150, ..., "params": {...}, "over": {"speed": 8.0}}   see below
    {"tick": 4, "dtype": "float32"}                               what the engine computes in
    {"tick": 150}                                                 nothing, once a second

A walk begins at the phase that `begin` tells. Its frames are made in turns. `at` tells that the
frame shown is the one of this number, from 0, of a turn that begins after as many pictures as were
shown before those that it replaces; `turn` how it was made, as far as that differs from the turn
told before (`Turn`). Both are told wherever other controls take effect. A line without them belongs
to the turn of the frame before or, after its last frame, to another one made in the same way and
due right after it.

`over` has the seconds that parameters take to what they were set to, beside `params` for the walk
and beside `master` for the stage (`Snapshot.over`): all of them, and only where that differs from
what a line before has said.

A file cut short is good up to its last whole line.
"""

from dataclasses import replace

from lwlive.messages import Turn

FORMAT = 3  # of the lines; 1 told frames without their turns, 2 without when they were due
DUE_S = 1e-6  # what is due a microsecond apart is due together
MASTER = ("brightness", "blackout", "fade")  # parameters that the stage acts on by itself


def following(turn: Turn) -> Turn:
    """A turn made in the same way, due after the last frame of this one."""
    return replace(turn, due=turn.due + turn.frames * turn.every_s)


def alike(one: Turn, other: Turn) -> bool:
    """Whether two turns are made in the same way and due together."""
    return abs(one.due - other.due) <= DUE_S and replace(one, due=other.due) == other
