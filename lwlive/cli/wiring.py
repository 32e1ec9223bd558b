"""The parts of a show, each built from what the command line says. `perform` joins them.

Imports are inside functions: what a show does not need is not loaded, and the window does not wait
for what it needs later.
"""

import contextlib
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lwlive.checkpoint import Opened, Size
    from lwlive.config import Config
    from lwlive.controls import Controls
    from lwlive.cuelist import CueList
    from lwlive.recent import Recent
    from lwlive.ring import Pixels
    from lwlive.routes import Routes
    from lwlive.stage.outputs.window.host import Host
    from lwlive.stage.qrcode import Code
    from lwlive.stage.sources.midi.source import Midi
    from lwlive.stage.sources.osc.server import Osc
    from lwlive.stage.sources.page.page import Page
    from lwlive.stage.state import State
    from lwlive.stage.supply import Supply

log = logging.getLogger("lwlive")

LONE_S = 30.0  # a headless show that was not told how long lasts so many seconds


def routes(config: "Config") -> "Routes":
    """Those of the preset that the show starts with. Raises PresetError."""
    if config.preset is None:
        return ()
    from lwlive import preset

    return preset.load_look(preset.find(config.preset, config.folder), lambda _: None)[1]


def cues(config: "Config") -> "CueList | None":
    """The list of --cues. Raises ControlError."""
    if config.cues is None:
        return None
    from lwlive import cuelist

    found = cuelist.load(config.cues, config.folder, log.info)
    names = ", ".join(f"{number} {cue.name}" for number, cue in enumerate(found.cues, 1))
    log.info(f"cues: {names}")
    return found


def supply(
    config: "Config",
    opened: "Opened",
    controls: "Controls",
    now: float,
    begun: "State | None" = None,
) -> "Supply":
    """Where pictures come from: an engine that starts now, and the last ones of a show before."""
    import multiprocessing

    from lwlive import shared
    from lwlive.engine.process import Order, run
    from lwlive.messages import Begin
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

    def order(ring: Ring, snapshot: Snapshot, begin: Begin) -> Order:
        return Order(config, opened, ring.handle, snapshot, begin)

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


def osc(config: "Config", stack: contextlib.ExitStack, say: Callable[[str], None]) -> "Osc | None":
    """OSC, listening, where it is wanted. Raises ListenError."""
    if not config.osc:
        return None
    from lwlive.stage.sources.osc.server import Osc

    osc = stack.enter_context(Osc(config.osc_host, config.osc_port, config.osc_allow, say))
    log.info(f"OSC on {config.osc_host}:{osc.port}; `lwlive osc` lists the addresses")
    return osc


def midi(config: "Config", say: Callable[[str], None]) -> "Midi | None":
    """MIDI, whose process starts with the show's first tick."""
    if config.no_midi:
        return None
    from lwlive.stage.sources.midi import box
    from lwlive.stage.sources.midi.child import Order
    from lwlive.stage.sources.midi.link import Link
    from lwlive.stage.sources.midi.source import Midi

    link = Link(Order(tuple(config.midi), config.midi_system), say)
    return Midi(link, config.midi_folder or box.folder(), say, config.midi)


def page(
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


def window(
    config: "Config", size: "Size", say: Callable[[str], None], code: "Code | None"
) -> "Host | None":
    """The window, which is not open yet, or None where none is wanted. code: the page's address,
    for phones.

    A show that covers a monitor, as an installation's, or that is unattended plays without one
    until there is a screen.
    """
    if config.headless:
        return None
    from lwlive.stage.outputs.window.host import Host
    from lwlive.stage.watchdog import unattended

    return Host(
        "lwlive",
        config.fullscreen,
        config.monitor,
        config.fit,
        config.vsync,
        size,
        waits=config.fullscreen or unattended(config, os.environ),
        say=say,
        code=code,
    )


def opened(window: "Host | None", stack: contextlib.ExitStack) -> "Host | None":
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


def alone(config: "Config") -> "Config":
    """A headless show whose pictures nothing takes: half a minute into a recording."""
    from datetime import datetime

    from lwlive.encoders import CODECS
    from lwlive.files import free, stamped

    path = free(config.folder / stamped(datetime.now(), CODECS[config.record_codec].suffix))
    log.info(f"recording {LONE_S:.0f} seconds into {path.absolute()}")
    return config.model_copy(update={"duration": LONE_S, "record": path})
