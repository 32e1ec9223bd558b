"""libremidi, by pylibremidi: on JACK its stamps are exact to a sample (0.03 ms against 2.4 ms).

Used on Linux; elsewhere RtMidi has been tried by many more people. Three things of version 5.4 are
kept out of its way: a configuration with `on_warning` or `on_error` ends the process as soon as it
is called, `Message.bytes` raises, and the sequencer of ALSA needs alsa-lib 1.2.10.
"""

import sys
from collections.abc import Sequence
from typing import Any

from lwlive.stage.sources.midi.ports import NS, In, MidiError, Out, Stamps, named_once

_APIS = {"alsa": "ALSA_SEQ", "jack": "JACK_MIDI"}


def opened(system: str) -> "Libremidi":
    """The library on a system. Raises MidiError, or ImportError where it is not installed."""
    if sys.platform != "linux" or system not in _APIS:
        raise MidiError(f"libremidi is not used for {system}")
    import pylibremidi

    api = getattr(pylibremidi.API, _APIS[system])
    if api not in pylibremidi.available_apis():
        raise MidiError(f"libremidi has no {_APIS[system]} with this system's libraries")
    return Libremidi(pylibremidi, api)


class Libremidi:
    """The library with its list of ports."""

    name = "libremidi"

    def __init__(self, library: Any, api: Any) -> None:
        self._library, self._api = library, api
        try:
            self._observer: Any = library.Observer(library.ObserverConfiguration(), api)
        except RuntimeError as error:
            raise MidiError(str(error)) from None

    def inputs(self) -> list[str]:
        """The names of the ports that send."""
        return list(self._ports(self._observer.get_input_ports()))

    def outputs(self) -> list[str]:
        """The names of the ports that receive."""
        return list(self._ports(self._observer.get_output_ports()))

    def open_input(self, name: str) -> In:
        """Open a port. Raises MidiError."""
        port = self._found(name, self._observer.get_input_ports())
        try:
            return _In(self._library, self._api, port)
        except RuntimeError as error:
            raise MidiError(str(error)) from None

    def open_output(self, name: str) -> Out:
        """Open a port. Raises MidiError."""
        port = self._found(name, self._observer.get_output_ports())
        try:
            return _Out(self._library, self._api, port)
        except RuntimeError as error:
            raise MidiError(str(error)) from None

    def close(self) -> None:
        """Let go of the list."""
        self._observer = None

    def _ports(self, ports: Sequence[Any]) -> dict[str, Any]:
        names = [self._called(port) for port in ports]
        return dict(zip(named_once(names), ports, strict=True))

    def _called(self, port: Any) -> str:
        """JACK's port names have the client's in front; ALSA's have it beside them."""
        if self._api == self._library.API.JACK_MIDI or not port.device_name:
            return str(port.port_name)
        return f"{port.device_name}:{port.port_name}"

    def _found(self, name: str, ports: Sequence[Any]) -> Any:
        found = self._ports(ports).get(name)
        if found is None:
            raise MidiError(f"{name} is gone")
        return found


class _In:
    def __init__(self, library: Any, api: Any, port: Any) -> None:
        self._waiting: list[tuple[bytes, int]] = []
        self._stamps = Stamps()
        configuration = library.InputConfiguration()
        # called by `poll`, in the thread that polls
        configuration.on_raw_data = lambda data, ns: self._waiting.append((bytes(data), ns))
        configuration.ignore_timing = False
        configuration.ignore_sysex = configuration.ignore_sensing = True
        self._midi: Any = library.MidiIn(configuration, api)
        if self._midi.open_port(port, "lwlive"):  # an error is true
            raise MidiError("the port does not open")

    def poll(self, now: float) -> Sequence[tuple[bytes, float]]:
        self._midi.poll()
        waiting, self._waiting = self._waiting, []
        return [(data, self._stamps.time(ns * NS, now)) for data, ns in waiting]

    @property
    def alive(self) -> bool:
        return bool(self._midi.is_port_open() and self._midi.is_port_connected())

    def close(self) -> None:
        self._midi.close_port()
        self._midi = None


class _Out:
    def __init__(self, library: Any, api: Any, port: Any) -> None:
        self._midi: Any = library.MidiOut(library.OutputConfiguration(), api)
        if self._midi.open_port(port, "lwlive"):
            raise MidiError("the port does not open")

    def send(self, data: bytes) -> None:
        if self._midi.send_message(list(data)):
            raise MidiError("the message was not sent")

    def close(self) -> None:
        self._midi.close_port()
        self._midi = None
