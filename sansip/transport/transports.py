"""The transports of SIP, and what each of them is: one table that all others are taken from.

Theory of operation: RFC 3261 18 (UDP, TCP, TLS), RFC 4168 (SCTP), RFC 7118 (WebSocket). A property that
decides something is a column here, so that a further transport is one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_PORTS", "FRAMED", "ONE_WAY", "SECURE", "TRANSPORTS", "UNRELIABLE", "Transport"]


@dataclass(frozen=True, slots=True)
class Transport:
    """One transport.

    Attributes:
        name: as in listeners, flows and the parameter ``transport`` (TLS is ``sips`` there).
        port: the port when an address names none.
        reliable: whether it repeats lost octets itself, so that SIP must not (RFC 3261 17).
        secure: whether it is encrypted, so that a sips URI may go over it (RFC 5630).
        framed: whether it keeps the boundaries of messages (RFC 7118 5.1, RFC 4168 4).
        one_way: whether its clients are reached over the connection that they opened, and by
            no other way (RFC 7118 5).
    """

    name: str
    port: int
    reliable: bool = True
    secure: bool = False
    framed: bool = False
    one_way: bool = False


# RFC 3261 18.1.1 and RFC 7118 5 have the ports.
TRANSPORTS: Final = {
    one.name: one
    for one in (
        Transport("udp", 5060, reliable=False, framed=True),
        Transport("tcp", 5060),
        Transport("tls", 5061, secure=True),
        Transport("ws", 80, framed=True, one_way=True),
        Transport("wss", 443, secure=True, framed=True, one_way=True),
        Transport("sctp", 5060, framed=True),
    )
}
DEFAULT_PORTS: Final = {one.name: one.port for one in TRANSPORTS.values()}
SECURE: Final = frozenset(one.name for one in TRANSPORTS.values() if one.secure)
UNRELIABLE: Final = frozenset(one.name for one in TRANSPORTS.values() if not one.reliable)
FRAMED: Final = frozenset(one.name for one in TRANSPORTS.values() if one.framed)
ONE_WAY: Final = frozenset(one.name for one in TRANSPORTS.values() if one.one_way)
