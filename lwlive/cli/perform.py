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
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lwlive.cli.safe import AGAIN
from lwlive.cli.sentences import of_import, of_system

if TYPE_CHECKING:
    from lwlive.checkpoint import Opened, Size
    from lwlive.config import Config
    from lwlive.controls import Controls
    from lwlive.cuelist import CueList
    from lwlive.params import Params
    from lwlive.recent import Recent
    from lwlive.ring import Pixels
    from lwlive.routes import Routes
    from lwlive.stage.outputs.window.host import Host
    from lwlive.stage.qrcode import Code
    from lwlive.stage.sources.midi.source import Midi
    from lwlive.stage.sources.osc.server import Osc
    from lwlive.stage.sources.page.page import Page
    from lwlive.stage.starts import Starts
    from lwlive.stage.state import State
    from lwlive.stage.supply import Supply

log = logging.getLogger("lwlive")

LONE_S = 30.0  # a headless show that was not told how long lasts so many seconds


def perform(config: "Config", params: "Params", starts: "Starts | None" = None) -> int:
    """The show, from launch to end; returns the exit code. starts: counts those that fail."""
    from lwlive import logs
    from lwlive.cli import destinations
    from lwlive.stage.machine import about
    from lwlive.stage.watchdog import ask_for_time

    ask_for_time(os.environ)
    destinations.check(config)
    with logs.opened(config.log, about()) as recent:
        after = os.environ.get("LWLIVE_AFTER")
        logs.event(f"the show starts again, since {after}" if after else "the show starts")
        for sentence in starts.said if starts is not None else ():
            log.info(sentence)
        return _perform(config, params, recent, starts)


def _perform(config: "Config", params: "Params", recent: "Recent", starts: "Starts | None") -> int:
    from lwlive import hub, logs, precedence
    from lwlive.checkpoint import ModelError
    from lwlive.cli import destinations
    from lwlive.controls import Controls
    from lwlive.params import ControlError
    from lwlive.stage.clock import WallClock
    from lwlive.stage.host import EngineFailure
    from lwlive.stage.sources.listening import ListenError

    clock = WallClock()
    started = clock.now() - _age_s()
    try:
        begun = _begun(config, params)
        controls = Controls(params, _routes(config))
        if begun is not None and begun.values:
            controls.load(begun.values, routes=begun.routes)
        asked, config = config, destinations.sparing(config)
        cues = _cues(config)
        opened = hub.opened(config, log.info)
        with contextlib.ExitStack() as stack:
            # The engine takes seconds to load: it starts before the window and its libraries. Where
            # there are pictures of the show before, it waits until the window shows them.
            supply = stack.enter_context(_supply(config, opened, controls, clock.now(), begun))
            from lwlive.stage.desk import Desk
            from lwlive.stage.watchdog import ask_for_time

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
            osc = _osc(config, stack, desk.say)
            page, code = _page(config, opened.size, osc, stack, desk.say, recent)
            screen = _window(config, opened.size, desk.say, code)
            if screen is not None:
                stack.callback(screen.close)
            # The window opens meanwhile.
            from lwlive.stage.awake import awake
            from lwlive.stage.machine import Machine
            from lwlive.stage.rig import lone, rigged
            from lwlive.stage.show import Show

            ask_for_time(os.environ)
            screen = _opened(screen, stack)
            ask_for_time(os.environ)
            config = _alone(config) if lone(config, screen) else config
            midi = _midi(config, desk.say)
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
            machine = stack.enter_context(contextlib.closing(Machine(config.folder)))
            restarts = begun.restarts if begun is not None else 0
            parts = sources, outputs, machine, restarts
            show = Show(config, desk, supply, opened.size, clock, started, *parts)
            stack.enter_context(awake())
            with _signals(desk.end) as came:
                try:
                    precedence.first()
                    gc.freeze()  # a collection in mid-show passes over all that stays, for 30 ms
                    show.run()
                finally:
                    if came:
                        log.info(f"ended by {came[0]}")
                    else:
                        logs.event("the show ends, by a key, a control or its duration")
                    if config.stats is not None:
                        destinations.write_statistics(config.stats, show.statistics())
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
    return int(config.record is not None and not done)


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


def _routes(config: "Config") -> "Routes":
    """Those of the preset that the show starts with. Raises PresetError."""
    if config.preset is None:
        return ()
    from lwlive import preset

    return preset.load_look(preset.find(config.preset, config.folder), lambda _: None)[1]


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


