"""The cluster: frames made by many workers of Ray, one to a GPU or to a few cores.

Frames of a known walk are independent, so workers share nothing: each opens the model once and
makes stretches of the walk, whole batches, cut as one machine would cut them. It continues where it
was as long as it can, since a segment's keyframes and pace are made by each worker that enters it.
One that dies is replaced and its stretch made again. Files that the settings name must lie at the
same paths on every machine.
"""

import logging
import math
import os
from collections.abc import Iterator, Sequence, Set
from typing import Any

from lwlive.extras import command
from lwlive.render.settings import RenderError, Settings
from lwlive.render.studio import Studio, batches

STRETCH = 4  # batches a worker makes at a time
CORES = 4  # to a worker, where there are no GPUs
TRIES = 4  # of one stretch


class Worker:
    """What runs on the cluster: a studio of its own, open as long as the render runs."""

    def __init__(self, settings: dict[str, Any], cores: int) -> None:
        import torch

        torch.set_num_threads(cores)
        self.settings = Settings(**settings)
        self._studio: Studio | None = None

    @property
    def studio(self) -> Studio:
        """Opened with the first frames, so that what is wrong with it is their error."""
        if self._studio is None:
            self._studio = Studio(self.settings)
        return self._studio

    def files(self, stretch: list[list[int]]) -> list[tuple[int, bytes]]:
        """The files of some batches of frames."""
        return [file for numbers in stretch for file in self.studio.files(numbers)]

    def pid(self) -> int:
        """The worker's process."""
        return os.getpid()


def made_by_many(settings: Settings, missing: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The missing frames' files in any order, made by the workers of a cluster."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
    except ImportError:
        raise RenderError(f"--ray needs Ray, which is not installed: {command('ray')}") from None
    address = None if settings.render.ray == "local" else settings.render.ray
    # its errors come as our own
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(address=address, include_dashboard=False, **quiet)
    except Exception as error:  # Ray raises plain ones, too
        where = "on this machine" if address is None else f"at {address}"
        raise RenderError(f"no Ray cluster answers {where}: {error}") from None
    try:
        cut = list(batches(missing, settings.batch))
        stretches = [cut[i : i + STRETCH] for i in range(0, len(cut), STRETCH)]
        wanted = set(missing)
        for files in _spread(ray, settings, stretches):
            yield from (file for file in files if file[0] in wanted)
    finally:
        ray.shutdown()


def _spread(
    ray: Any, settings: Settings, stretches: list[list[list[int]]]
) -> Iterator[list[tuple[int, bytes]]]:
    """Each stretch's files, as soon as a worker has made them."""
    have, gpus = ray.cluster_resources(), int(settings.device == "cuda")
    room = int(have.get("GPU", 0)) if gpus else math.ceil(have.get("CPU", 1) / CORES)
    count = min(settings.render.workers or max(1, room), len(stretches))
    cores = max(1, min(CORES, int(have.get("CPU", 1)) // count))
    remote = ray.remote(num_cpus=0 if gpus else cores, num_gpus=gpus)(Worker)
    values = settings.model_dump(mode="json")
    tries = dict.fromkeys(range(len(stretches)), TRIES)  # those waiting, and what is left to them
    busy: dict[Any, tuple[Any, int, int]] = {}
    idle = [(remote.remote(values, cores), -1) for _ in range(count)]
    while tries or busy:
        while tries and idle:
            worker, last = idle.pop()
            i = following(set(tries), last)
            busy[worker.files.remote(stretches[i])] = worker, i, tries.pop(i)
        done, _ = ray.wait(list(busy))
        worker, i, left = busy.pop(done[0])
        try:
            files = ray.get(done[0])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            if left == 1:
                raise RenderError(
                    f"frames from {stretches[i][0][0]} on have lost {TRIES} workers: {error}"
                ) from None
            tries[i] = left - 1
            idle.append((remote.remote(values, cores), i - 1))
        else:
            idle.append((worker, i))
            yield files


def following(waiting: Set[int], last: int) -> int:
    """The stretch to make after `last`: the next one, else from amid the longest run that waits."""
    if last + 1 in waiting:
        return last + 1
    numbers = sorted(waiting)
    starts = [n for n in numbers if n - 1 not in waiting]
    ends = [n for n in numbers if n + 1 not in waiting]
    first, end = max(zip(starts, ends, strict=True), key=lambda run: run[1] - run[0])
    return (first + end + 1) // 2
