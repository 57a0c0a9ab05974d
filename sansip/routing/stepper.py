"""Runs a route: plain functions to their end, coroutines from answer to answer.

Theory of operation: a coroutine is advanced until it awaits something of ``sansip.routing.awaitables``; the
core is asked, and its answer advances the coroutine again. An exception of the route ends the route and is
reported; it does not reach the core. Steps are counted where they are taken, for an answer out of memory
comes without the stepper (``IncomingRequest.takes_too_many_steps``).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from sansip.errors import LocalProtocolError, without_frames
from sansip.later import Later
from sansip.routing.awaitables import ENDLESS, Question, Sleep
from sansip.routing.relaying import Relay

if TYPE_CHECKING:
    from sansip.routing.core import Core

__all__ = ["Route", "Running", "run"]

# Takes a ``sansip.routing.request.IncomingRequest``, which is above this file.
Route = Callable[[Any], Any]


class Stepped(Protocol):
    """The owner of a coroutine: a request, or the work of a module."""

    now: float

    @property
    def core(self) -> Core: ...
    def takes_too_many_steps(self) -> bool: ...
    def waiting(self, now: float) -> None: ...
    def route_ended(self, now: float) -> None: ...
    def route_failed(self, error: BaseException, now: float) -> None: ...


def run(route: Callable[[Any], Any], request: Stepped, now: float) -> Running | None:
    """Let ``route`` decide on ``request``; return it where it may still be running."""
    request.core.ua.now = now
    try:
        coroutine = route(request)
    except Exception as error:
        request.route_failed(error, now)
        return None
    if not isinstance(coroutine, Coroutine):
        # A plain function; the stepper ignores any other return value, such as a Relay.
        request.route_ended(now)
        return None
    running = Running(coroutine, request)
    running.step(None, now)
    return running


class Running:
    """A coroutine between two answers."""

    __slots__ = ("_answered", "_asking", "_coroutine", "_request", "_stopped")

    def __init__(self, coroutine: Coroutine[Any, Any, None], request: Stepped) -> None:
        self._coroutine = coroutine
        self._request = request
        # While a question is put, an answer that is there at once waits in ``_answered``.
        self._asking = False
        self._answered: list[Any] = []
        self._stopped = False

    def stop(self) -> None:
        """Close the coroutine; its end is not reported, and the answer that it awaits is ignored."""
        self._stopped = True
        with suppress(Exception):
            # RuntimeError where it awaits again instead of ending, or what its own ``finally`` raises.
            self._coroutine.close()

    def step(self, answer: Any, now: float) -> None:
        """Give ``answer`` to the coroutine, and go on to the next ``await``."""
        if self._asking:
            self._answered.append(answer)
            return
        if self._stopped:
            return
        # A loop and no recursion: a thousand answers out of a cache must not fill the call stack.
        while self._advance(answer, now):
            answer = self._answered.pop()

    def timer_fired(self, _name: str, now: float) -> None:
        self.step(None, now)

    def _advance(self, answer: Any, now: float) -> bool:
        """Resume the coroutine once; return whether its next question is answered already."""
        request = self._request
        request.now = request.core.ua.now = now
        try:
            if isinstance(answer, Exception):
                awaited = self._coroutine.throw(answer)
                # The route has caught it.
                without_frames(answer)
            else:
                awaited = self._coroutine.send(answer)
        except StopIteration:
            if isinstance(answer, Exception):
                without_frames(answer)
            request.route_ended(now)
            return False
        except Exception as error:
            request.route_failed(error, now)
            return False
        if isinstance(awaited, Later) and not awaited.done:
            # No step: the peer's message that ends the wait is paid for by itself.
            request.waiting(now)
            awaited.then(self.step, now)
            return False
        if awaited is ENDLESS or request.takes_too_many_steps():
            self._end(now)
            return False
        if isinstance(awaited, Later):
            awaited.then(self._keep, now)
            return True
        if isinstance(awaited, Relay):
            assert awaited.context is not None
            awaited.context.on_failure = self.step
            awaited.context.on_success = self.step
            return False
        if isinstance(awaited, Sleep):
            request.waiting(now)
            request.core.proxy.timers.start(now, max(awaited.seconds, 0.0), self, "sleep")
            return False
        if not isinstance(awaited, Question):
            # Something of an event loop: it cannot be awaited in a route.
            self._answered.append(
                LocalProtocolError(f"a route cannot await {awaited!r}; use sansip.routing.ask")
            )
            return True
        request.waiting(now)
        self._asking = True
        request.core.ask(awaited.subject, self.step, now, awaited.within)
        self._asking = False
        return bool(self._answered)

    def _keep(self, answer: Any, _now: float) -> None:
        self._answered.append(answer)

    def _end(self, now: float) -> None:
        """End a route that would go on for ever; whatever it catches, it is not resumed."""
        request = self._request
        limit = request.core.limits.route_steps
        error = LocalProtocolError(
            f"the route awaits without end (limits.route_steps = {limit}){_place(self._coroutine)}"
        )
        with suppress(Exception):
            # RuntimeError where it awaits again instead of ending, or what its own ``finally`` raises.
            self._coroutine.close()
        request.route_failed(error, now)


def _place(coroutine: Any) -> str:
    """Return where the user's code is that awaits: ``: in route of /etc/sansip/route.py, line 12``."""
    place = ""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        # The innermost one that is not of this package.
        if frame is not None and not frame.f_globals.get("__name__", "").startswith("sansip."):
            code = frame.f_code
            place = f": in {code.co_name} of {code.co_filename}, line {frame.f_lineno}"
        coroutine = getattr(coroutine, "cr_await", None)
    return place
