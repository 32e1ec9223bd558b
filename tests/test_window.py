"""The window in its process: it draws, tells its keys, and comes back when its X server is gone."""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lwlive import shared
from lwlive.checkpoint import Size
from lwlive.commands import Command, Fire
from lwlive.ring import Pixels
from lwlive.stage.outputs.window.host import FIRST_S, HANG_S, Host, NoWindow
from lwlive.stage.outputs.window.process import Broken, Missing, Open, Told, Wanted
from lwlive.stage.qrcode import Code

RED, BLUE = (220, 30, 40), (30, 60, 210)


def flat(colour: tuple[int, int, int]) -> Pixels:
    return np.full((80, 80, 3), colour, np.uint8)


class Server:
    """An X server that can be ended, and begun again in another size."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.name = ""

    def begin(self, size: str) -> None:
        ready, number = os.pipe()
        asked = [self.name] if self.name else []
        command = ["Xvfb", *asked, "-displayfd", str(number), "-noreset", "-nolisten", "tcp"]
        command += ["-screen", "0", f"{size}x24"]
        self.process = subprocess.Popen(command, pass_fds=[number], stderr=subprocess.DEVNULL)
        os.close(number)
        with os.fdopen(ready) as told:
            self.name = f":{int(told.readline())}"

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            Path(f"/tmp/.X{self.name[1:]}-lock").unlink(missing_ok=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed, so no window can be tried (Debian: apt install xvfb)")
    one = Server()
    one.begin("640x400")
    monkeypatch.setenv("DISPLAY", one.name)
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    try:
        yield one
    finally:
        one.end()


def host(
    monitor: str = "0",
    said: list[str] | None = None,
    waits: bool = False,
    code: Code | None = None,
) -> Host:
    say = (lambda _: None) if said is None else said.append
    size = Size(80, 80)
    return Host("lwlive", True, monitor, "fill", True, size, waits=waits, say=say, code=code)


def shown(
    window: Host, colour: tuple[int, int, int], until: Callable[[], bool], seconds: float = 60.0
) -> list[Command]:
    """Show pictures of a colour until something holds; what keys asked for meanwhile."""
    commands: list[Command] = []
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it does not come about"
        commands += [command for command, _ in window.presses()]
        begun = time.perf_counter()
        window.show(flat(colour), 1.0, None, None)
        assert time.perf_counter() - begun < 0.3, "the show waited for its window"
        time.sleep(0.02)
    return commands


def asked(window: Host) -> list[Command]:
    """The next that is asked for in a window; nothing after a minute."""
    commands: list[Command] = []
    end = time.monotonic() + 60
    while not commands and time.monotonic() < end:
        commands = [command for command, _ in window.presses()]
        time.sleep(0.01)
    return commands


def covered(server: Server, colour: tuple[int, int, int], size: tuple[int, int]) -> bool:
    from PIL import ImageGrab

    try:
        seen = np.asarray(ImageGrab.grab(xdisplay=server.name).convert("RGB")).astype(int)
    except OSError:  # it is only just beginning
        return False
    corners = seen[4, 4], seen[-5, 4], seen[4, -5], seen[-5, -5], seen[size[1] // 2, size[0] // 2]
    whole = seen.shape[:2] == (size[1], size[0])
    return whole and all(np.abs(pixel - colour).max() < 8 for pixel in corners)


@pytest.mark.slow
def test_the_show_survives_its_x_server_and_the_window_comes_back_covering_another_size(
    server: Server,
) -> None:
    said: list[str] = []
    with host(said=said) as window:
        shown(window, RED, lambda: covered(server, RED, (640, 400)))
        server.end()
        shown(window, RED, lambda: not window.open)
        assert "the window is lost" in said[0]
        until = time.monotonic() + 1.5
        shown(window, BLUE, lambda: time.monotonic() > until)
        assert not window.open
        server.begin("800x600")
        shown(window, BLUE, lambda: covered(server, BLUE, (800, 600)))
        assert said[1:] == ["the window is back, on monitor 0"]
        assert (window.opened, window.lost) == (2, 1)


class Process:
    """A window's process, and what it says."""

    pid = 1

    def __init__(self, says: object) -> None:
        self.says, self.alive, self.polls_raise = [says], True, False

    def poll(self, _seconds: float = 0.0) -> bool:
        if self.polls_raise:
            raise BrokenPipeError
        return bool(self.says)

    def recv(self) -> object:
        return self.says.pop(0)

    def send(self, _message: object) -> None: ...

    def close(self) -> None: ...

    def is_alive(self) -> bool:
        return self.alive

    def kill(self) -> None:
        self.alive = False

    def join(self, _seconds: float) -> None: ...


