"""Requests that a module leaves to the quick ways, and sees again only if nobody was reached.

Theory of operation: the module has a step in the stage ``relay``, which would do no more than relay these
requests. ``may`` says so before each one, by the address-of-record that it is for. Then no route runs. If the
relay fails, ``begin`` runs a coroutine of the module as if it were the rest of the route: it may answer
instead, else the failure goes back when it ends (``Relay``).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.routing.request import IncomingRequest
from sansip.routing.stepper import run

if TYPE_CHECKING:
    from sansip.proxy import ResponseContext
    from sansip.routing.core import Core as StackCore
    from sansip.wire import Response

__all__ = ["Plain", "Unreached"]

Unreached = Callable[[IncomingRequest, "Response"], Coroutine[Any, Any, None]]


class Plain:
    """The requests of one method. ``failed(where, error)`` hears of exceptions of the module."""

    __slots__ = ("_failed", "_may", "_unreached")

    def __init__(
        self, may: Callable[[str], bool], unreached: Unreached, failed: Callable[[str, BaseException], None]
    ) -> None:
        self._may = may
        self._unreached = unreached
        self._failed = failed

    def may(self, user: str) -> bool:
        """Whether a request for ``user`` is only to be relayed."""
        try:
            return self._may(user)
        except Exception as error:
            self._failed("relays_plainly", error)
            return False

    def begin(self, core: StackCore, context: ResponseContext, failure: Response, now: float) -> None:
        """Let the module decide on a request whose relay has failed, and that waits in ``context``."""
        request = context.forwarding.request
        assert request is not None
        handle = IncomingRequest(core, request, context.forwarding.caller, context.server, now)
        handle.follow_up(context)
        run(partial(self._guarded, failure), handle, now)

    async def _guarded(self, failure: Response, handle: IncomingRequest) -> None:
        try:
            await self._unreached(handle, failure)
        except Exception as error:
            # The failure goes back.
            self._failed("relays_plainly", error)
