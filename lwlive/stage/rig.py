"""The rig: which sources and outputs a show has. A new one is a file of its own and a row here.

`Show` knows none of them by name. Nothing is opened here but the journal's file, and
the session of Link, which is joined.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lwlive import preset
from lwlive.checkpoint import Size
from lwlive.config import OUTPUTS, Config
from lwlive.movie import rate_of
from lwlive.stage.desk import Desk
from lwlive.stage.events import Events
from lwlive.stage.outputs import camera, ndi, spout, stream, syphon
from lwlive.stage.outputs.expiry import Expiry
from lwlive.stage.outputs.feed import Feed, Sink
from lwlive.stage.outputs.journal import Journal
from lwlive.stage.outputs.scaling import Scaling
from lwlive.stage.outputs.snapshots import Snapshots
from lwlive.stage.outputs.takes import Takes
from lwlive.stage.outputs.window.window import Screen, Window
from lwlive.stage.parts import Output, Source
from lwlive.stage.renewal import Renewal
from lwlive.stage.sources.audio.source import Audio
from lwlive.stage.sources.link import Link
from lwlive.stage.sources.midi.source import Midi
from lwlive.stage.sources.osc.server import Osc
from lwlive.stage.sources.page.page import Page
from lwlive.stage.starts import Starts
from lwlive.stage.state import Keeper, State
from lwlive.stage.watchdog import Watchdog, unattended

NAME = "lwlive"  # of what other programs list, unless another is given
AUTO = "auto"  # the camera: the first that there is


def rigged(
    config: Config,
    size: Size,
    desk: Desk,
    screen: Screen | None,
    osc: Osc | None,
    midi: Midi | None = None,
    page: Page | None = None,
    begun: State | None = None,
    renew: Callable[[float], bool] | None = None,
    starts: Starts | None = None,
    recordings: Path | None = None,
) -> tuple[list[Source], list[Output]]:
    """The sources in the order they are polled, the outputs in the order they get a picture.

    begun: the state that the show continues from, where it keeps one. renew: starts another
    engine. starts: counts those of shows that keep a state. recordings: the name that those of
    shows before this one have, if any.

    Raises ControlError where the journal cannot be written, or what a part needs is not there.
    """
    learnable = [f"preset {path.stem}" for path in _presets(config.folder)]
    if desk.cues is not None:
        learnable += [f"cue {cue.name}" for cue in desk.cues.cues.cues]
    window = Window(screen, desk.say, learnable) if screen is not None else None
    link = Link(desk.controls.snapshot.tempo, desk.say) if config.link else None
    audio = None
    if config.audio_in is not None:
        audio = Audio(config.audio_in, desk.say, config.audio_tempo)
    takes = Takes(
        config.folder,
        config.record,
        config.fps,
        size,
        desk.say,
        config.record_codec,
        config.record_minutes,
        audio,
    )
    journal = None
    if config.journal is not None:
        waits = unattended(config, os.environ)
        journal = Journal(config.journal, config, size, desk.say, waits)
    snapshots = Snapshots(config.folder, desk.disk, desk.say)
    feeds = into_other_programs(config, size, desk)
    watchdog = Watchdog(os.environ)
    keeper = None
    if config.state is not None and begun is not None:
        keeper = Keeper(config.state, begun, desk.say, starts=starts, end=desk.end)
    renewal = None
    if config.memory_limit is not None and renew is not None:
        renewal = Renewal(config.memory_limit, renew, desk.say)
    expiry = None
    if config.keep_days is not None:
        expiry = Expiry(config.folder, recordings, config.keep_days, desk.say)
    steering: list[Source | None] = [window, osc, midi, link, audio, page, takes]
    sources = [*steering, *feeds, watchdog, renewal, expiry, Events()]
    showing: list[Output | None] = [window, *feeds, takes, journal, snapshots, page]
    outputs = [*showing, keeper, watchdog]
    return [one for one in sources if one is not None], [one for one in outputs if one is not None]


def _presets(folder: Path) -> list[Path]:
    """Those of the show; where its folder cannot be read, which whoever needs it hears of."""
    try:
        return preset.listed(folder)
    except OSError:
        return preset.bundled()


def lone(config: Config, screen: Screen | None) -> bool:
    """Whether nothing takes the pictures of a show that was not told how long to last.

    An unattended one lasts until it is ended, and its screen may come later. The journal takes
    none. A new output that does adds itself here.
    """
    feeds = any(getattr(config, name) not in (None, []) for name in OUTPUTS)
    taken = screen is not None or config.record is not None or config.page or feeds
    return not taken and config.duration is None and not unattended(config, os.environ)


def into_other_programs(config: Config, size: Size, desk: Desk) -> list[Feed]:
    """A feed for each way into other programs that this system has, on where it was asked for.

    Raises ControlError where what was asked for is not installed, or an address is none.
    """
    rate, of, waits = rate_of(config.fps), None, unattended(config, os.environ)
    if config.output_size is not None:
        of = Size(*map(int, config.output_size.split("x")))
    scaling = Scaling(of, config.fit)
    made: dict[str, tuple[str, Callable[[], Sink]]] = {
        "ndi": (
            "ndi",
            lambda: ndi.Ndi(config.ndi or NAME, config.ndi_group, config.ndi_address, rate),
        )
    }
    if config.ndi is not None:
        ndi.check()
    if sys.platform == "win32" or config.spout is not None:
        made["spout"] = "spout", lambda: spout.Spout(config.spout or NAME)
    if config.spout is not None:
        spout.check()
    if sys.platform == "darwin" or config.syphon is not None:
        made["syphon"] = "syphon", lambda: syphon.Syphon(config.syphon or NAME)
    if config.syphon is not None:
        syphon.check()
    if config.camera is not None:
        camera.check()
    if sys.platform == "linux":
        path = None if config.camera in (None, AUTO) else Path(str(config.camera))
        made["camera"] = "camera", lambda: camera.Camera(path, rate)
    for number, url in enumerate(config.stream, start=1):
        told = stream.settings(
            url, scaling.size(size), rate, config.stream_quality, config.stream_mbit, waits
        )
        name = "stream" if number == 1 else f"stream {number}"
        made[name] = "stream", partial(stream.Stream, told)
    feeds = []
    for name, (switch, make) in made.items():
        desk.switches.know(switch, getattr(config, switch) not in (None, []))
        feeds.append(Feed(name, switch, make, scaling, size, config.fps, desk.say))
    return feeds
