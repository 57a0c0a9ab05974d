"""How a connection enters: a PROXY header gives its source, and its first octets give its protocol.

Theory of operation: at most listeners, source and transport are known when a connection is accepted. At a
listener behind load balancers (``ListenerConfig.proxies``) the source comes in a PROXY header. At a listener
that several transports share (``shares``) the first octets tell the transport. Until then a *deciding* filter
holds the connection: it takes octets and sends none. When it has decided, it writes the result into the
``OpenConnection`` and names the filters that take its place. Only then the stack learns of the connection. So
all that the stack does by source address and transport (limits, Via, Record-Route, the log) is right from the
first message on.

These can be told apart safely: TLS, because no text begins with its first octet (22); HTTP, by methods that
SIP does not have; and SIP, which is anything else that begins like a word, or a CRLF keepalive. If an HTTP
server shares the port of a WebSocket, the head of the request tells which one is meant. A connection that is
not SIP over WebSocket leaves the driver (``Output.foreign``), and the stack does not see it.
"""

from __future__ import annotations

import ipaddress
import string
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias

import h11

from sansip.errors import without_frames
from sansip.limits import DEFAULT, Limits
from sansip.transport.filter import NOTHING, Filter, FilterFactory, OpenConnection, Output
from sansip.transport.proxy_protocol import ProxyHeaderError, read_header
from sansip.transport.transports import DATAGRAMS, TCP, TLS, TRANSPORTS, WS, WSS
from sansip.transport.websocket.handshake import is_for_sip

__all__ = ["Deciding", "Entrance", "Undecided", "entrances", "protocol_of"]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Methods of HTTP that are not SIP methods. OPTIONS is both, so it goes to SIP.
_HTTP = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"TRACE ", b"PATCH ")
_SIP_BEGINS = frozenset(
    bytes((octet,)) for octet in b"\r\n-.!%*_+`'~" + (string.ascii_letters + string.digits).encode()
)


class ListenerLike(Protocol):
    """The attributes that are needed of a listener's configuration (``sansip.config.ListenerConfig``)."""

    @property
    def id(self) -> int: ...
    @property
    def transport(self) -> str: ...
    @property
    def proxies(self) -> tuple[str, ...]: ...
    @property
    def shares(self) -> int | None: ...
    @property
    def accepts(self) -> bool: ...
    @property
    def http(self) -> bool: ...


