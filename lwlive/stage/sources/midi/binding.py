"""Bindings: one control of a box and what it steers, as a row of a mapping file.

A row names a control, and one target: a parameter, trigger, preset, cue or route. What it does not
say follows from both. This file knows nothing of ports, files or the show.
"""

import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lwlive.params import SPECS, TRIGGERS, ControlError, Spec, spec
from lwlive.stage.sources.midi.message import BEND, CC, CC14, MOST, NOTE, PROGRAM, Moved, called

ABSOLUTE, RELATIVE, TOGGLE, MOMENTARY = "absolute", "relative", "toggle", "momentary"
MODES = (ABSOLUTE, RELATIVE, TOGGLE, MOMENTARY)
TWOS, OFFSET, SIGN = "twos-complement", "binary-offset", "sign-magnitude"
ENCODINGS = (TWOS, OFFSET, SIGN)
TARGETS = ("parameter", "trigger", "preset", "presets", "cue", "cues", "route")
AMOUNT = Spec("amount", float, 0.0, "how far a route moves its parameter", low=-1.0, high=1.0)
NAME = re.compile(r"(\w+)(?: (\d+))?", re.ASCII)  # of a control


def _key(default: Any, help: str) -> Any:
    """One key of a row: its usual value, and what it is for."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Binding:
    """One row. Raises ControlError with a sentence where it makes no sense."""

    control: str = _key(
        "", "`cc 7`, `cc14 7`, `nrpn 300`, `note 36`, `bend`, `pressure`, `program 3`"
    )
    channel: int | None = _key(None, "1 to 16; left out: any")
    parameter: str | None = _key(None, "the parameter that it moves")
    trigger: str | None = _key(None, "or the trigger that it fires")
    preset: str | int | None = _key(None, "or the preset that it bends to, by name or number")
    presets: bool = _key(False, "or, of `program`: program number n recalls preset n + 1")
    cue: str | int | None = _key(None, "or the cue that it goes to, by name or number")
    cues: bool = _key(False, "or, of `program`: program number n goes to cue n + 1")
    route: int | None = _key(None, "or the number of a route, whose amount it moves")
    value: str | float | bool | None = _key(None, "what a press sets the parameter to, texts too")
    low: float | None = _key(None, "value at the control's lower end; left out: the fader's")
    high: float | None = _key(None, "value at its upper end")
    inverted: bool = _key(False, "the other way round")
    curve: float = _key(1.0, "its way is raised to this: above 1, finer at the low end")
    mode: str = _key(
        "", "`absolute`, `relative`, `toggle` or `momentary`; left out: what fits both"
    )
    encoding: str = _key(
        TWOS, "of a relative encoder: `twos-complement`, `binary-offset` or `sign-magnitude`"
    )
    step: float = _key(1.0, "steps of the parameter for each click of a relative encoder")
    seconds: float | None = _key(None, "how long a preset takes")
    takeover: bool = _key(True, "the value follows only after the control has met it")
    motor: bool = _key(False, "the box moves its fader, or its ring of lamps, to what it is sent")
    off: int = _key(0, "what a button's lamp is sent for off")
    on: int = _key(127, "and for on")
    lamp: str | None = _key(None, "the note or controller of the lamp, where it is another one")
    lamp_channel: int | None = _key(None, "and its channel")

    def __post_init__(self) -> None:
        self._check()
        if not self.mode:
            object.__setattr__(self, "mode", self._usual_mode())
        need(self.mode in MODES, f"mode is one of {', '.join(MODES)}, not {self.mode!r}")
        self._check_mode()

    @property
    def kind(self) -> str:
        """Of its control."""
        return self.control.partition(" ")[0]

    @property
    def number(self) -> int | None:
        """Of its control; None where the kind has none, or where any is meant."""
        number = self.control.partition(" ")[2]
        return int(number) if number else None

    @property
    def target(self) -> str:
        """What it steers, in words, as Learn has it where it can be learnt."""
        if self.parameter is not None or self.trigger is not None:
            return str(self.parameter or self.trigger)
        if self.presets or self.cues:
            return "presets by number" if self.presets else "cues by number"
        kind = next(name for name in ("preset", "cue", "route") if getattr(self, name) is not None)
        return f"{kind} {getattr(self, kind)}"

    @property
    def spec(self) -> Spec | None:
        """The row of what a position moves: a parameter, or a route's amount."""
        if self.route is not None:
            return AMOUNT
        return None if self.parameter is None else SPECS[self.parameter]

    @property
    def ends(self) -> tuple[float, float]:
        """The fader positions at the control's two ends."""
        row = self.spec
        assert row is not None
        low, high = (0.0, 1.0) if self.route is not None else row.travel
        low, high = low if self.low is None else self.low, high if self.high is None else self.high
        return row.position(low), row.position(high)

    def position(self, share: float) -> float:
        """The fader position where the control stands at this share of its way, 0 to 1."""
        low, high = self.ends
        share = 1 - share if self.inverted else share
        return low + (high - low) * float(share**self.curve)

    def share(self, position: float) -> float:
        """Where the control stands at a fader position: the inverse of `position`."""
        low, high = self.ends
        share = 0.0 if high == low else min(1.0, max(0.0, (position - low) / (high - low)))
        share = float(share ** (1 / self.curve))
        return 1 - share if self.inverted else share

    def hears(self, moved: Moved) -> bool:
        """Whether this is its control."""
        return (
            moved.kind == self.kind
            and self.number in (None, moved.number)
            and self.channel in (None, moved.channel)
        )

    def written(self) -> dict[str, Any]:
        """The row as a file has it: only what is not usual."""
        usual = {each.name: each.default for each in fields(self)}
        values = {n: v for n, v in asdict(self).items() if v is not None and v != usual[n]}
        if values.get("mode") == self._usual_mode():
            del values["mode"]
        return values

    def _usual_mode(self) -> str:
        row = self.spec
        if row is None or self.value is not None:
            return MOMENTARY
        if row.kind is bool:
            return TOGGLE
        return MOMENTARY if self.kind == NOTE else ABSOLUTE

    def _check(self) -> None:
        for channel in (self.channel, self.lamp_channel):
            need(channel is None or 1 <= channel <= 16, "a channel is 1 to 16, or left out")
        lamp = NAME.fullmatch(self.lamp or "note 0")
        fits = lamp is not None and lamp[1] in (NOTE, CC) and int(lamp[2] or 128) <= 127
        need(fits, f"lamp is a note or cc with its number, not {self.lamp!r:.60}")
        found = NAME.fullmatch(self.control)
        kind = found[1] if found else ""
        known = ", ".join(called(kind, most if most is None else 0) for kind, most in MOST.items())
        need(kind in MOST, f"control is one of {known}, with its number, not {self.control!r:.60}")
        assert found is not None
        most = MOST[kind]
        if most is None:
            need(found[2] is None, f"{kind} has no number, so not {self.control!r:.60}")
        elif found[2] is None:
            need(kind == PROGRAM, f"{kind} needs a number from 0 to {most}")
        else:
            need(int(found[2]) <= most, f"{kind} has numbers from 0 to {most}, not {found[2]:.20}")
            object.__setattr__(self, "control", called(kind, int(found[2])))
        chosen = [n for n in TARGETS if (v := getattr(self, n)) is not None and v is not False]
        need(len(chosen) == 1, f"a binding has one of {', '.join(TARGETS)}, not {_listed(chosen)}")
        if self.parameter is not None:
            spec(self.parameter)
        for which in (self.preset, self.cue):
            counted = not isinstance(which, int) or which > 0
            need(counted, f"presets and cues are counted from 1, so there is no number {which}")
        need(
            self.trigger is None or self.trigger in TRIGGERS,
            f"there is no trigger {self.trigger!r:.60}; known are {', '.join(TRIGGERS)}",
        )
        need(0.1 <= self.curve <= 10, f"curve is a number from 0.1 to 10, not {self.curve:g}")
        need(0 < abs(self.step) <= 1000, f"step is a number up to 1000, not {self.step:g}")
        need(
            self.encoding in ENCODINGS,
            f"encoding is one of {', '.join(ENCODINGS)}, not {self.encoding!r:.60}",
        )
        need(0 <= self.off <= 127 and 0 <= self.on <= 127, "off and on are numbers from 0 to 127")
        if self.seconds is not None:
            SPECS["transition"].checked(self.seconds)
        self._check_ends()

    def _check_ends(self) -> None:
        row = self.spec
        if self.value is not None:
            need(self.parameter is not None, "value belongs to a parameter")
            assert row is not None
            row.checked(self.value)
        for end in (self.low, self.high):
            if end is not None:
                movable = row is not None and row.kind in (int, float)
                need(movable, "low and high belong to a parameter that is a number, or to a route")
                assert row is not None
                row.checked(int(end) if row.kind is int and end == int(end) else end)

    def _check_mode(self) -> None:
        row = self.spec
        if row is None:
            need(self.mode == MOMENTARY, f"{self.target} is fired by a press, so has no mode")
            return
        text = row.kind is str
        need(
            not text or self.value is not None,
            f"{row.name} is text: give the value that a press sets it to",
        )
        if self.value is not None:
            need(self.mode == MOMENTARY, f"a press sets {row.name} to a value, so has no mode")
        elif self.mode == RELATIVE:
            number = row.kind in (int, float) and self.route is None
            need(number, f"{self.target} is not a number that an encoder could step")
            need(self.kind == CC, f"relative encoders are controllers (cc), not {self.kind}")
            need(self.low is None and self.high is None, "low and high are for absolute controls")
        elif self.kind == PROGRAM:
            need(self.mode != ABSOLUTE, "a program change is a press; it has no position")


