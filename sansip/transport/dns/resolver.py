"""The resolver: names to records, by asking name servers, without waiting.

Theory of operation: a look-up is answered from the host names given, from the cache, by joining a query for
the same name and type that is under way, or by a new query. CNAMEs are followed within a reply, and with
further queries where a reply stops at one. The resolver believes the answer section only, and of it only the
records that follow from the name in the question.

Queries are bounded in number, and those below one domain (its last two labels)
have a lower bound of their own, so that names that never answer cost the calls
to them and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.errors import LocalProtocolError
from sansip.transport.dns import codec
from sansip.transport.dns.cache import FAILURE_TTL, Cache, Found
from sansip.transport.dns.query import Callback, Query
from sansip.transport.dns.records import KINDS, LookupFailed, Record
from sansip.transport.dns.servers import NameServers

if TYPE_CHECKING:
    from sansip.actions import Action, Address
    from sansip.clock import Timers
    from sansip.entropy import Entropy
    from sansip.limits import Limits
    from sansip.transport.dns.codec import Reply
    from sansip.transport.dns.config import DnsConfig

__all__ = ["Resolver"]

# RFC 1034 3.6.2: a CNAME should not lead to a CNAME; in practice two or three do.
CNAMES = 8


class Resolver:
    """All queries of one stack. ``out`` receives the actions.

    ``new_connection`` returns a connection number that was never used.
    """

    __slots__ = (
        "_conns",
        "_domains",
        "_new_connection",
        "_next",
        "_queries",
        "_socks",
        "cache",
        "config",
        "entropy",
        "limits",
        "out",
        "servers",
        "timers",
    )

    def __init__(
        self,
        config: DnsConfig,
        timers: Timers,
        entropy: Entropy,
        limits: Limits,
        out: list[Action],
        new_connection: Callable[[], int],
    ) -> None:
        codec.load()
        self.config = config
        self.timers = timers
        self.entropy = entropy
        self.limits = limits
        self.out = out
        self.cache = Cache(limits.dns_cache)
        self.servers = NameServers(config.servers, config.rotate)
        self._new_connection = new_connection
        self._queries: dict[tuple[str, str], Query] = {}
        # The last two labels of names under way -> how many queries there are.
        self._domains: dict[str, int] = {}
        self._socks: dict[int, Query] = {}
        self._conns: dict[int, Query] = {}
        self._next = 0

    def configure(self, config: DnsConfig) -> None:
        """Ask the servers of ``config`` from now on, and forget the answers of former ones."""
        self.config = config
        self.cache = Cache(self.limits.dns_cache)
        self.servers = NameServers(config.servers, config.rotate)

    def __len__(self) -> int:
        """Return how many queries are under way."""
        return len(self._queries)

    # --- looking up

    def lookup(self, name: str, kind: str, callback: Callback, now: float, depth: int = 0) -> None:
        """Find the records of ``name``; ``callback`` may be called at once.

        Raises ``LocalProtocolError`` for a ``kind`` that cannot be asked for.
        """
        if kind not in KINDS:
            raise LocalProtocolError(
                f"record type {kind!r} cannot be looked up; use one of {', '.join(sorted(KINDS))}"
            )
        normal = codec.normal_name(name)
        if not normal:
            # Not a DNS name, so no server has records for it.
            callback([], now)
            return
        if kind in ("A", "AAAA"):
            local = self.local(normal)
            if local is not None:
                records: list[Record] = [one for one in local if (":" in one) == (kind == "AAAA")]
                callback(records, now)
                return
        found = self.cache.get(normal, kind, now)
        if found is not None:
            callback(found, now)
            return
        query = self._queries.get((normal, kind))
        if query is not None:
            query.waiting.append(callback)
            return
        domain = ".".join(normal.rsplit(".", 2)[-2:])
        if len(self._queries) >= self.limits.dns_queries:
            callback(LookupFailed("too many queries under way (limits.dns_queries)"), now)
            return
        if self._domains.get(domain, 0) >= self.limits.dns_queries_per_domain:
            callback(LookupFailed(f"too many queries for {domain} (limits.dns_queries_per_domain)"), now)
            return
        query = self._queries[normal, kind] = Query(self, normal, kind, domain, depth)
        self._domains[domain] = self._domains.get(domain, 0) + 1
        query.waiting.append(callback)
        query.start(now)

    def local(self, name: str) -> list[str] | None:
        """Return the addresses of a name that is not asked about, or None."""
        found = self.config.hosts.get(name)
        if found is None and (name == "localhost" or name.endswith(".localhost")):
            # RFC 6761 6.3
            return ["127.0.0.1", "::1"]
        if found is None and name.endswith(".invalid"):
            # RFC 6761 6.4; a browser writes such a name into Contact (RFC 7118 5.2).
            return []
        return found

    # --- called by queries

    def open(self, query: Query) -> int:
        """Return the number of a new socket: below zero, where no listener is."""
        self._next -= 1
        self._socks[self._next] = query
        return self._next

    def close(self, sock: int) -> None:
        self._socks.pop(sock, None)

    def connect(self, query: Query) -> int:
        conn = self._new_connection()
        self._conns[conn] = query
        return conn

    def disconnect(self, conn: int) -> None:
        self._conns.pop(conn, None)

    def replied(self, query: Query, reply: Reply, now: float) -> None:
        """A server answered: follow its CNAMEs to the records, or ask on."""
        name = query.name
        ttl = float("inf")
        names = {name}
        while True:
            records = [
                record for owner, kind, _, record in reply.answers if owner == name and kind == query.kind
            ]
            if records:
                ttl = min(
                    ttl,
                    *(ttl for owner, kind, ttl, _ in reply.answers if owner == name and kind == query.kind),
                )
                self.finished(query, records, ttl, now)
                return
            alias = next(
                (
                    (ttl, record)
                    for owner, kind, ttl, record in reply.answers
                    if owner == name and kind == "CNAME"
                ),
                None,
            )
            if alias is None:
                break
            ttl, name = min(ttl, alias[0]), str(alias[1])
            if name in names or query.depth + len(names) > CNAMES:
                # They go round in circles.
                self.finished(query, [], 0, now)
                return
            names.add(name)
        if name != query.name and reply.rcode == codec.NOERROR and reply.negative_ttl is None:
            # The server knows no more of the chain (RFC 1034 3.6.2): go on from there.
            self._follow(query, name, ttl, query.depth + len(names), now)
            return
        # RFC 2308 5: without an SOA it is not known for how long.
        self.finished(query, [], min(ttl, reply.negative_ttl or 0), now)

    def _follow(self, query: Query, name: str, ttl: float, depth: int, now: float) -> None:
        kind = query.kind
        other = self._queries.get((name, kind))
        while other is not None:
            if other is query:
                # Queries that would wait for each other.
                self.finished(query, [], 0, now)
                return
            other = self._queries.get((other.alias, kind))
        query.alias = name
        self.lookup(
            name,
            kind,
            lambda found, now: self.finished(query, found, min(ttl, self.cache.left(name, kind, now)), now),
            now,
            depth,
        )

    def finished(self, query: Query, found: Found, ttl: float, now: float) -> None:
        """The query has its answer: remember it and tell those that wait."""
        del self._queries[query.name, query.kind]
        left = self._domains[query.domain] - 1
        if left:
            self._domains[query.domain] = left
        else:
            del self._domains[query.domain]
        self.cache.put(
            query.name, query.kind, found, FAILURE_TTL if isinstance(found, LookupFailed) else ttl, now
        )
        for callback in query.waiting:
            callback(found, now)

    # --- inputs of the stack

    def datagram_received(self, sock: int, data: bytes, source: Address, now: float) -> None:
        query = self._socks.get(sock)
        if query is not None:
            query.datagram_received(data, source, now)

    def send_failed(self, sock: int, now: float) -> None:
        query = self._socks.get(sock)
        if query is not None:
            query.send_failed(now)

    def connection_opened(self, conn: int, now: float) -> None:
        query = self._conns.get(conn)
        if query is not None:
            query.connection_opened(now)

    def data_received(self, conn: int, data: bytes, now: float) -> None:
        query = self._conns.get(conn)
        if query is not None:
            query.data_received(data, now)

    def connection_closed(self, conn: int, now: float) -> None:
        query = self._conns.pop(conn, None)
        if query is not None:
            query.connection_closed(now)