def _supply(
    config: "Config",
    opened: "Opened",
    controls: "Controls",
    now: float,
    begun: "State | None" = None,
) -> "Supply":
    import multiprocessing

    from lwlive import shared
    from lwlive.engine.process import Order, run
    from lwlive.openmp import spin_briefly
    from lwlive.ring import Ring, slots
    from lwlive.snapshot import Snapshot
    from lwlive.stage.engine import starter
    from lwlive.stage.supply import Supply

    shared.sweep()
    kept: list[Pixels] = []
    if config.state is not None:
        from lwlive.stage import lastseen
        from lwlive.stage.state import pictures_of

        kept = lastseen.read(pictures_of(config.state), opened.size)
    context = multiprocessing.get_context("spawn")
    spin_briefly(os.environ)  # every engine inherits it

    def order(ring: Ring, snapshot: Snapshot, phase: float, since: float | None) -> Order:
        return Order(config, opened, ring.handle, snapshot, phase, since)

    return Supply(
        starter(order, run),
        lambda: Ring.create(context, slots(config.fps), opened.size.height, opened.size.width),
        config.fps,
        controls.snapshot,
        now,
        config.delay_ms / 1e3,
        phase=begun.phase if begun is not None else 0.0,
        kept=kept,
    )


def _window(
    config: "Config", size: "Size", say: Callable[[str], None], code: "Code | None"
) -> "Host | None":
    """The window, which is not open yet, or None where none is wanted. code: the page's address,
    for phones.

    A show that covers a monitor, as an installation's, plays without one until there is a screen.
    """
    if config.headless:
        return None
    from lwlive.stage.outputs.window.host import Host

    return Host(
        "lwlive",
        config.fullscreen,
        config.monitor,
        config.fit,
        config.vsync,
        size,
        waits=config.fullscreen,
        say=say,
        code=code,
    )


def _opened(window: "Host | None", stack: contextlib.ExitStack) -> "Host | None":
    """The window once it is open; None where there is no screen. Raises ControlError."""
    if window is None:
        return None
    from lwlive.params import ControlError
    from lwlive.stage.outputs.window.host import NoWindow

    try:
        return stack.enter_context(window)
    except NoWindow as error:
        if error.monitor:
            raise ControlError(f"--monitor: {error}") from error
        log.info(f"{error}; the show runs headless")
        return None


def _alone(config: "Config") -> "Config":
    """A headless show whose pictures nothing takes: half a minute into a recording."""
    from datetime import datetime

    from lwlive.encoders import CODECS
    from lwlive.files import free, stamped

    path = free(config.folder / stamped(datetime.now(), CODECS[config.record_codec].suffix))
    log.info(f"recording {LONE_S:.0f} seconds into {path.absolute()}")
    return config.model_copy(update={"duration": LONE_S, "record": path})


def _cues(config: "Config") -> "CueList | None":
    """The list of --cues. Raises ControlError."""
    if config.cues is None:
        return None
    from lwlive import cuelist

    found = cuelist.load(config.cues, config.folder, log.info)
    names = ", ".join(f"{number} {cue.name}" for number, cue in enumerate(found.cues, 1))
    log.info(f"cues: {names}")
    return found


def _osc(config: "Config", stack: contextlib.ExitStack, say: Callable[[str], None]) -> "Osc | None":
    if not config.osc:
        return None
    from lwlive.stage.sources.osc.server import Osc

    osc = stack.enter_context(Osc(config.osc_host, config.osc_port, config.osc_allow, say))
    log.info(f"OSC on {config.osc_host}:{osc.port}; `lwlive osc` lists the addresses")
    return osc


def _midi(config: "Config", say: Callable[[str], None]) -> "Midi | None":
    """MIDI, whose process starts with the show's first tick."""
    if config.no_midi:
        return None
    from lwlive.stage.sources.midi import box
    from lwlive.stage.sources.midi.child import Order
    from lwlive.stage.sources.midi.link import Link
    from lwlive.stage.sources.midi.source import Midi

    link = Link(Order(tuple(config.midi), config.midi_system), say)
    return Midi(link, config.midi_folder or box.folder(), say, config.midi)


def _page(
    config: "Config",
    size: "Size",
    osc: "Osc | None",
    stack: contextlib.ExitStack,
    say: Callable[[str], None],
    recent: "Recent",
) -> "tuple[Page | None, Code | None]":
    """The page, where it is wanted, and its address as the window shows it."""
    if not config.page:
        return None, None
    from lwlive.stage.qrcode import Code
    from lwlive.stage.sources.page.opening import opened, told

    page, where = opened(config, size, osc.port if osc is not None else None, stack, say, recent)
    code = Code.of(where.url)
    told(where, code)
    return page, code


@contextlib.contextmanager
def _signals(end: Callable[[], None]) -> Iterator[list[str]]:
    """Ctrl-C, SIGTERM and a terminal that closes end the show properly. Yields those that came."""
    import signal

    came: list[str] = []

    def ending(number: int, _: object) -> None:
        came.append(signal.Signals(number).name)
        end()

    numbers = {
        number
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
        if (number := getattr(signal, name, None)) is not None
    }
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.discard(signal.SIGHUP)  # nohup: the show is to outlive its terminal
    previous = {number: signal.signal(number, ending) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
