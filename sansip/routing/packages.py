"""Requests for event state that a server would have to keep, where none does.

Theory of operation: PUBLISH gives state to the server of the user it names (RFC 3903 3), and
a phone subscribes to what servers know of its own user: waiting messages, watchers,
registrations. A module that keeps such state takes these requests before the route. Where
none does, the user's bindings are no answer: the phone would get its own request back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.routing.incoming import Incoming

__all__ = ["wants_event_state"]

# Packages whose notifier is a server, never the phone of the user subscribed to: RFC 3842,
# RFC 3857, RFC 3680, RFC 6080, RFC 5875, and Broadsoft's features.
_OF_SERVERS: Final = frozenset(
    ("message-summary", "presence.winfo", "reg", "ua-profile", "xcap-diff", "as-feature-event")
)


def wants_event_state(request: Incoming) -> bool:
    """Whether ``request``, which begins something, publishes state, or asks for its sender's own."""
    if request.method == "PUBLISH":
        return True
    if request.method != "SUBSCRIBE":
        return False
    message = request.message
    # RFC 6665 8.2.1: the event-type is compared byte by byte, and parameters are no part of it.
    if (message.get("event") or "").partition(";")[0].strip() not in _OF_SERVERS:
        return False
    core = request.core
    return core.addresses.of(message.uri) == core.addresses.of(message.from_.uri)
