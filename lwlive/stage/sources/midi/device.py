"""Devices: which box a port belongs to, from the names that systems give to ports."""

import re

OWN = ("lwlive", "libremidi", "RtMidi")  # what our own ports and those of our libraries begin with
THROUGH = "midi through"  # Linux: what is written to it comes back

_BRIDGE = re.compile(r"^(a2j|Midi-Bridge):", re.IGNORECASE)  # to JACK, in front of the box's name
_ADDRESS = re.compile(r"\s+\d+:\d+$")  # ALSA: client and port
_NOTES = re.compile(r"\s*(\[\d+\]|\((capture|playback)(_\d+)?\))")


def device(port: str) -> str:
    """The box that a port belongs to: 'APC MINI' of 'APC MINI:APC MINI MIDI 1 20:0'."""
    name = _NOTES.sub("", _BRIDGE.sub("", _ADDRESS.sub("", port)))
    client, _, rest = name.partition(":")
    return (rest if client.strip() == "system" else client).strip() or port.strip()


def ours(port: str) -> bool:
    """Whether it is a port of this or another lwlive: listening to it would be an echo."""
    client = port.partition(":")[0]
    return client.startswith(OWN)


def wanted(port: str, names: tuple[str, ...]) -> bool:
    """Whether a port is listened to: one whose name has one of the names in it; else every one."""
    if ours(port):
        return False
    if names:
        return any(name.casefold() in port.casefold() for name in names)
    return not port.casefold().startswith(THROUGH)
