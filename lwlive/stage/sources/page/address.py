"""Where the page is: its sockets, and its address with the secret. It knows no web server."""

import ipaddress
import re
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lwlive import files
from lwlive.stage.sources.listening import ListenError, bound

PREFIX = "/page/"  # what the page's own paths begin with; the others are OSCQuery's
SECRET = re.compile(r"[A-Za-z0-9_-]{12,64}")
_NOWHERE = "192.0.2.1"  # an address of documentation, which nothing is ever sent to


@dataclass(frozen=True)
class Address:
    """Where the page is served."""

    host: str  # as people type it
    port: int
    secret: str | None  # None: only this machine reaches it

    @property
    def path(self) -> str:
        """The page's own path; everything of the page lies below it."""
        return PREFIX if self.secret is None else f"{PREFIX}{self.secret}/"

    @property
    def url(self) -> str:
        """What to type into a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path}"


def is_open(host: str) -> bool:
    """Whether other machines reach what listens on this address."""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return True


def listening(host: str, port: int) -> tuple[socket.socket, ...]:
    """Sockets that listen: the host's, and beside 127.0.0.1 also ::1's, which browsers try first.

    port 0 takes a free one. Raises ListenError.
    """
    first = bound("TCP", "127.0.0.1" if host == "localhost" else host, port, "page")
    if host not in ("127.0.0.1", "localhost") or not socket.has_ipv6:
        return (first,)
    try:
        return first, bound("TCP", "::1", first.getsockname()[1], "page")
    except ListenError:  # no IPv6 here, or its port is taken: 127.0.0.1 is enough
        return (first,)


def seen_from_outside(host: str) -> str:
    """The address that others reach this machine at, where it listens on all of them."""
    if host not in ("0.0.0.0", "::"):
        return host
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((_NOWHERE, 9))  # sends nothing; the system chooses where from it would
        found: str = probe.getsockname()[0]
        return found
    near = own_addresses()[0]  # a network of its own, with no way out
    return socket.gethostname() if near.startswith("127.") else near


def own_addresses() -> list[str]:
    """This machine's IPv4 addresses that others may reach. Programs of the field know no IPv6."""
    import psutil

    found = [
        one.address
        for name, all_of in psutil.net_if_addrs().items()
        for one in all_of
        if one.family == socket.AF_INET and not one.address.startswith("127.")
    ]
    return found or ["127.0.0.1"]


def kept_secret(path: Path) -> str:
    """The secret in a file of the user's own, so that a phone finds the next show too.

    Made where there is none; to have a new one, remove the file. Raises OSError.
    """
    with suppress(OSError, UnicodeDecodeError):
        found = path.read_text("ascii").strip()
        if SECRET.fullmatch(found):
            return found
    made = new_secret()
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, f"{made}\n".encode())
    path.chmod(0o600)
    return made


def new_secret() -> str:
    """One that nobody guesses: 96 bits."""
    return secrets.token_urlsafe(12)
