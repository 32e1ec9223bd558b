"""Precedence: the show's thread goes first, and whatever it starts is ordinary."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it changes nothing")

# prints what `first` did and the policies of this thread, a thread and a process begun after it
TRIED = """
import os, subprocess, sys, threading
def refuse(*_):
    raise PermissionError(1, "Operation not permitted")
if sys.argv[1] == "somebody without rights":
    os.sched_setscheduler = refuse
from lwlive.precedence import behind, first
def kind():
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
with first() as granted:
    print(granted)
    kinds = [kind()]
    thread = threading.Thread(target=lambda: kinds.append(kind()))
    thread.start()
    thread.join()
    asked = "import os; print(os.sched_getscheduler(0))"
    kinds.append(int(subprocess.run([sys.executable, "-c", asked], capture_output=True).stdout))
kinds.append(kind())
print(*kinds)
behind(3)
print(os.nice(0))
"""

# prints what `ahead` did, and where this thread and the engine stand in it, and this thread later
LED = """
import os, sys
def refuse(*_):
    raise PermissionError(13, "Permission denied")
if sys.argv[1] == "somebody without rights":
    os.setpriority = refuse
from lwlive.precedence import SAMPLING, ahead, behind
with ahead() as granted:
    print(granted, os.nice(0), os.nice(SAMPLING))
    os.nice(-SAMPLING) if granted else None
print(os.nice(0))
"""


@pytest.mark.parametrize("who", ["whoever runs the tests", "somebody without rights"])
def test_a_show_goes_first_as_far_as_it_may_and_what_it_starts_is_ordinary(who: str) -> None:
    nice = os.nice(0)
    command = [sys.executable, "-c", TRIED, who]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    how, kinds, behind = made.stdout.splitlines()
    own, *started = map(int, kinds.split())
    assert started == [os.SCHED_OTHER] * 3  # and so is the thread itself, afterwards
    assert int(behind) == min(19, nice + 3)
    assert own == (os.SCHED_RR if how == "True" else os.SCHED_OTHER)
    if who == "somebody without rights":
        assert how == "False"


@pytest.mark.parametrize("who", ["whoever runs the tests", "somebody without rights"])
def test_sampling_is_the_equal_of_other_programs_where_that_is_granted(who: str) -> None:
    nice = os.nice(0)
    command = [sys.executable, "-c", LED, who]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    within, after = made.stdout.splitlines()
    how, own, engine = within.split()
    if how == "True" and nice < 17:
        assert (int(own), int(engine), int(after)) == (nice - 2, nice, nice)
    if who == "somebody without rights":
        assert (how, int(own), int(engine)) == ("False", nice, min(19, nice + 2))
