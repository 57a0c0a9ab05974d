"""The rules that a key's type cannot express: ranges, formats, and rules across keys.

Theory of operation: ``check_value`` judges one value of one key by its dotted
path; ``cross_faults`` judges the whole, once every key is right by itself.
Numbers are positive unless a rule says otherwise, because a limit of 0 would refuse everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import fields
from operator import attrgetter
from typing import Any

from sansip.auth import HASHES
from sansip.dialog.session_timer import SMALLEST
from sansip.transport.transports import ON_TCP, SECURE
from sansip_server.config.dns import parse_name_server
from sansip_server.config.http import is_loopback, parse_http_listen, sharing
from sansip_server.config.listen import check_domain, check_origin, check_path, parse_listen
from sansip_server.config.node import check_node_address
from sansip_server.config.redis import parse_redis
from sansip_server.config.schema import Settings
from sansip_server.config.ua import check_identity
from sansip_server.config.workers import check_workers
from sansip_server.runtimes import check_runtime
from sansip_sockets.gathering import SPAN
from sansip_sockets.tls import parse_name

__all__ = ["ZERO_MEANS_OFF", "check_value", "cross_faults"]

# Keys whose comment gives 0 a meaning.
ZERO_MEANS_OFF = frozenset(
    {
        "drain_time",
        "gather",
        "store_interval",
        "keepalive.interval",
        "limits.pending_per_callee",
        "limits.pending_per_source",
        "limits.source_rate",
        "limits.transactions_reserved",
        "node.linger",
        "proxy.failover_time",
        "proxy.tcp_above",
        "redis.wait_replicas",
        "registrar.flow_timer",
        "registrar.min_expires",
        "registrar.repeat_time",
        "ua.redirects",
        "ua.session_interval",
    }
)

_CHECKS: dict[str, Callable[[str], object]] = {
    "listen[]": parse_listen,
    "http.listen[]": parse_http_listen,
    "http.origins[]": check_origin,
    "location": parse_redis,
    "rows": parse_redis,
    "node.address": check_node_address,
    "dns.servers[]": parse_name_server,
    "domains[]": check_domain,
    "runtime": check_runtime,
    "tls.names[]": parse_name,
    "ua.identity": check_identity,
    "ua.outbound": check_identity,
    "websocket.origins[]": check_origin,
    "websocket.paths[]": check_path,
}

# Pairs of keys where the first must not exceed the second.
_AT_MOST = (
    # RFC 3261 17.1.2.2: T1 is doubled until it reaches T2.
    ("timers.t1", "timers.t2"),
    ("limits.head_size", "limits.message_size"),
    ("limits.header_size", "limits.head_size"),
    ("limits.uri_size", "limits.head_size"),
    ("limits.connections_per_source", "limits.connections"),
    # Otherwise the outer wait ends first, and the error names the wrong part.
    ("redis.wait_time", "redis.timeout"),
    ("redis.timeout", "limits.answer_time"),
)


# Keys and tables of the server; all others are of modules.
_OURS = frozenset(one.name for one in fields(Settings))


def check_value(path: str, value: Any) -> None:
    """Raise ValueError, with what was expected, when ``value`` cannot stand at ``path``.

    ``path`` is dotted; the elements of a list are at ``key[]``.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number, found {value}")
        if path.partition(".")[0].partition("[")[0] not in _OURS:
            # A module checks its numbers itself (``Module.check``).
            return
        if value < 0 or (value == 0 and path not in ZERO_MEANS_OFF):
            least = "of 0 or more" if path in ZERO_MEANS_OFF else "above 0"
            raise ValueError(f"expected a number {least}; found {value}")
    elif isinstance(value, str) and path in _CHECKS:
        _CHECKS[path](value)