def of_target(target: str, control: str, channel: int, **more: Any) -> Binding:
    """A binding to a target as Learn has it. Raises ControlError."""
    kind, _, which = target.partition(" ")
    if target in SPECS:
        return Binding(control, channel, parameter=target, **more)
    if target in TRIGGERS:
        return Binding(control, channel, trigger=target, **more)
    number = int(which) if which.isdecimal() and len(which) < 10 else None
    if kind == "route" and number is not None:
        return Binding(control, channel, route=number, **more)
    if kind in ("preset", "cue") and which:
        named: dict[str, Any] = {kind: which if number is None else number}
        return Binding(control, channel, **named, **more)
    raise ControlError(f"{target!r:.60} cannot be steered by a control")


def clicks(value: int, encoding: str) -> int:
    """How far a relative encoder was turned, and which way: above 0 to the right."""
    if encoding == OFFSET:
        return value - 64
    if encoding == SIGN:
        return value if value < 64 else 64 - value
    return value if value < 64 else value - 128


def has_position(kind: str) -> bool:
    """Whether a control of this kind stands somewhere, and can be sent to a place."""
    return kind in (CC, CC14, BEND)


def need(right: bool, sentence: str) -> None:
    """Raise ControlError with the sentence unless it is right."""
    if not right:
        raise ControlError(sentence)


def _listed(names: list[str]) -> str:
    return " and ".join(names) or "none of them"
