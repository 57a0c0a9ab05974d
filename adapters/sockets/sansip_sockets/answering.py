"""The questions of a stack to the outside, each kind answered by its function.

Theory of operation: a plain function runs in another thread (``workers``), an ``async def`` in a coroutine of
the runtime, and a question may be somebody else's, who answers later. None of them holds the loop.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeAlias

from sansip.actions import Ask
from sansip_sockets.host import Host
from sansip_sockets.workers import Offload, Threads, Worker

__all__ = ["Answering", "Handlers", "StartCoroutine", "judge"]

# Question type -> plain function (see ``workers.handler``), or ``async def`` where
# the runtime has coroutines.
Handlers: TypeAlias = Mapping[type, Callable[..., Any]]
# Runs a coroutine and calls back with its result, or the exception instead of it.
StartCoroutine: TypeAlias = Callable[[Coroutine[Any, Any, Any], Callable[[Any], None]], None]


def judge(handlers: Handlers | None, start_coroutine: StartCoroutine | None) -> None:
    """Raise TypeError for a handler that the runtime cannot run."""
    for function in (handlers or {}).values():
        if inspect.iscoroutinefunction(function) and start_coroutine is None:
            raise TypeError(f"{function!r} is async, which this runtime cannot run; use a plain function")


class _Asked(Protocol):
    def ask(self, action: Ask) -> None: ...


class Answering:
    """Has questions answered; ``answer(number, result)`` gives the stack what came of one.

    ``answer_all`` does that for all questions that one call of a handler has answered.
    """

    def __init__(
        self,
        hub: Host,
        answer: Callable[[int, Any], None],
        handlers: Handlers,
        offload: Offload | None,
        start_coroutine: StartCoroutine | None,
        answer_all: Callable[[list[tuple[int, Any]]], None] | None = None,
    ) -> None:
        self._hub = hub
        self._answer = answer
        self._answer_all = answer_all
        self._threads = None if offload is not None else Threads()
        self._how = (offload or self._threads, start_coroutine)
        self._functions: dict[type, Callable[..., Any]] = {}
        self._handlers: dict[type, _Asked] = {}
        # Those that take questions of several kinds together.
        self._mixed: dict[Callable[..., Any], _Asked] = {}
        self.answer_with(handlers)
        # Takes the questions of all other kinds; it gives the result to ``answer``.
        self.otherwise: Callable[[Ask], None] | None = None

    def close(self) -> None:
        """Let go of the threads that were made here."""
        if self._threads is not None:
            self._threads.close()

    def ask_by(self, question: type, asked: Callable[[Ask], None]) -> None:
        """Have ``asked`` take the questions of one kind; it gives the result to ``answer``."""
        self._handlers[question] = _Elsewhere(asked)

    def answer_with(self, handlers: Handlers, anew: bool = False) -> None:
        """Have further questions answered, each kind by its function; answers under way go on.

        A kind that has a function already keeps it; with ``anew`` it gets the function that is given now.
        """
        for question, function in handlers.items():
            if question not in self._handlers or (anew and self._functions[question] != function):
                self._functions[question] = function
                self._handlers[question] = self._handler(function, *self._how)

    def worker(self, function: Callable[..., Any], answered: Callable[[int, Any], None]) -> Worker:
        """Return an object that asks ``function``, a handler, for code other than the stack."""
        offload = self._how[0]
        assert offload is not None
        return Worker(function, answered, self._hub.inbox.post, offload)

    def ask(self, action: Ask) -> None:
        """Have ``action`` answered, in a later turn."""
        kind = type(action.question)
        handler = self._handlers.get(kind)
        if handler is None and self.otherwise is not None:
            self.otherwise(action)
        elif handler is None:
            error = LookupError(
                f"nobody answers {kind.__name__}; pass handlers={{{kind.__name__}: function}}"
            )
            self._hub.later(self._hub.driver.answer, action.id, error)
        else:
            handler.ask(action)

    def _handler(
        self, function: Callable[..., Any], offload: Offload | None, start: StartCoroutine | None
    ) -> _Asked:
        if inspect.iscoroutinefunction(function):
            if start is None:
                raise TypeError(
                    f"{function!r} is async, but this runtime cannot run it; use a plain function"
                )
            return _Coroutines(function, self._answer, start)
        assert offload is not None
        mixed = getattr(function, "sansip_mixed", False)
        if mixed and function in self._mixed:
            return self._mixed[function]
        if getattr(function, "sansip_patient", False):
            # Where the runtime has one.
            offload = getattr(offload, "patiently", offload)
        worker = Worker(function, self._answer, self._hub.inbox.post, offload, self._answer_all)
        if mixed:
            self._mixed[function] = worker
        return worker


class _Elsewhere:
    """A handler that neither blocks nor waits: the answer comes later."""

    __slots__ = ("ask",)

    def __init__(self, ask: Callable[[Ask], None]) -> None:
        self.ask = ask


class _Coroutines:
    """A handler that is ``async def``: one coroutine a question."""

    __slots__ = ("_answer", "_function", "_start")

    def __init__(
        self, function: Callable[..., Any], answer: Callable[[int, Any], None], start: StartCoroutine
    ) -> None:
        self._function = function
        self._answer = answer
        self._start = start

    def ask(self, action: Ask) -> None:
        number = action.id
        self._start(self._function(action.question), lambda result: self._answer(number, result))
