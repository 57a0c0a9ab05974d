"""The source of a REGISTER: the address at which a phone behind a NAT is reached.

Theory of operation: the address is a value from the datagram or connection on, so a call does not have to
parse text. Stores and answers have it as a SIP URI, as Kamailio's column ``received`` does; ``read_source``
is the way back, once for each binding that is restored.
"""

from __future__ import annotations

from dataclasses import dataclass

from sansip.transport.transports import DATAGRAMS, DEFAULT_PORT, TRANSPORTS, UDP
from sansip.wire.host import host_text, is_address, plain_host

__all__ = ["Source", "read_source"]


@dataclass(slots=True)
class Source:
    """A source address. Treat it as immutable.

    Attributes:
        transport: as in ``Flow``.
        host: an IP address without brackets; one of IPv6 may have a zone (``fe80::1%eth0``).
        port: 1 to 65535.
    """

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        named = "" if self.transport in DATAGRAMS else f";transport={self.transport}"
        return f"sip:{host_text(self.host, self.port)}{named}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, as sockets take them."""
        return self.host, self.port

    @property
    def by_datagram(self) -> bool:
        """Whether it is reached without the connection that the REGISTER came over."""
        return self.transport in DATAGRAMS


def read_source(text: str) -> Source | None:
    """Return the source that ``text``, a SIP URI, names; None where it has no address. Raises nothing.

    An IPv6 address may have a zone here (``[fe80::1%eth0]``), unlike in a URI.
    """
    place, *params = text.partition(":")[2].split(";")
    host, _, port = place.rpartition(":")
    if not host or "]" in port:
        host, port = place, ""
    host = host.strip("[]")
    if not is_address(host.partition("%")[0]) or not ((port.isascii() and port.isdigit()) or not port):
        return None
    number = int(port[:6] or DEFAULT_PORT)
    transport = UDP
    for param in params:
        name, _, value = param.partition("=")
        if name.lower() == "transport":
            transport = value.lower()
    if transport not in TRANSPORTS or not 0 < number < 65_536:
        return None
    return Source(transport, plain_host(host), number)
