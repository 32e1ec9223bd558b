"""Which worker gets which tests: all are run once, and what plays never by the one that gives way.

The scheduler of conftest.py hands them to workers that run nothing.
"""

import random
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ASIDE, LONGEST, REAL_TIME, Files

PLAYING = [name for names in LONGEST[:3] for name in names.split()]
COMPUTING = ["test_film", "test_params", "test_walk"]


class Worker:
    """One as far as the scheduler knows it."""

    def __init__(self, name: str, scheduler: Files, tests: list[str]) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.given: list[int] = []
        self.ran: list[str] = []
        self._scheduler, self._tests = scheduler, tests

    def send_runtest_some(self, numbers: list[int]) -> None:
        assert not self.shutting_down
        self.given += numbers

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def ready(self) -> bool:
        """Whether it can run a test: it has to know the next one, or that there is none."""
        return len(self.given) > (0 if self.shutting_down else 1)

    def run(self) -> None:
        number = self.given.pop(0)
        self.ran.append(self._tests[number])
        self._scheduler.mark_test_complete(self, number)


@pytest.mark.parametrize("files", [PLAYING + COMPUTING, PLAYING, PLAYING[:1], COMPUTING])
@pytest.mark.parametrize("names", [["gw0"], ["gw0", "gw1"], ["gw0", "gw1", ASIDE]])
@pytest.mark.parametrize("each", [1, 5])
def test_every_test_is_run_once_and_what_plays_never_by_the_worker_that_gives_way(
    each: int, names: list[str], files: list[str]
) -> None:
    tests = [f"tests/{file}.py::test_{n}" for file in files for n in range(each)]
    option = SimpleNamespace(loadscopereorder=False)
    config: Any = SimpleNamespace(option=option, getvalue=lambda _: ["popen"] * len(names))
    log: Any = SimpleNamespace(loadscopesched=lambda *_: None)
    scheduler, rng = Files(config, log), random.Random(1)
    workers = [Worker(name, scheduler, tests) for name in names]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    while ready := [worker for worker in workers if worker.ready]:
        rng.choice(ready).run()
    assert sorted(test for worker in workers for test in worker.ran) == sorted(tests)
    assert scheduler.tests_finished
    assert all(worker.shutting_down for worker in workers)
    for test in workers[-1].ran if names[-1] == ASIDE else []:
        assert not any(f"/{name}.py" in test for name in REAL_TIME)
