"""UDP sockets for OSC: bound where a host says, never blocking; and who may send to them."""

import ipaddress
import socket
from collections.abc import Sequence

from lwlive.stage.sources.listening import InUseError, ListenError, bound

LOCAL = ("127.0.0.1", "localhost", "0.0.0.0")  # `localhost` means ::1 to some programs
TRIES = 8  # for a free port that is free on both loopbacks

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def opened(host: str, port: int) -> tuple[list[socket.socket], list[str]]:
    """Sockets on one port: the host's, and where that is this machine's IPv4, ::1's too.

    port 0 takes a free one. The list of sentences says what could not be had. Raises ListenError.
    """
    for attempt in range(TRIES):
        first = bound("UDP", "127.0.0.1" if host == "localhost" else host, port, "osc")
        if host not in LOCAL or not socket.has_ipv6:
            return [first], []
        number = first.getsockname()[1]
        try:
            return [first, bound("UDP", "::1", number, "osc")], []
        except InUseError as error:
            if port == 0 and attempt + 1 < TRIES:
                first.close()
                continue
            return [first], [f"{error}; programs that send to ::1 are not heard"]
        except ListenError:  # this machine has no IPv6
            return [first], []
    raise AssertionError("the last try returns")


def networks(entries: Sequence[str]) -> list[Network]:
    """The allow-list: addresses and networks. Raises ListenError."""
    try:
        return [ipaddress.ip_network(entry, strict=False) for entry in entries]
    except ValueError as error:
        raise ListenError(
            f"--osc-allow takes addresses such as 192.168.1.7 and networks such as 192.168.1.0/24, "
            f"but {error}"
        ) from None


def allowed(host: str, allow: Sequence[Network]) -> bool:
    """Whether a sender's address may send. An empty list lets everyone in."""
    if not allow:
        return True
    address = ipaddress.ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address  # IPv4 at an IPv6 socket
    return any(address in network for network in allow)
