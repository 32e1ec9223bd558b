"""The engine's process: snapshots come down the pipe, frames go up through the ring.

The main thread reads the pipe, may wait for it, and says what it has read; when the stage is gone
the pipe ends, and so does this process, immediately and whatever the other thread is doing. The
producer thread makes every torch call. The newest snapshot is one attribute, swapped whole by main
and read by the producer; threads send one at a time, under a lock.
While a model is loaded or measured, a third thread tells that there is work at it (heartbeat.py).
"""

import contextlib
import math
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lwlive.checkpoint import ModelError, Opened
from lwlive.config import Config
from lwlive.engine.governor import FULL_LOAD, SPARING_LOAD
from lwlive.engine.heartbeat import Alive
from lwlive.messages import Begin, Doing, Failed, Heard, Loaded, Note
from lwlive.precedence import SAMPLING, behind
from lwlive.ring import Ring, RingHandle
from lwlive.snapshot import Snapshot

if TYPE_CHECKING:
    from lwlive.engine.compiled.build import Build
    from lwlive.engine.compiled.child import Builder
    from lwlive.engine.model import Model
    from lwlive.engine.producer import Producer

IDLE_S = 0.002  # pause of the producer with nothing to do
REPORT_S = 1.0  # how often the stage learns the costs
NEVER = math.inf  # when nothing is to be compiled any more
MOST_FAULTS = 2  # engines that crashed in compiled code, until it is given up for a day


@dataclass(frozen=True)
class Order:
    """What the stage asks of a new engine."""

    config: Config
    opened: Opened
    ring: RingHandle
    snapshot: Snapshot
    begin: Begin

    @property
    def waiting(self) -> bool:
        """Whether pictures were shown before: a room waits, so nothing is measured."""
        return self.begin.since is not None


