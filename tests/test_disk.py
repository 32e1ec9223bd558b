"""The disk's laws: no job holds up the show's thread, whatever the disk does; nothing is lost."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lwlive.params import ControlError
from lwlive.stage.disk import MOST, SLOW_S, Disk


class Heard:
    """What a disk has said and given."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done: list[object] = []
        self.failed: list[str] = []
        self.disk = Disk(self.said.append)

    def do(self, job: Callable[[], object]) -> None:
        self.disk.do("reading x", job, self.done.append, self.failed.append)

    def wait(self, results: int) -> None:
        until = time.monotonic() + 60
        while len(self.done) + len(self.failed) < results:
            assert time.monotonic() < until
            self.disk.poll(1.0)
            time.sleep(0.001)


def test_a_job_runs_in_another_thread_and_its_result_comes_in_this_one() -> None:
    heard, threads = Heard(), []

    def job() -> int:
        threads.append(threading.current_thread())
        time.sleep(0.01)
        return 7

    heard.do(job)
    heard.wait(1)
    assert heard.done == [7]
    assert threads[0] is not threading.current_thread()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ControlError("there is no preset 'x'"), "there is no preset 'x'"),
        (OSError(5, "Input/output error", "/media/stick"), "x: /media/stick Input/output error"),
        (MemoryError(), "reading x: MemoryError"),
    ],
)
def test_what_a_job_raises_is_a_sentence(error: Exception, told: str) -> None:
    heard = Heard()

    def job() -> None:
        raise error

    heard.do(job)
    heard.wait(1)
    assert told in heard.failed[0]


def test_a_job_that_hangs_is_told_of_once_and_the_others_go_past_it() -> None:
    heard, go = Heard(), threading.Event()
    heard.do(lambda: go.wait(60))
    heard.do(lambda: "quick")
    heard.wait(1)
    begun = time.thread_time()
    for tick in range(300):
        heard.disk.poll(2.0 + tick / 30)
    assert time.thread_time() - begun < 1
    assert heard.done == ["quick"]
    assert len(heard.said) == 1
    assert f"has not answered for {SLOW_S:.0f} s" in heard.said[0]
    go.set()
    heard.wait(2)
    assert heard.done == ["quick", True]


def test_so_many_wait_for_a_disk_that_hangs_and_no_more() -> None:
    heard, go = Heard(), threading.Event()
    for _ in range(MOST):
        heard.do(lambda: go.wait(60))
    with pytest.raises(ControlError, match="the disk does not answer"):
        heard.do(lambda: None)
    go.set()
    heard.wait(MOST)
    heard.do(lambda: None)
    heard.wait(MOST + 1)


def test_without_a_thread_to_be_had_a_job_is_refused_and_the_next_one_runs() -> None:
    def start(run: Callable[[], None]) -> None:
        if refuses:
            raise RuntimeError("can't start new thread")
        run()

    said: list[str] = []
    refuses, done = True, list[Any]()
    disk = Disk(said.append, start)
    for _ in range(20):
        with pytest.raises(ControlError, match="the preset: can't start new thread; try again"):
            disk.do("the preset", lambda: 1, done.append, said.append)
    refuses = False
    disk.do("the preset", lambda: 2, done.append, said.append)
    disk.poll(0.0)
    assert (done, said) == ([2], [])
