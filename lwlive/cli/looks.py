"""What `lwlive check` looks at, a function each. What a look raises is what is printed."""

import os
import shutil
import socket
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lwlive.params import ControlError

if TYPE_CHECKING:
    from lwlive.checkpoint import Opened
    from lwlive.config import Config

MIDI_S = 10.0  # so long the MIDI system may take to name its ports
ROOM_MB = 2000.0  # that a disk should have left, for an evening's recording or a month's logs


class Trouble(RuntimeError):  # noqa: N818 - what it is, not what was raised
    """A look has found something wrong. The message says what, and what to do."""


def looks(config: "Config") -> list[tuple[str, Callable[[], str | None]]]:
    """What is looked at, in the order of a start."""
    return [
        ("files", lambda: _files(config)),
        ("disk", lambda: _disk(config)),
        ("model", lambda: _model(config)),
        ("compiled package", lambda: _package(config)),
        ("shared memory", lambda: _shared(config)),
        ("window", lambda: _window(config)),
        ("cues", lambda: _cues(config)),
        ("OSC port", lambda: _port(config)),
        ("page", lambda: _page(config)),
        ("MIDI", lambda: _midi(config)),
        ("sound", lambda: _sound(config)),
        ("other programs", lambda: _other_programs(config)),
        ("recording", lambda: _recording(config)),
        ("log", lambda: _log(config)),
        ("start at boot", lambda: _boot()),
    ]


def _files(config: "Config") -> str:
    from lwlive.cli import destinations

    destinations.check(config)
    if not os.access(config.folder, os.W_OK):
        raise Trouble(f"--folder: {config.folder} cannot be written to")
    wanted = [n for n in destinations.FILES if getattr(config, n) is not None]
    return "they can be written: " + ", ".join(["--folder", *(f"--{name}" for name in wanted)])


def _disk(config: "Config") -> str:
    places = {config.folder, *(p.parent for p in (config.record, config.journal) if p is not None)}
    found = []
    for place in sorted(places):
        free = shutil.disk_usage(place).free / 2**20
        if free < ROOM_MB and (config.record is not None or config.journal is not None):
            raise Trouble(f"{place.absolute()} has {free:.0f} MB left, fewer than {ROOM_MB:.0f}")
        found.append(f"{place.absolute()} has {free / 1024:.1f} GB left")
    return "; ".join(found)


def _opened(config: "Config") -> "Opened":
    """The model. Raises ModelError."""
    from lwlive import hub

    return hub.opened(config.model_copy(update={"offline": True}), lambda _: None)


def _known(config: "Config") -> "Opened | None":
    """The model for a look at something else; None where another row says already what is wrong."""
    from lwlive.checkpoint import ModelError

    try:
        return _opened(config)
    except (ModelError, ControlError):
        return None


def _model(config: "Config") -> str:
    opened = _opened(config)
    return f"{config.model} is in {opened.folder}, at {opened.size}"


def _package(config: "Config") -> str | None:
    """Packages are found by what is measured, which needs torch: here only whether any is there."""
    if not config.compile:
        return "not asked for"
    from glob import escape

    from lwlive.checkpoint import name_of

    opened = _known(config)
    if opened is None:
        return None
    place = opened.cache / "packages"
    name = escape(name_of(opened.folder))
    found = list(place.glob(f"{name}-*/costs.json")) if place.is_dir() else []
    if not found:
        raise Trouble(
            f"nothing is compiled for {config.model} yet; `lwlive models build {config.model}` "
            "does it before the doors open"
        )
    if not os.access(place, os.W_OK):
        return f"{len(found)} in {place}, which cannot be written to"
    return f"{len(found)} in {place}"


def _shared(config: "Config") -> str | None:
    import multiprocessing

    from lwlive.ring import Ring, slots

    opened = _known(config)
    if opened is None:
        return None
    width, height = opened.size
    context = multiprocessing.get_context("spawn")
    ring = Ring.create(context, slots(config.fps), height, width)
    ring.close()
    return f"there is room for {slots(config.fps)} frames"


def _window(config: "Config") -> str:
    if config.headless:
        return "not asked for"
    from lwlive.checkpoint import Size
    from lwlive.stage.outputs.window.host import Host, NoWindow

    try:
        place = (config.fullscreen, config.monitor, config.fit, config.vsync, Size(64, 64))
        with Host("lwlive check", *place):
            return f"it opens on monitor {config.monitor}"
    except NoWindow as error:
        raise Trouble(str(error)) from None


