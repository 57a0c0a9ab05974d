"""What a route may await: questions to the outside, a pause, and the end of a relay.

Theory of operation: a route is stepped by the core, not by an event loop. What
it awaits is yielded to the stepper (``sansip.routing.stepper``), which resumes
it when the answer is there. So one route runs under asyncio, gevent, curio, in
a replay on a virtual clock, and under pytest.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sansip.proxy import ResponseContext
    from sansip.wire import Response

__all__ = ["ENDLESS", "Question", "Relay", "Sleep", "ask", "sleep"]


class Endless:
    """What a route yields in place of one step too many: the stepper ends it there."""

    __slots__ = ()

    def __await__(self) -> Generator[Endless, Any, None]:
        yield self


ENDLESS = Endless()


class Question:
    """An awaitable that the outside answers. Any object may be the ``subject``.

    ``within``: seconds after which the await raises ``TimeoutError``; by default ``limits.answer_time``.
    """

    __slots__ = ("subject", "within")

    def __init__(self, subject: Any, within: float | None = None) -> None:
        self.subject = subject
        self.within = within

    def __await__(self) -> Generator[Question, Any, Any]:
        return (yield self)


class Sleep:
    """An awaitable pause of ``seconds``."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Generator[Sleep, Any, None]:
        yield self


def sleep(seconds: float) -> Sleep:
    """Return an awaitable that ends after ``seconds``, at once for 0 or less.

    The time is the stack's: in a test and in a replay it is virtual.
    """
    return Sleep(seconds)


def ask(subject: Any, within: float | None = None) -> Question:
    """Return an awaitable for the answer to ``subject``.

    The stack emits ``Ask(id, subject)``; what is given to ``Stack.answer`` is the
    value of the ``await``, and an exception given there is raised by it, or
    ``TimeoutError`` where nothing came ``within`` so many seconds.
    """
    return Question(subject, within)


class Relay:
    """A request on its way. Awaiting it gives the best failure to the route.

    Not awaited, a failure goes back to the caller by itself. Awaited, the value is the
    response: a 2xx has gone back already, and of a failure the
    route decides: ``reply``, ``relay`` again (serial forking, a failure route in
    Kamailio's words), or return to send it back as it is. None where nothing comes back: an
    ACK, or a request that was forwarded without state.
    """

    __slots__ = ("_endless", "context")

    def __init__(self, context: ResponseContext | None, endless: bool = False) -> None:
        self.context = context
        # One step too many: nothing was relayed, and to await it ends the route.
        self._endless = endless

    def __await__(self) -> Generator[Relay | Endless, Any, Response | None]:
        if self._endless:
            yield ENDLESS
        context = self.context
        if context is None:
            return None
        if context.done:
            return context.outcome
        # What failed at once has failed already.
        outcome: Response | None = context.failure
        if outcome is None:
            outcome = yield self
        return outcome
