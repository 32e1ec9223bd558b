"""The choice of what to learn: a list over the picture, steered by the keys that the show has.

L opens it. The arrows choose and L takes what is chosen, or any other key takes what it does
itself: L, B and a pad bind the pad to the blackout. Pure: commands of keys in, commands and lines
out.
"""

from collections.abc import Sequence

from lwlive.commands import (
    Command,
    Fire,
    Learn,
    Nudge,
    Recall,
    Toggle,
)
from lwlive.params import SPECS, TRIGGERS
from lwlive.stage.outputs.window.hud import shortened

LEARN, LEAVE = Fire("learn"), Fire("quit")  # what the keys L and Esc ask for
ROWS = 11  # shown together
PAGE = 5  # rows that the arrows to the side go


class Choice:
    """What may be learnt, and which is chosen. names: further targets, such as 'preset tunnel'."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        texts = [name for name, spec in SPECS.items() if spec.kind is str]
        moved = [name for name in SPECS if name not in texts]
        self._targets = [*moved, *TRIGGERS, *names, *texts]
        self._chosen = 0
        self._open = False
        self._learning: str | None = None

    def told(self, learning: str | None) -> None:
        """What is being learnt at present."""
        self._learning = learning
        if learning is not None:
            self._open = False

    def press(self, command: Command) -> Command | None:
        """What a key asks for: itself, unless the list is open; None where it was for the list."""
        if self._learning is not None and command in (LEARN, LEAVE):
            return Learn(None)
        if command == LEARN and not self._open:
            self._open = True
            return None
        if not self._open:
            return command
        if isinstance(command, Nudge):
            rows = -command.steps if command.name == "guidance" else PAGE * command.steps
            self._chosen = (self._chosen + _whole(rows)) % len(self._targets)
            return None
        target = self._targets[self._chosen] if command == LEARN else target_of(command)
        if target is None and command != LEAVE:
            return command  # it has nothing to do with a control, such as saving a preset
        self._open = False
        return None if target is None else Learn(target)

    def lines(self) -> list[str] | None:
        """The list, or what is being learnt; None where there is nothing to show."""
        if self._learning is not None:
            return [
                f"learn\t{shortened(self._learning)}",
                "",
                "\tmove a control now",
                "\tL: leave it",
            ]
        if not self._open:
            return None
        first = min(max(0, self._chosen - ROWS // 2), max(0, len(self._targets) - ROWS))
        rows = []
        for number, target in enumerate(self._targets[first : first + ROWS], first):
            told = f"{shortened(target)} >\t{shortened(_about(target))}"
            rows.append(told if number == self._chosen else shortened(target))
        count = f"{self._chosen + 1} of {len(self._targets)}"
        return [f"learn\t{count}", "", *rows, "", "\tarrows, then L; or the key itself; Esc"]


def target_of(command: Command) -> str | None:
    """What a key's command would be as a target of a control; None where it cannot be one."""
    if isinstance(command, Recall):
        return f"preset {command.preset}"
    if isinstance(command, Toggle):
        return command.name
    if isinstance(command, Fire) and command.name in TRIGGERS:
        return command.name
    return None


def _about(target: str) -> str:
    """What it does, in words."""
    if target in SPECS:
        return SPECS[target].help
    going = "go to this cue" if target.startswith("cue ") else "bend to this preset"
    return TRIGGERS.get(target, going)


def _whole(rows: float) -> int:
    """A step of the arrows, also with shift, in rows."""
    return round(rows) or (rows > 0) - (rows < 0)