def _port(config: "Config") -> str:
    if not config.osc:
        return "not asked for"
    try:
        family = socket.getaddrinfo(config.osc_host, config.osc_port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family[0], socket.SOCK_DGRAM) as probe:
            probe.bind(family[4])
    except OSError as error:
        raise Trouble(
            f"UDP port {config.osc_port} of {config.osc_host!r} cannot be had: "
            f"{error.strerror or error}; another show may run already"
        ) from None
    return f"UDP port {config.osc_port} of {config.osc_host} is free"


def _cues(config: "Config") -> str | None:
    if config.cues is None:
        return None
    from lwlive import cuelist

    found = cuelist.load(config.cues, config.folder, lambda _: None)
    return f"{len(found.cues)} in {config.cues}"


def _page(config: "Config") -> str | None:
    if not config.page:
        return None
    from lwlive import extras
    from lwlive.stage.sources.page.opening import NEEDED

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Trouble(f"{', '.join(missing)} is not installed: run `{extras.command('page')}`")
    port = config.osc_port if config.page_port is None else config.page_port
    try:
        family = socket.getaddrinfo(config.page_host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(family[4])
    except OSError as error:
        why = error.strerror or error
        raise Trouble(f"TCP port {port} of {config.page_host!r} cannot be had: {why}") from None
    return f"TCP port {port} of {config.page_host} is free"


def _midi(config: "Config") -> str | None:
    """The ports that were named; where none was, any or none will do."""
    if config.no_midi or not config.midi:
        return None
    from lwlive.stage.sources.midi.child import Order, Ports
    from lwlive.stage.sources.midi.link import Link

    trouble: list[str] = []
    link = Link(Order((), config.midi_system), trouble.append)
    try:
        until = time.monotonic() + MIDI_S
        ports: Ports | None = None
        while ports is None and time.monotonic() < until:
            ports = next((s for s in link.poll(time.perf_counter()) if isinstance(s, Ports)), None)
            time.sleep(0.05)
    finally:
        link.close()
    if ports is None:
        raise Trouble("; ".join(trouble) or "the MIDI system does not answer")
    there = ", ".join(ports.inputs) or "none"
    for name in config.midi:
        if not any(name.casefold() in one.casefold() for one in ports.inputs):
            raise Trouble(f"there is no MIDI port with {name!r} in its name; there are {there}")
    return f"{', '.join(config.midi)} is there, by {ports.system}"


def _sound(config: "Config") -> str | None:
    if config.audio_in is None:
        return None
    from lwlive.stage.sources.audio.devices import USUAL, inputs, matching

    known = inputs()
    if config.audio_in == USUAL:
        if not known:
            raise Trouble("there is no audio input; see `lwlive audio`")
        return f"the usual one of {len(known)} inputs"
    return f"{matching(config.audio_in, known).name} is there"


def _other_programs(config: "Config") -> str | None:
    from lwlive.config import OUTPUTS
    from lwlive.stage.outputs import camera, ndi, spout, stream, syphon

    wanted = [name for name in OUTPUTS if getattr(config, name) not in (None, [])]
    looks = {"ndi": ndi.check, "spout": spout.check, "syphon": syphon.check, "camera": camera.check}
    for name in wanted:
        looks.get(name, lambda: None)()
    for url in config.stream:
        stream.checked(url)
    return f"{', '.join(wanted)}: what they need is installed" if wanted else None


def _recording(config: "Config") -> str:
    """An encoder is there, and a movie can be written."""
    import tempfile

    import numpy as np

    from lwlive.stage.outputs.recorder import Recorder

    with tempfile.TemporaryDirectory(prefix="lwlive-check-") as folder:
        recorder = Recorder(Path(folder) / "a.mp4", config.fps, 64, 64, {})
        recorder.wait_open()
        for number in range(3):
            recorder.put(np.zeros((64, 64, 3), np.uint8), number)
        recorder.close()
        if recorder.failed is not None:
            raise Trouble(recorder.failed)
        return f"with {recorder.encoder}"


def _log(config: "Config") -> str:
    from lwlive import logfile

    if config.log is not None:
        return f"{config.log}"
    logfile.folder().mkdir(parents=True, exist_ok=True)
    if not os.access(logfile.folder(), os.W_OK):
        raise Trouble(f"{logfile.folder()} cannot be written to")
    return f"in {logfile.folder()}"


def _boot() -> str | None:
    """Whether a service starts the show; nothing is said where that cannot be known."""
    if shutil.which("systemctl") is None:
        return None
    from lwlive.cli.service import NAME, installed

    if not installed():
        return f"no service called {NAME} is installed; `lwlive service` prints one"
    return f"the service {NAME} is installed"
