"""Where a URI's host is reached: transports, addresses, ports (RFC 3263 4.1 and 4.2).

Theory of operation: one ``_Search`` walks the steps of the RFC for one question.
NAPTR gives the transports in the domain's order of preference; SRV gives the
servers of a transport, by priority and weight; A and AAAA give their addresses.
A step that finds nothing leads to the next simpler one. Look-ups of one step run
side by side, and the whole search must end within ``limits.answer_time``.

A name whose servers are silent fails at once: the next step would ask the
same servers. One whose servers fail for one type (some cannot read NAPTR)
is asked on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from sansip.transport.dns.order import Draw, Service, sip_services, sort_srv
from sansip.transport.dns.records import LookupFailed, Naptr, Srv
from sansip.transport.flow import Place
from sansip.transport.transports import DEFAULT_PORTS, ONE_WAY, SECURE, TRANSPORTS
from sansip.wire.host import is_address

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.transport.dns.cache import Found
    from sansip.transport.dns.resolver import Resolver
    from sansip.transport.next_hop import Resolve

__all__ = ["Locator"]

Done = Callable[[Any, float], None]

# Without NAPTR records we may choose (RFC 3263 4.1): the default transport of the URI's scheme comes first.
# Only browsers connect to WebSocket servers.
_PREFERENCE = tuple(one for one in TRANSPORTS if one not in ONE_WAY)
_LABELS = {one.name: one.srv for one in TRANSPORTS.values()}


class Locator:
    """Answers ``Resolve``. ``reach`` are the (transport, is IPv6) that listeners serve."""

    __slots__ = ("families", "reach", "resolver", "transports")

    def __init__(self, resolver: Resolver, reach: Iterable[tuple[str, bool]]) -> None:
        self.resolver = resolver
        self.listen(reach)

    def listen(self, reach: Iterable[tuple[str, bool]]) -> None:
        """Find what listeners for ``reach`` can use, from now on."""
        self.reach = frozenset(reach)
        served = {transport for transport, _ in self.reach}
        self.transports = tuple(one for one in _PREFERENCE if one in served)
        families = [kind for kind in ("AAAA", "A") if any(six == (kind == "AAAA") for _, six in self.reach)]
        if self.resolver.config.prefer == "ipv4":
            families.reverse()
        # Record types to ask for, the preferred family first (RFC 6724 2.1, RFC 7984 4.2).
        self.families = tuple(families)

    def locate(self, question: Resolve, done: Done, now: float) -> None:
        """Call ``done`` with a list of ``Place``, best first, or with ``LookupFailed``; perhaps at once."""
        _Search(self, question, done).start(now)

    def draw(self, mark: str) -> Draw:
        """Return a source of random numbers, or of numbers that are always the same for the same ``mark``."""
        entropy = self.resolver.entropy
        if not mark:
            return entropy.number
        count = 0

        def draw(below: int) -> int:
            nonlocal count
            count += 1
            return int(entropy.keyed_hash(f"srv {mark} {count}"), 16) % below

        return draw


class _Search:
    """One question on its way through the steps."""

    __slots__ = ("_done", "_failure", "_heard", "_question", "_services", "_timer", "locator")

    def __init__(self, locator: Locator, question: Resolve, done: Done) -> None:
        self.locator = locator
        self._question = question
        self._done: Done | None = done
        self._services: list[Service] = []
        self._failure: LookupFailed | None = None
        self._heard = False
        self._timer: Timer | None = None

    def start(self, now: float) -> None:
        question = self._question
        resolver = self.locator.resolver
        if question.explicit_port or resolver.local(question.host.rstrip(".")) is not None:
            # RFC 3263 4.2: a port means a host. So does a name in the hosts table.
            self._take_hosts([(question.transport, question.host, question.port)], self._end, now)
        elif question.explicit_transport:
            self._ask_srv([question.transport], now)
        else:
            self._lookup(question.host, "NAPTR", self._take_naptr, now)
        if self._done is not None:
            # The answers in the cache have arrived by now.
            self._timer = resolver.timers.start(now, resolver.limits.answer_time, self, "deadline")

    def _lookup(self, name: str, kind: str, then: Callable[[list[Any], float], None], now: float) -> None:
        def answered(found: Found, now: float) -> None:
            if self._done is None:
                return
            if isinstance(found, LookupFailed):
                self._failure = found
                if found.silent and not self._heard and kind not in ("A", "AAAA"):
                    self._finish(found, now)
                    return
                found = []
            else:
                self._heard = True
            then(found, now)

        self.locator.resolver.lookup(name, kind, answered, now)

    # --- NAPTR (RFC 3263 4.1)

    def _take_naptr(self, records: list[Naptr], now: float) -> None:
        self._services = sip_services(records, self.locator.transports, self._question.secure)
        self._next_order(now)

    def _next_order(self, now: float) -> None:
        """Take the services of the lowest order left, or go on without any.

        RFC 3403 4.1: a higher order is looked at only where the lower ones gave nothing.
        """
        services = self._services
        if not services:
            question = self._question
            usable = [one for one in self.locator.transports if not question.secure or one in SECURE]
            self._ask_srv(usable, now)
            return
        group = [one for one in services if one.order == services[0].order]
        self._services = services[len(group) :]
        names = [(one.transport, one.name, one.terminal) for one in group]
        self._take_names(names, self._naptr_places, now)

    def _naptr_places(self, places: list[Place], _declined: bool, now: float) -> None:
        if places:
            self._end(places, now)
        else:
            self._next_order(now)

    # --- SRV (RFC 3263 4.2)

    def _ask_srv(self, transports: list[str], now: float) -> None:
        host = self._question.host
        self._take_names(
            [(one, f"{_LABELS[one]}.{host}", False) for one in transports], self._srv_places, now
        )

    def _srv_places(self, places: list[Place], declined: bool, now: float) -> None:
        if places or declined:
            self._end(places, now)
            return
        # RFC 3263 4.2: no SRV records, so the host itself at the default port.
        question = self._question
        self._take_hosts([(question.transport, question.host, question.port)], self._end, now)

    def _take_names(
        self, names: list[tuple[str, str, bool]], then: Callable[[list[Place], bool, float], None], now: float
    ) -> None:
        """Find the places behind (transport, name, is a host), in this order.

        ``then`` is also told whether a domain declined the service.
        """
        servers: list[list[tuple[str, str, int]]] = [[] for _ in names]
        waiting = len(names)
        declined = False
        draw = self.locator.draw(self._question.mark)

        def found(index: int, records: list[Srv], now: float) -> None:
            nonlocal waiting, declined
            transport = names[index][0]
            if any(not one.target for one in records):
                # RFC 2782: "." as target says that there is no such service.
                declined = True
            usable = [one for one in records if one.target and one.port]
            servers[index] = [(transport, one.target, one.port) for one in sort_srv(usable, draw)]
            waiting -= 1
            if not waiting:
                ready(now)

        def ready(now: float) -> None:
            every = [one for group in servers for one in group]
            self._take_hosts(every, lambda places, now: then(places, declined and not places, now), now)

        if not names:
            ready(now)
        for index, (transport, name, is_host) in enumerate(names):
            if is_host:
                servers[index] = [(transport, name, DEFAULT_PORTS[transport])]
                waiting -= 1
                if not waiting:
                    ready(now)
            else:
                self._lookup(name, "SRV", lambda records, now, index=index: found(index, records, now), now)  # type: ignore[misc]  # a lambda with its values

    # --- A and AAAA

    def _take_hosts(
        self, hosts: list[tuple[str, str, int]], then: Callable[[list[Place], float], None], now: float
    ) -> None:
        """Find the addresses of (transport, host, port), in this order."""
        locator = self.locator
        # Each host has an address or is of no use, so more hosts are never tried.
        hosts = list(dict.fromkeys(hosts))[: self._most]
        found: list[list[list[str]]] = [[[] for _ in locator.families] for _ in hosts]
        waiting = len(hosts) * len(locator.families)
        if not waiting:
            then([], now)
            return

        def take(row: int, column: int, records: list[str], now: float) -> None:
            nonlocal waiting
            found[row][column] = records
            waiting -= 1
            if not waiting:
                then(self._places(hosts, found), now)

        for row, (_, host, _) in enumerate(hosts):
            for column, kind in enumerate(locator.families):
                if is_address(host):
                    # Against RFC 2782, but some write an address as target.
                    take(row, column, [host] if (":" in host) == (kind == "AAAA") else [], now)
                    continue
                self._lookup(
                    host,
                    kind,
                    lambda records, now, row=row, column=column: take(row, column, records, now),  # type: ignore[misc]  # a lambda with its values
                    now,
                )

    def _places(self, hosts: list[tuple[str, str, int]], found: list[list[list[str]]]) -> list[Place]:
        places: list[Place] = []
        for (transport, _, port), families in zip(hosts, found, strict=True):
            # One of each family in turn, so that a family without a way out
            # costs one attempt and not all of them.
            for pair in zip_longest(*families):
                places += [
                    (transport, ip, port)
                    for ip in pair
                    if ip is not None and (transport, ":" in ip) in self.locator.reach
                ]
        return list(dict.fromkeys(places))[: self._most]

    @property
    def _most(self) -> int:
        """How many hosts are looked up, and places found."""
        limits = self.locator.resolver.limits
        return limits.dns_records if self._question.every else limits.next_hops

    # --- the end

    def _end(self, places: list[Place], now: float) -> None:
        self._finish(places if places or self._failure is None else self._failure, now)

    def _finish(self, result: list[Place] | LookupFailed, now: float) -> None:
        done, self._done = self._done, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if done is not None:
            done(result, now)

    def timer_fired(self, _name: str, now: float) -> None:
        self._timer = None
        self._finish(LookupFailed("not found in time (limits.answer_time)"), now)