def run(order: Order, pipe: "Connection[Any, Any]") -> None:
    """Entry of the spawned child. Ends when the stage says so, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the stage's to answer
    behind(SAMPLING)
    try:
        engine = Engine(order, pipe)
    except FileNotFoundError:  # the stage is gone already, and its ring
        return
    threading.Thread(target=engine.work, name="producer", daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while (message := pipe.recv()) is not None:
            engine.newest = message
            engine.tell(Heard(message.version))
    engine.tidy()
    os._exit(0)  # a thread deep in a compiled call cannot be joined; the builder ends by itself


class Engine:
    """What the producer thread does from start to end. Raises FileNotFoundError."""

    def __init__(self, order: Order, pipe: "Connection[Any, Any]") -> None:
        self.order, self.pipe = order, pipe
        self.ring = Ring.attach(order.ring)  # first of all: its name is not needed any more
        self.newest = order.snapshot
        self._sending = threading.Lock()
        self._builder: Builder | None = None
        self._watches_at = NEVER  # when old traces of crashes are looked for again
        self._compiles_at = 0.0 if order.config.compile else NEVER

    def tell(self, message: object) -> None:
        """Say something to the stage. Any thread may."""
        with self._sending:
            self.pipe.send(message)

    def work(self) -> None:
        """The producer thread, whole. The stage hears what goes wrong, which ends the child."""
        try:
            self._work()
        except Exception as error:
            lasting = isinstance(error, ModelError | ImportError)
            text = str(error) if lasting else f"{type(error).__name__}: {error}"
            with contextlib.suppress(OSError):
                self.tell(Failed(text, traceback.format_exc(), lasting))
            self.tidy()
            os._exit(3)

    def tidy(self) -> None:
        """Remove what this process alone has in the cache. Asked by either thread, at the end."""
        shutil.rmtree(self.order.opened.cache / "unpacked" / str(os.getpid()), ignore_errors=True)

    def _work(self) -> None:
        with Alive(lambda text: self.tell(Doing(text))) as alive:
            alive("starting torch")
            import torch

            from lwlive.engine import sync
            from lwlive.engine.producer import Producer

            model, build = self._open(alive)
        self.tell(Loaded(model.name, model.own))
        order = self.order
        while not self.newest.params.complete:  # the stage answers with the model's own values
            time.sleep(IDLE_S)
        speed = 0.0 if self.newest.params.hold else sync.steady(self.newest)
        begin = order.begin.at(time.perf_counter(), speed)
        producer = Producer(
            model=model,
            ring=self.ring,
            fps=order.config.fps,
            inbox=self._inbox(model),
            timer=time.perf_counter,
            phase=begin.phase,
            since=begin.since,
            delay_s=order.config.delay_ms / 1e3,
            threads=torch.get_num_threads() if model.device == "cpu" else 1,
        )
        del model  # the producer goes over to another one, and this one's memory is given back
        told: object = None
        reported = 0.0
        for now in self._turns(producer):
            if now >= self._watches_at:
                self._watch(build.place(order.opened.cache))  # a trace is a day old, and goes
            if now >= self._compiles_at and not producer.model.compiled:
                self._compile(producer, build)
            while producer.model.notes:
                self.tell(Note(producer.model.notes.pop(0)))
            state = (producer.model.compiled, producer.stride)
            if state != told or now - reported > REPORT_S:
                told, reported = state, now
                self.tell(producer.running)

    def _watch(self, place: Path) -> None:
        """Let a crash leave a trace beside these packages, where one of another day is no more."""
        from lwlive.engine.compiled.package import LATELY_S, watch

        watch(place)
        self._watches_at = time.monotonic() + LATELY_S

    def _turns(self, producer: "Producer") -> Iterator[float]:
        """The time after each batch, or after each look in vain for something to do."""
        from torch import OutOfMemoryError

        while True:
            try:
                if not producer.advance():
                    time.sleep(IDLE_S)
            except OutOfMemoryError as error:
                self._fewer(producer, error)
            yield time.monotonic()

    def _fewer(self, producer: "Producer", error: RuntimeError) -> None:
        """Continue with half as many frames together, where memory no longer holds so many.

        Raises the error where that cannot be: a new engine may find more memory.
        """
        import torch

        from lwlive.engine.eager import Eager

        model = producer.model
        if not isinstance(model, Eager) or model.batch == 1:
            raise error
        batch = model.batch // 2
        self._say(
            f"too little memory on {model.device} for {model.batch} frames together, so {batch} "
            "are made from now on"
        )
        torch.cuda.empty_cache()
        producer.recover(Eager(model.modules, batch))

    def _inbox(self, model: "Model") -> Callable[[], Snapshot]:
        """What gives the newest controls, with a number of steps that the model has.

        Raises ScheduleError where a show begins with another one, or where there is none at all.
        """
        from lwlive.engine.steps import Steps

        steps = Steps(model, self._say)
        begun = self.order.snapshot.params.steps
        if self.order.waiting:
            steps.nearest(begun)
        else:
            steps.check(begun)
        return lambda: steps.allowed(self.newest)

    def _open(self, alive: "Alive") -> tuple["Model", "Build"]:
        """The model, from its packages where they are built, and what to build where not."""
        from lwlive.engine.compiled.package import LATELY_S, faults, opened
        from lwlive.engine.eager import Eager
        from lwlive.engine.load import load
        from lwlive.engine.tuning import choose

        order, config, wanted = self.order, self.order.config, self.order.opened
        alive(f"loading {config.model}")
        build, modules = choose.plan(
            config,
            wanted,
            order.snapshot.params,
            self._say,
            waiting=order.waiting,
            doing=alive,
        )
        place = build.place(wanted.cache)
        count = faults(place) if config.compile else 0
        if config.compile and (trouble := build.trouble(wanted.cache)):
            self._compiles_at = NEVER
            self._say(f"{trouble}, so pictures come uncompiled")
        elif count >= MOST_FAULTS:
            self._compiles_at = time.monotonic() + LATELY_S
            self._say(
                f"{count} engines crashed in compiled code, so pictures come uncompiled for a day"
            )
        elif config.compile and build.costs(wanted.cache):
            if count and self._put_aside(place):
                self._say("an engine crashed in compiled code, so it is compiled again")
            else:
                alive(f"loading {config.model}, compiled")
                try:
                    self._watch(place)
                    return opened(place), build
                except (OSError, RuntimeError, ValueError, KeyError) as error:
                    self._say(f"the compiled package in {place} is not usable: {error}")
        if modules is None:
            modules = load(
                wanted.folder, wanted.size, build.device, build.kind, wanted.additions, alive
            )
        return Eager(modules, build.batch), build

    def _put_aside(self, place: Path) -> bool:
        """Move packages away. False where they were moved before, or cannot be."""
        aside = place.with_name(f"{place.name}.aside")
        if aside.exists():
            return False
        with contextlib.suppress(OSError):
            place.rename(aside)
            return True
        return False

    def _say(self, text: str) -> None:
        self.tell(Note(text))

    def _compile(self, producer: "Producer", build: "Build") -> None:
        """Start building packages, or go over to them once they are built; once in a life."""
        from lwlive.engine.compiled.child import Builder, compiler
        from lwlive.engine.compiled.package import opened

        place = build.place(self.order.opened.cache)
        if self._builder is None:
            if compiler() is None:
                self._compiles_at = NEVER
                self.tell(
                    Note("no C++ compiler here (g++ or clang++), so pictures come uncompiled")
                )
                return
            try:
                self._builder = Builder(build, place)
            except OSError as error:
                self._compiles_at = NEVER
                self._say(f"compiling cannot be started, pictures come uncompiled: {error}")
                return
            producer.load = SPARING_LOAD
        if not self._builder.done:
            return
        self._compiles_at, producer.load = NEVER, FULL_LOAD
        trouble = self._builder.trouble
        self._builder.close()
        if trouble is None:
            self.tell(Doing("switching to the compiled networks"))
            try:
                self._watch(place)
                producer.use(opened(place))
                return
            except (OSError, RuntimeError, ValueError, KeyError) as error:
                trouble = str(error)
        self.tell(Note(f"compiling failed, pictures come uncompiled: {trouble}"))
