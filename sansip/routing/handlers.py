"""Look-ups of a route that block: SQL, HTTP, Redis, a file. They run in threads, and the route awaits them.

Theory of operation: ``@handler()`` turns a plain function of the route file into a question. A call of it
gives an awaitable, the core puts the question to the outside, and the server runs the function in worker
threads of its own. So a database that hangs delays only the calls that ask it, and those only for ``within``
seconds. In a replay the recorded answer comes back, without a look-up.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, cast

from sansip.errors import LocalProtocolError
from sansip.routing.awaitables import Question

__all__ = ["Call", "Handler", "handler", "handlers_of"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(slots=True)
class Call:
    """A question: run the function with these arguments. Each handler has a class of its own."""

    arguments: tuple[Any, ...]
    named: Mapping[str, Any]


class Handler(Generic[Arguments, Result]):
    """A function that runs in threads; see ``handler``. ``function`` is the function itself, for tests."""

    def __init__(self, function: Callable[Arguments, Result], parallel: int, within: float) -> None:
        self.function = function
        self.kind: type[Call] = type(function.__name__, (Call,), {"__module__": function.__module__})
        self._within = within
        functools.update_wrapper(self, function)

        def answers(question: Call) -> Result:
            return function(*question.arguments, **question.named)

        # As ``sansip_sockets.handler`` marks one: not in batches, so many threads, no shared answers.
        answers.sansip_handler = (False, parallel, None)  # type: ignore[attr-defined]  # a mark that functions carry
        self.answers = answers

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Awaitable[Result]:
        """Return an awaitable for the function's result; it raises the function's exceptions."""
        return cast("Awaitable[Result]", Question(self.kind(args, kwargs), self._within))


def handler(
    *, parallel: int = 4, within: float = 2.0
) -> Callable[[Callable[Arguments, Result]], Handler[Arguments, Result]]:
    """Decorate a function that blocks, so that a route can await it.

    Args:
        parallel: how many threads may run it at once; more calls wait for one of them. If
            ``limits.handler_waiting`` calls wait already, the await of a further call raises
            ``BlockingIOError`` at once.
        within: seconds after which the await raises ``TimeoutError``; the thread goes on, and its result is
            thrown away.
    """

    def mark(function: Callable[Arguments, Result]) -> Handler[Arguments, Result]:
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & (0x80 | 0x200):
            raise LocalProtocolError(
                f"{function.__name__}: a handler runs in a thread, so it is a plain def; the route awaits it"
            )
        return Handler(function, parallel, within)

    return mark


def handlers_of(route: Callable[..., Any], waiting: int) -> dict[type, Callable[[Any], Any]]:
    """Return what answers the questions of the handlers that the file of ``route`` has or imports.

    ``waiting`` calls of each may wait for a thread (``limits.handler_waiting``).
    """
    names: Mapping[str, Any] = getattr(route, "__globals__", {})
    found = [value for value in names.values() if isinstance(value, Handler)]
    for one in found:
        one.answers.sansip_waiting = (waiting, "limits.handler_waiting")  # type: ignore[attr-defined]  # a mark that functions carry
    return {one.kind: one.answers for one in found}
