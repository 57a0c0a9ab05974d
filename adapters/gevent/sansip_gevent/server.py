"""The front doors: ``Server``, shaped like gevent's own servers, and ``run(...)`` as a program.

Theory of operation: all that is particular to gevent is here and in ``waiter``:
native threads for handlers, a stop that waits for the hub, and the shape that
gevent's users expect. ``sansip_sockets`` contains the work of a server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import gevent
import gevent.monkey
from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool

from sansip.actions import Action
from sansip.driver import AnyStack
from sansip_gevent.waiter import Waiter
from sansip_sockets import (
    BoundListener,
    Build,
    Hub,
    Offload,
    Options,
    assemble,
    prepare,
    running,
)
from sansip_sockets.outcome import outcome

__all__ = ["Server", "run"]

# Native threads of a server. Each handler limits its own threads; a submission beyond this
# limit would have to wait, and the hub cannot wait.
THREADS = 1_024
# Seconds after which a thread with nothing to do ends.
THREAD_IDLE = 10


class Server:
    """A server of the hub that ``start`` was called in; all methods belong to that hub's thread.

    ``offload`` runs the handlers: ``gevent.spawn`` if they cooperate, native
    threads by default. The other arguments are those of every runtime
    (``sansip_sockets.Options``). ``stack``, ``hub`` (of ``sansip_sockets``) and
    ``listeners`` are there once it is started.
    """

    stack: AnyStack
    hub: Hub
    listeners: list[BoundListener]

    def __init__(
        self,
        build: Build,
        listeners: Sequence[Any] | None = None,
        *,
        offload: Offload | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._arguments = (build, listeners)
        self._offload = offload
        self._options = options
        self._waiter: Waiter | None = None
        self._closed = Event()

    @property
    def started(self) -> bool:
        """Whether it serves: ``start`` was called, and the server has not been stopped."""
        return self._waiter is not None and not self._closed.is_set()

    def start(self) -> None:
        """Open the sockets and serve from the hub; returns at once. Raises ``BindError``."""
        if self._waiter is not None:
            raise RuntimeError("a server is started once; make another one")
        self.stack, self.listeners = prepare(*self._arguments, self._options.get("filters"))
        self._waiter = Waiter(gevent.get_hub().loop)
        offload = self._offload or ThreadPool(THREADS, idle_task_timeout=THREAD_IDLE).spawn
        self.hub = assemble(self.stack, self.listeners, self._waiter.spawn, offload=offload, **self._options)
        self.hub.start()

    def serve_forever(self) -> None:
        """Start if that has not been done, and wait until the server is stopped."""
        if self._waiter is None:
            self.start()
        try:
            self._closed.wait()
        finally:
            self.stop()

    def send(self, actions: list[Action]) -> None:
        """Perform actions that a call to ``self.stack`` returned."""
        self.hub.send(actions)

    def drain(self, timeout: float = 32.0) -> bool:
        """Refuse new dialogs and wait until nothing runs; False when ``timeout`` s were not enough."""
        finished = AsyncResult()
        self.hub.drain(timeout, finished.set)
        return bool(finished.get())

    def act(self, verb: str, number: int = 0, **given: Any) -> Any:
        """Do ``verb`` of the user agent, or of call ``number``; return what comes of it (docs/calls.md)."""
        told = AsyncResult()
        self.hub.act(verb, number, given, told.set)
        return outcome(told.get())

    def stop(self, timeout: float = 0.0) -> None:
        """Close everything and wait until that is done; with a ``timeout``, first drain for that time.

        Harmless when repeated. If the hub calls it (``notify``, a route), it
        returns at once and closes when the hub comes to it.
        """
        if not self.started:
            return
        assert self._waiter is not None
        if timeout:
            self.drain(timeout)
        # In a turn of its own: a pump that is under way now may be our caller.
        self._waiter.loop.run_callback(self._close)
        if gevent.getcurrent() is not gevent.get_hub():
            self._closed.wait()

    def _close(self) -> None:
        if self.started:
            assert self._waiter is not None
            self._waiter.close()
            self.hub.close()
            self._closed.set()

    def __enter__(self) -> Server:
        self.start()
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
    offload: Offload | None = None,
    **options: Unpack[Options],
) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit status 0.

    A second signal, or ``server.stop()``, ends it without draining. Raises
    ``BindError`` before anything else happens, and ``ValueError`` where uvloop,
    an event loop of asyncio, is asked for.
    """
    if uvloop:
        raise ValueError("uvloop is an event loop for asyncio; gevent has its own")
    server = Server(build, listeners, offload=offload, **options)
    with server, running(server, on_ready, on_reload, drain_time, _start_thread):
        server.serve_forever()
    return 0


def _start_thread(function: Callable[[], None]) -> None:
    """Start a thread of the operating system, even if gevent has patched the modules."""
    gevent.monkey.get_original("_thread", "start_new_thread")(function, ())
