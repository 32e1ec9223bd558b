"""Routes: what moves a parameter by itself, around the value that the hand has set.

A route adds `amount * source` to the position of the parameter's fader, so that its curve counts;
several add up, and the sum is clamped. A source is an Lfo, which is a function of time and known
ahead, or a Band of the sound that comes in, which is not. Plain arithmetic on frozen values: the
same moment gives the same value in every process. This file knows nothing of sound, clocks,
engines or files.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lwlive.params import SPECS, ControlError, Params, spec, within
from lwlive.tempo import Tempo

ROUTES = 16  # of one show: their numbers are 1 to 16
BANDS = ("low", "mid", "high", "level", "onset", "centroid")
UNITS = ("beats", "seconds")
SHORTEST, LONGEST = 0.05, 3600.0  # of an LFO's period
EDGE_S = 0.08  # what would jump takes so long,
EDGE = 0.25  # or this share of a period
SILENCE = (0.0,) * len(BANDS)


def _scrambled(seed: int, cycle: int) -> float:
    """A number from -1 to 1 that depends on both: the finaliser of MurmurHash3, 64 bits."""
    x = (seed * 0x9E3779B97F4A7C15 + cycle * 0xC2B2AE3D27D4EB4F) & 0xFFFFFFFFFFFFFFFF
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        x = ((x ^ (x >> 33)) * factor) & 0xFFFFFFFFFFFFFFFF
    return (x ^ (x >> 33)) / 2**63 - 1


def _smooth(cycles: float, seed: int, _edge: float) -> float:
    cycle = math.floor(cycles)
    one, other = _scrambled(seed, cycle), _scrambled(seed, cycle + 1)
    return one + (other - one) * (1 - math.cos(math.pi * (cycles - cycle))) / 2


def _saw(cycles: float, _seed: int, edge: float) -> float:
    along = cycles % 1
    return 2 * along / (1 - edge) - 1 if along < 1 - edge else 2 * (1 - along) / edge - 1


def _square(cycles: float, _seed: int, edge: float) -> float:
    along = cycles % 0.5
    start = 1.0 if cycles % 1 < 0.5 else -1.0
    return start if along < 0.5 - edge else start * (1 - 2 * (along - 0.5 + edge) / edge)


def _stepped(cycles: float, seed: int, edge: float) -> float:
    cycle = math.floor(cycles)
    on = max(0.0, cycles - cycle - 1 + edge) / edge
    one = _scrambled(seed, cycle)
    return one + (_scrambled(seed, cycle + 1) - one) * on if on else one


# Each shape at so many cycles, from -1 to 1. All but the random ones begin at 0 or at one end. What
# would jump arrives over an edge, so many cycles wide, that ends where the jump would be.
SHAPES: Mapping[str, Callable[[float, int, float], float]] = {
    "sine": lambda cycles, _seed, _edge: math.sin(math.tau * cycles),
    "triangle": lambda cycles, _seed, _edge: 1 - 4 * abs((cycles + 0.25) % 1 - 0.5),
    "saw": _saw,
    "square": _square,
    "smooth": _smooth,
    "stepped": _stepped,
}


@dataclass(frozen=True)
class Lfo:
    """A low-frequency oscillator. `smooth` and `stepped` are random, from the walk's seed."""

    shape: str = "sine"  # one of SHAPES
    period: float = 4.0
    unit: str = "beats"  # of the period: one of UNITS
    offset: float = 0.0  # in cycles

    def value(self, now: float, tempo: Tempo, seed: int) -> float:
        """From -1 to 1, at a moment of the show's clock."""
        beats = self.unit == "beats"
        cycles = (tempo.beats(now) if beats else now) / self.period + self.offset
        period_s = self.period * (60 / tempo.bpm if beats else 1)
        return SHAPES[self.shape](cycles, seed, min(EDGE, EDGE_S / period_s))


@dataclass(frozen=True)
class Band:
    """A feature of the sound that comes in, from 0 to 1."""

    name: str  # one of BANDS


@dataclass(frozen=True)
class Route:
    """Moves the parameter `name` by up to `amount` of its fader's travel."""

    name: str
    amount: float  # -1 to 1
    source: Lfo | Band
    number: int = 1  # which of the show's routes it is, 1 to ROUTES

    def moved(self, now: float, tempo: Tempo, bands: Sequence[float], seed: int) -> float:
        """By how much of the fader's travel, at a moment. bands: in the order of BANDS."""
        if isinstance(self.source, Band):
            return self.amount * bands[BANDS.index(self.source.name)]
        return self.amount * self.source.value(now, tempo, seed + self.number)


Routes = tuple[Route, ...]  # sorted by number; no two have the same


