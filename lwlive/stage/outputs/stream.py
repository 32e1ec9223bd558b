"""A stream: H.264 over a network or into a folder of HLS, made by a child process.

Libraries for networks wait where nobody can interrupt them, and PyAV keeps Python's lock while it
connects. So all of it happens in a child (`streamer`), which gets plain pictures through a pipe and
can be killed; here is only its other end, used by a feed's thread. This file knows no codec.
"""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lwlive.params import ControlError
from lwlive.stage.outputs.feed import FeedError
from lwlive.stage.outputs.scaling import Form

PORTLESS = {"rtmp": 1935, "rtmps": 443}  # schemes whose port need not be given
SCHEMES = ("udp", "rtp", "tcp", "rtmp", "rtmps", "srt")
END_S = 1.5  # for the child's last packets
PIPE_BYTES = 2**20  # of the pipe at most, where that can be asked for


def checked(url: str, waits: bool = False) -> str:
    """The address, where a stream can go there. Raises ControlError.

    waits: its folder may be away. The feed tries again until it is there.
    """
    if "://" not in url and Path(url).suffix.lower() == ".m3u8":
        folder = Path(url).absolute().parent
        if not waits and not folder.is_dir():
            raise ControlError(f"--stream: there is no folder {folder}; make it or choose another")
        return str(Path(url).absolute())
    try:
        parts = urlsplit(url)
        port = parts.port or PORTLESS.get(parts.scheme)
    except ValueError:  # no number, or above 65535
        parts, port = urlsplit(""), None
    if parts.scheme not in SCHEMES or not parts.hostname or not port:
        known = ", ".join(f"{scheme}://HOST:PORT" for scheme in SCHEMES)
        raise ControlError(
            f"--stream: {url[:80]!r} is not an address that a stream can go to; write one of "
            f"{known}, or the name of a file ending in .m3u8"
        )
    if parts.scheme == "srt" and shutil.which("ffmpeg") is None:
        raise ControlError(
            f"--stream: {url[:80]} needs the program ffmpeg with SRT; install it (on Debian: "
            "apt install ffmpeg) or stream to udp:// or tcp://"
        )
    return url


@dataclass(frozen=True)
class Settings:
    """What the first line to the child says."""

    url: str
    width: int
    height: int
    rate: str  # pictures a second, as a fraction
    quality: int
    mbit: float


class Stream:
    """The child of one stream, from `open` to `close`."""

    form: Form = "rgb24"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.patient = "listen" in parse_qs(urlsplit(settings.url).query)
        self._child: subprocess.Popen[bytes] | None = None
        self._first: int | None = None

    def open(self) -> str:
        """Start the child, and wait until it is connected. Raises FeedError."""
        command = [sys.executable, "-m", "lwlive.stage.outputs.streamer", str(os.getpid())]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            **_apart(),
        )
        told = self._settings
        _widen(self._child.stdin, told.width * told.height * 3)
        self._write(json.dumps(vars(self._settings)).encode() + b"\n")
        assert self._child.stdout is not None
        word, _, rest = self._child.stdout.readline().decode().strip().partition(" ")
        if word != "open":
            raise FeedError(rest or "its process has ended")
        return f"{self._settings.url} ({rest})"

    def show(self, pixels: Any, number: int) -> None:
        """Hand one picture over. Raises FeedError."""
        if self._first is None:
            self._first = number
        self._write((number - self._first).to_bytes(8, "little"))
        self._write(memoryview(pixels).cast("B"))

    def abort(self) -> None:
        """Kill the child: whatever waits for it then fails."""
        if self._child is not None:
            self._child.kill()

    def close(self) -> None:
        """Let the child finish, for a moment."""
        child = self._child
        if child is None:
            return
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(OSError):
            child.stdin.close()
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()

    def _write(self, data: Any) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        left = memoryview(data)
        try:
            while left:
                left = left[self._child.stdin.write(left) :]
        except OSError:  # it has ended, and has said why
            said = self._child.stdout.read().decode(errors="replace").strip().splitlines()
            word, _, why = said[-1].partition(" ") if said else ("", "", "")
            told = why if word == "failed" else "its process has ended"
            raise FeedError(f"{self._settings.url}: {told}") from None


def _apart() -> dict[str, Any]:
    """Ctrl-C is for the show, which then ends the child. Its rank is below that of pictures."""
    if sys.platform == "win32":
        below = subprocess.BELOW_NORMAL_PRIORITY_CLASS
        apart = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": apart | below}
    return {"process_group": 0}


def _widen(pipe: Any, picture_bytes: int) -> None:
    """A pipe that holds about a picture, where the system has such: more would only be late."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, min(picture_bytes, PIPE_BYTES))


def settings(
    url: str, size: tuple[int, int], rate: Fraction, quality: int, mbit: float, waits: bool = False
) -> Settings:
    """What a stream's child gets, as `checked` has it. Raises ControlError."""
    return Settings(checked(url, waits), *size, str(rate), quality, mbit)
