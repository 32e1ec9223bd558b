"""Who may have what of the web server. Pure: it sees words of a request and gives a yes or a no.

The page needs the secret where other machines reach it. OSCQuery tells what OSC can be sent, so
whoever may send OSC may ask. /health and /metrics are for everyone, and tell nothing of the show's
content. A page of another site that runs in somebody's browser gets nothing: its Origin is not
ours, and a name of its own that leads here (DNS rebinding) is not a Host of ours.
"""

import hmac
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from lwlive.stage.sources.osc.sockets import Network, allowed
from lwlive.stage.sources.page.address import PREFIX, Address

CLIENTS = 20  # of the page and of OSCQuery together
CONNECTIONS = 100  # open at one time, asking for something or not
MESSAGE_BYTES = 8192  # of one message; a prompt has 2000 at most
MESSAGES_S = 600  # of one client in a second; a fader under a finger sends 60
OPEN_S = 20.0  # how long a connection may stay that is no client's
SLOW_S = 10.0  # how long a client may take nothing of what is sent to it
TOO_MANY = f"{CLIENTS} people have the page open already; close it on another one, then try again"


@dataclass(frozen=True)
class Access:
    """The rules of one show. osc: whether it is on; osc_open: whether other machines reach it."""

    address: Address
    osc: bool
    osc_open: bool
    osc_allow: Sequence[Network] = field(default_factory=tuple)

    def page(self, path: str) -> str | None:
        """What of the page a path means; None where it is none of it, or the secret is wrong."""
        if not path.startswith(PREFIX):
            return None
        rest = path[len(PREFIX) :]
        if self.address.secret is None:
            return rest
        given, slash, rest = rest.partition("/")
        right = hmac.compare_digest(given.encode(), self.address.secret.encode())
        return rest if right and slash else None

    def query(self, peer: str) -> bool:
        """Whether a machine may ask by OSCQuery: it may where it may send OSC."""
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        near = self.osc_open or address.is_loopback
        return self.osc and near and allowed(str(address), self.osc_allow)

    @property
    def announced(self) -> bool:
        """Whether other machines are to find the show by themselves: they may use it."""
        return self.address.secret is not None and self.osc and self.osc_open

    def secret_is_in(self, path: str) -> bool:
        """Whether a path shows that whoever asks was given the address."""
        return self.address.secret is not None and self.page(path) is not None

    @property
    def hides(self) -> bool:
        """Whether a wrong path and a wrong secret look the same."""
        return self.address.secret is not None


def own_host(host: str | None) -> bool:
    """Whether a Host header is one that this machine may be reached by."""
    if not host:
        return False
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    name = name.lower().rstrip(".")
    if name in ("localhost", socket.gethostname().lower()) or name.endswith(".local"):
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def own_origin(origin: str | None, host: str | None) -> bool:
    """Whether a request comes from a page of ours, or from no page at all."""
    return origin is None or origin == f"http://{host}"


class Budget:
    """How many messages one client may still send; time is passed in."""

    def __init__(self, now: float) -> None:
        self._left, self._at = float(MESSAGES_S), now

    def take(self, now: float) -> bool:
        """One more; False where there are too many."""
        self._left = min(MESSAGES_S, self._left + (now - self._at) * MESSAGES_S)
        self._at = now
        self._left -= 1
        return self._left >= 0
