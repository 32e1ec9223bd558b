"""The desk: what a command does, whoever asks. Controls, presets, the end of the show.

All of it runs in the show's thread and waits for nothing: presets are read and written aside (see
`recalls`) and taken up on a later tick. It knows no source or output by name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from lwlive import preset
from lwlive.changes import seconds
from lwlive.commands import (
    Command,
    Fire,
    Go,
    Hear,
    Learn,
    Move,
    Nudge,
    Offer,
    Recall,
    Set,
    Switch,
)
from lwlive.controls import WAITING, Controls
from lwlive.cuelist import CueList
from lwlive.params import SPECS, TRIGGERS, ControlError
from lwlive.stage.cues import Cues
from lwlive.stage.disk import Disk
from lwlive.stage.morph import CHOICES, Look, Morph
from lwlive.stage.notices import Notices
from lwlive.stage.parts import Arrived
from lwlive.stage.recalls import Recalled, Recalls
from lwlive.stage.switches import Switches
from lwlive.stage.taps import Taps

QUANTISED = ("prompt", "negative", "seed")  # parameters whose changes wait for a beat
LEARNT = ("preset", "cue", "route")  # kinds of targets of Learn that have a name or number


class Refusing(Protocol):
    """A source, as far as the desk needs it."""

    def refused(self, arrived: Arrived, why: str) -> None:
        """See `Source`."""


class Desk:
    """Carries out the commands of one show.

    folder: where presets are looked for and saved. delay_s: from a picture to the audience's eyes;
    what waits for its moment is seen at that moment. continued: the values are those of a show
    before this one, so nothing in them is carried out again. Raises PresetError where what
    `morph_a` or `morph_b` name at the start is no preset.
    """

    def __init__(
        self,
        folder: Path,
        controls: Controls,
        disk: Disk | None = None,
        delay_s: float = 0.0,
        cues: CueList | None = None,
        continued: bool = False,
    ) -> None:
        self.controls, self._folder, self._delay_s = controls, folder, delay_s
        self.notices = Notices()
        self.cues = None if cues is None else Cues(cues, controls, self.say)
        self._morph = Morph(controls)
        self.pictures = False  # whether there has been one
        for which in CHOICES:
            if name := getattr(controls.params, which):
                try:
                    look = Look(*preset.load_look(preset.named(name, folder), self.say))
                    self._morph.choose(which, name, look, "", 0.0)
                except ControlError as error:
                    if not continued:
                        raise
                    self.say(f"{which} is left out: {error}")
                    controls.do(Set(which, ""))
        if controls.params.morph and not continued:
            self._morph.move(Set("morph", controls.params.morph), "", 0.0, None)
        self._disk = Disk(self.say) if disk is None else disk
        self.switches = Switches()
        self.snapshots = 0  # how often one was asked for
        self._recalls = Recalls(folder, self._disk)
        self._choosing = 0  # presets being read for `morph`
        self._morphed: list[tuple[Arrived, Refusing]] = []  # what moved it meanwhile
        self._held: list[tuple[float, Arrived, Refusing]] = []  # commands for a later moment
        self._taken = 0  # cues
        self._taps = Taps()
        self.ended = False
        self.learning: str | None = None  # what the next control that moves is bound to: see Learn
        self.preset: tuple[str | int, ...] = ()  # taken up last: its name, and as it was asked for
        self.bands: tuple[float, ...] | None = None  # of the sound coming in, None where none does
        self.asked_at: float | None = None  # when the first of the changes not sent yet arrived

    @property
    def disk(self) -> Disk:
        """What reads and writes small files for the show."""
        return self._disk

    def say(self, text: str) -> None:
        """Show a sentence, and log it."""
        self.notices.say(text)

    def end(self) -> None:
        """End the show after this tick. Safe to call from a signal handler."""
        self.ended = True

    def poll(self, now: float) -> None:
        """Take up what the disk has done since the last tick, and what is due by now."""
        self._disk.poll(now)
        self._do_held(now)
        self.controls.turn(now + self._delay_s)
        if self.cues is not None:
            self.cues.poll(now + self._delay_s, self.pictures)
            self._follow_cues(self.cues)

    def do(self, arrived: Arrived, source: Refusing) -> None:
        """Carry out a command; its source hears what cannot be done, now or later."""
        command = arrived.command
        try:
            if (due := arrived.due) is not None and due > arrived.at and self._holds(command, due):
                self._hold(due, arrived, source)
            elif isinstance(command, Recall):
                self._recall(command, arrived, source)
            elif command == Fire("save"):
                self._save(arrived, source)
            elif command == Fire("quit"):
                self.end()
            elif command == Fire("tap"):
                self._tap(arrived)
            elif command == Fire("snapshot"):
                self.snapshots += 1
            elif isinstance(command, Switch):
                self.switches.do(command)
            elif isinstance(command, Hear):
                self.bands = command.bands
            elif isinstance(command, Learn):
                self._learn(command.target)
            elif isinstance(command, Go) or command in (Fire("go"), Fire("back")):
                self._recalls.overtake(self._due(arrived))
                self._change(lambda: self._cue(command, arrived), arrived.at)
            elif isinstance(command, Set) and _chooses(command):
                self._choose(command, arrived, source)
            elif isinstance(command, Set | Move | Nudge) and command.name == "morph":
                self._move(command, arrived, source)
            else:
                due, every = self._due(arrived), self._every(arrived)
                self._change(
                    lambda: self.controls.do(command, arrived.by, arrived.at, due, every),
                    arrived.at,
                )
                if command == Fire("panic"):
                    self._recalls.clear()
                    self._morphed, self.preset = [], ()
                    if self.cues is not None:
                        self.cues.panic()
        except ControlError as error:
            source.refused(arrived, str(error))

    def _change(self, change: Callable[[], object], at: float) -> None:
        """Change the controls, and note since when the engine has to know. Raises ControlError."""
        before = self.controls.snapshot.effect
        change()
        if self.controls.snapshot.effect != before:
            self.asked_at = at if self.asked_at is None else min(at, self.asked_at)

    def _holds(self, command: Command, due: float) -> bool:
        """Whether a command waits for its moment here, and not in the controls.

        A move of `morph` does where one of its presets is to be chosen until then.
        """
        if isinstance(command, Set | Move | Nudge) and command.name == "morph":
            return any(_chooses(held.command) and at <= due for at, held, _ in self._held)
        return not _carried(command)

    def _hold(self, due: float, arrived: Arrived, source: Refusing) -> None:
        """Keep a command until its moment. Raises ControlError."""
        if len(self._held) >= WAITING:
            raise ControlError(f"{WAITING} commands wait for their moment; no more can")
        self._held.append((due, arrived, source))
        self._held.sort(key=lambda each: each[0])

    def _do_held(self, now: float) -> None:
        while self._held and self._held[0][0] <= now + self._delay_s:
            due, arrived, source = self._held.pop(0)
            self.do(arrived._replace(at=due, due=None), source)

    def _due(self, arrived: Arrived) -> float | None:
        """When a command takes effect: as it says, or on the next beat that `quantise` asks for."""
        every = self._every(arrived)
        if every is None:
            return arrived.due
        return self.controls.snapshot.tempo.next(every, arrived.at)

    def _every(self, arrived: Arrived) -> float | None:
        """The beats that a command waits for; None where it waits for none."""
        every, command = self.controls.params.quantise, arrived.command
        if arrived.due is not None or not every:
            return None
        triggers = (Fire("next"), Fire("go"), Fire("back"))
        waits = isinstance(command, Recall | Go) or command in triggers
        if waits or (isinstance(command, Set | Move | Nudge) and command.name in QUANTISED):
            return every
        return None

    def _tap(self, arrived: Arrived) -> None:
        """A tap, at the moment that was meant. Raises ControlError."""
        at = arrived.at if arrived.due is None else arrived.due
        tempo = self._taps.tapped(at, self.controls.snapshot.tempo)
        if tempo is not None:
            self._change(lambda: self.controls.do(Offer(tempo), arrived.by, arrived.at), arrived.at)

    def _cue(self, command: Command, arrived: Arrived) -> None:
        """Go to a cue. Raises ControlError."""
        if self.cues is None:
            raise ControlError("there are no cues: start the show with --cues FILE")
        due, every = self._due(arrived), self._every(arrived)
        if isinstance(command, Go):
            self.cues.jump(command.cue, arrived.at, due, every)
        else:
            self.cues.go(1 if command == Fire("go") else -1, arrived.at, due, every)
        self._follow_cues(self.cues)

    def _follow_cues(self, cues: Cues) -> None:
        """After a cue has come, no preset is the one that runs."""
        if cues.taken != self._taken:
            self._taken, self.preset = cues.taken, ()

    def _left(self, now: float) -> None:
        """The look is no longer that of the cue list."""
        if self.cues is not None:
            self.cues.leave(now)

    def _move(self, command: Set | Move | Nudge, arrived: Arrived, source: Refusing) -> None:
        """Morph, once the presets that were just chosen are there. Raises ControlError."""
        if self._choosing:
            if not isinstance(command, Nudge):  # it takes the place of those for its moment
                self._morphed = [each for each in self._morphed if each[0].due != arrived.due]
            if len(self._morphed) >= WAITING:
                raise ControlError(f"{WAITING} moves of morph wait for its presets; no more can")
            self._morphed.append((arrived, source))
            return
        due = arrived.due
        self._recalls.overtake(due)
        self._change(lambda: self._morph.move(command, arrived.by, arrived.at, due), arrived.at)
        self.preset = ()
        self._left(arrived.at)

    def _choose(self, command: Set, arrived: Arrived, source: Refusing) -> None:
        """Have a preset read as A or B of `morph`. Raises ControlError."""
        name: str = SPECS[command.name].checked(command.value)
        folder, notes = self._folder, list[str]()

        def chosen() -> None:
            self._choosing -= 1
            if not self._choosing:
                morphed, self._morphed = self._morphed, []
                for moved, asked_by in morphed:
                    self.do(moved, asked_by)

        def read() -> Look:
            return Look(*preset.load_look(preset.named(name, folder), notes.append))

        def take_up(look: Look) -> None:
            try:
                self._morph.choose(command.name, name, look, arrived.by, arrived.at)
            except ControlError as error:
                refuse(str(error))
                return
            for text in (f"morph {CHOICES[command.name]}: {name}", *notes):
                self.say(text)
            chosen()

        def refuse(why: str) -> None:
            source.refused(arrived, why)
            chosen()

        self._disk.do(f"preset {name}", read, take_up, refuse)
        self._choosing += 1

    def _learn(self, target: str | None) -> None:
        """Let the next control that moves be bound to a target. Raises ControlError."""
        kind, _, which = (target or "").partition(" ")
        known = {*SPECS, *TRIGGERS}
        named = kind in LEARNT and which and which.isprintable()
        if target is not None and target not in known and not named:
            raise ControlError(
                f"there is nothing called {target!r:.60} to learn; known are {', '.join(known)}, "
                f"and {', '.join(f'{kind} NAME' for kind in LEARNT)}"
            )
        self.learning = target

    def _recall(self, command: Recall, arrived: Arrived, source: Refusing) -> None:
        """Take up a preset once it is read. Raises ControlError."""
        due, every = self._due(arrived), self._every(arrived)
        over = None if command.seconds is None else seconds(command.seconds)

        def take_up(found: Recalled) -> None:
            self._left(arrived.at)  # first, so that of two on one beat the newer counts
            values, routes = found.values, found.routes
            try:
                self._change(
                    lambda: self.controls.load(values, "", arrived.at, due, routes, over, every),
                    arrived.at,
                )
            except ControlError as error:
                source.refused(arrived, f"{found.name}: {error}")
                return
            self.preset = (found.name, command.preset)
            for text in (f"preset: {found.name}", *found.notes):
                self.say(text)

        self._recalls.ask(command.preset, due, take_up, lambda why: source.refused(arrived, why))

    def _save(self, arrived: Arrived, source: Refusing) -> None:
        """Save the present values, and say as what. Raises ControlError."""

        def saved(path: Path) -> None:
            self.say(f"preset saved: {path.stem}, as {path}")

        snapshot = self.controls.snapshot
        self._recalls.save(snapshot, saved, lambda why: source.refused(arrived, why))


def _carried(command: Command) -> bool:
    """Whether a command with a moment to wait for is carried by controls, cues, taps or morph."""
    if isinstance(command, Fire):
        return command.name in ("next", "beat", "go", "back", "tap")
    return not _chooses(command) and not isinstance(command, Learn | Switch | Hear)


def _chooses(command: Command) -> bool:
    """Whether it chooses a preset of `morph`."""
    return isinstance(command, Set) and command.name in CHOICES
