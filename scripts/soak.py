"""A real show under Xvfb with everything switched on, and random trouble from a seed.

    python scripts/soak.py [--minutes 60] [--seed 1] [--fps 15] [--folder FOLDER] [flags of lwlive]

It watches from outside: what is on the screen, what the status says, recordings, processes, memory.
Prints a table, a row for each kind of trouble. Linux only; a disk that fills is a small one in
memory, mounted inside the folder, for which it has to be root; the clock is moved for the show
alone, for which a C compiler is needed; what it hears comes from a PipeWire of its own.
"""

import argparse
import compileall
import contextlib
import http.client
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
from pythonosc.osc_packet import OscPacket
from pythonosc.udp_client import SimpleUDPClient
from screen import Look, Screen, longest_gap, stood
from soakplayed import Played
from storm import free_port
from trouble import SIZES, TROUBLES, clock
from verdict import LOST_S, Gap, Row, report
from waited import slowed, turns

import lwlive

LOOK_S = 0.1  # between two looks at the screen
DISK = "160m"
BRIGHT = 125.0  # level of a picture's brightest parts; those of a start's words are dimmer
LONGEST_S = 45.0  # that one trouble takes: with less left, the soak ends
SETTLED_S = 6.0  # of pictures, before the next trouble: a start has not failed
HEARD_S = 2.5  # a show that has said nothing for so long shows nothing
PAGE_S = 0.5  # between two questions to the page
CUES = """
[[cues]]
name = "{0:02d} o'clock"
at = {0:02d}:00:00
speed = 0.{1}
"""
PROMPTS = ("blueberry spaghetti", "red and gold fire", "large glowing flowers in ice and purple")


@dataclass
class Recording:
    """One file of the show's recordings."""

    begun: float
    seconds: float | None = None  # that it plays


