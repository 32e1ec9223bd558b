"""Who goes first where cores are short: showing, then sampling, then telling and sending.

A show's thread works half a millisecond a tick and has to do so in time; whoever else runs at that
moment can wait so long. The fair scheduler of Linux lets it wait instead, for up to tens of
milliseconds beside busy programs: it owes them time. So where the system grants it (to root, or by
a limit for `rtprio`), the thread is of the real-time class, which nobody but its like delays. What
it starts, threads and processes, is ordinary.

The others stand behind each other by steps of `nice`. Where the system grants it (to root, or by a
limit for `nice`), all of them go a bit ahead of other programs, so that sampling, the hungriest, is
the equal of those. This file does not know what anybody does.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SAMPLING, TELLING, SENDING = 2, 5, 5  # steps of `nice` behind the show's thread


@contextmanager
def first() -> Iterator[bool]:
    """Let the calling thread run as soon as it wakes. Yields False where that is not granted."""
    granted = False
    if sys.platform == "linux":
        with suppress(OSError):
            policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
            lowest = os.sched_get_priority_min(os.SCHED_RR)
            os.sched_setscheduler(0, policy, os.sched_param(lowest))
            granted = True
    try:
        yield granted
    finally:
        if granted and sys.platform == "linux":
            with suppress(OSError):  # only root may take the second flag back
                ordinary = os.SCHED_OTHER | os.SCHED_RESET_ON_FORK
                os.sched_setscheduler(0, ordinary, os.sched_param(0))


@contextmanager
def ahead() -> Iterator[bool]:
    """Let the calling thread and what it starts go so far ahead that sampling is not behind others.

    Yields False where that is not granted.
    """
    granted = False
    if hasattr(os, "setpriority"):
        before = os.getpriority(os.PRIO_PROCESS, 0)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, before - SAMPLING)
            granted = True
    try:
        yield granted
    finally:
        if granted:
            os.setpriority(os.PRIO_PROCESS, 0, before)


def behind(steps: int) -> None:
    """Let the calling process go behind others by so many steps, where the system knows that."""
    if hasattr(os, "nice"):
        os.nice(steps)
