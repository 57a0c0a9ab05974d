"""Places that requests reach only where a module chose them: gateways, whose calls somebody pays for.

Theory of operation: a module that decides who calls where, how often and for how much says which servers are
its own (``Core.guard``). A sender can name such a server in many ways: in the Request-URI, an maddr, a Route,
a Contact that it registered, a redirection, a name in its own zone. All of them end at one moment: an attempt
knows the address and the port that it is about to send to. There it asks ``bars``, unless this node chose
the place (``Target.chosen``). Transports do not count, for a server listens by several.

A name is guarded, too, before it is resolved, so that no new address of it is open for a while. Places that
our own requests find behind a guarded name are remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from sansip.events import DestinationRefused
from sansip.transport.transports import DEFAULT_PORTS, ONE_WAY, TLS, UDP
from sansip.wire.host import host_text, is_address, plain_host

if TYPE_CHECKING:
    from sansip.transport import Flow, Listeners
    from sansip.transport.next_hop import NextHop

__all__ = ["BEGIN_NOTHING", "Guard", "Guarded"]

# Within a dialog. RFC 3261 12.2.2: a server may take another request of a dialog that it does not know for
# one that it forgot, and an INVITE is a call then; so the remote target of a call with a friend, who may name
# any place, must not lead an INVITE to a gateway.
BEGIN_NOTHING: Final = frozenset(("ACK", "BYE", "CANCEL", "INFO", "NOTIFY", "PRACK", "UPDATE"))

# Addresses that lead to this machine, as Linux takes them.
_HERE: Final = ("0.0.0.0", "::", "::1")
# Ports of one server that has the default one: RFC 3261 19.1.2, for UDP and TCP, and for TLS.
_TWINS: Final = {DEFAULT_PORTS[UDP]: DEFAULT_PORTS[TLS], DEFAULT_PORTS[TLS]: DEFAULT_PORTS[UDP]}
# Places that are kept for one name: a zone may have more of them, and changes them.
MOST_PLACES: Final = 256


@dataclass(slots=True)
class Guard:
    """A guarded server.

    Attributes:
        host: its name or IP address.
        port: its port; None where its name leads to ports as well (RFC 3263 4.2).
        what: the server in words, for the log: "gateway north of lcr".
        setting: the setting that opens it to senders.
        refer: whether it takes REFER within its calls.
        network: ``host`` is a network, like ``192.0.2.0/20``.
    """

    host: str
    port: int | None
    what: str
    setting: str
    refer: bool = False
    network: bool = False


class Guarded:
    """The guarded places of one stack.

    Attributes:
        active: whether there are any. Where there are none nothing else is asked.
        tell: hears ``DestinationRefused``.
    """

    __slots__ = (
        "_found",
        "_guards",
        "_hosts",
        "_listeners",
        "_local",
        "_names",
        "_networks",
        "_places",
        "active",
        "tell",
    )

    def __init__(self, listeners: Listeners, tell: Callable[[Any], None]) -> None:
        self._listeners = listeners
        self.tell = tell
        self.active = False
        # Owner -> its servers.
        self._guards: dict[str, tuple[Guard, ...]] = {}
        # Name -> places that it led to, the newest last.
        self._found: dict[str, dict[tuple[str, int], None]] = {}
        # What follows from both: (address, port), (name, port or None), ports on this machine; addresses.
        self._places: dict[tuple[str, int], Guard] = {}
        self._names: dict[tuple[str, int | None], Guard] = {}
        self._local: dict[int, Guard] = {}
        self._hosts: set[str] = set()
        self._networks: list[tuple[IPv4Network | IPv6Network, tuple[int | None, ...], Guard]] = []

    def replace(self, owner: str, guards: Iterable[Guard]) -> None:
        """Guard ``guards`` for ``owner``, and nothing else of it."""
        self._guards[owner] = tuple(guards)
        if not self._guards[owner]:
            del self._guards[owner]
        self._rebuild()
        names = {name for name, _ in self._names}
        self._found = {name: places for name, places in self._found.items() if name in names}
        self.active = bool(self._places or self._names or self._networks)

    def _rebuild(self) -> None:
        self._places, self._names, self._local, self._hosts = {}, {}, {}, set()
        self._networks = []
        for guard in (one for guards in self._guards.values() for one in guards):
            if guard.network:
                self._networks.append((ip_network(guard.host, strict=False), _ports(guard.port), guard))
                continue
            host = plain_host(guard.host)
            if is_address(host):
                assert guard.port is not None
                self._add(host, guard.port, guard)
                continue
            for port in _ports(guard.port):
                self._names.setdefault((host, port), guard)
            for ip, port in self._found.get(host, ()):
                self._add(ip, port, guard)

    def learn(self, name: str, ip: str, port: int) -> None:
        """Note that ``name`` led to this place, if the name is guarded."""
        name = plain_host(name)
        guard = self._names.get((name, None)) or self._names.get((name, port))
        if guard is None:
            return
        found = self._found.setdefault(name, {})
        if (ip, port) in found:
            # It is still there: others are forgotten before it.
            found[ip, port] = found.pop((ip, port))
            return
        if len(found) >= MOST_PLACES:
            del found[next(iter(found))]
            self._rebuild()
        found[ip, port] = None
        self._add(ip, port, guard)

    def _add(self, ip: str, port: int, guard: Guard) -> None:
        for one in _ports(port):
            assert one is not None
            self._place(ip, one, guard)

    def _place(self, ip: str, port: int, guard: Guard) -> None:
        self._places.setdefault((ip, port), guard)
        self._hosts.add(ip)
        if self._is_here(ip):
            self._local.setdefault(port, guard)
        self.active = True

    def _is_here(self, ip: str) -> bool:
        return ip.startswith("127.") or ip in _HERE or self._listeners.is_bound(ip)

    # --- what attempts ask

    def bars(self, ip: str, port: int) -> Guard | None:
        """Return the guarded server at this place, None where there is none.

        A server on this machine has each of the machine's addresses that we know, and through a NAT the one
        that we are known by.
        """
        guard = self._at(ip, port)
        if guard is None and port in self._local and self._listeners.is_advertised(ip):
            guard = self._local[port]
        return guard

    def _at(self, ip: str, port: int) -> Guard | None:
        guard = self._places.get((ip, port))
        if guard is None and port in self._local and self._is_here(ip):
            guard = self._local[port]
        if guard is None and self._networks:
            guard = next((one for ports, one in self._within(ip) if port in ports), None)
        return guard

    def _within(self, ip: str) -> list[tuple[tuple[int | None, ...], Guard]]:
        """Return the networks that ``ip`` is in: their ports, and their guards."""
        address = _address_of(ip)
        if address is None:
            return []
        return [(ports, guard) for network, ports, guard in self._networks if address in network]

    def names(self, hop: NextHop) -> Guard | None:
        """Return the guarded server that a hop names, before its name is resolved."""
        if hop.numeric or not self._names:
            return None
        name = plain_host(hop.host)
        return self._names.get((name, None)) or (
            self._names.get((name, hop.port)) if hop.explicit_port else None
        )

    def beside(self, hop: NextHop) -> bool:
        """Whether a hop leads to the host of a guarded server, at whatever port.

        A carrier listens at other ports, too: there no account of ours answers for a sender.
        """
        host = plain_host(hop.host)
        return (
            host in self._hosts
            or any(name == host for name, _ in self._names)
            or bool(self._networks and self._within(host))
        )

    def sent(self, flow: Flow) -> bool:
        """Whether what came by ``flow`` comes from a guarded server, by its address.

        Over UDP by its port as well: a phone may live on the same machine. Nor is a browser a gateway, whose
        WebSocket may come through an HTTP server on the gateway's machine.
        """
        if flow.conn:
            known = flow.host in self._hosts or bool(self._networks and self._within(flow.host))
            return known and flow.transport not in ONE_WAY
        return self._at(flow.host, flow.port) is not None

    def refused(self, guard: Guard, source: str, method: str, ip: str, port: int) -> None:
        """Tell that a request from ``source`` was not sent to ``guard``."""
        place = host_text(ip, port)
        setting = guard.setting
        if method == "REFER" and not guard.refer:
            setting += f", or within its calls {setting.partition('.')[0]}.refer"
        self.tell(DestinationRefused(source, method, place, guard.what, setting))


@lru_cache(4_096)
def _address_of(ip: str) -> IPv4Address | IPv6Address | None:
    """Return the address that ``ip`` is, an IPv4 one where it is mapped; None for a name."""
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _ports(port: int | None) -> tuple[int | None, ...]:
    twin = None if port is None else _TWINS.get(port)
    return (port,) if twin is None else (port, twin)
