"""RtMidi, by supriya-midi: every system, every Python; polled, without a callback.

Its stamps are seconds since the message before, which add up to a clock.
"""

import re
from collections.abc import Sequence
from typing import Any

from lwlive.stage.sources.midi.ports import In, MidiError, Out, Stamps, named_once

_APIS = {
    "alsa": "LINUX_ALSA",
    "jack": "UNIX_JACK",
    "coremidi": "MACOSX_CORE",
    "winmm": "WINDOWS_MM",
}
_QUEUE = 4096  # messages that wait for a poll


def opened(system: str) -> "RtMidi":
    """The library on a system. Raises MidiError, or ImportError where it is not installed."""
    import supriya_midi

    api = getattr(supriya_midi.rtmidi_ext.RtMidiAPI, _APIS[system])
    if api not in supriya_midi.get_compiled_apis():
        raise MidiError(f"RtMidi was built without {_APIS[system]}")
    return RtMidi(supriya_midi, api)


class RtMidi:
    """The library with a client of its own to list ports."""

    name = "RtMidi"

    def __init__(self, library: Any, api: Any) -> None:
        self._library, self._api = library, api
        try:
            self._in = library.MidiIn(api, "lwlive list")
            self._out = library.MidiOut(api, "lwlive list")
        except library.RtMidiError as error:
            raise MidiError(str(error)) from None

    def inputs(self) -> list[str]:
        """The names of the ports that send. Raises MidiError."""
        return self._names(self._in)

    def outputs(self) -> list[str]:
        """The names of the ports that receive. Raises MidiError."""
        return self._names(self._out)

    def open_input(self, name: str) -> In:
        """Open a port. Raises MidiError."""
        try:
            return _In(self._library, self._api, self._number(name, self.inputs()))
        except self._library.RtMidiError as error:
            raise MidiError(str(error)) from None

    def open_output(self, name: str) -> Out:
        """Open a port. Raises MidiError."""
        try:
            return _Out(self._library, self._api, self._number(name, self.outputs()))
        except self._library.RtMidiError as error:
            raise MidiError(str(error)) from None

    def close(self) -> None:
        """Let go of the list."""
        self._in.delete()
        self._out.delete()

    def _names(self, client: Any) -> list[str]:
        try:
            return named_once([self._called(name) for name in client.get_ports()])
        except self._library.RtMidiError as error:
            raise MidiError(str(error)) from None

    def _called(self, name: str) -> str:
        """On Windows RtMidi puts a port's number behind its name; another box moves it."""
        windows = self._api == self._library.rtmidi_ext.RtMidiAPI.WINDOWS_MM
        return re.sub(r" \d+$", "", name) if windows else name

    def _number(self, name: str, names: list[str]) -> int:
        if name not in names:
            raise MidiError(f"{name} is gone")
        return names.index(name)


class _In:
    alive = True  # the library does not know

    def __init__(self, library: Any, api: Any, number: int) -> None:
        self._midi = library.MidiIn(api, "lwlive", _QUEUE)
        self._midi.ignore_types(sysex=True, timing=False, active_sense=True)
        self._midi.open_port(number, "in")
        self._stamps, self._clock = Stamps(), 0.0

    def poll(self, now: float) -> Sequence[tuple[bytes, float]]:
        found = []
        while (message := self._midi.get_message()) is not None:
            data, since = message
            self._clock += since
            found.append((bytes(data), self._stamps.time(self._clock, now)))
        return found

    def close(self) -> None:
        self._midi.close_port()
        self._midi.delete()


class _Out:
    def __init__(self, library: Any, api: Any, number: int) -> None:
        self._library, self._midi = library, library.MidiOut(api, "lwlive")
        self._midi.open_port(number, "out")

    def send(self, data: bytes) -> None:
        try:
            self._midi.send_message(list(data))
        except self._library.RtMidiError as error:
            raise MidiError(str(error)) from None

    def close(self) -> None:
        self._midi.close_port()
        self._midi.delete()
