"""Switches: which outputs for other programs there are, and which of them are on.

A level for each, as `record` is one: outputs follow it, whoever has set it. Used by the show's
thread alone; it knows nothing of what an output is.
"""

from collections.abc import Mapping

from lwlive.commands import Switch
from lwlive.params import ControlError

ALL = "all"  # the name that means every output that the show was started with


class Switches:
    """The outputs by name, in the order they were made known."""

    def __init__(self) -> None:
        self._on: Mapping[str, bool] = {}
        self._started: tuple[str, ...] = ()

    @property
    def levels(self) -> Mapping[str, bool]:
        """Each output and whether it is on. Never changed: a new one takes its place."""
        return self._on

    def know(self, name: str, on: bool) -> None:
        """There is an output of this name; several may share one."""
        self._on = {**self._on, name: on or self._on.get(name, False)}
        if on and name not in self._started:
            self._started += (name,)

    def do(self, command: Switch) -> None:
        """Turn one on or off, or all. Raises ControlError and changes nothing where it is wrong."""
        named = (command.output,) if command.output != ALL else self._started or tuple(self._on)
        for name in named:
            if name not in self._on:
                there_are = ", ".join(self._on) or "none"
                raise ControlError(
                    f"there is no output {name!r:.40} in this show; there are {there_are}"
                )
        on = command.on
        if on is None:
            on = not any(self._on[name] for name in named)
        self._on = {**self._on, **dict.fromkeys(named, on)}
