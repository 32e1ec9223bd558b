"""The window on Wayland: it outlives its compositor, and closing it still ends the show."""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_window import BLUE, RED, asked, host, shown

from lwlive.commands import Command, Fire
from lwlive.stage.outputs.window.geometry import Place
from lwlive.stage.outputs.window.host import Host


class Weston:
    """A compositor on an imagined screen, which can be ended, and begun again in another size."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, "wayland-test"
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self, width: int, height: int) -> None:
        command = ["weston", "--backend=headless-backend.so", "--shell=kiosk-shell.so"]
        command += ["--no-config", "--idle-time=0", f"--socket={self.name}"]
        command += [f"--width={width}", f"--height={height}"]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while not self.answers():
            told = (self.folder / "log").read_text()
            assert self.process.poll() is None, told
            assert time.monotonic() < end, told
            time.sleep(0.02)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.folder / self.name)) == 0

    def end(self, by: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(by)
            self.process.wait()
            self.process = None


@pytest.fixture
def weston(monkeypatch: pytest.MonkeyPatch) -> Iterator[Weston]:
    if shutil.which("weston") is None:
        pytest.skip("weston is not installed, so no Wayland can be tried (apt install weston)")
    for name in ("DISPLAY", "SDL_VIDEODRIVER", "WAYLAND_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory(prefix="lwlive-") as folder:  # a socket's path has to be short
        one = Weston(Path(folder))
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("WAYLAND_DISPLAY", one.name)
        try:
            one.begin(640, 400)
            yield one
        finally:
            one.end()


def covers(window: Host, width: int, height: int) -> bool:
    return window.open and window._wanted.place == Place(0, 0, width, height, fullscreen=True)


@pytest.mark.slow
def test_the_show_survives_its_compositor_and_the_window_comes_back_covering_another_size(
    weston: Weston,
) -> None:
    said: list[str] = []
    commands: list[Command] = []
    with host(said=said) as window:
        commands += shown(window, RED, lambda: covers(window, 640, 400))
        sizes = ((signal.SIGTERM, 800, 600), (signal.SIGKILL, 320, 200))
        for lost, (by, *size) in enumerate(sizes, 1):
            weston.end(by)
            commands += shown(window, RED, lambda: not window.open)
            assert "the window is lost" in said[-1]
            until = time.monotonic() + 0.5
            commands += shown(window, BLUE, lambda until=until: time.monotonic() > until)  # type: ignore[misc] # bound now
            assert not window.open
            weston.begin(*size)
            commands += shown(window, BLUE, lambda size=size: covers(window, *size))  # type: ignore[misc] # bound now
            assert said[-1] == "the window is back, on monitor 0"
            assert (window.opened, window.lost) == (lost + 1, lost)
    assert commands == []  # nobody has closed it


class Between:
    """Passes on what a window and its compositor say, and closes the window as a user does."""

    BIND, GET_XDG_SURFACE, GET_TOPLEVEL, CLOSE = b"xdg_wm_base\0", 2, 1, 1  # of xdg-shell.xml

    def __init__(self, path: Path, compositor: Path) -> None:
        self.compositor, self.base, self.surface, self.toplevel = str(compositor), 0, 0, 0
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        self.window, _ = self.listening.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.compositor)
        threading.Thread(target=self.carry, args=(self.window, server), daemon=True).start()
        self.carry(server, self.window)

    def carry(self, source: socket.socket, to: socket.socket) -> None:
        with source, contextlib.suppress(OSError):  # one of the two has ended
            while True:
                said, files, *_ = socket.recv_fds(source, 1 << 16, 28)
                if not said:
                    to.shutdown(socket.SHUT_RDWR)
                    return
                if source is self.window:
                    self.read(said)
                socket.send_fds(to, [said], files)
                for file in files:
                    os.close(file)

    def read(self, told: bytes) -> None:
        """Learn which object is the window."""
        while told:
            thing, head, first = struct.unpack("=3I", told[:12].ljust(12, b"\0"))
            size, does = head >> 16, head & 0xFFFF
            if self.BIND in told[:size]:
                (self.base,) = struct.unpack("=I", told[size - 4 : size])
            elif (thing, does) == (self.base, self.GET_XDG_SURFACE):
                self.surface = first
            elif (thing, does) == (self.surface, self.GET_TOPLEVEL):
                self.toplevel = first
            told = told[max(size, 8) :]

    def close(self) -> None:
        self.window.sendall(struct.pack("=2I", self.toplevel, 8 << 16 | self.CLOSE))


@pytest.mark.slow
def test_a_window_that_is_closed_ends_the_show(
    weston: Weston, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = Between(weston.folder / "between", weston.folder / weston.name)
    monkeypatch.setenv("WAYLAND_DISPLAY", "between")
    with host() as window:
        assert shown(window, RED, lambda: covers(window, 640, 400)) == []
        between.close()
        assert asked(window) == [Fire("quit")]
        assert (window.open, window.lost) == (True, 0)
