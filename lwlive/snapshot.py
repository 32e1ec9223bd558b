"""The snapshot: all controls at one moment, and what is already known of later ones.

The stage makes one with every change, and the engine works with the newest. Plain frozen values:
this file knows nothing of processes, clocks or torch.
"""

from dataclasses import dataclass

from lwlive.params import SAMPLED, Params
from lwlive.routes import Routes
from lwlive.tempo import UNTOLD, Tempo


@dataclass(frozen=True)
class Snapshot:
    """All controls at one moment; `version` grows with every change."""

    version: int
    params: Params
    nexts: int = 0  # how often `next` was triggered: a level, so a lost message is mended
    tempo: Tempo = UNTOLD
    routes: Routes = ()
    due: float | None = None  # second of the show's clock at which it takes effect; None: now
    # what waits for its moment, the earliest first; each is whole and has no later ones itself
    later: tuple["Snapshot", ...] = ()

    @property
    def sampled(self) -> tuple[object, ...]:
        """The part that the engine needs to know."""
        values = (getattr(self.params, name) for name in SAMPLED)
        later = tuple((each.due, each.sampled) for each in self.later)
        return (self.nexts, self.tempo, self.routes, later, *values)

    def at(self, due: float) -> "Snapshot":
        """What is in effect for a frame that is due at this second."""
        found = self
        for each in self.later:
            if each.due is not None and each.due <= due:
                found = each
        return found
