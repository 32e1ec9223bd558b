"""Sockets that listen on an address and a port of this machine, for OSC and for the page.

They never block. This file knows no protocol but UDP and TCP.
"""

import errno
import socket
from contextlib import suppress
from typing import Literal

RECEIVE_BUFFER = 1 << 20  # bytes; lets a burst of UDP wait while a thread does not get its turn
BACKLOG = 64  # connections over TCP that may wait
KINDS = {"UDP": socket.SOCK_DGRAM, "TCP": socket.SOCK_STREAM}


class ListenError(Exception):
    """Nothing can listen there; the message is a sentence for the person at the desk."""


class InUseError(ListenError):
    """Another program has the port."""


def bound(protocol: Literal["UDP", "TCP"], host: str, port: int, part: str) -> socket.socket:
    """A socket bound there; one of TCP listens. port 0 takes a free one. Raises ListenError.

    part: what its flags begin with, `osc` in `--osc-port`.
    """
    where, kind = f"{protocol} port {port} of {host!r}", KINDS[protocol]
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=kind, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise ListenError(
            f"{host!r} is not an address of this machine; give --{part}-host one, such as 127.0.0.1"
        ) from None
    try:
        made = socket.socket(family, kind)
    except OSError as error:
        raise ListenError(f"{where} cannot be opened ({error.strerror})") from error
    try:
        if family == socket.AF_INET6:  # every address means IPv4's too, one means itself
            only = int(address[0] != "::")
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        if protocol == "UDP":
            with suppress(OSError):  # a system that grants less makes longer bursts lose packets
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        elif hasattr(socket, "SO_REUSEPORT"):  # not on Windows, where it means otherwise
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        if protocol == "TCP":
            made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise InUseError(
                f"{where} is in use by another program; choose another with --{part}-port, 0 for a "
                "free one"
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            why = f"cannot be opened: this machine has no such address; change --{part}-host"
        else:
            why = f"cannot be opened ({error.strerror}); choose another with --{part}-port"
        raise ListenError(f"{where} {why}") from error
    return made
