"""The snapshot: all controls at one moment, and what is already known of later ones.

The stage makes one with every change, and the engine works with the newest. Plain frozen values:
this file knows nothing of processes, clocks or torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from lwlive.params import SAMPLED, SPECS, Params
from lwlive.routes import Lfo, Routes
from lwlive.tempo import UNTOLD, Tempo

ROUNDING_S = 1e-6  # a frame computed to be due at a moment is due at that moment
EASED = {*SAMPLED, "routes"}  # what the engine takes its time for
SOON_S = 1.0  # for so long a tempo must agree with another one to be as good


@dataclass(frozen=True)
class Snapshot:
    """All controls at one moment; `version` grows with every change."""

    version: int
    params: Params
    nexts: int = 0  # how often `next` was triggered: a level, so a lost message is mended
    tempo: Tempo = UNTOLD
    routes: Routes = ()
    # seconds that a parameter takes to what it was set to last, and "routes" to theirs, where a cue
    # or a recall said so: a level, so that a change which another overtakes still takes its time
    over: Mapping[str, float] = field(default_factory=dict)
    due: float | None = None  # second of the show's clock at which it takes effect; None: now
    # what waits for its moment, the earliest first; each is whole and has no later ones itself
    later: tuple["Snapshot", ...] = ()

    @property
    def inner(self) -> Routes:
        """The routes of parameters that the engine acts on."""
        return tuple(route for route in self.routes if not SPECS[route.name].stage)

    @property
    def outer(self) -> Routes:
        """The routes of parameters that the stage acts on by itself."""
        return tuple(route for route in self.routes if SPECS[route.name].stage)

    @property
    def effect(self) -> tuple[object, ...]:
        """What pictures depend on, but for the tempo."""
        over = {name: seconds for name, seconds in self.over.items() if name in EASED}
        return (self.nexts, self.inner, over, *(getattr(self.params, name) for name in SAMPLED))

    @property
    def sampled(self) -> tuple[object, ...]:
        """The part that the engine needs to know."""
        later = tuple((each.due, each.sampled) for each in self.later)
        return (self.tempo, later, *self.effect)

    @property
    def keeps_time(self) -> bool:
        """Whether pictures depend on the tempo."""
        beats = (isinstance(r.source, Lfo) and r.source.unit == "beats" for r in self.inner)
        return self.params.sync > 0 or any(beats)

    @property
    def prompts(self) -> tuple[str, str]:
        """The wanted prompt and the unwanted one."""
        return self.params.prompt, self.params.negative

    @property
    def transition(self) -> float:
        """Seconds that the newest bend of the prompts takes."""
        said = [self.over[name] for name in ("prompt", "negative") if name in self.over]
        return max(said, default=self.params.transition)

    def at(self, due: float) -> "Snapshot":
        """What is in effect for a frame that is due at this second."""
        found = self
        for each in self.later:
            if each.due is not None and each.due <= due + ROUNDING_S:
                found = each
        return found

    def changes(self, now: float) -> float:
        """The second after `now` at which the next of those that wait takes effect, or infinity."""
        dues = (each.due for each in self.later if each.due is not None)
        return min((due for due in dues if due > now + ROUNDING_S), default=math.inf)

    def parts(self, other: "Snapshot", now: float, slack_s: float) -> float:
        """From which second on, `now` at the earliest, another snapshot makes other pictures.

        Infinity where it does not. A tempo whose beats are moved by no more than the slack makes
        the same ones.
        """
        moments = {now, *(e.due for e in (*self.later, *other.later) if e.due and e.due > now)}
        for moment in sorted(moments):
            if not self.at(moment)._resembles(other.at(moment), moment, slack_s):
                return moment
        return math.inf

    def _resembles(self, other: "Snapshot", now: float, slack_s: float) -> bool:
        if self.effect != other.effect:
            return False
        if self.tempo == other.tempo or not self.keeps_time:
            return True
        one, two = self.tempo, other.tempo
        gaps = (abs(two.when(one.beats(t)) - t) for t in (now, now + SOON_S))
        return max(gaps) <= slack_s
