"""Modules that look at a request on a quick way (``openings``, ``passages``): as it arrives and as it leaves.

Theory of operation: modules get a handle of a request that nobody has read. While none of them looks, a
``WatchedPair`` relays its octets. Once one has, the handle has a server transaction, and the request goes on
over that.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.proxy.usual import Usual
from sansip.proxy.watched import Watched
from sansip.proxy.watched_pair import WatchedPair
from sansip.routing.gate import settle
from sansip.routing.unmade import UnmadeRequest, be_made_by, make, unmade
from sansip.wire.unread import UnreadRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.proxy.loop import Arrived
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.target import Target
    from sansip.proxy.usual import Lines
    from sansip.routing.gate import Gate
    from sansip.routing.request import IncomingRequest
    from sansip.routing.unmade import Given
    from sansip.transport import Flow, Listener

__all__ = ["seen_relay", "send_seen", "show"]


def show(
    given: Given, gate: Gate, arrived: Callable[[Any], Arrived | None], brief: Any
) -> IncomingRequest | None:
    """Show a request to modules as it arrives; return its handle, None where everything has been done.

    ``given``: what the handle is made of; ``arrived(brief)``: as for ``Gate.is_left``.
    """
    core, message, now = given[0], given[2], given[-1]
    handle = unmade(message, given)
    hooks, route = core.modules.stack_hooks, core.route
    if hooks.request_received:
        before = hooks.before(route, handle)
        looked = type(handle) is not UnmadeRequest or type(message) is not UnreadRequest
        if (looked or before is not route) and not gate.is_left(handle, before, partial(arrived, brief), now):
            return None
    return handle


def seen_relay(
    proxy: Proxy,
    handle: IncomingRequest,
    given: Given,
    lines: Lines,
    caller: Flow,
    target: Target | Callable[[], Target],
    branch: str,
) -> Usual:
    """Return what relays the request of ``handle``, which has been shown; ``given``: as for ``show``."""
    message, watches = handle.message, proxy.hooks.active
    if watches and type(handle) is UnmadeRequest:
        pair = WatchedPair(
            proxy, handle.method, message, lines, caller, target, branch, handle, make, given, given[1]
        )
        be_made_by(handle, pair)
        return pair
    server = handle.server
    assert server is not None
    kind = Watched if watches else Usual
    return kind(proxy, message, lines, caller, server, target, branch)


def send_seen(
    relay: Usual,
    handle: IncomingRequest,
    key: str,
    data: bytes,
    first: bytes,
    hop: Flow,
    via: str,
    listener: Listener,
    now: float,
) -> None:
    """Send ``data`` by a ``seen_relay``, once modules have seen it; ``first`` (or b"") goes back.

    ``key``: that of the server transaction; ``listener``: the one that it leaves by.
    """
    if isinstance(relay, WatchedPair):
        if not relay.departs(key, data, first, hop, via, listener, now):
            settle(relay, now)
        return
    server = relay.server
    if first:
        server.feed("send 1xx", first, now)
    if not isinstance(relay, Watched):
        relay.start(server.method, data, hop, via, now)
        return
    relay.be_seen_by(handle)
    if not relay.leave(server.method, data, hop, via, listener, None, now):
        settle(relay, now)
