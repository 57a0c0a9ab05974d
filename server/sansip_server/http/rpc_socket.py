"""JSON-RPC 2.0 over WebSocket (RFC 6455), sub-protocol ``jsonrpc.sansip``: the commands of POST, and events.

Theory of operation: one message is one call or batch, and so is its reply. The server judges the proof of the
handshake again at each message, and once a second while it sends events, so that a token is no longer good
once it has expired. After ``events.follow`` the server sends its events as notifications, ``events.event``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from typing import Any

from sansip_server.followers import Follower, Followers
from sansip_server.http.access import Role, demand
from sansip_server.http.rpc import Rpc
from sansip_sockets.pending import Pending

__all__ = ["PROTOCOL", "RpcSocket"]

PROTOCOL = "jsonrpc.sansip"
# Seconds for which a token is good for events without another look at it.
JUDGED = 1.0


class RpcSocket:
    """One connection; ``role`` tells what its client may do now, or raises ``HttpFault``."""

    def __init__(
        self,
        rpc: Rpc,
        role: Callable[[], Role],
        followers: Followers,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._judged = clock()
        self._rpc = rpc
        self._role = role
        self._followers = followers
        self._most = most
        self._follower: Follower | None = None
        self._ring: Callable[[], None] = lambda: None
        self._own = {"events.follow": self._follow, "events.leave": self._leave}

    def attach(self, ring: Callable[[], None]) -> None:
        """Call ``ring`` whenever ``outgoing`` has something."""
        self._ring = ring

    def received(self, data: bytes) -> Generator[Pending[Any] | None, None, bytes]:
        """Return the reply to a message. Raises ``HttpFault`` if the client may not ask any more."""
        role = self._role()
        demand(role, "read")
        return (yield from self._rpc.answer(data, role, self._own))

    def outgoing(self) -> bytes | None:
        """Return the next event as a notification (JSON-RPC 2.0 section 4.1)."""
        event = None if self._follower is None else self._follower.next()
        if event is None:
            return None
        now = self._clock()
        if now - self._judged > JUDGED:
            self._judged = now
            demand(self._role(), "read")
        return json.dumps({"jsonrpc": "2.0", "method": "events.event", "params": event}).encode()

    def closed(self) -> None:
        """The connection is over."""
        self._leave()

    def _follow(self) -> dict[str, Any]:
        if self._follower is None:
            self._follower = self._followers.add(self._ring, self._most)
        return {"following": True}

    def _leave(self) -> dict[str, Any]:
        if self._follower is not None:
            self._followers.remove(self._follower)
            self._follower = None
        return {"following": False}
