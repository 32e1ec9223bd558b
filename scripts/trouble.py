"""Trouble for a show that is soaked: what may happen in a month, each kind as a function.

Everything stays inside the soak's own folders, display, and processes. See soak.py.
"""

import contextlib
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import psutil
from pythonosc.udp_client import SimpleUDPClient

BUSY = "while True: pass"
# libfaketime moves a program's clock, too, but with it every sleep of Python's on the monotonic
# clock is refused as invalid, so this one does nothing else.
CLOCK = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *moved;
__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("MOVED_CLOCK");
    int file = name ? open(name, O_RDONLY) : -1;
    void *found = file < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) moved = found;
    if (file >= 0) close(file);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME && moved) now->tv_sec += *moved;
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    (void)zone;
    if (!failed) { now->tv_sec = exact.tv_sec; now->tv_usec = exact.tv_nsec / 1000; }
    return failed;
}
time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}
"""
SIZES = ("640x400", "512x512", "800x600", "720x480")


class Stage(Protocol):
    """What trouble needs of the soak."""

    random: random.Random
    port: int
    disk: Path
    cache: Path
    clock_file: Path

    def stage(self) -> psutil.Process: ...
    def engine(self) -> psutil.Process: ...
    def everything(self) -> list[psutil.Process]: ...
    def screen(self, size: str | None) -> None: ...
    def sound(self, on: bool) -> None: ...
    def start(self) -> None: ...
    def wait(self, seconds: float) -> None: ...


def clock(folder: Path) -> dict[str, str]:
    """What to set in a program's environment so that its clock can be moved; see `move`."""
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        raise RuntimeError("no C compiler here (gcc or clang), so no clock can be moved")
    move(folder / "clock", 0)
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(folder / "clock")}


def move(file: Path, seconds: int) -> None:
    """Move the clock of programs that have this file by so much from the machine's."""
    with file.open("r+b" if file.exists() else "wb") as place:
        place.write(struct.pack("<q", seconds))


def _engine_killed(soak: Stage) -> None:
    soak.engine().kill()


def _engine_hangs(soak: Stage) -> None:
    soak.engine().suspend()


def _stage_killed(soak: Stage) -> None:
    soak.stage().kill()


def _stage_hangs(soak: Stage) -> None:
    soak.stage().suspend()


def _power_cut(soak: Stage) -> None:
    """Everything is killed together, and started again as at boot."""
    for process in soak.everything():
        with contextlib.suppress(psutil.Error):
            process.kill()
    soak.wait(1.0)
    soak.start()


def _frozen(soak: Stage) -> None:
    """The machine sleeps and wakes: nothing runs meanwhile, and nobody has noticed."""
    processes = soak.everything()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.suspend()
    soak.wait(8.0)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.resume()


def _screen_gone(soak: Stage) -> None:
    soak.screen(None)
    soak.wait(soak.random.uniform(2, 8))
    soak.screen(soak.random.choice(SIZES))


def _disk_full(soak: Stage) -> None:
    ballast = soak.disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    soak.wait(8.0)
    ballast.unlink()


def _clock_moved(soak: Stage) -> None:
    hours = soak.random.choice([-9000, -25, -1, 1, 25, 90000])
    move(soak.clock_file, hours * 3600)


def _sound_killed(soak: Stage) -> None:
    soak.sound(False)
    soak.wait(soak.random.uniform(2, 8))
    soak.sound(True)


def _flood(soak: Stage) -> None:
    client = SimpleUDPClient("127.0.0.1", soak.port)
    until = time.monotonic() + 4.0
    while time.monotonic() < until:
        for _ in range(40):
            name = soak.random.choice(["speed", "pace", "guidance", "seed", "none", "fader/depth"])
            value: Any = soak.random.choice([0, 1, 0.5, float("nan"), "x", 10**9, b"?"])
            client.send_message(f"/lwlive/{name}", value)
        soak.wait(0.01)
    for name, number in (("speed", 0.25), ("pace", 1.0), ("guidance", 1.0), ("depth", 0.0)):
        client.send_message(f"/lwlive/{name}", number)


def _busy(soak: Stage) -> None:
    """Another program on every core."""
    cores = os.cpu_count() or 1
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(cores)]
    soak.wait(8.0)
    for other in others:
        other.kill()
        other.wait()


def _cache_damaged(soak: Stage) -> None:
    """Some bytes of what is cached are others, and the engine is started again on them."""
    found = [path for path in soak.cache.rglob("*") if path.is_file() and path.stat().st_size]
    if found:
        path = soak.random.choice(found)
        with contextlib.suppress(OSError), path.open("rb+") as file:
            file.seek(soak.random.randrange(path.stat().st_size))
            file.write(soak.random.randbytes(64))
    soak.engine().kill()


def _state_damaged(soak: Stage) -> None:
    """The state is cut, and the stage is started again on it."""
    state = soak.disk.parent / "state.json"
    with contextlib.suppress(OSError):
        os.truncate(state, state.stat().st_size // 2)
    soak.stage().send_signal(signal.SIGSEGV)


TROUBLES: dict[str, tuple[Callable[[Stage], None], float]] = {  # and seconds until all is well
    "engine killed": (_engine_killed, 25.0),
    "engine hangs": (_engine_hangs, 35.0),
    "stage killed": (_stage_killed, 30.0),
    "stage hangs": (_stage_hangs, 35.0),
    "everything killed": (_power_cut, 35.0),
    "machine sleeps 8 s": (_frozen, 25.0),
    "screen gone, another size": (_screen_gone, 20.0),
    "disk full for 8 s": (_disk_full, 25.0),
    "clock moved": (_clock_moved, 8.0),
    "sound server killed": (_sound_killed, 25.0),
    "flood of OSC": (_flood, 10.0),
    "busy on every core for 8 s": (_busy, 12.0),
    "cache damaged, engine killed": (_cache_damaged, 35.0),
    "state damaged, stage crashes": (_state_damaged, 35.0),
}
