"""Announcing: other machines find the show by itself (zeroconf), where it is open to the network.

Runs in the page's process. The only file that knows zeroconf, which is imported when needed.
"""

import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

QUERY, OSC = "_oscjson._tcp.local.", "_osc._udp.local."

_log = logging.getLogger(__name__)


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
