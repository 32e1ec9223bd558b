"""The watchdog's side of the show: READY, STATUS and WATCHDOG for whoever started it.

systemd and `lwlive guard` listen for them on a socket named in NOTIFY_SOCKET. They are fed by
pictures: a show that shows none for as long as they wait is ended and started again. Until the
first picture the show asks for more time, for half an hour at most.

All of it runs in the show's thread; a datagram waits for nothing. See systemd's sd_notify(3).
"""

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence

from lwlive.commands import Fire
from lwlive.config import Config
from lwlive.stage.parts import Arrived, Output, Picture, Source
from lwlive.stage.status import Status

SOCKET, PERIOD, OWNER = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
GUARDED = "LWLIVE_GUARDED"  # set where `lwlive guard` listens: without it the show ends
UDP = "udp:"  # before the number of a port, where a system has no sockets with names
ALIVE_S = 1.0  # between two signs of life
STATUS_S = 10.0  # between two sentences
START_S = 1800.0  # so long the first picture may take: a model measured and compiled
EXTEND_S = 60.0  # asked for at a time


def notify(address: str, message: str) -> bool:
    """Send a message to where NOTIFY_SOCKET says. False where nobody listens any more.

    One that listens and is behind (macOS has no buffers then), or a process that has too many files
    open, is a matter of the moment.
    """
    try:
        if address.startswith(UDP):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.connect(("127.0.0.1", int(address.removeprefix(UDP))))
                sender.send(message.encode())
            return True
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            where = f"\0{address[1:]}" if address.startswith("@") else address
            sender.sendto(message.encode(), where)
        return True
    except (FileNotFoundError, ConnectionRefusedError, ValueError):
        return False
    except OSError:
        return True


def unattended(config: Config, environment: Mapping[str, str]) -> bool:
    """Whether nobody watches over a show: it keeps a state, or is started again when it ends."""
    return config.state is not None or SOCKET in environment


def ask_for_time(environment: Mapping[str, str]) -> None:
    """Ask whoever started the show to wait on, before its first tick.

    Where other programs have the cores, parts take a minute to load: such a start does not hang.
    """
    if address := environment.get(SOCKET):
        notify(address, f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1e6:.0f}")


class Watchdog(Source, Output):
    """Tells the service manager, where there is one."""

    name = "watchdog"

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get(SOCKET, "")
        self._guarded = GUARDED in environment
        self._every_s = ALIVE_S
        with contextlib.suppress(ValueError):
            period_s = int(environment.get(PERIOD, "0")) / 1e6
            if environment.get(OWNER, str(os.getpid())) == str(os.getpid()) and period_s > 0:
                self._every_s = min(ALIVE_S, period_s / 4)
        self._fed = self._said = -1e9
        self._ready = self._alone = False

    def poll(self, now: float) -> Sequence[Arrived]:
        """The end of the show, where the guard that started it is gone."""
        if self._alone and self._guarded:
            self._alone = False
            return [Arrived(Fire("quit"), self.name, now)]
        return ()

    def put(self, picture: Picture) -> None:
        """A picture was shown."""
        now = picture.status.now
        if now - self._fed < self._every_s:
            return
        self._fed = now
        words = ["WATCHDOG=1"]
        if not self._ready:
            self._ready = True
            words.insert(0, "READY=1")
        if now - self._said >= STATUS_S:
            self._said = now
            words.append(f"STATUS={_sentence(picture.status)}")
        self._send(*words)

    def tell(self, status: Status, changes: Mapping[str, str], now: float) -> None:  # noqa: ARG002
        """Before the first picture: ask for time."""
        if not status.pictures and now - self._said >= STATUS_S / 2:
            self._said = now
            words = [f"STATUS={status.doing or 'starting'}"]
            if status.since_start_s < START_S:
                words.append(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1e6:.0f}")
            self._send(*words)

    def close(self) -> None:
        """The show ends in order."""
        self._send("STOPPING=1")

    def _send(self, *words: str) -> None:
        if self._address and not notify(self._address, "\n".join(words)):
            self._alone = True


def _sentence(status: Status) -> str:
    """How the show stands, in a line."""
    lost = f", engine lost {status.deaths} times" if status.deaths else ""
    hours = status.since_start_s / 3600
    return (
        f"{status.fps} of {status.fps_target:g} pictures a second for {hours:.1f} h, "
        f"{status.late} late{lost}"
    )
