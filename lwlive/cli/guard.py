"""`lwlive guard -- FLAGS`: a parent that starts the show again whenever it dies or hangs.

For machines without systemd. One thread waits for a socket, on which the show says READY and
WATCHDOG as it would to systemd; another waits for the show to end, and says so there. The guard
knows neither torch nor pygame, and nothing of shows. A show that ends well, since somebody ended
it, is not started again.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

HANG_S = 5.0  # a show that has shown no picture for so long hangs
START_S = 60.0  # one that starts has so long to ask for more time
END_S = 90.0  # one that is asked to end has so long to finish its recordings
LOOK_S = 0.2  # between two looks at the show
PAUSES_S = (0.0, 1.0, 2.0, 5.0, 15.0, 60.0)  # before a new start, by short lives in a row
LONG_S = 10.0  # a show that has shown pictures for so long ends the row
USAGE = 2  # how a program ends whose words were wrong; started again it would say the same
AFTER = "LWLIVE_AFTER"  # tells the show why it was started again


@dataclass
class Ear:
    """Where the show's signs of life arrive. Watches the time of one show."""

    socket: socket.socket
    address: str
    until: float = 0.0  # the show has so long for its next sign of life
    ready_at: float | None = None  # when it showed its first picture

    def begin(self, now: float) -> None:
        """A show is started."""
        self._drain()
        self.until, self.ready_at = now + START_S, None

    def await_end(self, show: "subprocess.Popen[bytes]") -> None:
        """In a thread: wait until the show ends, so that `hear` waits no longer."""
        show.wait()
        with contextlib.suppress(OSError):  # nobody listens any more
            self.socket.sendto(b"ENDED=1", self.socket.getsockname())

    def hear(self, now: float, wait_s: float) -> None:
        """Take in what the show says, waiting for it so long."""
        self.socket.settimeout(wait_s)
        with contextlib.suppress(TimeoutError, BlockingIOError, ConnectionError):
            while True:
                self._heard(self.socket.recv(4096).decode("utf-8", "replace"), now)
                self.socket.settimeout(0)

    def _heard(self, message: str, now: float) -> None:
        for line in message.splitlines():
            word, _, value = line.partition("=")
            if word == "READY":
                self.ready_at = now
            elif word == "WATCHDOG":
                self.until = now + HANG_S
            elif word == "EXTEND_TIMEOUT_USEC" and self.ready_at is None and value.isdecimal():
                self.until = max(self.until, now + int(value) / 1e6)
            elif word == "STOPPING":
                self.until = now + END_S

    def _drain(self) -> None:
        self.hear(0.0, 0.0)


@contextlib.contextmanager
def listening() -> Iterator[Ear]:
    """A socket for signs of life: one without a file, or a port of this machine."""
    if sys.platform == "linux":
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = f"@lwlive-guard-{os.getpid()}-{secrets.token_hex(4)}"
        ear.bind(f"\0{address[1:]}")
    else:
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.bind(("127.0.0.1", 0))
        address = f"udp:{ear.getsockname()[1]}"
    with ear:
        yield Ear(ear, address)


class Guard:
    """Runs one command for ever. `say` gets a sentence for whatever happens."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command, self._environment, self._say = list(command), dict(environment), say
        self._clock = clock
        self._show: subprocess.Popen[bytes] | None = None
        self._end_by: float | None = None  # it was asked to end, and has so long
        self.starts = 0

    def end(self) -> None:
        """Let the show end, and do not start it again. Safe to call from a signal handler."""
        if self._end_by is None:
            self._end_by = self._clock() + END_S
        if self._show is not None and self._show.poll() is None:
            self._show.terminate()

    def run(self) -> int:
        """Start the show again and again; the exit code of the last one."""
        row, after = 0, ""
        with listening() as ear:
            while True:
                code, why = self._once(ear, after)
                if self._end_by is not None or code in (0, USAGE):
                    return max(0, code)
                shown_s = 0.0 if ear.ready_at is None else self._clock() - ear.ready_at
                row = 0 if shown_s > LONG_S else row + 1
                pause = PAUSES_S[min(max(0, row - 1), len(PAUSES_S) - 1)]
                after = f"the show {why}"
                again = f"in {pause:.0f} s" if pause else "now"
                self._say(f"{after}; it is started again {again}")
                wake = self._clock() + pause
                while self._end_by is None and self._clock() < wake:
                    time.sleep(min(LOOK_S, max(0.0, wake - self._clock())))
                if self._end_by is not None:
                    return 0

    def _once(self, ear: Ear, after: str) -> tuple[int, str]:
        """One life of the show: how it ended, as a code and in words."""
        names = {"NOTIFY_SOCKET": ear.address, "LWLIVE_GUARDED": str(os.getpid())}
        names["WATCHDOG_USEC"] = str(int(HANG_S * 1e6))
        environment = {**self._environment, **names, AFTER: after}
        environment.pop("WATCHDOG_PID", None)
        ear.begin(self._clock())
        self.starts += 1
        try:
            self._show = subprocess.Popen(self._command, env=environment)
        except OSError as error:
            return 1, f"cannot be started ({error.strerror})"
        if self._end_by is not None:  # it was asked to end while it was started
            self._show.terminate()
        threading.Thread(target=ear.await_end, args=(self._show,), daemon=True).start()
        looked = self._clock()
        while True:
            ear.hear(self._clock(), LOOK_S)
            if (gap := self._clock() - looked) > 2.0:  # the machine slept, or this process did
                ear.until += gap
            looked = self._clock()
            if (code := self._show.poll()) is not None:
                return code, _ending(code)
            now = self._clock()
            if self._end_by is not None and now > self._end_by:
                return self._killed(f"did not end within {END_S:.0f} s")
            if now > ear.until and self._end_by is None:
                what = (
                    f"no picture for {HANG_S:.0f} s"
                    if ear.ready_at is not None
                    else "no first picture"
                )
                return self._killed(f"hangs ({what}) and was ended")

    def _killed(self, why: str) -> tuple[int, str]:
        assert self._show is not None
        self._show.kill()
        self._show.wait()
        return -9, why


def _ending(code: int) -> str:
    if code < 0 and -code in {*signal.Signals}:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def main(args: Sequence[str]) -> int:
    """Guard a show with these flags; returns its last exit code."""
    from lwlive.cli import signals
    from lwlive.logs import one_line

    def say(sentence: str) -> None:
        print(f"lwlive guard: {one_line(sentence)}", file=sys.stderr, flush=True)

    guard = Guard([sys.executable, "-m", "lwlive", *args], os.environ, say)

    with signals.answered(guard.end):
        return guard.run()
