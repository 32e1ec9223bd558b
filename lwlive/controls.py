"""The one door in: a Command is asked for, validated, and the whole snapshot is swapped.

One vocabulary for whatever steers a show: keys, OSC, and what is still to come. Used by one
thread. This file knows nothing of sources, files or time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lwlive.params import SPECS, TRIGGERS, ControlError, Params, Snapshot, Value, spec


@dataclass(frozen=True)
class Set:
    """Set a parameter to a value in its own unit."""

    name: str
    value: object


@dataclass(frozen=True)
class Move:
    """Move a parameter's fader to a position, 0 to 1."""

    name: str
    position: float


@dataclass(frozen=True)
class Nudge:
    """Change a number by so many of its steps, as an arrow key or an encoder does."""

    name: str
    steps: float


@dataclass(frozen=True)
class Toggle:
    """Turn a switch to the opposite of what it is."""

    name: str


@dataclass(frozen=True)
class Fire:
    """Fire a trigger."""

    name: str


@dataclass(frozen=True)
class Recall:
    """Bend to a preset: its name, or its number in the list, from 1; over so many seconds."""

    preset: str | int
    seconds: float | None = None  # None: the transition that the preset or the show has


Command = Set | Move | Nudge | Toggle | Fire | Recall


class Controls:
    """The present values and who set them. Used by one thread."""

    def __init__(self, start: Params) -> None:
        self._start = start
        self.snapshot = Snapshot(0, start)
        self._changed: dict[str, tuple[int, str]] = {}  # name -> version, who set it

    @property
    def params(self) -> Params:
        """The present values; take them once and pass them down."""
        return self.snapshot.params

    def do(self, command: Command, by: str = "") -> None:
        """Do what is asked. Raises ControlError and changes nothing where it is wrong.

        Recall is not done here: whoever reads the preset gives its values to `load`.
        """
        if isinstance(command, Set):
            self.load({command.name: command.value}, by)
        elif isinstance(command, Move):
            self.load({command.name: spec(command.name).value(command.position)}, by)
        elif isinstance(command, Nudge):
            self.load({command.name: self._nudged(command)})
        elif isinstance(command, Toggle):
            if spec(command.name).kind is not bool:
                raise ControlError(f"{command.name} is not a switch that could be toggled")
            self.load({command.name: not getattr(self.params, command.name)})
        elif isinstance(command, Fire):
            self._fire(command.name)
        else:
            raise ControlError(f"this cannot be done here: {command!r:.80}")

    def load(self, values: Mapping[str, object], by: str = "") -> None:
        """Set several parameters as one change, all or none. Raises ControlError."""
        good = {name: spec(name).checked(value) for name, value in values.items()}
        self._swap(replace(self.params, **good), by)

    def changed(self, since: int) -> dict[str, str]:
        """The parameters changed after version `since`, each with who set it to what it is.

        That one knows the value. It is "" where nobody does: after a preset, a panic, a step.
        """
        return {name: by for name, (version, by) in self._changed.items() if version > since}

    def adopt(self, own: Mapping[str, object]) -> None:
        """Fill in the model's own values where none was chosen yet. Raises ControlError."""
        good = {name: spec(name).checked(value) for name, value in own.items()}
        self._start = _completed(self._start, good)
        self._swap(_completed(self.params, good))

    def _nudged(self, command: Nudge) -> Value:
        row = spec(command.name)
        value: float | None = getattr(self.params, command.name)
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

    def _fire(self, name: str) -> None:
        old = self.snapshot
        if name == "next":
            self.snapshot = Snapshot(old.version + 1, old.params, old.nexts + 1)
        elif name == "panic":
            self._swap(replace(self._start, record=old.params.record, hud=old.params.hud))
        else:
            raise ControlError(f"there is no trigger {name!r}; known are {', '.join(TRIGGERS)}")

    def _swap(self, params: Params, by: str = "") -> None:
        old = self.snapshot
        names = [n for n in SPECS if getattr(params, n) != getattr(old.params, n)]
        if names:
            self.snapshot = Snapshot(old.version + 1, params, old.nexts)
            self._changed |= dict.fromkeys(names, (old.version + 1, by))


def _completed(params: Params, own: Mapping[str, object]) -> Params:
    missing = {name: value for name, value in own.items() if getattr(params, name) is None}
    return replace(params, **missing)  # type: ignore[arg-type] # `adopt` has checked them
