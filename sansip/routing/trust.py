"""Trust by address or certificate: peers that need no password (Kamailio's ``permissions``).

Theory of operation: a table of networks, each perhaps for one port and some transports. The narrowest entry
that fits decides, so a host can have other rights than its network. A host that can send datagrams with a
peer's address is taken for that peer: trust in UDP is trust in the network that carries it.

A peer that proves over TLS to be a domain (RFC 5922) is that domain at any address, so entries with a
certificate are checked first. No result is kept for a connection: an entry that is gone, or an identity, is
gone for the next request.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.transport import Flow

__all__ = ["Trusted", "TrustedPeer"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class TrustedPeer:
    """A trusted peer, and how far we trust it.

    Attributes:
        address: an IP address or a network, ``"10.0.0.0/8"``, ``"2001:db8::/32"``; "" for any
            where there is a ``certificate``.
        certificate: the SIP domain that its certificate must name (RFC 5922 7.1), "" for
            none; compared as a whole (7.2).
        name: its name in routes and logs; Kamailio's group.
        port: its source port; 0 for any.
        transports: those that it may come by; empty for all.
        relay: whether it may have requests relayed to other domains.

    Raises ``ValueError`` for an address that is no network, and for an entry that would trust all hosts.
    """

    address: str
    name: str = ""
    port: int = 0
    transports: tuple[str, ...] = ()
    relay: bool = False
    certificate: str = ""
    network: _Network | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.certificate = self.certificate.lower().rstrip(".")
        if set(self.certificate) & set("*@:/ "):
            raise ValueError(f"expected a domain in certificate, as a whole; found {self.certificate!r}")
        if not self.address and self.certificate:
            return
        try:
            self.network = ipaddress.ip_network(self.address.strip("[]"))
        except ValueError as error:
            raise ValueError(f"expected an IP address or a network, like 10.0.0.0/8: {error}") from None

    def fits(self, transport: str, port: int) -> bool:
        """Whether a peer of this network that came so is meant."""
        return self.port in (0, port) and (not self.transports or transport in self.transports)


class Trusted:
    """The table. ``len()`` says how many peers it has."""

    __slots__ = ("_domains", "_networks", "peers")

    def __init__(self, peers: Iterable[TrustedPeer] = ()) -> None:
        self.peers = 0
        # Domain -> peers that must prove to be it.
        self._domains: dict[str, list[TrustedPeer]] = {}
        # (IP version, prefix length), narrowest first -> network -> peers
        self._networks: dict[tuple[int, int], dict[int, list[TrustedPeer]]] = {}
        self.replace(peers)

    def __len__(self) -> int:
        return self.peers

    def replace(self, peers: Iterable[TrustedPeer]) -> None:
        """Have these peers and no others."""
        found: dict[tuple[int, int], dict[int, list[TrustedPeer]]] = {}
        domains: dict[str, list[TrustedPeer]] = {}
        count = 0
        for peer in peers:
            network = peer.network
            if peer.certificate:
                domains.setdefault(peer.certificate, []).append(peer)
                count += 1
                continue
            assert network is not None
            by_network = found.setdefault((network.version, network.prefixlen), {})
            by_network.setdefault(int(network.network_address), []).append(peer)
            count += 1
        for several in (one for by_network in found.values() for one in by_network.values()):
            # Within one network, the entry with more conditions comes first.
            several.sort(key=lambda peer: (peer.port == 0, not peer.transports))
        for several in domains.values():
            # An entry with an address as well has more conditions.
            several.sort(key=lambda peer: (peer.network is None, peer.port == 0, not peer.transports))
        self._networks = dict(sorted(found.items(), key=lambda item: -item[0][1]))
        self._domains = domains
        self.peers = count

    def of(self, flow: Flow) -> TrustedPeer | None:
        """Return the name that the peer of ``flow`` is trusted by, by its certificate or else its address."""
        if self._domains and flow.peer is not None:
            for name in flow.identities:
                for peer in self._domains.get(name.rstrip("."), ()):
                    if peer.fits(flow.transport, flow.port) and _is_in(flow.host, peer.network):
                        return peer
        return self.find(flow.transport, flow.host, flow.port)

    def find(self, transport: str, host: str, port: int) -> TrustedPeer | None:
        """Return the trusted name of the peer at ``host`` (an IP address without brackets), or None."""
        if not self._networks:
            return None
        address = _address(host)
        if address is None:
            return None
        number, bits = int(address), address.max_prefixlen
        for (version, length), by_network in self._networks.items():
            if version != address.version:
                continue
            for peer in by_network.get(number >> (bits - length) << (bits - length), ()):
                if peer.fits(transport, port):
                    return peer
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_in(host: str, network: _Network | None) -> bool:
    if network is None:
        return True
    address = _address(host)
    return address is not None and address in network