def checked(table: Mapping[str, Any], number: int) -> Route:
    """A route as a preset's [[routes]] or an OSC message has it. Raises ControlError.

    Keys: `parameter`, `amount`, and either `band`, or any of `lfo`, `beats` or `seconds`, `offset`.
    """
    where = f"route {number}"
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= ROUTES:
        raise ControlError(f"a route has a number from 1 to {ROUTES}, not {number!r:.40}")
    known = ("parameter", "amount", "band", "lfo", *UNITS, "offset")
    for key in table:
        if key not in known:
            raise ControlError(f"{where}: there is no {key!r:.40}; it takes {', '.join(known)}")
    name = table.get("parameter")
    if not isinstance(name, str):
        raise ControlError(f"{where}: parameter takes the name of a number, not {name!r:.40}")
    row = spec(name)
    if row.kind not in (int, float):
        raise ControlError(f"{where}: {name} is not a number that could be moved")
    if not row.routed:
        raise ControlError(f"{where}: {name} belongs to the hand and cannot be moved by a route")
    amount = _number(table.get("amount", 0.0), -1, 1, f"{where}: amount")
    if "band" in table:
        if strange := [key for key in ("lfo", *UNITS, "offset") if key in table]:
            raise ControlError(f"{where}: a band has no {strange[0]}")
        return Route(name, amount, Band(_one_of(table["band"], BANDS, f"{where}: band")), number)
    if all(unit in table for unit in UNITS):
        raise ControlError(f"{where}: its period is in beats or in seconds, not both")
    unit = "seconds" if "seconds" in table else "beats"
    lfo = Lfo(
        _one_of(table.get("lfo", "sine"), tuple(SHAPES), f"{where}: lfo"),
        _number(table.get(unit, 4.0), SHORTEST, LONGEST, f"{where}: {unit}"),
        unit,
        _number(table.get("offset", 0.0), -1, 1, f"{where}: offset"),
    )
    return Route(name, amount, lfo, number)


def table(route: Route) -> dict[str, Any]:
    """The route as `checked` reads it."""
    said: dict[str, Any] = {"parameter": route.name, "amount": route.amount}
    if isinstance(route.source, Band):
        return said | {"band": route.source.name}
    lfo = route.source
    return said | {"lfo": lfo.shape, lfo.unit: lfo.period, "offset": lfo.offset}


def tables(routes: Routes) -> list[dict[str, Any]]:
    """Routes as presets and journals have them: a table each, with its number."""
    return [{"number": route.number, **table(route)} for route in routes]


def from_tables(tables: object) -> Routes:
    """Routes from their tables; without a number, one counts on. Raises ControlError."""
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ControlError("each route stands under a line [[routes]]")
    found: Routes = ()
    number = 0
    for each in tables:
        keys = dict(each)
        number = keys.pop("number", number + 1)
        route = checked(keys, number)
        if any(other.number == number for other in found):
            raise ControlError(f"there are two routes of number {number}")
        found = patched(found, route)
    return found


def patched(routes: Routes, route: Route) -> Routes:
    """The routes with this one put at its number."""
    others = (each for each in routes if each.number != route.number)
    return tuple(sorted((*others, route), key=lambda each: each.number))


def altered(routes: Routes, number: int, key: str, value: object) -> Route:
    """A route with another value at one of the keys of its table. Raises ControlError.

    A number without a route begins with its `parameter`. What a new source has no use for is
    dropped.
    """
    found = next((each for each in routes if each.number == number), None)
    if found is None and key != "parameter":
        checked({"parameter": "speed"}, number)  # its number may be wrong
        there_are = ", ".join(str(each.number) for each in routes) or "none"
        raise ControlError(
            f"there is no route {number}, which begins with its parameter; there are {there_are}"
        )
    old = {} if found is None else table(found)
    useless = {"band": ("lfo", *UNITS, "offset"), "lfo": ("band",), "offset": ("band",)}
    useless |= {"beats": ("band", "seconds"), "seconds": ("band", "beats")}
    kept = {n: v for n, v in old.items() if n not in useless.get(key, ())}
    return checked(kept | {key: value}, number)


def offsets(
    routes: Iterable[Route],
    now: float,
    tempo: Tempo,
    seed: int,
    bands: Sequence[float] = SILENCE,
) -> dict[str, float]:
    """By how much of its fader's travel each routed parameter is moved at a moment."""
    found: dict[str, float] = {}
    for route in routes:
        found[route.name] = found.get(route.name, 0.0) + route.moved(now, tempo, bands, seed)
    return found


def modulated(
    params: Params,
    routes: Iterable[Route],
    now: float,
    tempo: Tempo,
    bands: Sequence[float] = SILENCE,
) -> Params:
    """The values as the routes move them at a moment; those left to the model stay."""
    found = {
        name: SPECS[name].moved(value, by)
        for name, by in offsets(routes, now, tempo, params.seed, bands).items()
        if by and (value := getattr(params, name)) is not None
    }
    return replace(params, **found)


def _number(value: Any, low: float, high: float, what: str) -> float:
    if not within(value, low, high):
        raise ControlError(f"{what} takes a number from {low:g} to {high:g}, not {value!r:.40}")
    return float(value)


def _one_of(value: object, known: tuple[str, ...], what: str) -> str:
    if value not in known:
        raise ControlError(f"{what} is one of {', '.join(known)}, not {value!r:.40}")
    return str(value)