class Soak:
    """One run."""

    def __init__(self, folder: Path, seed: int, fps: float, flags: list[str], display: int) -> None:
        self.random = random.Random(seed)
        self.folder, self.fps, self.flags = folder, fps, flags
        self.disk, self.cache = folder / "disk", folder / "cache"
        self.clock_file = folder / "clock"
        self.port, self.page, self.nobody = free_port(), free_port(), free_port()
        self.rows = {name: Row() for name in TROUBLES}
        self.looks: list[Look] = []
        self.recordings: dict[str, Recording] = {}
        self.memory: list[tuple[float, float]] = []
        self.troubles: list[float] = []  # when each was
        self.pristine: Path | None = None  # a cache without damage
        self.mounted = False
        self.heard: list[tuple[float, bool]] = []  # when something was said of the sound, and what
        self.answers: list[float] = []  # when the page gave one
        self.starts = 0
        self.code, self.left = 0, list[psutil.Process]()
        self.pids: set[int] = set()  # of all that belonged to the show
        self._screen = Screen(folder, display)
        self._played = Played(folder)
        self._guard: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._watching: list[threading.Thread] = []
        self._said: dict[str, tuple[float, Any]] = {}  # by the show: when, and what
        self._ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ear.bind(("127.0.0.1", 0))
        self._ear.settimeout(0.2)

    # What trouble needs

    def start(self) -> None:
        """Start the show, as a machine does at boot."""
        environment = {**os.environ, "DISPLAY": self._screen.name, "SDL_VIDEODRIVER": "x11"}
        environment |= {"XDG_STATE_HOME": str(self.folder / "log"), "OMP_NUM_THREADS": "2"}
        environment |= self._played.environment
        root = str(Path(__file__).resolve().parent.parent)
        environment["PYTHONPATH"] = root
        environment |= self.clock
        show = ["--fullscreen", "--fps", str(self.fps), "--state", str(self.folder / "state.json")]
        show += ["--record", str(self.disk / "show.mp4"), "--folder", str(self.disk)]
        show += ["--journal", str(self.disk / "show.jsonl"), "--cache", str(self.cache)]
        show += ["--osc-port", str(self.port), "--page", "--page-port", str(self.page)]
        show += ["--audio-in", self._played.name, "--cues", str(self.folder / "cues.toml")]
        show += ["--stream", f"udp://127.0.0.1:{self.nobody}", "--keep-days", "7", *self.flags]
        self.starts += 1
        with (self.folder / "said.txt").open("ab") as said:
            self._guard = subprocess.Popen(
                [sys.executable, "-m", "lwlive", "guard", "--", *show],
                env=environment,
                stdout=said,
                stderr=said,
                cwd=root,
                start_new_session=True,
            )
        _share_as_ours(self._guard.pid)

    def everything(self) -> list[psutil.Process]:
        """All processes of the show, the guard first."""
        assert self._guard is not None
        guard = psutil.Process(self._guard.pid)
        return [guard, *guard.children(recursive=True)]

    def stage(self) -> psutil.Process:
        """The stage's process."""
        assert self._guard is not None
        return psutil.Process(self._guard.pid).children()[0]

    def engine(self) -> psutil.Process:
        """The engine's process: the largest of the stage's children."""
        return max(self.stage().children(), key=lambda child: child.memory_info().rss)

    def screen(self, size: str | None) -> None:
        """End the X server, or begin one of this size."""
        self._screen.end()
        if size is not None:
            self._screen.begin(size)

    def sound(self, on: bool) -> None:
        """Kill the sound system, or begin it and play again."""
        if on:
            self._played.start()
        else:
            self._played.kill()

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        time.sleep(seconds)

    # Watching

    def _watch(self) -> None:
        """In a thread: the screen, ten times a second; files and memory more rarely."""
        before: np.ndarray | None = None
        looked = 0.0
        while not self._ended.is_set():
            now, pixels = time.monotonic(), self._screen.pixels()
            new = pixels is not None and (
                before is None or before.shape != pixels.shape or bool((before != pixels).any())
            )
            fps_at, fps = self._said.get("fps", (0.0, 0))
            heard = max((at for at, _ in self._said.values()), default=0.0)
            shown = bool(fps) and now - heard < HEARD_S and heard - fps_at < 30
            level = float(pixels.mean()) if pixels is not None else 0.0
            picture = pixels is not None and float(np.percentile(pixels, 97)) > BRIGHT
            self.looks.append(Look(now, new, level, picture, shown, pixels is None))
            before = pixels
            self._watch_recordings(now)
            if now - looked >= 0.5:
                looked = now
                self._watch_processes(now)
            time.sleep(max(0.0, LOOK_S - (time.monotonic() - now)))

    def _watch_recordings(self, now: float) -> None:
        for path in self.disk.glob("show*.mp4"):
            with contextlib.suppress(FileNotFoundError):  # it was measured and removed just now
                if path.name not in self.recordings and path.stat().st_size > 0:
                    self.recordings[path.name] = Recording(now)

    def _watch_processes(self, now: float) -> None:
        with contextlib.suppress(psutil.Error, AssertionError):
            self.pids.update(each.pid for each in self.everything())
        if not self.memory or now - self.memory[-1][0] > 10:
            with contextlib.suppress(psutil.Error, IndexError, AssertionError):
                self.memory.append(
                    (now, sum(_pss_mb(each.pid) for each in self.everything() if not _builds(each)))
                )

    def _listen(self) -> None:
        """In a thread: what the show says of itself. A subscription lasts a minute."""
        client, asked = SimpleUDPClient("127.0.0.1", self.port), 0.0
        while not self._ended.is_set():
            if time.monotonic() - asked > 1.0:
                asked = time.monotonic()
                for name in ("subscribe", "hear"):
                    with contextlib.suppress(OSError):
                        client.send_message(f"/lwlive/{name}", self._ear.getsockname()[1])
            with contextlib.suppress(TimeoutError, OSError, ValueError):
                for timed in OscPacket(self._ear.recv(65536)).messages:
                    name = timed.message.address.rpartition("/")[2]
                    if timed.message.params and "/status/" in timed.message.address:
                        self._said[name] = time.monotonic(), timed.message.params[0]
                        if name == "level":
                            self.heard.append((time.monotonic(), timed.message.params[0] > 0.01))

    def _ask(self) -> None:
        """In a thread: whether the page answers, well or not."""
        while not self._ended.wait(PAGE_S):
            with contextlib.suppress(OSError, http.client.HTTPException):
                with contextlib.suppress(urllib.error.HTTPError):  # 503 is an answer, too
                    urllib.request.urlopen(f"http://127.0.0.1:{self.page}/health", timeout=5)
                self.answers.append(time.monotonic())

    # The run

    def run(self, minutes: float) -> None:
        """Play, and make trouble."""
        self.disk.mkdir(parents=True)
        self.cache.mkdir(exist_ok=True)
        self.clock = clock(self.folder)
        compileall.compile_dir(Path(lwlive.__file__).parent, quiet=1)  # as what is installed is
        cues = [CUES.format(hour, 2 + hour // 3 % 5) for hour in range(0, 24, 3)]
        (self.folder / "cues.toml").write_text("".join(cues))
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "lwlive-soak", str(self.disk)]
        self.mounted = subprocess.run(mount, capture_output=True).returncode == 0
        if not self.mounted:
            print("no disk can be mounted here, so none is filled", flush=True)
        try:
            self.screen(SIZES[0])
            self.sound(True)
            self.start()
            work = (self._watch, self._listen, self._ask)
            self._watching = threads = [threading.Thread(target=each) for each in work]
            for thread in threads:
                thread.start()
            try:
                self._run(minutes * 60)
            finally:
                self._ended.set()
                for thread in threads:
                    thread.join()
                self._finish()
        finally:
            self._screen.end()
            self._played.kill()
            if self.mounted:
                subprocess.run(["umount", "-l", str(self.disk)], check=True)

    def _run(self, seconds: float) -> None:
        self._until_shown(600)
        time.sleep(2 * SETTLED_S)
        end = time.monotonic() + seconds
        names: list[str] = []
        while time.monotonic() < end - LONGEST_S:
            if not names:  # every kind once, in a random order, and again
                names = [name for name in TROUBLES if self.mounted or "disk" not in name]
                self.random.shuffle(names)
            self._one(names.pop())

    def _until_shown(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not (self.looks and self.looks[-1].shown) and time.monotonic() < until:
            time.sleep(0.1)

    def _one(self, name: str) -> None:
        do, rest_s = TROUBLES[name]
        row, begun = self.rows[name], time.monotonic()
        starts, deaths = self._lives()
        cues, before = self._cues(), turns(self.everything())
        self.troubles.append(begun)
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        try:
            do(self)
        except (psutil.Error, ValueError, IndexError) as error:  # it is not there just now
            print(f"  {error!r}", flush=True)
            return
        client = SimpleUDPClient("127.0.0.1", self.port)
        until = begun + rest_s
        while time.monotonic() < until:
            time.sleep(1.0)
            with contextlib.suppress(OSError):
                client.send_message("/lwlive/prompt", self.random.choice(PROMPTS))
        self._until_shown(300)
        time.sleep(SETTLED_S)
        if "cache" in name and self.pristine is not None:  # the next trouble is measured alone
            shutil.copytree(self.pristine, self.cache, dirs_exist_ok=True)
            with contextlib.suppress(psutil.Error, ValueError, IndexError):
                self.engine().kill()
        if not all(thread.is_alive() for thread in self._watching):
            raise RuntimeError("what watches the show has ended, so nothing more can be measured")
        row.times += 1
        slow = slowed(before, turns(self.everything()))
        looks = [look for look in self.looks if begun - 1 <= look.at <= time.monotonic()]
        row.gaps.append(Gap(longest_gap(looks), os.getloadavg()[0], stood(looks), slow))
        row.deaf_s = max(row.deaf_s, apart(begun - 1, [at for at, heard in self.heard if heard]))
        row.page_s = max(row.page_s, apart(begun - 1, self.answers))
        row.cues = max(row.cues, self._cues() - cues)
        self.heard, self.answers = self.heard[-300:], self.answers[-20:]
        lit = [look.level for look in looks if look.picture]
        row.level = min([row.level, *lit])
        now_starts, now_deaths = self._lives()
        row.stage += now_starts - starts
        row.engine += max(0, now_deaths - deaths) if now_starts == starts else 0
        row.lost_s = max(row.lost_s, self._measure())
        seen = {"trouble": name, "at": begun, "row": vars(row), "looks": [*map(astuple, looks)]}
        with (self.folder / "seen.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**seen, "memory": self.memory[-1:]}) + "\n")
        self.looks = self.looks[-100:]

    def _lives(self) -> tuple[int, int]:
        """How often the stage was started, and the engine lost since."""
        said = (self.folder / "said.txt").read_text("utf-8", "replace")
        lost = self._said.get("deaths", (0.0, 0))[1]
        return self.starts + said.count("it is started again"), int(lost)

    def _cues(self) -> int:
        """How many cues have come."""
        said = (self.folder / "said.txt").read_text("utf-8", "replace")
        return len(re.findall(r"\bcue \d+: \d+ o'clock$", said, re.MULTILINE))

    def _measure(self) -> float:
        """Seconds missing at the end of recordings that trouble has ended; they are removed.

        A recording began a tenth of a second before it was seen; the trouble that ended it is
        the last one before the next recording.
        """
        lost = 0.0
        names = sorted(self.recordings, key=lambda name: self.recordings[name].begun)
        begins = [self.recordings[name].begun for name in names]
        for name, after in zip(names[:-1], begins[1:], strict=True):
            one = self.recordings[name]
            if one.seconds is None:
                one.seconds = played(self.disk / name)
                this = missing(one.begun + one.seconds, after, self.troubles)
                lost = max(lost, this)
                with contextlib.suppress(OSError):
                    if this > LOST_S:  # for whoever wants to know why
                        shutil.copy2(self.disk / name, self.folder / f"lost-{this:.1f}-{name}")
                    (self.disk / name).unlink()
                self.recordings[name + f" {one.begun:.0f}"] = self.recordings.pop(name)
        return lost

    def _finish(self) -> None:
        """End the show as a service manager does."""
        assert self._guard is not None
        processes = []
        with contextlib.suppress(psutil.Error):
            processes = self.everything()
        self._guard.send_signal(signal.SIGTERM)
        self.code = self._guard.wait(100)
        _, self.left = psutil.wait_procs(processes, timeout=5)


def apart(begin: float, times: list[float]) -> float:
    """The longest time from `begin` to now without one of these moments."""
    since = [begin, *(at for at in times if at >= begin), time.monotonic()]
    return max(after - before for before, after in itertools.pairwise(since))


def missing(end: float, after: float, troubles: list[float]) -> float:
    """Seconds between the end of a recording and the trouble that ended it.

    after: when the next recording began.
    """
    return max([0.0, *(at - end for at in [at for at in troubles if at < after][-1:])])


def played(path: Path) -> float:
    """Seconds that a recording plays, as far as it can be decoded."""
    last = 0.0
    with contextlib.suppress(OSError, av.error.FFmpegError), av.open(str(path)) as file:
        stream = file.streams.video[0]
        for packet in file.demux(stream):
            if packet.pts is not None and packet.time_base is not None:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return last


def _pss_mb(pid: int) -> float:
    """Memory of a process, its share of what others have as well."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _share_as_ours(pid: int) -> None:
    """A session has a share of the cores for itself: let one's be as large as this one's is."""
    with contextlib.suppress(OSError, IndexError):  # a kernel without such shares
        nice = Path("/proc/self/autogroup").read_text().split()[-1]
        Path(f"/proc/{pid}/autogroup").write_text(nice)


def _builds(process: psutil.Process) -> bool:
    """Whether a process compiles, which takes memory for a few minutes."""
    with contextlib.suppress(psutil.Error):
        return "lwlive.engine.compiled.build" in process.cmdline()
    return False


def main() -> int:
    """Soak, and print the table; 1 where it shows what should not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--display", type=int, default=0, help="number of the X display")
    parser.add_argument(
        "--fair", action="store_true", help="allow for the time in which others had the cores"
    )
    parser.add_argument("--folder", type=Path, help="where what is written stays")
    parser.add_argument("--cached", type=Path, help="a cache that the show's is copied from")
    given, flags = parser.parse_known_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="lwlive-soak-"))
    display = given.display or 700 + os.getpid() % 200
    if given.cached is not None:
        shutil.copytree(given.cached, folder / "cache")
    soak = Soak(folder, given.seed, given.fps, flags, display)
    soak.pristine = given.cached
    soak.run(given.minutes)
    found = report(soak, given.minutes, given.fair)
    print("\n".join(found.lines), flush=True)
    for line in found.broken:
        print(f"does not hold: {line}")
    print(json.dumps({"seed": given.seed, "broken": found.broken}))
    if given.folder is None and not found.broken:
        shutil.rmtree(folder, ignore_errors=True)
    return int(bool(found.broken))


if __name__ == "__main__":
    sys.exit(main())
