"""The supply of pictures: one for every tick, whatever the engine does.

All of it runs in the stage's main thread and never waits. From the first picture on there is one
for every tick: a new frame, the last one again when none is ready (late), or, while no frames come,
the last seconds played slowly back and forth, with a fade back into the walk. A renewed engine
comes behind the same fade. The supply knows nothing of processes, windows or torch; time is passed
in.
"""

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lwlive.ring import Frame, Pixels, Ring
from lwlive.snapshot import Snapshot
from lwlive.stage.engine import Starter
from lwlive.stage.host import Host
from lwlive.stage.standby import Standby, mixed

FADE_S = 1.0  # seconds to fade back into the walk
FREEZE_S = 0.7  # longer than this no picture stands still


@dataclass(frozen=True)
class Shown:
    """The picture of one tick."""

    pixels: Pixels  # [H, W, 3]
    frame: Frame | None  # the new frame it shows, None where a picture is repeated
    late: bool  # a frame was due and not there
    snapshot: Snapshot | None = None  # the controls that the new frame was made with
    asked: tuple[float, ...] = ()  # when the controls were asked for that it is the first to show
    before: bool = False  # it is of the show before this one: no engine has given any yet


class State(enum.Enum):
    """Where the pictures come from."""

    WALK = enum.auto()  # new frames, the last one again where none is ready
    STANDBY = enum.auto()  # the last seconds
    FADE = enum.auto()  # both, from the last seconds back into the walk


class Supply:
    """Pictures for every tick, whatever the engine does. A context manager."""

    def __init__(
        self,
        start: Starter,
        make_ring: Callable[[], Ring],
        fps: float,
        snapshot: Snapshot,
        now: float,
        delay_s: float = 0.0,  # from a picture to the audience's eyes
        phase: float = 0.0,
        kept: Sequence[Pixels] = (),  # of the show before, to be shown until there are others
    ) -> None:
        self._fps = fps
        self._state = State.WALK
        self._newest: Pixels | None = None  # of the last new frame
        self._last: Pixels  # of the last tick, once there are pictures
        self._kept = Standby(fps)
        self.continues = bool(kept)  # from a show before, whose pictures are shown first
        if kept:
            self._kept.fill(kept)
            self._newest, self._state = kept[-1], State.STANDBY
        self._coming = Standby(fps)  # a new engine's, kept once they are faded in
        self._fade = math.ceil(FADE_S * fps)  # ticks
        self._fading = 0  # ticks left of fading back into the walk
        self._settling = 0  # ticks left of fading from `_still`, where a fade was broken off
        self.host = Host(start, make_ring, fps, snapshot, now, delay_s, phase, self.continues)

    def __enter__(self) -> "Supply":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engine and give its memory back."""
        self.host.close()

    def renew(self, now: float) -> bool:
        """Let another engine take the place of the present one unseen; False where that fails."""
        return self._state is State.WALK and self.host.renew(now)

    def tick(self, now: float) -> Shown | None:
        """The picture of this tick, None before the very first. Raises EngineFailure."""
        host = self.host
        if not host.attend(now, settled=self._state is State.WALK):
            self._stand_by()
        frame = host.take(now)
        if frame is not None:
            self._keep(frame.pixels)
        elif not host.watch(now):
            self._stand_by()
        snapshot, asked = host.underway.answered(frame, now)
        if self._newest is None:
            return None
        if host.still_s(now) > FREEZE_S:
            self._stand_by()
        self._last = self._picture()
        late = frame is None and host.moving
        return Shown(self._last, frame, late, snapshot, asked, before=not host.begun)

    def _keep(self, pixels: Pixels) -> None:
        """A new frame is there, to be shown at this tick."""
        if self._state is State.STANDBY:
            self._state, self._fading, self._coming = State.FADE, self._fade, Standby(self._fps)
        (self._coming if self._state is State.FADE else self._kept).add(pixels)
        self._newest = pixels

    def _picture(self) -> Pixels:
        """What this tick shows."""
        assert self._newest is not None
        if self._state is State.WALK:
            return self._newest
        if self._state is State.STANDBY:
            return self._back_and_forth()
        picture = mixed(self._back_and_forth(), self._newest, self._fading / (self._fade + 1))
        self._fading -= 1
        if not self._fading:
            self._state, self._kept, self._settling = State.WALK, self._coming, 0
        return picture

    def _back_and_forth(self) -> Pixels:
        """The next kept picture, faded to from the still one where a fade was broken off."""
        picture = self._kept.play()
        if self._settling:
            picture = mixed(self._still, picture, self._settling / (self._fade + 1))
            self._settling -= 1
        return picture

    def _stand_by(self) -> None:
        """Play what is kept, from what is on screen on."""
        if self._newest is None:
            return
        if self._state is State.WALK:
            self._kept.rewind()
        elif self._state is State.FADE:  # on screen is a mix that is nowhere kept
            self._still, self._settling = self._last, self._fade
        self._state = State.STANDBY
