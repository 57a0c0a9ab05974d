"""The front doors: ``Server``, for a thread of your own, and ``run(...)`` as a program.

Theory of operation: the thread that calls is the loop: it resumes the pumps whose sockets are ready
(``PolledWaiter``), or serves datagrams as they come (``receiver``). ``sansip_sockets`` contains the
work of a server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from sansip.actions import Action
from sansip_blocking.jobs import Jobs
from sansip_blocking.receiver import BRISK, Receiver
from sansip_sockets import Build, Options, PolledWaiter, assemble, prepare, running
from sansip_sockets.outcome import outcome

__all__ = ["Server", "run"]


class Server:
    """A server of the thread that made it, open from then on. Raises ``BindError``.

    ``with server:`` closes it in the end. The arguments are those of every runtime
    (``sansip_sockets.Options``); handlers are plain functions, run in threads.
    """

    def __init__(
        self, build: Build, listeners: Sequence[Any] | None = None, **options: Unpack[Options]
    ) -> None:
        self.stack, self.listeners = prepare(build, listeners, options.get("filters"))
        self._waiter = PolledWaiter()
        self._jobs = Jobs()
        self._turning = self._stopping = self._closed = False
        try:
            self.hub = assemble(self.stack, self.listeners, self._waiter.spawn, offload=self._jobs, **options)
        except BaseException:
            self._waiter.close()
            raise
        self._jobs.inbox = self.hub.inbox
        self._receiver = Receiver(self.hub, self._waiter, self._jobs)
        # Whether the turn before was shorter than ``recvfrom`` waits: datagrams come one behind the other.
        self._brisk = False
        self.hub.start()

    def turn(self, seconds: float = 3_600.0) -> None:
        """Wait until something can go on, ``seconds`` at the most, and let it.

        ``while working: do_something(); server.turn(0.01)`` serves beside your own work.
        """
        if self._turning:
            raise RuntimeError("turn, drain and act wait; a route or a watcher of events must not")
        if self._stopping:
            return
        self._turning = True
        try:
            self._wait(seconds)
        finally:
            self._turning = False
        if self.is_stopping:
            self.close()

    def _wait(self, seconds: float) -> None:
        if self._brisk and seconds > BRISK and self._receiver.serve():
            # Some pump went on; everything else gets its turn, and no wait is needed.
            seconds = 0.0
            if self.is_stopping:
                return
        begun = self.hub.clock()
        self._waiter.turn(min(self._waiter.seconds_until(self._waiter.deadline()), seconds))
        self._brisk = self.hub.clock() - begun < BRISK

    @property
    def is_stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopping

    def serve_forever(self) -> None:
        """Serve until ``stop`` is called: in a callback, or by ``hub.inbox.post(server.stop)`` elsewhere."""
        try:
            while not self._stopping:
                self.turn()
        finally:
            self.close()

    def send(self, actions: list[Action]) -> None:
        """Perform actions that a call to ``self.stack`` returned."""
        self.hub.send(actions)

    def drain(self, timeout: float = 32.0) -> bool:
        """Refuse new dialogs and serve until nothing runs; False when ``timeout`` s were not enough."""
        finished: list[bool] = []
        self.hub.drain(timeout, finished.append)
        return bool(self._serve_until(finished))

    def act(self, verb: str, number: int = 0, **given: Any) -> Any:
        """Do ``verb`` of the user agent, or of call ``number``; serve until there is a result, and return it.

        See docs/calls.md. RuntimeError if the server is stopped before.
        """
        told: list[Any] = []
        self.hub.act(verb, number, given, told.append)
        return outcome(self._serve_until(told))

    def _serve_until(self, told: list[Any]) -> Any:
        while not told:
            if self._stopping:
                raise RuntimeError("the server was stopped")
            self.turn()
        return told[0]

    def stop(self) -> None:
        """Close everything: at once, or when the turn that calls it has ended. Harmless when repeated."""
        self._stopping = True
        if not self._turning:
            self.close()

    def close(self) -> None:
        """Close the sockets."""
        self._stopping = True
        if not self._closed:
            self._closed = True
            self._receiver.close()
            self._waiter.close()
            self.hub.close()
            self._jobs.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def run(
    build: Build,
    listeners: Sequence[Any] | None = None,
    *,
    on_ready: Callable[[Server], None] | None = None,
    on_reload: Callable[[], object] | None = None,
    drain_time: float = 32.0,
    uvloop: bool = False,
    **options: Unpack[Options],
) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status 0.

    A second signal, or ``server.stop()``, ends it without draining. Raises ``BindError`` before anything
    else happens, and ``ValueError`` where uvloop, an event loop of asyncio, is asked for.
    """
    if uvloop:
        raise ValueError("uvloop is an event loop for asyncio; the blocking runtime has none")
    with Server(build, listeners, **options) as server, running(server, on_ready, on_reload, drain_time):
        server.serve_forever()
    return 0
