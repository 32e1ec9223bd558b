"""The command line: flags from the declarations; builds the parts and joins them.

The only file that sees everything. Imports are inside functions, since the engine's child imports
this file again when it is spawned, and the window should not wait for what it does not need.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lwlive import __version__
from lwlive.checkpoint import Additions, ModelError, size_of
from lwlive.controls import Controls
from lwlive.params import SPECS, Config, ControlError, Params, Snapshot

if TYPE_CHECKING:
    from lwlive.stage.display import Display
    from lwlive.stage.osc import Osc
    from lwlive.stage.supply import Supply

log = logging.getLogger("lwlive")

LONE_S = 30.0  # a headless show that was not told how long lasts so many seconds
ABOUT = """A live instrument that walks through an image diffusion model without stopping.

Without a command it starts the show. `lwlive render` writes a walk to disk, `lwlive osc` lists the
OSC addresses, `lwlive presets` the presets, `lwlive keys` the keys of the window, `lwlive ember`
the words of the model in the box, `lwlive models` the models known by name; `lwlive models pull
NAME` fetches one, `lwlive models build NAME` compiles it ahead of the show."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run lwlive; returns the exit code, 1 for anything that a sentence was printed for.

    Ctrl-C before the show has begun gives 130, as shells have it.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        if args[:1] == ["osc"]:
            from lwlive.stage.addresses import describe

            print(describe())
        elif args[:1] == ["presets"]:
            print(_presets())
        elif args[:1] == ["keys"]:
            from lwlive.stage.keys import keys_table

            print(keys_table())
        elif args[:1] == ["ember"]:
            from lwlive.vocabulary import table

            print(table())
        elif args[:1] == ["models"]:
            from lwlive.models import main as models

            models(args[1:], parse)
        elif args[:1] == ["render"]:
            from lwlive.render import command

            return command.main(args[1:])
        elif args[:1] == ["--version"]:
            print(f"lwlive {__version__}")
        else:
            config, params = parse(args)
            return perform(config, params)
    except (ControlError, ModelError) as error:
        print(f"lwlive: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parse(args: Sequence[str]) -> tuple[Config, Params]:
    """Config and first values of a show. Raises ControlError; ends the process for --help."""
    from lwlive import flags, preset

    rows = flags.of_params(name for name, spec in SPECS.items() if spec.flag)
    rows |= flags.of_model(Config)
    given = flags.read("lwlive", ABOUT, rows, args)
    config = flags.filled(Config, given)
    values: dict[str, object] = {}
    if config.preset is not None:
        values |= preset.load(preset.find(config.preset, config.folder))
    for name, spec in SPECS.items():
        if name in given and spec.flag:
            values[name] = flags.value(name, given[name])
    controls = Controls(Params())
    controls.load(values)
    return config, controls.params


def _presets() -> str:
    from lwlive import preset

    known = preset.listed(Path("."))
    rows = [f"{i + 1 if i < 9 else ' '}  {path.stem}" for i, path in enumerate(known)]
    return "\n".join(["Presets, with their keys in the window:", *rows])


def perform(config: Config, params: Params) -> int:
    """The show, from launch to end; returns the exit code."""
    from lwlive import hub
    from lwlive.stage.clock import WallClock
    from lwlive.stage.desk import Desk
    from lwlive.stage.display import NoMonitor
    from lwlive.stage.rig import lone, rigged
    from lwlive.stage.show import Show
    from lwlive.stage.sockets import OscError
    from lwlive.stage.status import write_statistics
    from lwlive.stage.supply import EngineFailure

    _check_folders(config)
    logging.basicConfig(level=logging.INFO, format="lwlive: %(message)s")
    config = _sparing(config)
    clock = WallClock()
    started = clock.now() - _age_s()
    controls = Controls(params)
    show: Show | None = None
    try:
        folder, additions = hub.opened(config, log.info)
        size = size_of(folder, config.size)
        with contextlib.ExitStack() as stack:
            supply = stack.enter_context(
                _supply(
                    config, size, folder, additions, hub.cache_of(config), controls, clock.now()
                )
            )
            screen = _screen(config, size, stack)
            config = _alone(config) if lone(config, screen) else config
            desk = Desk(config.folder, controls)
            osc = _osc(config, stack, desk.say)
            sources, outputs = rigged(config, size, desk, screen, osc)
            show = Show(config, desk, supply, size, clock, started, sources, outputs)
            with _signals(desk.end):
                try:
                    show.run()
                finally:
                    if config.stats is not None:
                        write_statistics(config.stats, show.statistics())
    except (ModelError, EngineFailure, NoMonitor, OscError, ControlError) as error:
        log.error(error)
        return 1
    except OSError as error:
        log.error(f"{error.filename or 'the show'}: {error.strerror or error}")
        return 1
    recording = show.statistics()["recording"]
    if recording is not None and recording["frames"]:
        log.info(f"recorded {recording['frames']} frames in {recording['file']}")
    done = recording is not None and recording["failed"] is None
    return int(config.record is not None and not done)


def _sparing(config: Config) -> Config:
    """What an earlier show recorded is kept: other names where those given are taken."""
    from lwlive.stage.recorder import free

    taken = {
        name: path
        for name in ("record", "journal")
        if (path := getattr(config, name)) is not None and path.is_file()
    }
    others = {name: free(path) for name, path in taken.items()}
    for name, path in taken.items():
        log.info(f"--{name}: {path} is there already, so this show's is {others[name]}")
    return config.model_copy(update=others)


def _check_folders(config: Config) -> None:
    """Say at the start what would fail at the end. A recording that fails is told in the show."""
    stats, journal = (path and path.parent for path in (config.stats, config.journal))
    folders = {"--folder": config.folder, "--stats": stats, "--journal": journal}
    for flag, folder in folders.items():
        if folder is not None and not folder.is_dir():
            raise ControlError(f"{flag}: there is no folder {folder}; make it or choose another")


def _age_s() -> float:
    """Seconds since this process was started, the interpreter's own start included.

    Where the process had installed lwlive before, it says when it began with the show itself.
    """
    import psutil

    began = float(os.environ.get("LWLIVE_LAUNCHED") or psutil.Process().create_time())
    return max(0.0, time.time() - began)


def _supply(
    config: Config,
    size: tuple[int, int],
    folder: Path,
    additions: Additions,
    cache: Path,
    controls: Controls,
    now: float,
) -> "Supply":
    import multiprocessing

    from lwlive.engine.process import Order, run
    from lwlive.ring import Ring, slots
    from lwlive.stage.supply import Supply, starter

    context = multiprocessing.get_context("spawn")

    def order(ring: Ring, snapshot: Snapshot, phase: float, since: float | None) -> Order:
        return Order(config, size, cache, ring.handle, snapshot, phase, since, folder, additions)

    return Supply(
        starter(order, run),
        lambda: Ring.create(context, slots(config.fps), size[1], size[0]),
        config.fps,
        controls.snapshot,
        now,
    )


def _screen(config: Config, size: tuple[int, int], stack: contextlib.ExitStack) -> "Display | None":
    """The window, or None where there is no screen or none is wanted."""
    if config.headless:
        return None
    from lwlive.stage.display import Display, NoScreen

    try:
        display = Display(
            "lwlive", config.fullscreen, config.monitor, config.fit, config.vsync, size
        )
    except NoScreen as error:
        if config.fullscreen:  # an installation's, whose screen may come: whoever starts it retries
            raise ControlError(f"{error}; without --fullscreen the show runs headless") from error
        log.info(f"{error}; the show runs headless")
        return None
    return stack.enter_context(display)


def _alone(config: Config) -> Config:
    """A headless show that nobody would see: half a minute into a recording."""
    from datetime import datetime

    from lwlive.stage.recorder import free, stamped

    path = free(config.folder / stamped(datetime.now()))
    log.info(f"recording {LONE_S:.0f} seconds into {path.absolute()}")
    return config.model_copy(update={"duration": LONE_S, "record": path})


def _osc(config: Config, stack: contextlib.ExitStack, say: Callable[[str], None]) -> "Osc | None":
    if not config.osc:
        return None
    from lwlive.stage.osc import Osc

    osc = stack.enter_context(Osc(config.osc_host, config.osc_port, config.osc_allow, say))
    log.info(f"OSC on {config.osc_host}:{osc.port}; `lwlive osc` lists the addresses")
    return osc


@contextlib.contextmanager
def _signals(end: Any) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the show properly."""
    import signal

    previous = {
        number: signal.signal(number, lambda *_: end())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
