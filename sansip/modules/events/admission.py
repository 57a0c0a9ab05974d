"""Who sent a request that this server answers itself (RFC 6665 4.2.1.3, RFC 3903 14.1).

Theory of operation: as the default route does for requests that it relays, but the challenge is a 401: a
notifier is a user agent, and no proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.routing import IncomingRequest

__all__ = ["admits"]


async def admits(request: IncomingRequest, open: bool) -> bool:
    """Whether the sender has proved who it is, or need not (``open``); answered where it has to."""
    if request.authenticates and request.is_from_us and request.trusted is None and not request.from_node:
        user = await request.authenticate(as_server=True)
        if user is None:
            return False
        if not request.speaks_for(user):
            request.reply(403, "Not Your Address")
            return False
        return True
    if request.trusted is not None or request.from_node or open:
        return True
    request.refuse(403, "Who Are You")
    return False