class Entrance:
    """The treatment of connections accepted at one listening socket.

    ``transports`` maps each transport that may be used there to the listener's number; ``proxies`` are the
    networks of the load balancers in front, none where clients come directly; ``http`` are the transports
    whose port has HTTP, too.
    """

    __slots__ = ("_filters", "_http", "_limits", "protocols", "proxies", "transports")

    def __init__(
        self,
        transports: Mapping[str, int],
        proxies: Iterable[str],
        filters: Mapping[str, FilterFactory],
        limits: Limits = DEFAULT,
        http: Iterable[str] = (),
    ) -> None:
        self._http = frozenset(http)
        self.transports = dict(transports)
        self.proxies: list[Network] = [ipaddress.ip_network(one) for one in proxies]
        self._filters = filters
        self._limits = limits
        # Protocols of modules, which have filters and are not SIP.
        self.protocols = frozenset(one.encode() for one in filters if one not in TRANSPORTS)

    def refuses(self, info: OpenConnection) -> str | None:
        """Return why ``info`` may not enter: only the configured proxies may announce other clients."""
        if not self.proxies:
            return None
        source = ipaddress.ip_address(str(info.remote[0]).partition("%")[0])
        if any(source in network for network in self.proxies):
            return None
        return f"{source} is none of the proxies that this listener takes connections of (proxy_protocol)"

    def filters(self, info: OpenConnection) -> list[Filter]:
        """Return the filters of a connection that was just accepted; the first one is deciding."""
        return (
            [_ProxyHeader(self, info, self._limits.proxy_header_size)] if self.proxies else self.inner(info)
        )

    def inner(self, info: OpenConnection) -> list[Filter]:
        """Return the filters behind the PROXY header."""
        if len(self.transports) > 1:
            return [_Sniffer(self, info, False)]
        return self._settle(info, info.transport, False)

    def decide(self, info: OpenConnection, protocol: str, in_tls: bool) -> list[Filter] | str:
        """Note the protocol found in ``info`` and return its filters; or return why there are none."""
        known = self.transports
        if protocol == TLS and not in_tls:
            secure = [transport for transport in (TLS, WSS) if transport in known]
            if len(secure) > 1:
                return [*self._filters[TLS](info), _Sniffer(self, info, True)]
            if secure:
                return self._settle(info, secure[0], False)
        http, sip = (WSS, TLS) if in_tls else (WS, TCP)
        if protocol == "http" and http in known:
            return self._settle(info, http, in_tls)
        if protocol in ("http", "sip") and sip in known:
            # HTTP without a WebSocket listener: SIP answers it with its own error.
            return self._settle(info, sip, in_tls)
        return f"the first octets begin nothing that is spoken here ({', '.join(known)})"

    def _settle(self, info: OpenConnection, transport: str, in_tls: bool) -> list[Filter]:
        info.transport = transport
        info.listener = self.transports[transport]
        inside = TRANSPORTS[transport].inside
        if transport in self._http:
            below = self._filters[TLS](info) if inside and not in_tls else []
            return [*below, _HttpDoor(self, info, self._filters[inside or transport])]
        # Inside TLS, its own filter stands already.
        factory = self._filters.get(inside if in_tls else transport)
        return [] if factory is None else factory(info)

    @property
    def most(self) -> int:
        """Octets of the head of an HTTP request."""
        return self._limits.websocket_head_size


class Undecided:
    """How many connections are undecided, in all and by the address they count for ("": not counted)."""

    __slots__ = ("_by_source", "_limits", "_total")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_source: dict[str, int] = {}
        self._total = 0

    def refuses(self, source: str) -> str | None:
        """Return why one more from ``source`` is too many, if it is."""
        limits = self._limits
        if self._total >= limits.connections:
            return f"more than {limits.connections} connections (limits.connections)"
        if source and self._by_source.get(source, 0) >= limits.connections_per_source:
            most = limits.connections_per_source
            return f"more than {most} from {source} (limits.connections_per_source)"
        return None

    def add(self, source: str) -> None:
        """Count one."""
        self._total += 1
        self._by_source[source] = self._by_source.get(source, 0) + 1

    def remove(self, source: str) -> None:
        """Count one less."""
        self._total -= 1
        left = self._by_source[source] - 1
        if left:
            self._by_source[source] = left
        else:
            del self._by_source[source]


class Deciding:
    """A filter that holds a connection until it knows more: a ``sansip.driver.Filter``."""

    __slots__ = ("_entrance", "_held", "_info")

    boundaries = False
    ready = False

    def __init__(self, entrance: Entrance, info: OpenConnection) -> None:
        self._entrance = entrance
        self._info = info
        self._held = b""

    def opened(self, now: float) -> Output:
        """The client, or its proxy, speaks first."""
        return NOTHING

    def received(self, data: bytes, now: float) -> Output:
        """Take octets; the output says ``instead`` once it is decided."""
        raise NotImplementedError

    def send(self, data: bytes, now: float) -> Output:
        """Send nothing: the layers above do not know of the connection yet."""
        return NOTHING

    def close(self, reason: str, now: float) -> Output:
        """Say nothing: in which language is not known."""
        return NOTHING

    def time_passed(self, now: float) -> Output:
        """No timer is ever started: the driver guards the whole entrance."""
        return NOTHING


