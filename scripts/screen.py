"""An X server whose pixels lie in a file, and what was seen on it. Linux only."""

import contextlib
import itertools
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MISSED_S = 0.5  # a look so late after the one before tells of a machine that gave no core


@dataclass
class Look:
    """The screen at one moment."""

    at: float
    new: bool  # it differs from the look before
    level: float  # mean, 0 to 255
    picture: bool  # it is one, and neither black nor the dim words of a start
    shown: bool  # the show says that its engine gives pictures
    dark: bool  # there is no screen at all


class Screen:
    """An X server whose pixels lie in a file."""

    def __init__(self, folder: Path, display: int) -> None:
        self._folder, self.name = folder, f":{display}"
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, size: str) -> None:
        command = ["Xvfb", self.name, "-screen", "0", f"{size}x24", "-nolisten", "tcp"]
        command += ["-noreset", "-fbdir", str(self._folder)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(0.5)
        if self._process.poll() is not None:
            raise RuntimeError(f"Xvfb {self.name} does not begin; is there one already?")

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            with contextlib.suppress(OSError):
                Path(f"/tmp/.X{self.name[1:]}-lock").unlink()
            with contextlib.suppress(OSError):
                (self._folder / "Xvfb_screen0").unlink()

    def pixels(self) -> np.ndarray | None:
        """Every fourth pixel of the screen, None where there is none. See XWDFile.h."""
        if self._process is None:
            return None
        try:
            data = (self._folder / "Xvfb_screen0").read_bytes()
            head = struct.unpack(">25I", data[:100])
            size, height, line, colours = head[0], head[5], head[12], head[19]
            begin = size + 12 * colours
            whole = np.frombuffer(data, np.uint8, height * line, begin)
            seen = whole.reshape(height, line // 4, 4)[::4, ::4, :3].copy()
            return seen if seen.size else None  # the server is only just beginning
        except (OSError, ValueError, struct.error):
            return None


def stood(looks: list[Look]) -> float:
    """Seconds in which whoever looks got no core, and so nobody else did by right."""
    between = (after.at - before.at for before, after in itertools.pairwise(looks))
    return sum(max(0.0, seconds - MISSED_S) for seconds in between)


def longest_gap(looks: list[Look]) -> float:
    """The longest time without a new picture, where there was a screen to show it."""
    longest, last = 0.0, looks[0].at if looks else 0.0
    for look in looks:
        if look.dark or (look.new and look.picture):
            last = look.at
        longest = max(longest, look.at - last)
    return longest
