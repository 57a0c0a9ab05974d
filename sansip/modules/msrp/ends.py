"""The two kinds of connections: clients that connect, and next hops that the relay connects to."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from sansip.module import Link, Stream
from sansip.modules.msrp.side import Side
from sansip.transport.dns import DnsLookup
from sansip.transport.transports import TLS

if TYPE_CHECKING:
    from sansip.actions import Address
    from sansip.modules.msrp.parts import Relay
    from sansip.modules.msrp.settings import MsrpSettings
    from sansip.msrp import MsrpUri

__all__ = ["Incoming", "MsrpLink", "Outgoing"]

# Octets that wait for a connection which is being opened.
EARLY: Final = 65_536
# Seconds between two looks at whether a connection that the relay opened is of use.
IDLE: Final = 300.0


def _plain(text: str) -> str:
    """Return an address; one of IPv4 that is written as one of IPv6 (RFC 4291 2.5.5.2) as what it is."""
    address = ip_address(text)
    return str(getattr(address, "ipv4_mapped", None) or address)


class Incoming(Side):
    """A client, or another relay, that has connected."""

    def __init__(self, node: Relay, link: Link) -> None:
        super().__init__(node, str(link.remote[0]), link.secure, link.framed)
        self._node = node
        self._link = link

    @property
    def identities(self) -> tuple[str, ...]:
        return self._link.identities

    def write(self, data: bytes) -> None:
        self._link.send(data)

    def read(self, wanted: bool) -> None:
        self._link.read(wanted)

    def close(self, reason: str, now: float) -> None:
        self._link.close(reason)
        # What came in the same octets is of a connection that is gone.
        self._node.left(self, now)


class MsrpLink(Link):
    """A connection at a listener ``msrp`` or ``msrps``, or a WebSocket with the sub-protocol ``msrp``."""

    websocket = True

    @property
    def patience(self) -> float:
        # RFC 4976 6.1: as long as it may be without success.
        settings: MsrpSettings = self.module.settings
        return settings.probation

    def opened(self, now: float) -> None:
        node: Relay = self.module.node
        self._side = Incoming(node, self)
        node.entered(self._side, now)

    def received(self, message: bytes, now: float) -> None:
        self._side.take(message, now)

    def writable(self, writable: bool, now: float) -> None:
        self._side.out.writable(writable, now)

    def closed(self, reason: str, now: float) -> None:
        node: Relay = self.module.node
        node.left(self._side, now)


class Outgoing(Side):
    """A connection to the next hop of a path, opened for its first message."""

    def __init__(self, node: Relay, uri: MsrpUri, user: str, now: float) -> None:
        super().__init__(node, uri.host, uri.secure, framed=False)
        self._node = node
        # Who had it opened.
        self.user = user
        self.key = (uri.secure, uri.host, uri.port)
        self._stream: Stream | None = None
        self._early: list[bytes] = []
        self._used = now
        self._is_open = False
        # Chunks wait until it is open.
        self.out.full = True
        self._timer = node.core.timers.start(now, IDLE, self, "idle")
        node.core.run(self._addresses(uri.host), now, self._resolved)

    @property
    def identities(self) -> tuple[str, ...]:
        # RFC 4976 9.2: the handshake fails where the certificate is not for the host of the URI.
        return (self.key[1],) if self.secure and self._is_open else ()

    async def _addresses(self, host: str) -> list[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        # RFC 4975 6.2
        found: list[str] = []
        for kind in ("A", "AAAA"):
            found += await self._node.core.ask(DnsLookup(host, kind))
        return found

    def _resolved(self, found: list[str] | BaseException, now: float) -> None:
        if self.ended:
            return
        if isinstance(found, BaseException) or not found:
            self._node.left(self, now, "its name leads nowhere")
            return
        refused = [ip_network(one) for one in self._node.settings.refused_networks]
        allowed = [one for one in map(_plain, found) if not any(ip_address(one) in net for net in refused)]
        if not allowed:
            self._node.left(self, now, f"{found[0]} is in msrp.refused_networks")
            return
        # RFC 4976 9.4: the certificate has to be for the host of the URI.
        filters = (TLS,) if self.secure else ()
        address: Address = (allowed[0], self.key[2])
        stream = self._stream = self._node.core.connect(
            (address[0], address[1]), filters, received=self._received, closed=self._closed, name=self.key[1]
        )
        stream.opened = self._opened
        stream.writable = self.out.writable
        try:
            for data in self._early or [b""]:
                stream.send(data, now)
        except OSError as error:
            self._node.left(self, now, str(error))
        self._early.clear()

    def _opened(self, now: float) -> None:
        self._is_open = True
        self._used = now
        self.out.writable(True, now)

    def _received(self, data: bytes, now: float) -> None:
        self._used = now
        self.take(data, now)

    def _closed(self, reason: str, now: float) -> None:
        self._stream = None
        self._node.left(self, now, reason)

    def write(self, data: bytes) -> None:
        if self._stream is not None:
            try:
                self._stream.send(data, self._used)
            except OSError:
                pass  # ``closed`` is called as well
        elif not self.ended and sum(map(len, self._early)) + len(data) <= EARLY:
            self._early.append(data)

    def read(self, wanted: bool) -> None:
        if self._stream is not None:
            self._stream.read(wanted)

    def close(self, reason: str, now: float) -> None:
        stream, self._stream = self._stream, None
        self._timer.cancel()
        if stream is not None:
            stream.closed = None
            stream.close(now)
        self._node.left(self, now, reason)

    def timer_fired(self, name: str, now: float) -> None:
        if now - self._used >= IDLE and not self.out.sent:
            self.close("of no use for a while", now)
        else:
            self._timer = self._node.core.timers.start(now, IDLE, self, "idle")
