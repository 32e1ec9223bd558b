"""Audio inputs: which there are, and one of them opened. It alone knows miniaudio, an extra.

The library has a thread of its own for each open device, in which it gives away every block. This
file knows nothing of what is done with them.
"""

import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

from lwlive import extras
from lwlive.params import ControlError

RATE, CHANNELS = 48_000, 2  # whatever the device has is turned into this
BLOCK_MS = 5  # PipeWire, asked for no more, takes as much at a time itself
PERIODS = 6  # blocks that the system holds while this program is kept from taking them
USUAL = "default"  # the input that the system takes where none is named


class AudioError(ControlError):
    """No sound comes in; the message is a sentence for the person at the desk."""


class Input(NamedTuple):
    """An input that there is."""

    name: str
    backend: Any  # of the library
    id: Any  # of the library


class Device(Protocol):
    """An open device."""

    name: str

    def close(self) -> None:
        """Let go of it."""


Put = Callable[[bytearray], None]  # takes the samples of a block, in any thread, and never waits
Opener = Callable[[str, Put], Device]  # raises AudioError


def check() -> None:
    """Raises AudioError where the library is not installed."""
    if find_spec("miniaudio") is None:
        raise AudioError(
            f"sound needs miniaudio, which is not installed: `{extras.command('audio')}`"
        )


def inputs() -> list[Input]:
    """Every input that the system's sound servers and drivers tell of. Raises AudioError."""
    miniaudio = _library()
    found: list[Input] = []
    for backend in _backends(miniaudio):
        try:
            devices = miniaudio.Devices(backends=[backend]).get_captures()
        except miniaudio.MiniaudioError:  # not there, or one of its devices is broken
            continue
        found += [
            Input(one["name"], backend, one["id"])
            for one in devices
            if not (backend is miniaudio.Backend.ALSA and _is_null(miniaudio, one["id"]))
        ]
        if found:
            break  # the next one has the same devices, under other names
    return found


def matching(wanted: str, known: list[Input]) -> Input:
    """The input that a name or a part of it means. Raises AudioError."""
    exact = [one for one in known if one.name == wanted]
    parts = [one for one in known if wanted.casefold() in one.name.casefold()]
    found = exact or parts
    names = "; ".join(one.name for one in (found or known)) or "none"
    if not found:
        raise AudioError(f"there is no audio input {wanted!r:.60}; there are {names}")
    if len(found) > 1 and not exact:
        raise AudioError(f"{wanted!r:.60} may be several audio inputs: {names}")
    return found[0]


def opened(wanted: str, put: Put) -> Device:
    """The input of that name, or the usual one, with every block of it given to `put`."""
    miniaudio = _library()
    if wanted == USUAL:
        tries = [Input("the system's input", backend, None) for backend in _backends(miniaudio)]
    else:
        tries = [matching(wanted, inputs())]
    why = "there are none"
    for one in tries:
        device = _Opened(miniaudio, one.name)
        try:
            device.start(one, put)
        except miniaudio.MiniaudioError as error:
            device.close()
            why = str(error.args[0] if error.args else error)
        else:
            return device
    raise AudioError(
        f"no audio input can be opened ({why}): is a device there, and a sound server running?"
    )


class _Opened:
    """A device of the library, and what the library leaves behind when it closes one.

    Its context, a connection to the sound server, has to be given back by hand; where opening
    fails as well, which is why the device is made in two steps.
    """

    def __init__(self, miniaudio: Any, name: str) -> None:
        self.name, self._library = name, miniaudio
        self._device = miniaudio.CaptureDevice.__new__(miniaudio.CaptureDevice)

    def start(self, one: Input, put: Put) -> None:
        """Open and start. Raises MiniaudioError."""
        self._device.__init__(
            input_format=self._library.SampleFormat.FLOAT32,
            nchannels=CHANNELS,
            sample_rate=RATE,
            buffersize_msec=BLOCK_MS,
            callback_periods=PERIODS,
            device_id=one.id,
            backends=[one.backend],
            app_name="lwlive",
        )
        taking = _taking(put)
        next(taking)
        self._device.start(taking)

    def close(self) -> None:
        self._device.close()
        context = self._device.__dict__.pop("_context", None)
        if context is not None:
            self._library.lib.ma_context_uninit(context)


def _taking(put: Put) -> Any:
    """What the library's thread sends each block into."""
    while True:
        put((yield))


def _is_null(miniaudio: Any, id_: Any) -> bool:
    """Whether it is ALSA's own input that hears nothing."""
    return bytes(miniaudio.ffi.buffer(id_))[:5] == b"null\0"


def _backends(miniaudio: Any) -> list[Any]:
    """Of the system; never the library's null device, which hears nothing."""
    known = miniaudio.Backend
    if sys.platform == "darwin":
        return [known.COREAUDIO]
    if sys.platform == "win32":
        return [known.WASAPI]
    _hush_alsa()
    return [known.PULSEAUDIO, known.ALSA]


@cache
def _hush_alsa() -> object:
    """ALSA writes a page into the terminal at every try to open what is not there: it may not.

    Returns what has to live as long as ALSA does.
    """
    silent = ctypes.CFUNCTYPE(None)(lambda: None)  # the caller takes its arguments back itself
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(silent)
    return silent


def _library() -> Any:
    """Raises AudioError where it is not installed."""
    check()
    import miniaudio

    return miniaudio
