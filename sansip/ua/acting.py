"""Verbs for programs outside of the core: an embedding program names a call by its number.

Theory of operation: the stack does not step code outside, so each request of that code is an input of its own
(``Stack.act``). The input has plain values, which a journal holds and a replay repeats. A callback gets the
result; an adapter makes the result awaitable in the manner of its runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import LocalProtocolError
from sansip.events import CallPlaced, CallProgressed
from sansip.later import Later
from sansip.ua.incoming import IncomingCall
from sansip.ua.outgoing import OutgoingCall

if TYPE_CHECKING:
    from sansip.ua.agent import UserAgent
    from sansip.wire import Response

__all__ = ["act"]

_ALONE: Final = frozenset(("request", "invite"))
_WAITING: Final = frozenset(("ring", "accept", "reject"))
_CALL: Final = frozenset(
    (
        "bye",
        "hang_up",
        "hold",
        "resume",
        "reinvite",
        "update",
        "info",
        "message",
        "refer",
        "transfer",
        "request",
        "over",
    )
)


def act(
    agent: UserAgent, verb: str, number: int, given: Mapping[str, Any], done: Callable[[Any, float], None]
) -> None:
    """Do ``verb`` with the arguments ``given``: of call ``number``, or (0) of the user agent.

    ``done(result or exception, now)`` hears of the end. Verbs and arguments are those of ``UserAgent``
    (``request``, ``invite``), ``OutgoingCall`` (``cancel``), ``IncomingCall`` (``ring``, ``accept``,
    ``reject``) and ``Call``; ``over`` waits for the end.
    """
    try:
        result = _do(agent, verb, number, given)
    except (LocalProtocolError, TypeError) as error:
        done(error, agent.now)
        return
    if isinstance(result, OutgoingCall):
        result = result.answered
    if isinstance(result, Later):
        result.then(done, agent.now)
    else:
        done(result, agent.now)


def _call(agent: UserAgent, given: Mapping[str, Any]) -> OutgoingCall:
    """Place a call, and tell how it goes."""

    def progressed(_early: Any, response: Response, now: float) -> None:
        agent.tell(CallProgressed(calling.number, response.status, response.body), now)

    calling = agent.invite(**{"on_progress": progressed, **given})
    if not calling.answered.done:
        agent.tell(CallPlaced(calling.number, str(calling.request.uri)), agent.now)
    return calling


def _do(agent: UserAgent, verb: str, number: int, given: Mapping[str, Any]) -> Any:
    if not number:
        if verb not in _ALONE:
            raise LocalProtocolError(f"{verb} is of a call: name its number; request and invite need none")
        return _call(agent, given) if verb == "invite" else agent.request(**given)
    if verb == "cancel":
        calling = agent.outgoing.get(number)
        if calling is None or calling.winner is not None:
            raise LocalProtocolError(f"call {number} does not ring: it was answered, or is over")
        calling.cancel(**given)
        return None
    found = agent.numbered.get(number)
    if found is None:
        raise LocalProtocolError(f"there is no call {number}: it may be over")
    if isinstance(found, IncomingCall):
        if verb in _WAITING:
            return getattr(found, verb)(**given)
        found = found.call
    if verb not in _CALL:
        raise LocalProtocolError(f"a call cannot {verb}; it has {', '.join(sorted(_CALL))}")
    if verb == "transfer" and "replaces" in given:
        # The other call is named by its number.
        other = agent.numbered.get(given["replaces"])
        other = other.call if isinstance(other, IncomingCall) else other
        if other is None:
            raise LocalProtocolError(f"there is no call {given['replaces']}: it may be over")
        given = {**given, "replaces": other}
    wanted = getattr(found, verb)
    return wanted if isinstance(wanted, Later) else wanted(**given)
