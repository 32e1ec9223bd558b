"""A virtual camera on Linux: pictures into a device of v4l2loopback, which any program opens.

Two ioctls and `write`, as the kernel's V4L2 describes them; no library. Used by a feed's thread.
This file knows nothing of shows.
"""

import errno
import os
import struct
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

from lwlive.params import ControlError
from lwlive.stage.outputs.feed import FeedError
from lwlive.stage.outputs.scaling import Form

_OUTPUT = 2  # V4L2_BUF_TYPE_VIDEO_OUTPUT
_CAN_OUTPUT = 2  # V4L2_CAP_VIDEO_OUTPUT
_PROGRESSIVE = 1  # V4L2_FIELD_NONE
_COLOURS = 1  # V4L2_COLORSPACE_SMPTE170M: BT.601 in limited range, what cameras mostly have
_YUV420 = int.from_bytes(b"YU12", "little")

# struct v4l2_capability; v4l2_format, whose union begins where a pointer may; v4l2_streamparm
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_GAP = "4x" if struct.calcsize("P") == 8 else ""
_FORMAT = struct.Struct(f"=I{_GAP}IIIIIIII168x")
_RATE = struct.Struct("=IIIIIII176x")  # type, capability, mode, seconds and pictures, two more


def _number(way: int, which: int, of: struct.Struct) -> int:
    """The number of an ioctl of V4L2 (asm-generic/ioctl.h). way: 2 read, 3 both."""
    return way << 30 | of.size << 16 | ord("V") << 8 | which


QUERYCAP = _number(2, 0, _CAPABILITY)
S_FMT = _number(3, 5, _FORMAT)
S_PARM = _number(3, 22, _RATE)


class Device:
    """The system calls, so that a test can stand in for the kernel."""

    def open(self, path: str) -> int:
        """A descriptor to write to. Raises OSError."""
        return os.open(path, os.O_RDWR)

    def ioctl(self, handle: int, number: int, data: bytes) -> bytes:
        """What the kernel makes of the structure. Raises OSError."""
        import fcntl

        answer: bytes = fcntl.ioctl(handle, number, data)
        return answer

    def write(self, handle: int, data: Any) -> int:
        """One picture. Raises OSError."""
        return os.write(handle, data)

    def close(self, handle: int) -> None:
        """Give the descriptor back."""
        os.close(handle)


def check() -> None:
    """Raises ControlError where there are no such cameras."""
    if sys.platform != "linux":
        raise ControlError(
            "--camera is for Linux with v4l2loopback; elsewhere, let OBS receive --ndi or --stream "
            "and switch on its virtual camera"
        )


class Camera:
    """One device. path: None takes the first that v4l2loopback has made."""

    form: Form = "yuv420p"
    patient = False

    def __init__(self, path: Path | None, rate: Fraction, device: Device | None = None) -> None:
        self._path, self._rate = path, rate
        self._device = Device() if device is None else device
        self._handle: int | None = None
        self._size: tuple[int, int] | None = None

    def open(self) -> str:
        """Open the device. Raises FeedError."""
        path = str(self._path or _first())
        try:
            self._handle = self._device.open(path)
            about = self._device.ioctl(self._handle, QUERYCAP, bytes(_CAPABILITY.size))
        except FileNotFoundError:
            raise FeedError(f"there is no {path}; {_LOAD}") from None
        except OSError as error:
            raise FeedError(f"{path} cannot be used: {error.strerror}") from None
        _, card, _, _, can_all, can = _CAPABILITY.unpack(about)
        if not (can | can_all) & _CAN_OUTPUT:
            raise FeedError(f"{path} is a camera that takes no pictures; {_LOAD}", lasting=True)
        return f"{path} ({card.split(bytes(1))[0].decode(errors='replace')})"

    def show(self, pixels: Any, number: int) -> None:  # noqa: ARG002 - it has no times
        """Write one picture, [H * 3 / 2, W]."""
        assert self._handle is not None
        size = pixels.shape[1], pixels.shape[0] * 2 // 3
        if size != self._size:
            self._agree(*size)
            self._size = size
        written = self._device.write(self._handle, pixels)
        if written != pixels.nbytes:
            raise FeedError(f"the camera took {written} of {pixels.nbytes} bytes")

    def _agree(self, width: int, height: int) -> None:
        """Tell the device what comes. Raises FeedError where it takes something else."""
        assert self._handle is not None
        count = width * height * 3 // 2
        wanted = _OUTPUT, width, height, _YUV420, _PROGRESSIVE, width, count, _COLOURS, 0
        try:
            told = self._device.ioctl(self._handle, S_FMT, _FORMAT.pack(*wanted))
        except OSError as error:
            busy = error.errno == errno.EBUSY
            why = "another program writes to it" if busy else error.strerror
            raise FeedError(f"the camera does not take {width}x{height}: {why}") from None
        if (found := _FORMAT.unpack(told)[1:4]) != (width, height, _YUV420):
            code = found[2].to_bytes(4, "little").decode(errors="replace")
            raise FeedError(
                f"the camera wants {found[0]}x{found[1]} in {code}, not {width}x{height} in YU12: "
                "close what reads it, or set --output-size"
            )
        rate = (self._rate.denominator, self._rate.numerator)
        with suppress(OSError):  # an old one has no rate: readers then go by what comes
            self._device.ioctl(self._handle, S_PARM, _RATE.pack(_OUTPUT, 0, 0, *rate, 0, 0))

    def abort(self) -> None:
        """Nothing ends a write to the kernel; v4l2loopback waits for no reader."""

    def close(self) -> None:
        """Close the device."""
        handle, self._handle, self._size = self._handle, None, None
        if handle is not None:
            self._device.close(handle)


_LOAD = (
    "install v4l2loopback and load it with `modprobe v4l2loopback exclusive_caps=1 "
    "card_label=lwlive`"
)


def _first(root: Path = Path("/sys/devices/virtual/video4linux")) -> str:
    """The first device that v4l2loopback has made. Raises FeedError."""
    found = sorted(root.glob("video*"), key=lambda path: (len(path.name), path.name))
    if not found:
        raise FeedError(f"there is no virtual camera; {_LOAD}")
    return f"/dev/{found[0].name}"