def told_host(*first: object) -> tuple[Host, list[Process], list[str]]:
    """A window whose processes say this, one after the other; with what the show says."""
    said, begun, now = list[str](), list[Process](), [0.0]

    def spawn(_wanted: Wanted) -> Any:
        begun.append(Process(first[len(begun)]))
        return begun[-1], begun[-1]

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    more: Any = {"say": said.append, "spawn": spawn, "clock": clock}
    window = Host("lwlive", True, "0", "fit", True, Size(80, 80), **more).__enter__()
    return window, begun, said


def test_a_window_that_comes_back_broken_is_a_lost_one_and_is_tried_again() -> None:
    broken = Broken("libSDL2: cannot allocate memory in static TLS block", "pygame")
    window, begun, said = told_host(Open("0"), broken, Open("1"))
    begun[0].alive = False
    for _ in range(400):
        window.presses()
    assert window.open
    assert "cannot allocate memory" in said[1]
    assert said[2] == "the window is back, on monitor 1"
    window.close()
    with pytest.raises(ImportError, match="cannot allocate memory"):
        told_host(broken)


def test_a_window_that_hangs_while_it_opens_is_tried_again() -> None:
    missing = Missing("no screen", False)
    window, begun, _ = told_host(Open("0"), missing, Open("1"))
    begun[0].alive = False
    for _ in range(2 * round(FIRST_S)):
        for _ in range(100):  # a second
            window.presses()
        if len(begun) == 2:
            begun[1].says.append(missing)
    assert len(begun) == 2  # it looks for a screen
    for _ in range(100 * round(FIRST_S + 5)):
        window.presses()
    assert (len(begun), window.open, window.lost) == (3, True, 1)
    window.close()


def test_a_pipe_that_cannot_be_asked_is_a_lost_window() -> None:
    window, begun, said = told_host(Open("0"), Open("1"))
    place: Any = window._wanted.place
    begun[0].says.append(Told([], 60.0, place, False, []))
    window.presses()
    assert window.refresh_hz == 60

    def die(_message: object) -> None:
        begun[0].polls_raise = True

    begun[0].send = die  # type: ignore[method-assign]
    window.show(flat(RED), 1.0, None, None)  # which waits for the monitor
    assert (window.open, window.lost, len(said)) == (False, 1, 1)
    window.close()


@pytest.mark.slow
def test_a_window_that_hangs_or_is_killed_is_opened_again_and_leaves_no_memory(
    server: Server,
) -> None:
    with host() as window:
        shown(window, RED, lambda: covered(server, RED, (640, 400)))
        pid = window.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        shown(window, BLUE, lambda: window.pid not in (pid, None) and window.open)
        shown(window, BLUE, lambda: covered(server, BLUE, (640, 400)))
        pid = window.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        shown(window, RED, lambda: window.pid != pid)
        assert time.monotonic() - begun < HANG_S + 5
        shown(window, RED, lambda: covered(server, RED, (640, 400)))
        assert window.lost == 2
        if shared.FOLDER.is_dir():
            assert not list(shared.FOLDER.glob(f"lwlive-*-{os.getpid()}-*"))
    assert window.pid is None


