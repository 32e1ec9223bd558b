"""Steps: which numbers of steps a model has, and controls without those that it does not have.

A scheduler may have no table for some numbers of steps. A show then takes the nearest one, and so
does a replay of it: the controls keep what was asked for. It runs in whatever thread asks.
"""

from collections.abc import Callable
from dataclasses import replace

from lwlive.engine.model import Model
from lwlive.engine.schedule import MOST_STEPS, ScheduleError
from lwlive.snapshot import Snapshot


class Steps:
    """The numbers of steps that one model has. `say` hears what is used instead, each once."""

    def __init__(self, model: Model, say: Callable[[str], None]) -> None:
        self.refused: dict[int, str] = {}  # by number: why
        for steps in range(1, MOST_STEPS + 1):
            try:
                model.schedule(steps, 0)
            except ScheduleError as error:
                self.refused[steps] = str(error)
        self._fine = [n for n in range(1, MOST_STEPS + 1) if n not in self.refused]
        self._own = int(model.own["steps"])
        self._say = say
        self._said: set[str] = set()
        self._last: tuple[Snapshot, Snapshot] | None = None

    def check(self, steps: int | None) -> None:
        """Raise ScheduleError where the model does not have so many. None: its own number."""
        if (steps or self._own) in self.refused:
            raise ScheduleError(self.refused[steps or self._own])

    def nearest(self, steps: int | None) -> int:
        """The number of steps that is taken for this one. Raises ScheduleError where none is."""
        wanted = steps or self._own
        if wanted not in self.refused:
            return wanted
        if not self._fine:
            self.check(wanted)
        return min(self._fine, key=lambda n: (abs(n - wanted), -n))

    def allowed(self, snapshot: Snapshot) -> Snapshot:
        """The controls with steps that the model has; for the same ones, the same again."""
        if self._last is None or self._last[0] is not snapshot:
            self._last = snapshot, self._allowed(snapshot)
        return self._last[1]

    def _allowed(self, snapshot: Snapshot) -> Snapshot:
        if not self.refused:
            return snapshot
        asked = snapshot.params.steps or self._own
        taken = self.nearest(asked)
        params = snapshot.params
        if taken != asked:
            self._say_once(f"{self.refused[asked]}; {taken} are used")
            params = replace(params, steps=taken)
        routes = tuple(route for route in snapshot.routes if route.name != "steps")
        if routes != snapshot.routes:
            self._say_once("this model does not have every number of steps, so no route moves them")
        later = tuple(map(self._allowed, snapshot.later))
        found = replace(snapshot, params=params, routes=routes, later=later)
        return snapshot if found == snapshot else found

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)
