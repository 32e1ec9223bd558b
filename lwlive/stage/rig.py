"""The rig: which sources and outputs a show has. A new one is a file of its own and a row here.

`Show` knows none of them by name. Nothing is opened here but the journal's file.
"""

import os
from collections.abc import Callable

from lwlive import preset
from lwlive.checkpoint import Size
from lwlive.config import Config
from lwlive.stage.desk import Desk
from lwlive.stage.events import Events
from lwlive.stage.outputs.expiry import Expiry
from lwlive.stage.outputs.journal import Journal
from lwlive.stage.outputs.takes import Takes
from lwlive.stage.outputs.window.window import Screen, Window
from lwlive.stage.parts import Output, Source
from lwlive.stage.renewal import Renewal
from lwlive.stage.sources.link import Link
from lwlive.stage.sources.midi.source import Midi
from lwlive.stage.sources.osc.server import Osc
from lwlive.stage.starts import Starts
from lwlive.stage.state import Keeper, State
from lwlive.stage.watchdog import Watchdog


def rigged(
    config: Config,
    size: Size,
    desk: Desk,
    screen: Screen | None,
    osc: Osc | None,
    midi: Midi | None = None,
    begun: State | None = None,
    renew: Callable[[float], bool] | None = None,
    starts: Starts | None = None,
) -> tuple[list[Source], list[Output]]:
    """The sources in the order they are polled, the outputs in the order they get a picture.

    begun: the state that the show continues from, where it keeps one. renew: starts another
    engine. starts: counts those of shows that keep a state.

    Raises ControlError where the journal cannot be written, or an extra is not installed.
    """
    presets = [f"preset {path.stem}" for path in preset.listed(config.folder)]
    window = Window(screen, desk.say, presets) if screen is not None else None
    takes = Takes(config.folder, config.record, config.fps, size, desk.say)
    journal = None
    if config.journal is not None:
        journal = Journal(config.journal, config, size, desk.say)
    watchdog = Watchdog(os.environ)
    keeper = None
    if config.state is not None and begun is not None:
        keeper = Keeper(config.state, begun, desk.say, starts=starts, end=desk.end)
    renewal = None
    if config.memory_limit is not None and renew is not None:
        renewal = Renewal(config.memory_limit, renew, desk.say)
    expiry = None
    if config.keep_days is not None:
        expiry = Expiry(config.folder, config.record, config.keep_days, desk.say)
    link = Link(desk.controls.snapshot.tempo, desk.say) if config.link else None
    sources: list[Source | None] = [window, osc, midi, link, takes]
    sources += [watchdog, renewal, expiry, Events()]
    outputs: list[Output | None] = [window, takes, journal, keeper, watchdog]
    return [one for one in sources if one is not None], [one for one in outputs if one is not None]


def lone(config: Config, screen: Screen | None) -> bool:
    """Whether nothing takes the pictures of a show that was not told how long to last.

    The journal takes none. A new output that does adds itself here.
    """
    taken = screen is not None or config.record is not None
    return not taken and config.duration is None
