"""What a route may await: questions to the outside, and a pause (the end of a relay: ``relaying``).

Theory of operation: a route is stepped by the core, not by an event loop. It yields each question to the
stepper (``sansip.routing.stepper``), which resumes it when the answer is there. So one route runs under
asyncio, gevent, curio, in a replay on a virtual clock, and under pytest.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

__all__ = ["ENDLESS", "Endless", "Question", "Sleep", "ask", "sleep"]


class Endless:
    """A route yields this in place of one step too many: the stepper ends it there."""

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

    The stack emits ``Ask(id, subject)``. The value passed to ``Stack.answer`` is the value of the ``await``.
    If it is an exception, the ``await`` raises it. If no answer came ``within`` so many seconds, the
    ``await`` raises ``TimeoutError``.
    """
    return Question(subject, within)
