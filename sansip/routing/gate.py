"""What the quick ways ask of the reception: whether a sender may send, and what modules say.

Theory of operation: a quick way takes the steps of the reception in its order, with what was read in brief.
Where a module has looked at a message, or taken or held it, the long way goes on with it from that step:
nothing is asked twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.proxy.loop import Arrived
    from sansip.proxy.usual import Usual
    from sansip.routing.request import IncomingRequest
    from sansip.transport import Flow
    from sansip.wire import Request, Response

__all__ = ["Gate", "settle"]


class Gate:
    """The reception, as the quick ways see it."""

    __slots__ = ()

    def allows(self, flow: Flow, now: float) -> bool:
        """Count a request of the sender at ``flow``; if it may not send one more, tell so."""
        raise NotImplementedError

    def turn_away(self, message: Request | Response, flow: Flow, verdict: Any, now: float) -> None:
        """Drop ``message``, or answer it, as modules want who have seen it arrive (``StackHooks.judge``)."""
        raise NotImplementedError

    def take(self, request: Request, flow: Flow, now: float, counted: bool = False) -> None:
        """Take a request, which modules have admitted, the long way; ``counted``: as ``allows`` did."""
        raise NotImplementedError

    def is_left(
        self, handle: IncomingRequest, before: Any, arrived: Callable[[], Arrived | None], now: float
    ) -> bool:
        """Whether a new request that modules have seen is left to the quick way, unread.

        If not, everything has been done. ``before``: what decides on it (``StackHooks.before``).
        ``arrived()`` is what the handle would know of it as it came.
        """
        raise NotImplementedError


def settle(usual: Usual, now: float) -> None:
    """No route waits for the outcome of ``usual``."""
    context = usual.route_ended()
    if context is not None:
        context.keeps_outcome, context.outcome = False, None
        context.release_failure(now)
