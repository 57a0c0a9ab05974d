"""Flows: where a message came from, and where the next one goes.

Theory of operation: a flow (RFC 5626 2's word) is a listener of ours, a
transport, and a peer's socket address; on a stream also a connection. The same
value says where a request came from and where its response goes, so symmetric
signalling (RFC 3581, RFC 5626) costs nothing: it is the same object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.actions import Address
from sansip.transport.transports import UDP, UNRELIABLE
from sansip.wire.host import same_host

if TYPE_CHECKING:
    from sansip.transport.filter import OpenConnection
    from sansip.wire import Message

__all__ = ["Backup", "Flow", "Place", "ensure_length", "same_peer"]

# Transport, IP address, port: RFC 3263 finds them for a URI.
Place = tuple[str, str, int]


class Backup:
    """The rest of the ways of one response; rides on the flow of its transaction (``dns.backup``).

    ``left`` are the places still to be tried, None while they are looked up;
    ``data`` is the response that waits for that.
    """

    __slots__ = ("data", "left")

    def __init__(self, left: list[Place] | None, data: bytes = b"") -> None:
        self.left = left
        self.data = data


class Flow:
    """One way to reach a peer.

    Attributes:
        transport: ``"udp"``, ``"tcp"``, ``"tls"``, ``"ws"``, ``"wss"``, ``"sctp"``.
        listener: number of the listener whose address the peer sees.
        address: the peer's socket address.
        conn: number of the connection; 0 for datagrams, and for a stream on
            which none is open yet.
        name: the host name that the peer's certificate must have (RFC 5922 7.3), ""
            where an address led here.
        reliable: whether the transport repeats lost octets itself, so that
            SIP must not (RFC 3261 17).
    """

    __slots__ = ("address", "backup", "conn", "listener", "name", "peer", "reliable", "transport")

    def __init__(
        self, transport: str, listener: int, address: Address, conn: int = 0, name: str = ""
    ) -> None:
        self.transport = transport
        self.listener = listener
        self.address = address
        self.conn = conn
        self.name = name
        # The facts that the adapter has about a TLS connection; the filter notes the peer's identity here.
        self.peer: OpenConnection | None = None
        # Where else a response may go whose way back is gone (RFC 3263 5).
        self.backup: Backup | None = None
        self.reliable = transport != UDP and transport not in UNRELIABLE

    @property
    def host(self) -> str:
        """The peer's IP address as text, without brackets."""
        return str(self.address[0])

    @property
    def identities(self) -> tuple[str, ...]:
        """The SIP domains in the peer's certificate, where one was verified (RFC 5922 7.4)."""
        return () if self.peer is None else self.peer.identities

    @property
    def port(self) -> int:
        """The peer's port."""
        return int(self.address[1])

    def named_in(self, line: str) -> bool:
        """Return whether the peer's IP address stands in ``line``, of Contact, where the host of a URI does.

        Its octets may also be the end of another address: 2.16.1.2 is no 172.16.1.2.
        """
        host = self.address[0]
        if ":" in host:
            return f"[{host}]" in line
        return f"@{host}" in line or ("@" not in line and f":{host}" in line)

    def __str__(self) -> str:
        host = self.host
        return (
            f"{self.transport}:[{host}]:{self.port}"
            if ":" in host
            else f"{self.transport}:{host}:{self.port}"
        )

    def __repr__(self) -> str:
        return f"<Flow {self} listener={self.listener} conn={self.conn}>"


def same_peer(one: Flow, other: Flow) -> bool:
    """Whether two flows lead to the same host. The port may be another: a NAT takes a new one."""
    a, b = one.address[0], other.address[0]
    # RFC 4007 6: a zone is our name for the link.
    return a == b or same_host(a.partition("%")[0], b.partition("%")[0])


def ensure_length(message: Message, flow: Flow) -> None:
    """Give ``message`` a Content-Length if it has none and goes onto a stream.

    RFC 3261 18.3: there the field frames the message; a datagram may come without.
    """
    if flow.reliable and not message.has("content-length"):
        message.append("Content-Length", len(message.body))
