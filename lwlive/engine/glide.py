"""Numbers on their way to what the controls ask for."""

from dataclasses import dataclass, replace

from lwlive.params import SPECS, Params
from lwlive.snapshot import Snapshot

EASE_S = 0.25  # nothing arrives faster than this


@dataclass(frozen=True)
class Glide:
    """A number on its way to a target, at a steady rate per second."""

    value: float
    target: float
    rate: float = 0.0

    def towards(self, target: float, seconds: float, sooner: bool = False) -> "Glide":
        """The same number, to be at `target` in so many seconds.

        One that is on its way there keeps its rate, unless it is to be there sooner.
        """
        if target == self.target and not sooner:
            return self
        return Glide(self.value, target, abs(target - self.value) / max(seconds, 1e-6))

    def arrived(self) -> "Glide":
        """The number at its target."""
        return Glide(self.target, self.target)

    def after(self, seconds: float) -> "Glide":
        """The number so many seconds later."""
        step, gap = self.rate * seconds, self.target - self.value
        if abs(gap) <= step:
            return replace(self, value=self.target)
        return replace(self, value=self.value + (step if gap > 0 else -step))


def glide_s(snapshot: Snapshot, name: str) -> float:
    """Seconds that a number's newest glide takes: a cue may give it more than its own."""
    own = SPECS[name].glide if name in SPECS else EASE_S
    return max(own, snapshot.over.get(name, 0.0))


def asked_for(params: Params) -> dict[str, float]:
    """The gliding numbers the controls ask for. `guidance` must be known by now."""
    assert params.guidance is not None
    return {
        "speed": 0.0 if params.hold else params.speed,
        "guidance": params.guidance,
        "crossfeed": params.crossfeed,
        "crossfeed_range": params.crossfeed_range,
        "crossfeed_decay": params.crossfeed_decay,
        "damping": params.damping,
        "pace": params.pace,
        "synced": 1.0 if params.sync else 0.0,
    }
