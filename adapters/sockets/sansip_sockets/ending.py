"""How a server ends: the signals that ask for it.

Theory of operation: the first asks for draining (``drain``). Signal handlers do
nothing but post to the hub's inbox, which wakes whatever loop is waiting, so
all runtimes share them. If the loop does not come round, the watchdog ends the process.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sansip_sockets.memory import tune_gc
from sansip_sockets.watchdog import LoopWatch, StartThread

if TYPE_CHECKING:
    from sansip_sockets.hub import Hub

__all__ = ["running", "signals"]


class RunningServer(Protocol):
    """The server that ``run`` of a runtime serves with."""

    hub: Hub

    def stop(self) -> None: ...


AnyServer = TypeVar("AnyServer", bound=RunningServer)


@contextlib.contextmanager
def running(
    server: AnyServer,
    on_ready: Callable[[AnyServer], None] | None,
    on_reload: Callable[[], object] | None,
    drain_time: float,
    start_thread: StartThread | None = None,
) -> Iterator[None]:
    """Set this process up for ``server`` while the block waits for its end.

    Signals are handled (``signals``), ``on_ready`` is called with it, the
    garbage collector is set for it (``tune_gc``), and its loop is watched.
    ``start_thread`` starts a real thread under a runtime that patches the module ``threading``.
    """
    hub = server.hub
    watch = LoopWatch(
        hub,
        lambda: getattr(getattr(hub.driver.stack, "config", None), "route", None),
        drain_time=drain_time,
        start_thread=start_thread,
    )
    try:
        with signals(hub, server.stop, drain_time, on_reload, watch.wakeup_fd):
            if on_ready is not None:
                on_ready(server)
            with tune_gc():
                watch.start()
                yield
    finally:
        watch.close()


@contextlib.contextmanager
def signals(
    hub: Hub,
    stop: Callable[[], None],
    drain_time: float,
    on_reload: Callable[[], object] | None,
    wakeup_fd: int | None = None,
) -> Iterator[None]:
    """Handle SIGTERM, SIGINT and SIGHUP while the block runs; only the main thread may.

    The first request to end drains for at most ``drain_time`` seconds and then
    calls ``stop``; the second calls it at once. SIGHUP calls ``on_reload``. All run in the
    stack's thread. ``wakeup_fd``: a signal wakes the inbox through it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[bool] = []

    def end() -> None:
        asked.append(True)
        if len(asked) == 1:
            hub.drain(drain_time, lambda finished: stop())
        else:
            stop()

    actions: dict[int, Callable[[], object]] = {signal.SIGTERM: end, signal.SIGINT: end}
    if on_reload is not None:
        actions[signal.SIGHUP] = on_reload

    def handle(number: int, frame: Any) -> None:
        hub.inbox.post(actions[number])

    before = {number: signal.signal(number, handle) for number in actions}
    # A signal that comes just before the loop begins to wait does not end that
    # wait; the octet written here does, and then the handler above runs.
    waker = hub.inbox.wakeup_fd if wakeup_fd is None else wakeup_fd
    fd = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(fd)
        for number, handler in before.items():
            signal.signal(number, handler)
