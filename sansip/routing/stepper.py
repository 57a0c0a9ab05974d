"""Runs a route: plain functions to their end, coroutines from answer to answer.

Theory of operation: a coroutine is advanced until it awaits something of
``sansip.routing.awaitables``; the core is asked, and its answer advances the
coroutine again. An exception of the route ends it and is reported; nothing of
it reaches the core.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from sansip.errors import LocalProtocolError
from sansip.routing.awaitables import Question, Relay

if TYPE_CHECKING:
    from sansip.routing.request import IncomingRequest

__all__ = ["Route", "run"]

Route = Callable[["IncomingRequest"], Any]


def run(route: Route, request: IncomingRequest, now: float) -> None:
    """Let ``route`` decide on ``request``; it may still be running on return."""
    try:
        coroutine = route(request)
    except Exception as error:
        request.route_failed(error, now)
        return
    if not isinstance(coroutine, Coroutine):
        # A plain function; what else it returned, such as a Relay, says nothing.
        request.route_ended(now)
    else:
        _Running(coroutine, request).step(None, now)


class _Running:
    """A coroutine between two answers."""

    __slots__ = ("_coroutine", "_request", "_steps")

    def __init__(self, coroutine: Coroutine[Any, Any, None], request: IncomingRequest) -> None:
        self._coroutine = coroutine
        self._request = request
        self._steps = 0

    def step(self, answer: Any, now: float) -> None:
        """Give ``answer`` to what is awaited, and go on to the next ``await``."""
        request = self._request
        request.now = now
        self._steps += 1
        try:
            if self._steps > request.core.limits.route_steps:
                self._coroutine.close()
                raise LocalProtocolError("the route awaits without end (limits.route_steps)")
            if isinstance(answer, Exception):
                awaited = self._coroutine.throw(answer)
            else:
                awaited = self._coroutine.send(answer)
        except StopIteration:
            request.route_ended(now)
            return
        except Exception as error:
            request.route_failed(error, now)
            return
        if isinstance(awaited, Relay):
            assert awaited.context is not None
            awaited.context.on_failure = self.step
            awaited.context.on_success = self._succeeded
        elif isinstance(awaited, Question):
            request.waiting(now)
            request.core.ask(awaited.subject, self.step, now)
        else:
            # Something of an event loop: it cannot be awaited in a route.
            self.step(LocalProtocolError(f"a route cannot await {awaited!r}; use sansip.routing.ask"), now)

    def _succeeded(self, now: float) -> None:
        self.step(None, now)
