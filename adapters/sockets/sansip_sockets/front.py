"""The shared part of the front doors for structured concurrency: a server whose one task waits.

Theory of operation: all pumps are resumed from one task (``polled``). The runtime adds its event, how it
starts a task, how it waits until a descriptor is readable, and how its tasks are cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, Unpack

from sansip.actions import Action
from sansip.driver import AnyStack
from sansip_sockets.assembly import Options, assemble
from sansip_sockets.bind import BoundListener
from sansip_sockets.outcome import outcome
from sansip_sockets.polled import PolledWaiter

__all__ = ["PolledServer"]


class Event(Protocol):
    """The runtime's event."""

    def set(self) -> Any: ...
    async def wait(self) -> None: ...


class PolledServer:
    """A running server, without its runtime.

    ``event`` makes an event; ``start_task`` runs a function that returns a coroutine in a task of its own.
    """

    def __init__(
        self,
        stack: AnyStack,
        bound: list[BoundListener],
        event: Callable[[], Event],
        start_task: Callable[[Callable[[], Coroutine[Any, Any, None]]], Any],
        **options: Unpack[Options],
    ) -> None:
        self.stack = stack
        self.listeners = bound
        self._event = event
        self._start_task = start_task
        self._waiter = PolledWaiter()
        self._closed = event()
        self.hub = assemble(stack, bound, self._waiter.spawn, start_coroutine=self._start, **options)
        self.hub.start()

    def send(self, actions: list[Action]) -> None:
        """Perform actions that a call to ``self.stack`` returned."""
        self.hub.send(actions)
        self.hub.inbox.wake()  # the task that waits is to look again for how long

    async def drain(self, timeout: float = 32.0) -> bool:  # noqa: ASYNC109 (a part of the public signature)
        """Refuse new dialogs and wait until nothing runs; False when ``timeout`` s were not enough."""
        return bool(await self._answer(lambda done: self.hub.drain(timeout, done)))

    async def act(self, verb: str, number: int = 0, **given: Any) -> Any:
        """Do ``verb`` of the user agent, or of call ``number``; return what comes of it (docs/calls.md)."""
        return outcome(await self._answer(lambda done: self.hub.act(verb, number, given, done)))

    async def _answer(self, ask: Callable[[Callable[[Any], None]], None]) -> Any:
        """Call ``ask`` with a callback, and wait for the value that the callback gets."""
        told: list[Any] = []
        event = self._event()

        def done(result: Any) -> None:
            told.append(result)
            self._set(event)

        ask(done)
        self.hub.inbox.wake()
        await event.wait()
        return told[0]

    def _set(self, event: Event) -> None:
        """Set ``event``, from plain code."""
        event.set()

    async def wait_closed(self) -> None:
        """Return when the server has been stopped."""
        await self._closed.wait()

    serve_forever = wait_closed

    def close(self) -> None:
        """Close the sockets; no task waits for them any more."""
        self._waiter.close()
        self.hub.close()
        self._closed.set()

    def _start(self, coroutine: Coroutine[Any, Any, Any], done: Callable[[Any], None]) -> None:
        """Run a handler that is ``async def``."""

        async def answer() -> None:
            try:
                result = await coroutine
            except Exception as error:
                result = error
            done(result)
            # An error has a traceback, which holds this frame.
            del result
            self.hub.inbox.wake()

        self._start_task(answer)
