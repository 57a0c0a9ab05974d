"""Calls whose Contact names a listener that was taken away: their peers get another one (RFC 3261 12.2.2).

Theory of operation: a peer sends to our last Contact. So each such call gets the Contact of a listener that
stays, and refreshes its target by an UPDATE, or by a re-INVITE with the present description. Not all at once:
a hundred calls every fifth of a second. Until the peers are told, the old listener still takes their requests
(``sansip.transaction.retirement``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from sansip.transport.transports import SECURE, UDP
from sansip.ua.contact import contact_of
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.transport import Listener, Listeners
    from sansip.ua.call import Call

__all__ = ["move"]

# Seconds between two calls that refresh their target.
_APART: Final = 0.002


def move(calls: Iterable[Call], listeners: Listeners, now: float) -> float:
    """Give each call that needs one another Contact; return when the last of them tells its peer."""
    there = [one for one in listeners if one.accepts]
    known = {str(contact_of(one, secure=secure)) for one in there for secure in (False, True)}
    at = now
    for call in calls:
        target = call.dialog.local_target
        if call.ended or not isinstance(target, SipUri) or str(target.replace(user=None)) in known:
            continue
        successor = _successor(there, target)
        if successor is not None:
            at += _APART
            contact = contact_of(successor, target.user or "", secure=target.scheme == "sips")
            call.move(contact, successor, at, now)
    return at


def _successor(there: Iterable[Listener], target: SipUri) -> Listener | None:
    """Return the listener that is most like the one that ``target`` led to, None where none will do."""
    secure = target.scheme == "sips"
    transport = target.transport or UDP
    fitting = [one for one in there if not secure or one.transport in SECURE]

    def likeness(one: Listener) -> tuple[bool, bool, bool]:
        same_host = (one.advertise_host or one.host).lower() == target.host
        return one.is_ipv6 == (":" in target.host), one.transport == transport, same_host

    return max(fitting, key=likeness, default=None)
