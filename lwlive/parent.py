"""A child process that ends with the process that started it, however that ends.

On Linux the kernel sees to it, also while a library keeps Python's lock, as PyAV does for as long
as it waits for somebody to connect. Elsewhere a thread waits for the parent, and can do nothing
until such a library gives the lock back; that has not been tried on macOS and Windows.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import psutil

_PDEATHSIG = 1  # of Linux' prctl: the signal that a process gets when its parent ends


def end_with(parent: int) -> None:
    """From now on, end this process when `parent` ends, the process that has started it.

    On Linux the end of the thread that has started it is enough.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)
    else:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def first_of_all() -> Callable[[], None] | None:
    """What Popen's `preexec_fn` is, so that another program ends with the calling process.

    None where `end_with` ends such programs too.
    """
    return partial(end_with, os.getpid()) if sys.platform == "linux" else None


def _end_after(parent: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(parent).wait()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)
