"""Trust by address: peers that need no password (Kamailio's ``permissions``).

Theory of operation: a table of networks, each perhaps for one port and some
transports. Of those that fit the narrowest decides, so a host can be given
other rights than its network. Whoever can send datagrams with another's
address is taken for him: trust in UDP is trust in the network that carries it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Trusted", "TrustedPeer"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class TrustedPeer:
    """Who is trusted, and how far.

    Attributes:
        address: an IP address or a network, ``"10.0.0.0/8"``, ``"2001:db8::/32"``.
        name: what routes and logs call it; Kamailio's group.
        port: its source port; 0 for any.
        transports: those that it may come by; empty for all.
        relay: whether it may have requests relayed to other domains.

    Raises ``ValueError`` for what is no network.
    """

    address: str
    name: str = ""
    port: int = 0
    transports: tuple[str, ...] = ()
    relay: bool = False
    network: _Network = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            self.network = ipaddress.ip_network(self.address.strip("[]"))
        except ValueError as error:
            raise ValueError(f"expected an IP address or a network, like 10.0.0.0/8: {error}") from None

    def fits(self, transport: str, port: int) -> bool:
        """Whether a peer of this network that came so is meant."""
        return self.port in (0, port) and (not self.transports or transport in self.transports)


class Trusted:
    """The table. ``len()`` says how many peers it has."""

    __slots__ = ("_networks", "_peers")

    def __init__(self, peers: Iterable[TrustedPeer] = ()) -> None:
        self._peers = 0
        # (IP version, prefix length), narrowest first -> network -> peers
        self._networks: dict[tuple[int, int], dict[int, list[TrustedPeer]]] = {}
        self.replace(peers)

    def __len__(self) -> int:
        return self._peers

    def replace(self, peers: Iterable[TrustedPeer]) -> None:
        """Have these peers and no others."""
        found: dict[tuple[int, int], dict[int, list[TrustedPeer]]] = {}
        count = 0
        for peer in peers:
            network = peer.network
            by_network = found.setdefault((network.version, network.prefixlen), {})
            by_network.setdefault(int(network.network_address), []).append(peer)
            count += 1
        for several in (one for by_network in found.values() for one in by_network.values()):
            # Of one network, what asks for more comes first.
            several.sort(key=lambda peer: (peer.port == 0, not peer.transports))
        self._networks = dict(sorted(found.items(), key=lambda item: -item[0][1]))
        self._peers = count

    def find(self, transport: str, host: str, port: int) -> TrustedPeer | None:
        """Return whom the peer at ``host`` (an IP address without brackets) is trusted as, if at all."""
        if not self._peers:
            return None
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        number, bits = int(address), address.max_prefixlen
        for (version, length), by_network in self._networks.items():
            if version != address.version:
                continue
            for peer in by_network.get(number >> (bits - length) << (bits - length), ()):
                if peer.fits(transport, port):
                    return peer
        return None
