"""Learn: from the next control that moves, a binding. Pure; time is passed in.

A key or pad is known from its first message. A controller is listened to for a moment, since a
fader, a button, an encoder and the halves of a 14-bit fader begin alike. This file knows nothing of
ports or files.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

from lwlive.params import SPECS, Value
from lwlive.stage.sources.midi import binding as rows
from lwlive.stage.sources.midi.binding import Binding
from lwlive.stage.sources.midi.message import CC, CC14, NOTE, NRPN, PROGRAM, Moved

LISTEN_S = 0.6
FEWEST = 3  # messages of an encoder, from which its encoding can be read


class Learner:
    """One target, waiting for its control."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.port: str | None = None  # of the first control that moved
        self._heard: list[Moved] = []

    def heard(self, port: str, moved: Moved) -> None:
        """A control was moved."""
        if self.port is None and moved.value == 0:
            return  # a button let go that was down before
        if self.port in (None, port):
            self.port = port
            self._heard.append(moved)

    def done(self, now: float, value: Value | None) -> Binding | None:
        """The binding, once it is sure; `value`: the target's present one. Raises ControlError."""
        if not self._heard:
            return None
        first = self._heard[0]
        if first.kind not in (NOTE, PROGRAM) and now - first.at < LISTEN_S:
            return None
        control = _control(self._heard)
        more: dict[str, Any] = {}
        row = SPECS.get(self.target)
        if row is not None and row.kind is str:
            more["value"] = value  # the text as it is now, so that a press brings it back
        elif row is not None and control.kind == CC:
            same = [m for m in self._heard if m.name == control.name]
            more |= _of_controller([m.value for m in same], row.kind is bool)
        elif row is not None and row.kind is bool and control.kind not in (NOTE, PROGRAM):
            more["mode"] = rows.ABSOLUTE
        return rows.of_target(self.target, control.name, control.channel, **more)


def _control(heard: list[Moved]) -> Moved:
    """The control that was moved: of an NRPN or a 14-bit fader, the whole and not its parts."""
    for kind in (NRPN, CC14):
        whole = [moved for moved in heard if moved.kind == kind and moved.whole]
        if whole:
            return whole[0]
    plain = [moved for moved in heard if moved.kind not in (NRPN, CC14)]
    name = Counter(moved.name for moved in plain).most_common(1)[0][0]
    return next(moved for moved in plain if moved.name == name)


def _of_controller(values: list[int], switch: bool) -> dict[str, Any]:
    """What the values of a controller tell about it."""
    encoding = _encoding(values)
    if encoding is not None and not switch:
        return {"mode": rows.RELATIVE, "encoding": encoding}
    if set(values) <= {0, 127} and len(values) <= 2:  # a button
        return {} if switch else {"mode": rows.MOMENTARY}
    return {"mode": rows.ABSOLUTE}


def _encoding(values: list[int]) -> str | None:
    """The encoding of a relative encoder; None for a fader, which never sends the same again."""
    again = any(a == b for a, b in pairwise(values))
    if len(values) < FEWEST or not again:
        return None
    near = 8  # clicks at most that one message tells
    found = {
        rows.TWOS: all(0 < v <= near or 128 - near <= v for v in values),
        rows.OFFSET: all(0 < abs(v - 64) <= near for v in values),
        rows.SIGN: all(0 < v <= near or 64 < v <= 64 + near for v in values),
    }
    return next((name for name, fits in found.items() if fits), None)
