"""Capture: an audio input as blocks of samples, for as long as it is wanted.

| thread | runs | may wait for |
|---|---|---|
| whoever takes `blocks` | opening, watching, opening again | the sound system, and the next block |
| the library's | puts what came into a bounded queue | nothing |

The library says nothing when a device is pulled out or a sound server ends: no more blocks come,
and that is all. So a watchdog counts the time since the last one, closes the device and opens it
again, after pauses that grow; by then the device may be back. What there is to say about it is
said once, not at every try.

Whoever wants the sound itself, as a recording does, takes a `Tap`. This file knows nothing of what
is done with the sound. It alone knows the library, miniaudio, which is an extra.
"""

import ctypes
import logging
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lwlive import extras
from lwlive.params import ControlError

log = logging.getLogger(__name__)

RATE, CHANNELS = 48_000, 2  # whatever the device has is turned into this
BLOCK_MS = 10
USUAL = "default"  # the input that the system takes where none is named

QUIET_S = 0.1  # without a block for so long, there is silence
LOST_S = 2.5  # and for so long, the device is lost; an idle PulseAudio sink rests for up to two
PAUSES_S = (0.5, 1.0, 2.0, 5.0)  # before it is opened again, by failures in a row
BACK_S = 1.0  # of sound that ends the row
HELD = 200  # blocks that may wait, two seconds of sound
CREEP = 1e-3  # by which a device's clock may be slow
JUMP_S = 0.1  # a stamp that is later than expected by this: blocks were lost


class AudioError(ControlError):
    """No sound comes in; the message is a sentence for the person at the desk."""


class Block(NamedTuple):
    """Some samples, and when the first of them came in."""

    frames: npt.NDArray[np.float32]  # [n, CHANNELS]; nobody writes into them
    at: float  # seconds of the show's clock, evened out


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


class Tap:
    """Blocks for one who takes them in a thread of its own, with `popleft` or `taken`.

    Holds the newest ones; those that were not taken in time are counted in `lost`. Safe for one
    thread that puts, the capture's, and one that takes. Stamps tell where blocks are missing.
    """

    def __init__(self, most: int) -> None:
        self._blocks: deque[Block] = deque(maxlen=most)
        self.lost = 0

    def put(self, block: Block) -> None:
        """One more; never waits."""
        if len(self._blocks) == self._blocks.maxlen:
            self.lost += 1
        self._blocks.append(block)

    def taken(self) -> list[Block]:
        """What came since the last call, in its order; never waits."""
        found = []
        while self._blocks:
            try:
                found.append(self._blocks.popleft())
            except IndexError:  # the putting side has just made room
                break
        return found


class Capture:
    """One input, by name. `blocks` is taken by one thread; everything else is for any thread."""

    def __init__(
        self,
        wanted: str = USUAL,
        say: Callable[[str], None] = log.info,
        clock: Callable[[], float] = time.perf_counter,
        opener: Opener | None = None,
    ) -> None:
        self._wanted, self._say, self._clock = wanted, say, clock
        self._open = opened if opener is None else opener
        self._taps: tuple[Tap, ...] = ()
        self.name: str | None = None  # of the open device, while it gives sound
        self.losses = 0
        self.skipped = 0  # blocks that nobody took in time

    def tap(self, seconds: float = 10.0) -> Tap:
        """All blocks from now on; so much of them is held. May be asked of any thread."""
        tap = Tap(round(seconds * 1e3 / BLOCK_MS))
        self._taps = (*self._taps, tap)
        return tap

    def untap(self, tap: Tap) -> None:
        """That tap gets no more."""
        self._taps = tuple(one for one in self._taps if one is not tap)

    def blocks(self, stop: threading.Event) -> Iterator[Block | None]:
        """Block after block until `stop` is set; None wherever there has been none for a while."""
        row, told = 0, ""
        while not stop.is_set():
            came: queue.Queue[tuple[bytearray, float]] = queue.Queue(HELD)
            try:
                device = self._open(self._wanted, self._putting(came))
            except AudioError as error:
                trouble = str(error)
            else:
                try:
                    for block, sounding in self._listened(came, stop):
                        if sounding and self.name is None:
                            self.name = device.name
                            self._say(f"listening to {device.name}")
                            told, row = "", 0
                        yield block
                finally:
                    device.close()
                if stop.is_set():
                    return
                trouble = f"no sound comes from {device.name} any more"
                self.losses += self.name is not None
                self.name = None
            if trouble != told:
                told = trouble
                self._say(f"{trouble}; trying again")
            ends = self._clock() + PAUSES_S[min(row, len(PAUSES_S) - 1)]
            row += 1
            while self._clock() < ends and not stop.wait(QUIET_S):
                yield None

    def _putting(self, came: "queue.Queue[tuple[bytearray, float]]") -> Put:
        def put(samples: bytearray) -> None:
            try:
                came.put_nowait((samples, self._clock()))
            except queue.Full:
                self.skipped += 1

        return put

    def _listened(
        self, came: "queue.Queue[tuple[bytearray, float]]", stop: threading.Event
    ) -> Iterator[tuple[Block | None, bool]]:
        """What an open device gives until it is lost, and whether it has proved to give sound."""
        last, count, offset = self._clock(), 0, float("inf")
        while not stop.is_set():
            try:
                samples, stamp = came.get(timeout=QUIET_S)
            except queue.Empty:
                if self._clock() - last > LOST_S:
                    return
                yield None, False
                continue
            frames = np.frombuffer(samples, np.float32).reshape(-1, CHANNELS)
            # stamps are never early, and late by what the machine had to do meanwhile
            new = stamp - (count + len(frames)) / RATE
            if new > offset + JUMP_S:
                offset = new
            offset = min(new, offset + CREEP * len(frames) / RATE)
            block = Block(frames, offset + count / RATE)
            count, last = count + len(frames), stamp
            for tap in self._taps:
                tap.put(block)
            yield block, count > BACK_S * RATE


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
