"""What a command does to the controls: functions from one Snapshot to the next.

Nothing here keeps anything. Each raises ControlError where it is made, if the command is wrong
whatever the controls are, and where it is applied, if it does not fit what they are then.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from lwlive.commands import (
    Alter,
    Amount,
    Command,
    Fire,
    Move,
    Nudge,
    Offer,
    Patch,
    Set,
    Toggle,
    Unpatch,
)
from lwlive.params import SPECS, TRIGGERS, ControlError, Params, Value, spec, within
from lwlive.routes import Routes, altered, patched
from lwlive.snapshot import Snapshot
from lwlive.tempo import BAR

LONGEST_S = 3600.0  # that a recall or a cue takes

Change = Callable[[Snapshot], Snapshot]


def changed(command: Command, by: str, when: float, since: float) -> Change:
    """What a command does to the controls at a moment. Raises ControlError.

    when: that moment. since: from when on a change of tempo counts.
    """
    if isinstance(command, Set):
        return setting({command.name: command.value}, since)
    if isinstance(command, Move):
        return setting({command.name: spec(command.name).value(command.position)}, since)
    if isinstance(command, Nudge):
        return lambda old: setting({command.name: nudged(old.params, command)}, since)(old)
    if isinstance(command, Toggle):
        return _toggled(command.name, since)
    if isinstance(command, Offer):
        return _offered(command, since)
    if isinstance(command, Patch):
        return lambda old: replace(old, routes=patched(old.routes, command.route))
    if isinstance(command, Alter):
        number, key, value = command.number, command.key, command.value
        return lambda old: replace(
            old, routes=patched(old.routes, altered(old.routes, number, key, value))
        )
    if isinstance(command, Unpatch | Amount):
        return lambda old: replace(old, routes=_rerouted(old.routes, command))
    if isinstance(command, Fire):
        return _fired(command.name, by, when, since)
    raise ControlError(f"this cannot be done here: {command!r:.80}")


def _fired(trigger: str, by: str, when: float, since: float) -> Change:
    if trigger == "next":
        return lambda old: replace(old, nexts=old.nexts + 1)
    if trigger == "beat":
        return lambda old: replace(
            old, tempo=old.tempo.struck(when, by, BAR).after(old.tempo, since)
        )
    if trigger not in TRIGGERS:
        known = ", ".join(TRIGGERS)
        raise ControlError(f"there is no trigger {trigger!r}; known are {known}")
    raise ControlError(f"this cannot be done here: {Fire(trigger)!r:.80}")


def _toggled(name: str, since: float) -> Change:
    if spec(name).kind is not bool:
        raise ControlError(f"{name} is not a switch that could be toggled")
    return lambda old: setting({name: not getattr(old.params, name)}, since)(old)


def seconds(value: object) -> float:
    """The seconds that a recall or a cue takes. Raises ControlError."""
    if not within(value, 0, LONGEST_S):
        expected = f"a number from 0 to {LONGEST_S:g} s"
        raise ControlError(f"a transition takes {expected}, not {value!r:.60}")
    return float(value)


def lasting(change: Change, seconds: float, names: Collection[str]) -> Change:
    """The same change, over so many seconds. What is on its way there already is no later."""

    def timed(old: Snapshot) -> Snapshot:
        new = change(old)
        said = {n: min(s, seconds) if n in names else s for n, s in old.over.items()}
        said |= dict.fromkeys(_moved(old, new), seconds)
        if new.routes != old.routes:
            said["routes"] = seconds
        return replace(new, over=said)

    return timed


def untimed(change: Change) -> Change:
    """The same change, where what it moves without a word on time takes the time it always does."""

    def untimed(old: Snapshot) -> Snapshot:
        new = change(old)
        if new.over is not old.over:
            return new
        names = _moved(old, new) | ({"routes"} if new.routes != old.routes else set())
        if "transition" in names:  # a hand on it takes the bend that is under way
            names |= {"prompt", "negative"}
        return replace(new, over={n: s for n, s in old.over.items() if n not in names})

    return untimed


def _moved(old: Snapshot, new: Snapshot) -> set[str]:
    """The parameters that a change moves: `hold` stops what `speed` moves."""
    names = {n for n in SPECS if getattr(new.params, n) != getattr(old.params, n)}
    return names | {"speed"} if "hold" in names else names


def setting(values: Mapping[str, object], when: float, routes: Routes | None = None) -> Change:
    """Several parameters set to values. Raises ControlError."""
    good = {name: spec(name).checked(value) for name, value in values.items()}

    def change(old: Snapshot) -> Snapshot:
        params = replace(old.params, **good)
        same = params.bpm == old.params.bpm
        tempo = old.tempo if same else old.tempo.turned(params.bpm, when)
        return replace(
            old, params=params, tempo=tempo, routes=old.routes if routes is None else routes
        )

    return change


def _offered(offer: Offer, when: float) -> Change:
    """A tempo in place of the one there is. Raises ControlError."""
    bpm = spec("bpm").checked(round(offer.tempo.bpm, 2))

    def change(old: Snapshot) -> Snapshot:
        tempo = offer.tempo if offer.jump else offer.tempo.after(old.tempo, when)
        return replace(old, params=replace(old.params, bpm=bpm), tempo=tempo)

    return change


def _rerouted(routes: Routes, command: Unpatch | Amount) -> Routes:
    """The routes without one, or with another amount. Raises ControlError."""
    found = next((each for each in routes if each.number == command.number), None)
    if found is None:
        there_are = ", ".join(str(each.number) for each in routes) or "none"
        raise ControlError(f"there is no route {command.number!r:.40}; there are {there_are}")
    if isinstance(command, Unpatch):
        return tuple(each for each in routes if each is not found)
    amount = command.amount
    number = isinstance(amount, int | float) and not isinstance(amount, bool)
    if not number or not -1 <= amount <= 1:
        raise ControlError(f"the amount of a route is a number from -1 to 1, not {amount!r:.40}")
    return patched(routes, replace(found, amount=float(amount)))


def nudged(params: Params, command: Nudge) -> Value:
    """The value that a step leads to. Raises ControlError."""
    row = spec(command.name)
    value: float | None = getattr(params, command.name)
    if row.kind not in (int, float):
        raise ControlError(f"{row.name} is not a number that could be stepped")
    if value is None:
        raise ControlError(f"{row.name} is the model's own, which is not loaded yet")
    if not abs(command.steps) < float("inf"):
        raise ControlError(f"{row.name} moves by a number of steps, not {command.steps!r}")
    if row.kind is int:  # however fine, a step moves it
        by = round(command.steps) or (command.steps > 0) - (command.steps < 0)
        return min(int(row.high), max(int(row.low), int(value + by)))
    step = row.step or (row.high - row.low) / 50
    return min(row.high, max(row.low, round(value + command.steps * step, 4)))


def completed(params: Params, own: Mapping[str, object]) -> Params:
    missing = {name: value for name, value in own.items() if getattr(params, name) is None}
    return replace(params, **missing)  # type: ignore[arg-type] # `adopt` has checked them
