"""The transports of SIP, and what each of them is: one table that all others are taken from.

Theory of operation: RFC 3261 18 (UDP, TCP, TLS), RFC 4168 (SCTP), RFC 7118 (WebSocket). A property that
decides something is a column here, so that a further transport is one row. No other file of the core, the
pumps or the server writes the name of a transport or its port down (``tests/transport/test_transports.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = [
    "DATAGRAMS",
    "DEFAULT_PORT",
    "DEFAULT_PORTS",
    "FRAMED",
    "MEANT",
    "ONE_WAY",
    "ON_TCP",
    "PARAMETERS",
    "SCTP",
    "SECURE",
    "SECURED",
    "TCP",
    "TLS",
    "TRANSPORTS",
    "UDP",
    "UNRELIABLE",
    "WS",
    "WSS",
    "Transport",
    "TransportName",
]

TransportName: TypeAlias = Literal["udp", "tcp", "tls", "ws", "wss", "sctp"]
UDP: Final = "udp"
TCP: Final = "tcp"
TLS: Final = "tls"
WS: Final = "ws"
WSS: Final = "wss"
SCTP: Final = "sctp"


@dataclass(frozen=True, slots=True)
class Transport:
    """One transport.

    Attributes:
        name: as in listeners, flows and the parameter ``transport`` (TLS is ``sips`` there).
        port: the port when an address names none.
        over: the protocol of the kernel that carries it; two that are over the same one cannot
            have the same port, unless they share its socket.
        srv: the first two labels of its SRV records (RFC 3263 4.2, RFC 7118 10.6).
        service: the NAPTR service that means it, in lower case (RFC 3263 4.1, RFC 4168 5, RFC 7118 10.2).
        secured: the transport for a sips URI that has this one in ``transport`` (RFC 3261 26.2.2, RFC 7118
            5.1).
        inside: for a transport with TLS, the transport inside of TLS.
        reliable: whether it repeats lost octets itself, so that SIP must not (RFC 3261 17).
        secure: whether it is encrypted, so that a sips URI may go over it (RFC 5630).
        framed: whether it keeps the boundaries of messages (RFC 7118 5.1, RFC 4168 4).
        one_way: whether its clients are reached over the connection that they opened, and by
            no other way (RFC 7118 5).
    """

    name: str
    port: int
    over: str
    srv: str
    service: str
    secured: str
    inside: str = ""
    reliable: bool = True
    secure: bool = False
    framed: bool = False
    one_way: bool = False


# RFC 3261 19.1.2: where nothing else is known.
DEFAULT_PORT: Final = 5060
# RFC 3261 18.1.1 and RFC 7118 5 have the ports. A further row goes below: flow tokens count them.
TRANSPORTS: Final = {
    one.name: one
    for one in (
        Transport(UDP, DEFAULT_PORT, UDP, "_sip._udp", "sip+d2u", TLS, reliable=False, framed=True),
        Transport(TCP, DEFAULT_PORT, TCP, "_sip._tcp", "sip+d2t", TLS),
        Transport(TLS, 5061, TCP, "_sips._tcp", "sips+d2t", TLS, inside=TCP, secure=True),
        Transport(WS, 80, TCP, "_sip._ws", "sip+d2w", WSS, framed=True, one_way=True),
        Transport(WSS, 443, TCP, "_sips._ws", "sips+d2w", WSS, WS, secure=True, framed=True, one_way=True),
        # RFC 4168 4: over TLS, too, which this server does not support.
        Transport(SCTP, DEFAULT_PORT, SCTP, "_sip._sctp", "sip+d2s", "tls-sctp", framed=True),
    )
}
# RFC 3263 4.1: the transport of a URI that names none, by its scheme.
MEANT: Final = {"sip": UDP, "sips": TLS}
DEFAULT_PORTS: Final = {one.name: one.port for one in TRANSPORTS.values()}
SECURE: Final = frozenset(one.name for one in TRANSPORTS.values() if one.secure)
SECURED: Final = {one.name: one.secured for one in TRANSPORTS.values()}
UNRELIABLE: Final = frozenset(one.name for one in TRANSPORTS.values() if not one.reliable)
FRAMED: Final = frozenset(one.name for one in TRANSPORTS.values() if one.framed)
ONE_WAY: Final = frozenset(one.name for one in TRANSPORTS.values() if one.one_way)
DATAGRAMS: Final = frozenset(one.name for one in TRANSPORTS.values() if one.over == UDP)
ON_TCP: Final = frozenset(one.name for one in TRANSPORTS.values() if one.over == TCP)
# How a SIP URI names it. UDP is the default (RFC 3263 4.1), so it is not named; RFC 7118 5.2: a secure
# WebSocket is "ws" there, too.
PARAMETERS: Final = {
    one.name: ""
    if one.name == UDP
    else f";transport={one.inside if one.one_way and one.secure else one.name}"
    for one in TRANSPORTS.values()
}