class _ProxyHeader(Deciding):
    """Takes a PROXY header off."""

    __slots__ = ("_most",)

    def __init__(self, entrance: Entrance, info: OpenConnection, most: int) -> None:
        super().__init__(entrance, info)
        self._most = most

    def received(self, data: bytes, now: float) -> Output:
        held = self._held = self._held + data
        try:
            header = read_header(held, self._most)
        except ProxyHeaderError as error:
            return Output(closing=str(error))
        if header is None:
            return NOTHING
        info = self._info
        if header.source is not None and header.destination is not None:
            info.remote = header.source
            info.local = header.destination
        rest = held[header.size :]
        return Output(up=(rest,) if rest else (), instead=self._entrance.inner(info))


class _Sniffer(Deciding):
    """Finds the protocol of a connection by its first octets."""

    __slots__ = ("_in_tls",)

    def __init__(self, entrance: Entrance, info: OpenConnection, in_tls: bool) -> None:
        super().__init__(entrance, info)
        self._in_tls = in_tls

    def received(self, data: bytes, now: float) -> Output:
        held = self._held = self._held + data
        protocol = protocol_of(held)
        if not protocol:
            return NOTHING
        decided = self._entrance.decide(self._info, protocol, self._in_tls)
        if isinstance(decided, str):
            return Output(closing=decided)
        return Output(up=(held,), instead=decided)


class _HttpDoor(Deciding):
    """Tells by an HTTP request's head whether it opens SIP over WebSocket, or is for the HTTP server."""

    __slots__ = ("_http", "_websocket")

    def __init__(self, entrance: Entrance, info: OpenConnection, websocket: FilterFactory) -> None:
        super().__init__(entrance, info)
        self._websocket = websocket
        # The same parser reads it again behind this door, so both understand the same.
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=entrance.most)

    def received(self, data: bytes, now: float) -> Output:
        self._held += data
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            # h11 raises the error that it caught as ``self``: its frame holds the error that holds the frame.
            without_frames(error)
            return Output(foreign=self._held)
        if event is h11.NEED_DATA:
            return NOTHING
        if isinstance(event, h11.Request) and is_for_sip(event, self._entrance.protocols):
            return Output(up=(self._held,), instead=self._websocket(self._info))
        return Output(foreign=self._held)


def protocol_of(data: bytes) -> str:
    """Return ``"tls"``, ``"http"``, ``"sip"`` or ``"unknown"``, or "" while ``data`` is too short to tell."""
    first = data[:1]
    if first == b"\x16":
        # RFC 8446 5.1: a handshake record; the version's first octet has always been 3.
        return "" if len(data) < 2 else TLS if data[1] == 3 else "unknown"
    if any(data.startswith(method) for method in _HTTP):
        return "http"
    if any(method.startswith(data) for method in _HTTP):
        return ""
    # RFC 3261 7.5, RFC 5626 4.4.1: CRLFs before a message, and as keepalives; 25.1: a method is a token.
    return "sip" if first in _SIP_BEGINS else "unknown"


def entrances(
    configs: Iterable[ListenerLike], filters: Mapping[str, FilterFactory], limits: Limits = DEFAULT
) -> dict[int, Entrance]:
    """Return the entrances of those listeners that need one, by the number of the socket's listener."""
    sockets: dict[int, dict[str, int]] = {}
    proxies: dict[int, tuple[str, ...]] = {}
    http: dict[int, set[str]] = {}
    for config in configs:
        if not config.accepts or config.transport in DATAGRAMS:
            continue
        owner = config.id if config.shares is None else config.shares
        sockets.setdefault(owner, {})[config.transport] = config.id
        if config.http:
            http.setdefault(owner, set()).add(config.transport)
        if config.shares is None:
            proxies[owner] = config.proxies
    return {
        owner: Entrance(transports, proxies.get(owner, ()), filters, limits, http.get(owner, ()))
        for owner, transports in sockets.items()
        if len(transports) > 1 or proxies.get(owner) or owner in http
    }
