"""Relays of octets that modules look at, as the quick ways begin them (``openings``, ``passages``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.proxy.usual import Usual
from sansip.proxy.watched import Watched
from sansip.proxy.watched_pair import WatchedPair
from sansip.routing.gate import settle
from sansip.routing.unmade import be_made_by, make

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.proxy.usual import Lines
    from sansip.routing.request import IncomingRequest
    from sansip.routing.unmade import Given
    from sansip.transport import Flow, Listener

__all__ = ["seen_pair", "seen_relay", "send_seen"]


def seen_pair(
    proxy: Proxy,
    handle: IncomingRequest,
    given: Given,
    lines: Lines,
    caller: Flow,
    target: Target | Callable[[], Target],
    branch: str,
) -> WatchedPair:
    """Return what relays the request of ``handle``, which nobody has looked at; ``given`` makes it."""
    message, method = handle.message, handle.method
    watched = WatchedPair(
        proxy, method, message, lines, caller, target, branch, handle, make, given, given[1]
    )
    be_made_by(handle, watched)
    return watched


def seen_relay(
    proxy: Proxy,
    handle: IncomingRequest,
    lines: Lines,
    caller: Flow,
    target: Target | Callable[[], Target],
    branch: str,
) -> Usual:
    """Return what relays the request of ``handle``, which a module has looked at, over transactions."""
    server = handle.server
    assert server is not None
    kind = Watched if proxy.hooks.active else Usual
    return kind(proxy, handle.message, lines, caller, server, target, branch)


def send_seen(
    relay: Usual,
    handle: IncomingRequest,
    data: bytes,
    first: bytes,
    hop: Flow,
    via: str,
    listener: Listener,
    now: float,
) -> None:
    """Send ``data`` by a ``seen_relay``, once modules have seen it; ``first`` (or b"") goes back.

    ``listener``: the one that it leaves by.
    """
    server = relay.server
    if first:
        server.feed("send 1xx", first, now)
    if not isinstance(relay, Watched):
        relay.start(server.method, data, hop, via, now)
        return
    relay.be_seen_by(handle)
    if not relay.leave(server.method, data, hop, via, listener, None, now):
        settle(relay, now)
