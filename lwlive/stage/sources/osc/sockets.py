"""UDP sockets for OSC: bound where a host says, never blocking; and who may send to them."""

import errno
import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress

RECEIVE_BUFFER = 1 << 20  # bytes; lets a burst wait while the thread does not get its turn
LOCAL = ("127.0.0.1", "localhost", "0.0.0.0")  # `localhost` means ::1 to some programs
TRIES = 8  # for a free port that is free on both loopbacks

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class OscError(Exception):
    """OSC cannot be opened or continue; the message is a sentence for the person at the desk."""


def opened(host: str, port: int) -> tuple[list[socket.socket], list[str]]:
    """Sockets on one port: the host's, and where that is this machine's IPv4, ::1's too.

    port 0 takes a free one. The list of sentences says what could not be had. Raises OscError.
    """
    for attempt in range(TRIES):
        first = _bound("127.0.0.1" if host == "localhost" else host, port)
        if host not in LOCAL or not socket.has_ipv6:
            return [first], []
        number = first.getsockname()[1]
        try:
            return [first, _bound("::1", number)], []
        except _InUseError as error:
            if port == 0 and attempt + 1 < TRIES:
                first.close()
                continue
            return [first], [f"{error}; programs that send to ::1 are not heard"]
        except OscError:  # this machine has no IPv6
            return [first], []
    raise AssertionError("the last try returns")


class _InUseError(OscError):
    """Another program has the port."""


def networks(entries: Sequence[str]) -> list[Network]:
    """The allow-list: addresses and networks. Raises OscError."""
    try:
        return [ipaddress.ip_network(entry, strict=False) for entry in entries]
    except ValueError as error:
        raise OscError(
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


def _bound(host: str, port: int) -> socket.socket:
    """A UDP socket that never blocks. Raises OscError."""
    where = f"UDP port {port} of {host!r}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise OscError(
            f"{host!r} is not an address of this machine; give --osc-host one, such as 127.0.0.1"
        ) from None
    try:
        made = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise OscError(f"{where} cannot be opened ({error.strerror})") from error
    try:
        if family == socket.AF_INET6:  # every address means IPv4's too, one means itself
            only = int(address[0] != "::")
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        with suppress(OSError):  # a system that grants less makes longer bursts lose packets
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        made.bind(address)
        made.setblocking(False)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise _InUseError(
                f"{where} is in use by another program; choose another with --osc-port, 0 for a "
                "free one"
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            why = "cannot be opened: this machine has no such address; change --osc-host"
        else:
            why = f"cannot be opened ({error.strerror}); choose another with --osc-port"
        raise OscError(f"{where} {why}") from error
    return made
