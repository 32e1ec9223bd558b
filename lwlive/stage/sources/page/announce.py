"""Announcing: other machines find the show by itself (zeroconf), where it is open to the network.

Runs in the page's process. The only file that knows zeroconf, which is imported when needed.
"""

import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

QUERY, OSC = "_oscjson._tcp.local.", "_osc._udp.local."

_log = logging.getLogger(__name__)


def own_addresses() -> list[str]:
    """This machine's IPv4 addresses that others may reach. Programs of the field know no IPv6."""
    found = [
        one.address
        for name, all_of in psutil.net_if_addrs().items()
        for one in all_of
        if one.family == socket.AF_INET and not one.address.startswith("127.")
    ]
    return found or ["127.0.0.1"]


async def announced(
    port: int, osc_port: int, addresses: Sequence[str], interfaces: Sequence[str] = ()
) -> "AsyncZeroconf":
    """Announce OSCQuery and OSC. Close what is returned when the show ends. Raises OSError.

    interfaces: addresses of those to speak on; empty for all.
    """
    from zeroconf import InterfaceChoice, IPVersion, ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

    spoken = AsyncZeroconf(
        interfaces=list(interfaces) or InterfaceChoice.All, ip_version=IPVersion.V4Only
    )
    host = socket.gethostname().partition(".")[0]
    packed = [socket.inet_aton(address) for address in addresses]
    for kind, number in ((QUERY, port), (OSC, osc_port)):
        service = ServiceInfo(
            kind,
            f"lwlive {host}.{kind}",
            port=number,
            addresses=packed,
            server=f"{host}.local.",
            properties={"TXTVERS": "1"},
        )
        await spoken.async_register_service(service, allow_name_change=True)
    return spoken