@pytest.mark.slow
def test_keys_arrive_with_their_times(server: Server) -> None:
    if shutil.which("xdotool") is None:
        pytest.skip("xdotool is not installed, so no key can be pressed (apt install xdotool)")
    with host() as window:
        shown(window, RED, lambda: covered(server, RED, (640, 400)))
        before = time.perf_counter()
        subprocess.run(["xdotool", "key", "n"], check=True, timeout=60)
        found: list[tuple[Command, float]] = []
        until = time.monotonic() + 30
        while not found and time.monotonic() < until:
            found = window.presses()
            time.sleep(0.005)
        assert [command for command, _ in found] == [Fire("next")]
        assert before < found[0][1] < time.perf_counter()


@pytest.mark.slow
def test_q_shows_the_pages_address_as_a_code_that_phones_read(
    server: Server, tmp_path: Path
) -> None:
    from PIL import ImageGrab

    for program, package in (("xdotool", "xdotool"), ("zbarimg", "zbar-tools")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt install {package})")
    address, file = "http://192.0.2.7:57120/page/Xk3_v9-QmZ2r8sTb/", tmp_path / "screen.png"

    def read() -> str:
        ImageGrab.grab(xdisplay=server.name).save(file)
        command = ["zbarimg", "-q", "--raw", "--nodbus", str(file)]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()

    with host(code=Code.of(address)) as window:
        shown(window, RED, lambda: covered(server, RED, (640, 400)))
        assert read() == ""
        for expected in (address, ""):  # Q shows it, and Q again hides it
            subprocess.run(["xdotool", "key", "q"], check=True, timeout=60)
            shown(window, RED, lambda wanted=expected: read() == wanted)  # type: ignore[misc] # bound now


@pytest.mark.slow
def test_without_a_screen_an_installation_waits_for_one(server: Server) -> None:
    server.end()
    with pytest.raises(NoWindow, match=r"no window can be opened here|has ended"), host():
        pass
    said: list[str] = []
    with host(said=said, waits=True) as window:
        assert "opens as soon as there is one" in said[0]
        server.begin("640x400")
        shown(window, RED, lambda: covered(server, RED, (640, 400)))


@pytest.mark.slow
def test_a_monitor_is_known_by_its_name(server: Server) -> None:
    why = "no monitor HDMI-7: the only monitor is 0, by name screen"
    with pytest.raises(NoWindow, match=why), host("HDMI-7"):
        pass
    with host("screen") as window:
        shown(window, RED, lambda: covered(server, RED, (640, 400)))


class Saver:
    """What the X server's screen saver does. X blanks after a second here."""

    def __init__(self) -> None:
        self.x11, self.xss = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXss.so.1")
        self.x11.XOpenDisplay.restype = self.xss.XScreenSaverAllocInfo.restype = ctypes.c_void_p
        self.x11.XDefaultRootWindow.restype = ctypes.c_ulong
        self.server = ctypes.c_void_p(self.x11.XOpenDisplay(None))
        self.root = ctypes.c_ulong(self.x11.XDefaultRootWindow(self.server))
        self.x11.XSetScreenSaver(self.server, 1, 1, 1, 1)
        self.x11.XFlush(self.server)

    def on(self) -> bool:
        found = self.xss.XScreenSaverAllocInfo()
        self.xss.XScreenSaverQueryInfo(self.server, self.root, ctypes.c_void_p(found))
        return bool(ctypes.cast(found + 8, ctypes.POINTER(ctypes.c_int))[0] == 1)


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_the_screen_is_not_blanked_while_a_show_plays_and_is_again_after_it() -> None:
    try:
        saver = Saver()
    except OSError:
        pytest.skip("libXss is not installed, so nobody can be asked (Debian: libxss1)")
    time.sleep(2.5)
    assert saver.on()
    with host() as window:
        saver.x11.XResetScreenSaver(saver.server)
        until = time.monotonic() + 3.0
        shown(window, RED, lambda: time.monotonic() > until)
        assert not saver.on()
    end = time.monotonic() + 30
    while not saver.on():
        assert time.monotonic() < end, "it is not released"
        time.sleep(0.1)