def cross_faults(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (path, what is wrong) for keys that contradict each other."""
    seen: dict[str, str] = {}
    streams: dict[str, str] = {}
    for index, text in enumerate(settings.listen):
        listener = parse_listen(text)
        name = str(listener)
        if listener.port and name in seen:
            yield f"listen[{index}]", f"{name} is listed twice; remove one"
        seen[name] = text
        if SECURE & set(listener.transports) and settings.tls.certificate is None:
            yield f"listen[{index}]", f"{name} needs tls.certificate (or --certificate FILE): a PEM file"
        if not ON_TCP.issuperset(listener.transports) or not listener.port:
            continue
        # TCP, TLS and WebSocket are all connections to one and the same port.
        place = name.partition(":")[2]
        if streams.setdefault(place, name) != name:
            both = (*streams[place].partition(":")[0].split("+"), *listener.transports)
            joined = f"{'+'.join(dict.fromkeys(both))}:{place}"
            yield (
                f"listen[{index}]",
                f"{name} and {streams[place]} cannot share a port so; choose another, or write {joined}",
            )
    for index, peer in enumerate(settings.trusted):
        if peer.certificate and settings.tls.verify_clients == "no":
            yield (
                f"trusted[{index}].certificate",
                'nobody is asked for a certificate; set tls.verify_clients = "optional"',
            )
    timeout, rounds = settings.dns.timeout, settings.dns.rounds
    if timeout is not None and not 0.05 <= timeout <= 30:
        yield "dns.timeout", f"expected 0.05 to 30 seconds; found {timeout:g}"
    if rounds is not None and rounds > 10:
        yield "dns.rounds", f"expected 1 to 10; found {rounds}"
    try:
        check_workers(settings.workers)
    except ValueError as error:
        yield "workers", str(error)
    if not settings.listen:
        yield "listen", "expected at least one address, like udp:127.0.0.1:5060"
    yield from _location_faults(settings)
    yield from _http_faults(settings)
    yield from _bearer_faults(settings)
    least = settings.ua.session_min
    if least < SMALLEST:
        yield "ua.session_min", f"expected {SMALLEST} seconds or more (RFC 4028 4); found {least}"
    elif 0 < settings.ua.session_interval < least:
        yield "ua.session_interval", f"expected 0, or session_min ({least}) or more"
    if settings.uvloop and settings.runtime not in ("asyncio", "auto"):
        yield "uvloop", f"uvloop is an event loop for asyncio; remove it, or the runtime {settings.runtime!r}"
    for small, large in _AT_MOST:
        value, bound = attrgetter(small)(settings), attrgetter(large)(settings)
        if value > bound:
            yield small, f"expected at most {large} ({bound:g}); found {value:g}"
    if settings.gather > SPAN:
        yield "gather", f"expected at most {SPAN:g} seconds, which nobody notices; found {settings.gather:g}"
    if settings.timers.c <= 180:
        yield "timers.c", f"expected more than 180 (RFC 3261 16.6 step 11); found {settings.timers.c:g}"


def _http_faults(settings: Settings) -> Iterator[tuple[str, str]]:
    addresses = [parse_listen(text) for text in settings.listen]
    names = [user.name for user in settings.http.users]
    if len(set(names)) < len(names):
        yield "http.users", "two have one name; remove one"
    if names and not any(all(name in user.keys for user in settings.http.users) for name in HASHES):
        yield "http.users", "all need HA1 of one algorithm; `sansip ha1 NAME REALM --algorithm SHA-256`"
    for index, text in enumerate(settings.http.listen):
        listener = parse_http_listen(text)
        path = f"http.listen[{index}]"
        if listener.transport == "https" and settings.tls.certificate is None:
            yield path, f"{text} needs tls.certificate: a PEM file"
        address = sharing(listener, addresses)
        loopback = is_loopback(listener)
        if loopback and (address is None or not address.proxies):
            continue
        if not settings.http.proves:
            yield path, f"{text} is reached by others; set http.keys (`sansip token` makes it), or 127.0.0.1"
        elif listener.transport == "http" and not loopback:
            yield path, f"{text}: anybody on the way reads the tokens; write https:{text[5:]}"


def _bearer_faults(settings: Settings) -> Iterator[tuple[str, str]]:
    bearer = settings.bearer
    if bearer.authz_server is None:
        return
    if not bearer.authz_server.startswith("https://") or '"' in bearer.authz_server:
        # RFC 8898 2.2
        yield "bearer.authz_server", f"expected an https URI; found {bearer.authz_server}"
    if bearer.keys is None:
        yield "bearer.keys", "needed with authz_server: the keys that it signs with (a JWK set, RFC 7517)"
    if settings.auth == "none":
        yield "bearer", 'tokens are taken beside passwords; set auth = "digest"'
    if bearer.audience == settings.http.audience:
        # A token for one would be good for the other.
        yield "bearer.audience", f"{bearer.audience!r} is http.audience as well; choose another"


def _location_faults(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.location is None:
        return
    if settings.keepalive.remove:
        # Another node may reach a phone that this node cannot reach.
        yield "keepalive.remove", "not with location: a phone silent here may answer another node; remove it"
    if settings.secret_file is None:
        yield "secret_file", "needed with location: a file with the same content on all nodes"
    if settings.redis.wait_replicas and parse_redis(settings.location).kind == "cluster":
        yield "redis.wait_replicas", "not for a cluster; set min-replicas-to-write in Redis instead"
