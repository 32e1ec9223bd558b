"""Modulation: by how much routes move parameters at one moment, eased where hands change routes.

What an oscillator does is a function of time and is followed as it is. What a hand does to the
routes is eased, as every change is: what a new set of routes moves otherwise is made up for, and
that goes to nothing over a parameter's glide. Bands of sound come now and then, and are followed
over a few frames. A frozen value that knows nothing of sound, clocks, engines or files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lwlive.params import SPECS
from lwlive.routes import SILENCE, Band, Routes, offsets
from lwlive.snapshot import Snapshot

BAND_S = 0.04  # a band that goes from nothing to all is followed for so long
EASE_S = 0.25  # at least for what a hand changes
SMALL = 1e-6  # of a fader's travel


@dataclass(frozen=True)
class Modulation:
    """By how much of its fader's travel each routed parameter is moved."""

    at: float = 0.0  # second of the show's clock
    bands: Sequence[float] = SILENCE  # as they are followed
    routes: Routes = ()
    _by: Mapping[str, float] = field(default_factory=dict)  # by the routes
    # what is left of what a hand has changed, and how fast it goes
    _left: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def after(
        self, seconds: float, snapshot: Snapshot, at: float, bands: Sequence[float] = SILENCE
    ) -> "Modulation":
        """So many seconds later, at a moment, where these bands are heard."""
        if not self.routes and not self._left:
            return replace(self, at=at, bands=tuple(bands))
        step = seconds / BAND_S
        heard = tuple(_towards(a, b, step) for a, b in zip(self.bands, bands, strict=True))
        by = self._moved(snapshot, at, heard)
        less = ((n, _towards(v, 0.0, rate * seconds), rate) for n, (v, rate) in self._left.items())
        left = {name: (value, rate) for name, value, rate in less if abs(value) > SMALL}
        return replace(self, at=at, bands=heard, _by=by, _left=left)

    def steered(self, snapshot: Snapshot, routes: Routes) -> "Modulation":
        """At the same moment under other controls and routes: nothing jumps."""
        if not self.routes and not routes:
            return self
        other = replace(self, routes=routes)
        by = other._moved(snapshot, self.at, self.bands)
        left, ease_s = dict(self._left), max(EASE_S, snapshot.over.get("routes", 0.0))
        for name in {*by, *self._by}:
            gap = self._by.get(name, 0.0) - by.get(name, 0.0)
            if abs(gap) > SMALL:
                whole = gap + left.get(name, (0.0, 0.0))[0]
                left[name] = whole, abs(whole) / max(SPECS[name].glide, ease_s)
        return replace(other, _by=by, _left=left)

    def _moved(self, snapshot: Snapshot, at: float, bands: Sequence[float]) -> dict[str, float]:
        params = snapshot.params
        found = offsets(self.routes, at, snapshot.tempo, params.seed, bands)
        if params.hold:
            found.pop("speed", None)
        return found

    def by(self, name: str) -> float:
        """By how much a parameter is moved, and has still to be."""
        return self._by.get(name, 0.0) + self._left.get(name, (0.0, 0.0))[0]

    def value(self, name: str, value: Any) -> Any:
        """A parameter's value as it is moved."""
        by = self.by(name)
        return SPECS[name].moved(value, by) if by else value

    def top(self, name: str, value: float) -> float:
        """The largest value that the routes can move a parameter to."""
        most = sum(abs(route.amount) for route in self.routes if route.name == name)
        most += abs(self._left.get(name, (0.0, 0.0))[0])
        return float(SPECS[name].moved(value, most)) if most else value

    @property
    def easing(self) -> Mapping[str, float]:
        """What is left of what a hand has changed, by parameter."""
        return {name: value for name, (value, _) in self._left.items()}

    @property
    def heard(self) -> bool:
        """Whether anything follows the sound coming in."""
        return any(isinstance(route.source, Band) for route in self.routes)


def begun(
    snapshot: Snapshot, routes: Routes, at: float = 0.0, bands: Sequence[float] = SILENCE
) -> Modulation:
    """What these routes do at a moment, as if they had been there for long."""
    first = Modulation(at, tuple(bands), routes)
    return replace(first, _by=first._moved(snapshot, at, bands))


def _towards(value: float, target: float, step: float) -> float:
    return min(target, value + step) if target > value else max(target, value - step)
