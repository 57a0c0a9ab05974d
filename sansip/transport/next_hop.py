"""From a URI to transport, host and port (RFC 3263 4, without its DNS part).

Theory of operation: this file decides by the parts of the URI itself: its transport, its port, a numeric
host, ``maddr``. A name needs ``transport.dns``, or the outside: the core asks for it by ``Resolve``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sansip.errors import RemoteProtocolError
from sansip.transport.transports import DEFAULT_PORTS, SECURED, TLS, UDP
from sansip.wire import OtherUri, SipUri, TelUri
from sansip.wire.host import is_address, plain_host

__all__ = ["NextHop", "Resolve", "next_hop"]


@dataclass(slots=True)
class Resolve:
    """The question where to reach ``host``.

    The answer is a list of ``(transport, ip, port)``, best first, or an exception.
    A resolver that knows addresses only answers ``(ip, port)``, for this transport.

    Attributes:
        port: the URI's, or the transport's own.
        transport: the URI's, or the one that its scheme means.
        explicit_port: the URI has a port, so there is no SRV record (RFC 3263 4.2).
        explicit_transport: the URI has a transport, so there is no choice (4.1).
        secure: the URI is a sips URI.
        mark: questions with the same mark get the same order of equal servers (4.4).
        every: the answer is to have all places, and not only as many as are tried (``limits.next_hops``).
    """

    host: str
    port: int
    transport: str
    explicit_port: bool = field(default=True, compare=False)
    explicit_transport: bool = field(default=True, compare=False)
    secure: bool = field(default=False, compare=False)
    mark: str = field(default="", compare=False)
    every: bool = field(default=False, compare=False)


@dataclass(slots=True)
class NextHop:
    """Where a URI leads. ``numeric`` tells whether ``host`` is an IP address.

    ``explicit_port`` tells whether the URI has a port, ``secure`` whether it must be
    reached over TLS, ``sips`` whether that is because it, or the Request-URI, is sips.

    ``explicit`` tells whether the URI itself chose the transport; where it did
    not, a registered flow or RFC 3261 18.1.1 may choose another.
    """

    transport: str
    host: str
    port: int
    numeric: bool
    explicit: bool
    explicit_port: bool = True
    secure: bool = False
    sips: bool = False

    def question(self, mark: str = "", *, every: bool = False) -> Resolve:
        """Return the question for the addresses of ``host``."""
        given = self.explicit_port, self.explicit, self.secure
        return Resolve(self.host, self.port, self.transport, *given, mark, every)

    def proves(self, transport: str) -> str:
        """Return the name that the certificate of a peer reached over ``transport`` must have.

        RFC 5922 7.3: the domain of the URI, not what DNS made of it. "" where there
        is no certificate, or an address to compare it with.
        """
        return self.host if transport == TLS and not self.numeric else ""


def next_hop(uri: SipUri | TelUri | OtherUri, *, secure: bool = False) -> NextHop:
    """Return where a request for ``uri`` is sent; ``secure``: as if it were a sips URI.

    Raises ``RemoteProtocolError`` (416) where the URI names nothing to send to.
    """
    if not isinstance(uri, SipUri):
        raise RemoteProtocolError(
            f"cannot route to scheme {uri.scheme}",
            status=416,
            section="RFC 3261 21.4.14",
            field="Request-URI",
        )
    transport = uri.transport
    explicit = transport is not None
    secure = secure or uri.scheme == "sips"
    if transport is None:
        # RFC 3263 4.1: sips means TLS; a numeric address means UDP.
        transport = TLS if secure else UDP
    elif secure:
        # RFC 3261 26.2.2: sips over tcp is TLS, and never UDP.
        transport = SECURED.get(transport, transport)
    # RFC 3261 19.1.1: maddr overrides where to send, not what to ask for.
    maddr = uri.params.get("maddr")
    host = uri.host if maddr is None else maddr.strip("[]").lower()
    port = uri.port or DEFAULT_PORTS.get(transport)
    if port is None:
        raise RemoteProtocolError(
            f"transport {transport} is not known", status=503, section="RFC 3263 4.1", field="Request-URI"
        )
    # RFC 3261 25.1: a name's last label begins with a letter, an address has a colon or ends in a number; the
    # grammar did not check the value of maddr.
    numeric = ":" in host or host.rpartition(".")[2][:1].isdigit()
    if numeric and maddr is not None:
        numeric = is_address(host)
    if ":" in host:
        # RFC 5118 4.9: an IPv4 address in IPv6 clothes is reached over IPv4. Connections are
        # found by the address as the source of a packet is written.
        host = plain_host(host)
    return NextHop(transport, host, port, numeric, explicit, uri.port is not None, secure)
