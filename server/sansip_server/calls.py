"""The calls of a running server: an operator lists them, or ends one of the user agent.

Theory of operation: a call is named by its number (``sansip.ua``); the two legs of a bridge name each other.
Hanging up is an input of the stack, so a journal holds it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from sansip.errors import LocalProtocolError
from sansip.ua import IncomingCall
from sansip_sockets.pending import Pending

if TYPE_CHECKING:
    from sansip.stack import Stack
    from sansip_sockets import Hub

__all__ = ["hung_up", "running"]


def running(stack: Stack, now: float) -> Iterator[dict[str, Any]]:
    """Yield one item for each call, and the result."""
    count = 0
    for found in list(stack.ua.numbered.values()):
        call = found.call if isinstance(found, IncomingCall) else found
        if call.ended:
            continue
        partner = call.handler.partner(call)
        count += 1
        yield {
            "item": {
                "number": call.number,
                "with": None if partner is None else partner.number,
                "state": "answered" if call.since is not None else "ringing",
                "seconds": None if call.since is None else round(now - call.since, 1),
                "side": "caller" if not call.dialog.is_caller else "callee",
                "party": str(call.dialog.remote.uri),
                "call_id": call.dialog.id.call_id,
            }
        }
    for one in stack.proxy.records.listed(now):
        count += 1
        yield {"item": one}
    yield {"ok": True, "result": {"calls": count}}


def hung_up(
    stack: Stack, hub: Hub, number: int, reason: str | None
) -> Generator[Pending[Any] | None, None, Any]:
    """End the call ``number``, and the call that it is connected with; return the fault, or None."""
    done: Pending[Any] = Pending()
    now = hub.clock()
    given = {} if reason is None else {"reason": reason}
    hub.perform(stack.act("hang_up", number, given, now, lambda result, _now: done.give(result)), now)
    result = yield from done.result()
    return result if isinstance(result, LocalProtocolError) else None
