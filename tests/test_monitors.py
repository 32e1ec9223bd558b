"""A fullscreen window on X covers its monitor, whatever happens to that or to a window manager."""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import pytest
from test_window import RED, Server, asked, host, server, shown

from lwlive.commands import Fire
from lwlive.stage.outputs.window.host import Host
from lwlive.stage.outputs.window.monitor import Area

__all__ = ["server"]  # a fixture


def xrandr(*arguments: str) -> None:
    if shutil.which("xrandr") is None:
        pytest.skip("xrandr is not installed, so no monitor can be switched off")
    subprocess.run(["xrandr", *arguments], check=True, timeout=60, capture_output=True)


def half(name: str, x: int, output: str = "none") -> None:
    """Make half of the screen a monitor, 320 wide."""
    xrandr("--setmonitor", name, f"320/80x400/100+{x}+0", output)


def red(server: Server) -> Area | None:
    """The area of the screen that is red; None where that is no rectangle."""
    from PIL import ImageGrab

    seen = np.asarray(ImageGrab.grab(xdisplay=server.name).convert("RGB")).astype(int)
    rows, columns = np.nonzero(np.abs(seen - RED).max(axis=2) < 8)
    if not rows.size:
        return None
    width, height = int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1
    whole = rows.size == width * height
    return Area(int(columns.min()), int(rows.min()), width, height) if whole else None


@pytest.mark.slow
def test_a_window_is_back_on_its_monitor_when_that_was_off_for_a_while(server: Server) -> None:
    half("desk", 0, "screen")
    half("projector", 320)
    with host("0") as window:  # its middle is the projector's
        shown(window, RED, lambda: red(server) == Area(320, 0, 320, 400))
        for name in ("projector", "plugged in elsewhere"):
            xrandr("--delmonitor", "projector")
            shown(window, RED, lambda: red(server) == Area(0, 0, 320, 400))
            half(name, 320)
            shown(window, RED, lambda: red(server) == Area(320, 0, 320, 400))


@contextlib.contextmanager
def openbox(ends_by: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    """A window manager for a while."""
    if shutil.which("openbox") is None:
        pytest.skip("openbox is not installed, so no window manager can come (apt install openbox)")
    quiet = subprocess.DEVNULL
    manager = subprocess.Popen(["openbox", "--sm-disable"], stdout=quiet, stderr=quiet)
    try:
        yield
        assert manager.poll() is None
    finally:
        manager.send_signal(ends_by)
        manager.wait()


@pytest.mark.slow
def test_a_window_manager_that_comes_or_ends_leaves_the_monitor_covered(server: Server) -> None:
    def still_covers(window: Host) -> None:
        until = time.monotonic() + 2.0  # a manager takes a while to frame or to shrink a window
        shown(window, RED, lambda: time.monotonic() > until)
        shown(window, RED, lambda: red(server) == Area(0, 0, 640, 400))

    with host() as window:
        still_covers(window)
        for by in (signal.SIGTERM, signal.SIGKILL):
            with openbox(by):
                still_covers(window)
            still_covers(window)
        assert window.lost == 0


def xdotool(*arguments: str) -> bool:
    return not subprocess.run(["xdotool", *arguments], check=False, capture_output=True).returncode


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_a_window_that_is_closed_through_its_manager_ends_the_show() -> None:
    if shutil.which("xdotool") is None:
        pytest.skip("xdotool is not installed, so no key can be pressed (apt install xdotool)")
    with openbox(), host() as window:
        shown(window, RED, lambda: xdotool("getactivewindow"))  # the manager knows it
        assert xdotool("key", "alt+F4")
        assert asked(window) == [Fire("quit")]
        assert (window.open, window.lost) == (True, 0)
