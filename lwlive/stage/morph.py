"""Morph: a cross-fade by hand between two presets, A and B, chosen before.

Where the hand is, every parameter of both looks is set: numbers in proportion along their faders,
prompts mixed by weight, switches at half. What only one of them sets counts for both. The seed is
A's, so that the hand moves no noise. Used by the show's thread; it knows no files.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from lwlive import mix
from lwlive.changes import nudged
from lwlive.commands import Move, Nudge, Set
from lwlive.controls import Controls
from lwlive.params import SPECS, ControlError, Params, spec
from lwlive.routes import Routes

FOLLOWED_S = 0.25  # what the hand moves arrives so much later
CHOICES = {"morph_a": "A", "morph_b": "B"}


class Look(NamedTuple):
    """What a preset sets."""

    values: Mapping[str, Any]
    routes: Routes | None = None


class Morph:
    """The looks that may be morphed, and the hand that moves between two of them."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._looks: dict[str, Look] = {}  # by the names of their presets
        self._prompt: str | None = None  # that it has set last
        self._arrives_at = -math.inf  # when the picture, from elsewhere, is where the hand is

    def choose(self, which: str, name: str, look: Look, by: str, at: float) -> None:
        """Take a preset as A or B. Raises ControlError where the two cannot be mixed."""
        chosen = {each: getattr(self._controls.params, each) for each in CHOICES} | {which: name}
        looks = self._looks | {name: look}
        pair = [looks.get(each) for each in chosen.values()]
        if pair[0] is not None and pair[1] is not None:
            try:
                between(pair[0], pair[1], 1 / 3)  # whose weights are as long as any
            except ControlError as error:
                a, b = chosen.values()
                raise ControlError(f"{a} and {b} cannot be mixed: {error}") from None
        self._controls.do(Set(which, name), by, at)
        self._looks = looks

    def move(self, command: Set | Move | Nudge, by: str, at: float, due: float | None) -> None:
        """Set `morph`, and all that it moves. Raises ControlError."""
        params = self._controls.params
        a, b = (self._looks.get(getattr(params, which)) for which in CHOICES)
        if a is None or b is None:
            missing = " and ".join(n for n, look in zip(CHOICES, (a, b), strict=True) if not look)
            raise ControlError(f"morph moves between two presets: give {missing} a preset first")
        look = between(a, b, _aimed(command, params, due))
        self._controls.do(command, by, at, due)
        if params.prompt != self._prompt:
            self._arrives_at = at + params.transition
        over = max(FOLLOWED_S, self._arrives_at - at)
        self._controls.load(look.values, "", at, due, look.routes, over)
        self._prompt = look.values.get("prompt", params.prompt)


def _aimed(command: Set | Move | Nudge, params: Params, due: float | None) -> float:
    """Where a command moves the hand to. Raises ControlError."""
    if isinstance(command, Nudge) and due is None:
        return float(nudged(params, command))
    if isinstance(command, Set):
        return float(spec(command.name).checked(command.value))
    if isinstance(command, Move):
        return float(spec(command.name).value(command.position))
    raise ControlError("a step of morph takes effect when it is asked for, and not later")


def between(a: Look, b: Look, x: float) -> Look:
    """The look at x from 0, which is A, to 1, which is B. Raises ControlError."""
    values: dict[str, Any] = {}
    for name in SPECS:
        if name in a.values and name in b.values:
            values[name] = _value(name, a.values[name], b.values[name], x)
        elif name in a.values or (name in b.values and name != "seed"):
            values[name] = a.values.get(name, b.values.get(name))
    return Look(values, _routes(a.routes, b.routes, x))


def _value(name: str, one: Any, other: Any, x: float) -> Any:
    row = SPECS[name]
    if name == "seed" or one == other or x <= 0:
        return one
    if x >= 1:
        return other
    if row.kind is str and one.strip() and other.strip():
        mixed = mix.mixed(one, other, x)
        try:
            return row.checked(mixed)
        except ControlError as error:
            why = mix.trouble(mixed) or f"it has {len(mixed)} characters, {row.high:g} at most"
            raise ControlError(f"the {name} of both together is too long: {why}") from error
    if row.kind in (str, bool):  # a text that is empty has no weight, so it is a switch as well
        return one if x < 0.5 else other
    return row.value((1 - x) * row.position(one) + x * row.position(other))


def _routes(one: Routes | None, other: Routes | None, x: float) -> Routes | None:
    """What both have keeps its source and mixes its amounts; of the rest, the nearer one's, faded.

    None where neither says anything.
    """
    if one is None and other is None:
        return None
    near, far, share = (one, other, x) if x < 0.5 else (other, one, 1 - x)
    theirs = {(each.number, each.name, each.source): each.amount for each in far or ()}
    found = []
    for each in near or ():
        key = (each.number, each.name, each.source)
        amount = each.amount * (1 - 2 * share)
        if key in theirs:
            amount = (1 - share) * each.amount + share * theirs[key]
        found.append(replace(each, amount=amount))
    return tuple(found)
