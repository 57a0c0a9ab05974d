"""Session timers on behalf of the two sides (RFC 4028 8): a call whose phones vanish is noticed.

Theory of operation: the copy of an INVITE or UPDATE that leaves gets a Session-Expires where it has none, or
a smaller one, and never one below its Min-SE. Where the callee knows no timers and the caller does, the 2xx
gets one with the caller as refresher. The Session-Expires in the 2xx gives the end of the session, unless a
side refreshes it. At that end the record of the call ends, and this server sends no BYE (RFC 4028 8.3). Where
only the caller is bound by the timer the callee talks on beyond its end, so both are asked (``supervision``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sansip.errors import RemoteProtocolError
from sansip.wire import Request, Response
from sansip.wire.headers.session import SessionExpires

__all__ = ["REFRESHES", "Asked", "ask", "complete", "interval_of", "too_small"]

# RFC 4028 7.4: methods that refresh a session.
REFRESHES: Final = frozenset(("INVITE", "UPDATE"))
# RFC 4028 5: the default of Min-SE.
_SMALLEST: Final = 90


@dataclass(frozen=True, slots=True)
class Asked:
    """The session timer that this server asked for in a request, kept until its 2xx (RFC 4028 8.1).

    Attributes:
        seconds: the Session-Expires that was sent on, 0 where none was.
        caller_knows: whether the sender supports timers.
    """

    seconds: int
    caller_knows: bool


def _seconds(message: Request | Response, name: str) -> int | None:
    try:
        value: SessionExpires | None = message.typed(name)
    except RemoteProtocolError:
        # RFC 4028 does not cover a value that cannot be read: the code ignores it.
        return None
    return None if value is None else value.seconds


def _knows(request: Request) -> bool:
    try:
        return "timer" in (tag.lower() for tag in request.supported)
    except RemoteProtocolError:
        return False


def too_small(request: Request, least: int) -> bool:
    """Whether ``request`` gets a 422: its sender knows timers and asks for less than ``least``."""
    seconds = _seconds(request, "session-expires") if request.has("session-expires") else None
    # RFC 4028 8.1: only where the sender supports timers can it ask again for more.
    return seconds is not None and seconds < least and _knows(request)


def ask(message: Request, wanted: int, least: int) -> Asked:
    """Have ``message``, a copy about to leave, ask for a session of ``wanted`` seconds at the most; 0: any.

    ``least``: the smallest interval that this server lets pass.
    """
    knows = _knows(message)
    seconds, floor = _seconds(message, "session-expires"), _seconds(message, "min-se")
    if not knows and seconds is not None and seconds < least and (floor is None or floor < least):
        # RFC 4028 8.1: a sender that does not know timers cannot act upon a 422, so the code raises the
        # interval. It never does so for a sender that knows timers (11).
        floor = least
        message.set("Min-SE", str(least))
    bound = _SMALLEST if floor is None else floor
    if seconds is not None and seconds < bound:
        # RFC 4028 8.1: "the proxy MUST increase the value".
        value = bound
    elif wanted and (seconds is None or seconds > wanted):
        value = max(wanted, bound)
    else:
        return Asked(seconds or 0, knows)
    if seconds is None:
        message.set("Session-Expires", str(value))
    elif value != seconds:
        # RFC 4028 8.1: the refresher is the sender's to name.
        refresher = message.typed("session-expires").refresher
        message.set("Session-Expires", f"{value};refresher={refresher}" if refresher else str(value))
    return Asked(value, knows)


def complete(response: Response, asked: Asked) -> bool:
    """Add to a 2xx the fields that a callee without session timers left out (RFC 4028 8.2). True: it did."""
    if not asked.seconds or not asked.caller_knows or response.has("session-expires"):
        return False
    response.set("Session-Expires", f"{asked.seconds};refresher=uac")
    # RFC 4028 8.2: the option tag is added to any Require there is.
    tags = response.values("require")
    if "timer" not in (tag.lower() for tag in tags):
        response.set("Require", ", ".join([*tags, "timer"]))
    return True


def interval_of(response: Response) -> int | None:
    """Return the session interval that a 2xx sets, None where there is no timer."""
    return _seconds(response, "session-expires") if response.has("session-expires") else None
