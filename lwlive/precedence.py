"""Who goes first where cores are short: showing, then sampling, then telling and sending.

A show's thread works half a millisecond a tick and has to do so in time; whoever else runs at that
moment can wait so long. The fair scheduler of Linux lets it wait instead, for up to tens of
milliseconds beside busy programs: it owes them time. So where the system grants it (root, or a
limit for `rtprio`), the thread is of the real-time class, which nobody but its like delays.
Elsewhere it asks for short turns, which come sooner (Linux 6.12 and later). What it starts, threads
and processes, is ordinary. No torch here, and no knowledge of what anybody does.
"""

import ctypes
import os
import platform
import struct
import sys
from contextlib import suppress

SAMPLING, TELLING, SENDING = 2, 5, 5  # steps of `nice` behind the show's thread

_TURN_NS = 200_000  # of a thread that asks for short turns
_RESET_ON_FORK = 1
_CALLS = {"x86_64": 314, "aarch64": 274}  # the number of sched_setattr, by machine
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # struct sched_attr of sched_setattr(2)


def first() -> str:
    """Let the calling thread run as soon as it wakes. Returns how that is done, "" where not."""
    if sys.platform != "linux":
        return ""
    with suppress(OSError):
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
        return "real-time"
    return "short turns" if _short_turns() else ""


def behind(steps: int) -> None:
    """Let the calling process go behind others by so many steps, where the system knows that."""
    if hasattr(os, "nice"):
        os.nice(steps)


def _short_turns() -> bool:
    number = _CALLS.get(platform.machine())
    if number is None:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    told = _ATTRIBUTES.pack(
        _ATTRIBUTES.size, os.SCHED_OTHER, _RESET_ON_FORK, nice, 0, _TURN_NS, 0, 0
    )
    refused: int = ctypes.CDLL(None).syscall(number, 0, ctypes.create_string_buffer(told), 0)
    return not refused
