"""Performing a show: its parts are built and joined here, from what the command line says.

Imports are inside functions: the engine's child imports this file again when it is spawned, and
the window should not wait for what it does not need.
"""

import contextlib
import gc
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from lwlive.cli.safe import AGAIN
from lwlive.cli.sentences import of_import, of_system

if TYPE_CHECKING:
    from lwlive.config import Config
    from lwlive.params import Params
    from lwlive.recent import Recent
    from lwlive.stage.starts import Starts
    from lwlive.stage.state import State

log = logging.getLogger("lwlive")


def perform(config: "Config", params: "Params", starts: "Starts | None" = None) -> int:
    """The show, from launch to end; returns the exit code. starts: counts those that fail."""
    from lwlive import logs
    from lwlive.cli import destinations
    from lwlive.stage.machine import about
    from lwlive.stage.watchdog import ask_for_time, unattended

    ask_for_time(os.environ)
    missing: list[str] = []
    if unattended(config, os.environ):
        config, missing = destinations.waited_for(config)
    else:
        destinations.check(config)
    with logs.opened(config.log, about()) as recent:
        after = os.environ.get("LWLIVE_AFTER")
        logs.event(f"the show starts again, since {after}" if after else "the show starts")
        for sentence in [*(starts.said if starts is not None else ()), *missing]:
            log.info(sentence)
        try:
            return _perform(config, params, recent, starts)
        except Exception as error:
            logs.event(f"the show ends by a fault of its own: {logs.fault(error)}")
            raise


def _perform(config: "Config", params: "Params", recent: "Recent", starts: "Starts | None") -> int:
    from lwlive import hub, logs, precedence
    from lwlive.checkpoint import ModelError
    from lwlive.cli import destinations, signals, wiring
    from lwlive.controls import Controls
    from lwlive.params import ControlError
    from lwlive.stage.clock import WallClock
    from lwlive.stage.host import EngineFailure
    from lwlive.stage.sources.listening import ListenError
    from lwlive.stage.watchdog import GUARDED, ask_for_time

    clock = WallClock()
    started = clock.now() - _age_s()
    try:
        begun = _begun(config, params)
        if begun is not None and begun.restarts:
            last = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(begun.at))
            logs.event(f"the show before did not end in order; it was last heard of at {last}")
        controls = Controls(params, wiring.routes(config))
        if begun is not None and begun.values:
            controls.load(begun.values, routes=begun.routes)
        asked, config = config, destinations.sparing(config)
        cues = wiring.cues(config)
        opened = hub.opened(config, log.info)
        with contextlib.ExitStack() as stack:
            stack.enter_context(precedence.ahead())
            # The engine takes seconds to load: it starts before the window and its libraries. Where
            # there are pictures of the show before, it waits until the window shows them.
            supply = stack.enter_context(
                wiring.supply(config, opened, controls, clock.now(), begun)
            )
            from lwlive.stage.desk import Desk

            ask_for_time(os.environ)
            desk = Desk(
                config.folder,
                controls,
                delay_s=config.delay_ms / 1e3,
                cues=cues,
                continued=begun is not None and bool(begun.values),
            )
            if desk.cues is not None and begun is not None and begun.cue is not None:
                desk.cues.resume(begun.cue, clock.now(), begun.at)
            osc = wiring.osc(config, stack, desk.say)
            page, code = wiring.page(config, opened.size, osc, stack, desk.say, recent)
            screen = wiring.window(config, opened.size, desk.say, code)
            if screen is not None:
                stack.callback(screen.close)
            # The window opens meanwhile.
            from lwlive.stage.awake import awake
            from lwlive.stage.machine import Machine
            from lwlive.stage.rig import lone, rigged
            from lwlive.stage.show import Show

            ask_for_time(os.environ)
            screen = wiring.opened(screen, stack)
            ask_for_time(os.environ)
            config = wiring.alone(config) if lone(config, screen) else config
            midi = wiring.midi(config, desk.say)
            sources, outputs = rigged(
                config,
                opened.size,
                desk,
                screen,
                osc,
                midi,
                page,
                begun,
                supply.renew,
                starts,
                recordings=asked.record,
            )
            folder = config.record.parent if config.record is not None else config.folder
            machine = stack.enter_context(contextlib.closing(Machine(folder)))
            restarts = begun.restarts if begun is not None else 0
            parts = sources, outputs, machine, restarts
            show = Show(config, desk, supply, opened.size, clock, started, *parts)
            stack.enter_context(awake())
            written = True
            with signals.answered(desk.end) as came:
                try:
                    gc.freeze()  # a collection in mid-show passes over all that stays, for 30 ms
                    with precedence.first():
                        show.run()
                finally:
                    if came:
                        log.info(f"ended by {came[0]}")
                    else:
                        logs.event("the show ends, by a key, a control or its duration")
                    if config.stats is not None:
                        written = destinations.write_statistics(config.stats, show.statistics())
    except (ControlError, ModelError, EngineFailure, ListenError) as error:
        return _failed(str(error), error, starts)
    except OSError as error:
        return _failed(of_system(error, "the show"), error, starts)
    except ImportError as error:
        return _failed(of_import(error), error, starts)
    if starts is not None:
        starts.ended()
        if starts.over():
            return AGAIN
    recording = show.statistics()["recording"]
    if recording is not None and recording["frames"]:
        log.info(f"recorded {recording['frames']} frames in {recording['file']}")
    done = recording is not None and recording["failed"] is None
    failed = not written or (config.record is not None and not done)
    return int(failed and GUARDED not in os.environ)  # the guard would start it again


def _begun(config: "Config", params: "Params") -> "State | None":
    """The state that the show continues from, where it keeps one."""
    if config.state is None:
        return None
    from lwlive.stage.state import taken_up

    return taken_up(config.state, params, log.info)


def _failed(sentence: str, error: Exception, starts: "Starts | None") -> int:
    from lwlive.cli.safe import part_of
    from lwlive.logs import one_line

    if starts is not None:
        starts.failed(part_of(error), sentence)
    log.error(one_line(sentence))
    return 1


def _age_s() -> float:
    """Seconds since this process was started, the interpreter's own start included.

    Where the process had installed lwlive before, it says when it began with the show itself.
    """
    if launched := os.environ.get("LWLIVE_LAUNCHED"):
        with contextlib.suppress(ValueError):
            return max(0.0, time.time() - float(launched))
    if sys.platform == "linux":  # elsewhere as well, but there in whole seconds since the boot
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    import psutil

    return max(0.0, time.time() - psutil.Process().create_time())
