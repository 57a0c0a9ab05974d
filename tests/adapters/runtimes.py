"""The runtimes under test, each behind the same small handle.

Theory of operation: a server runs in a thread of its own; the test is plain
blocking code in the main thread. A runtime is added by one subclass of
``Running`` and one line in ``RUNTIMES``. The last entry is not shipped: forty
lines over the stdlib's selectors, the proof that a runtime is easy to write.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sansip.actions import Action
from sansip_asyncio import serve
from sansip_asyncio.loop import PumpLoop
from sansip_sockets import PAUSE, BoundListener, Hub, Pump, Wait, assemble, prepare
from tests.adapters.fakes import PATIENCE

T = TypeVar("T")


class Running:
    """A server in a thread. ``hub`` is for tests that look inside."""

    coroutines = False
    # The thread outlives its server.
    stays = False
    # The packages that must be installed beside the server.
    packages: tuple[str, ...] = ()

    def __init__(self, stack: Any, listeners: list[Any], **options: Any) -> None:
        self.reports: list[tuple[str, BaseException | None]] = []
        self.stack = stack
        build = stack if callable(stack) else lambda listeners: stack
        options["report"] = lambda text, error: self.reports.append((text, error))
        self._arguments = (build, listeners, options)
        self.listeners: list[BoundListener] = []
        self.hub: Hub
        self._ready: Future[None] = Future()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()
        self._ready.result(PATIENCE)

    def _main(self) -> None:
        try:
            self.serve()
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)
        finally:
            self._ended.set()
        if self.stays:
            threading.Event().wait()

    def opened(self, hub: Hub, listeners: list[BoundListener]) -> None:
        self.hub = hub
        self.listeners = listeners
        self._ready.set_result(None)

    def address(self, number: int = 0) -> Any:
        return self.listeners[number].address

    def call(self, function: Callable[[], T]) -> T:
        """Run ``function`` in the server's thread and return its result."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self.hub.inbox.post(run)
        return future.result(PATIENCE)

    def send(self, *actions: Action) -> None:
        self.call(lambda: self.hub.send(list(actions)))

    def drain(self, timeout: float) -> bool:
        finished: Future[bool] = Future()
        self.call(lambda: self.hub.drain(timeout, finished.set_result))
        return finished.result(PATIENCE + timeout)

    def stop(self) -> None:
        if not self._ended.is_set():
            self.ask_to_stop()
        assert self._ended.wait(PATIENCE)

    # --- what a runtime fills in

    def serve(self) -> None:
        """Serve until asked to stop; call ``opened`` when ready."""
        raise NotImplementedError

    def ask_to_stop(self) -> None:
        raise NotImplementedError


class OnAsyncio(Running):
    coroutines = True
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None

    def serve(self) -> None:
        async def main() -> None:
            build, listeners, options = self._arguments
            async with serve(build, listeners, **options) as server:
                self.server = server
                self.loop = asyncio.get_running_loop()
                self.opened(server.hub, server.listeners)
                await server.wait_closed()

        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(main())

    def ask_to_stop(self) -> None:
        self.loop.call_soon_threadsafe(self.server.stop)


class OnPumpLoop(OnAsyncio):
    """As ``sansip_asyncio.run`` has it."""

    loop_factory = PumpLoop


class OnUvloop(OnAsyncio):
    packages = ("uvloop",)

    @staticmethod
    def loop_factory() -> asyncio.AbstractEventLoop:
        import uvloop

        return uvloop.new_event_loop()


class OnGevent(Running):
    packages = ("gevent",)
    # greenlet 3.5 crashes now and then when what is left of a hub is collected (`gc.collect()` of the
    # next test) after the hub's thread has ended; a program's hub lives in its main thread.
    stays = True

    def serve(self) -> None:
        import gevent

        from sansip_gevent import Server

        build, listeners, options = self._arguments
        with Server(build, listeners, **options) as self.server:
            self.opened(self.server.hub, self.server.listeners)
            self.server.serve_forever()
        # Each thread has a hub of its own, with descriptors.
        gevent.get_hub().destroy(destroy_loop=True)

    def ask_to_stop(self) -> None:
        self.call(self.server.stop)


class OnCurio(Running):
    packages = ("curio",)
    coroutines = True

    def serve(self) -> None:
        import sansip_curio

        async def main() -> None:
            build, listeners, options = self._arguments
            async with sansip_curio.serve(build, listeners, **options) as self.server:
                self.opened(self.server.hub, self.server.listeners)
                await self.server.wait_closed()

        import curio

        curio.run(main)

    def ask_to_stop(self) -> None:
        self.call(self.server.stop)


class OnTrio(Running):
    packages = ("trio",)
    coroutines = True

    def serve(self) -> None:
        import trio

        import sansip_trio

        async def main() -> None:
            build, listeners, options = self._arguments
            async with sansip_trio.serve(build, listeners, **options) as self.server:
                self.opened(self.server.hub, self.server.listeners)
                await self.server.wait_closed()

        trio.run(main)

    def ask_to_stop(self) -> None:
        self.call(self.server.stop)


class OnAnyio(Running):
    packages: tuple[str, ...] = ("anyio",)
    coroutines = True
    backend = "asyncio"

    def serve(self) -> None:
        import anyio

        import sansip_anyio

        async def main() -> None:
            build, listeners, options = self._arguments
            async with sansip_anyio.serve(build, listeners, **options) as self.server:
                self.opened(self.server.hub, self.server.listeners)
                await self.server.wait_closed()

        anyio.run(main, backend=self.backend)

    def ask_to_stop(self) -> None:
        self.call(self.server.stop)


class OnAnyioTrio(OnAnyio):
    packages = ("anyio", "trio")
    backend = "trio"


class OnBlocking(Running):
    def serve(self) -> None:
        import sansip_blocking

        build, listeners, options = self._arguments
        with sansip_blocking.Server(build, listeners, **options) as self.server:
            self.opened(self.server.hub, self.server.listeners)
            self.server.serve_forever()

    def ask_to_stop(self) -> None:
        self.call(self.server.stop)


class OnSelectors(Running):
    """A whole runtime: watches, timers, and nothing else."""

    def serve(self) -> None:
        build, listeners, options = self._arguments
        stack, bound = prepare(build, listeners, options.get("filters"))
        self._selector = selectors.DefaultSelector()
        self._waits: dict[Pump, Wait] = {}
        self._timers: list[tuple[float, int, Pump, Wait]] = []
        self._count = 0
        self._stopping = False
        hub = assemble(stack, bound, lambda pump: self._resume(pump, None), **options)
        hub.start()
        self.opened(hub, bound)
        while not self._stopping:
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                _, _, pump, wait = heapq.heappop(self._timers)
                if self._waits.get(pump) is wait:
                    self._resume(pump, False)
            timeout = max(self._timers[0][0] - now, 0.0) if self._timers else None
            for key, _ in self._selector.select(timeout):
                for pump in list(key.data.values()):
                    if pump in self._waits:
                        self._resume(pump, True)
        for pump in list(self._waits):
            pump.close()
        self._selector.close()
        hub.close()

    def _resume(self, pump: Pump, value: bool | None) -> None:
        old = self._waits.pop(pump, None)
        if old is not None and old[0] != PAUSE:
            self._watch(old, None)
        try:
            wait = pump.send(value)
        except StopIteration:
            return
        # A copy, so that a timer of the wait before is not taken for one of this.
        wait = self._waits[pump] = (*wait,)
        if len(wait) == 4:
            wait[3].resume = lambda: self._belled(pump, wait)
        if wait[0] != PAUSE:
            self._watch(wait, pump)
        if wait[2] is not None:
            self._count += 1
            heapq.heappush(self._timers, (time.monotonic() + wait[2], self._count, pump, wait))

    def _belled(self, pump: Pump, wait: Wait) -> None:
        if self._waits.get(pump) is wait:
            self._resume(pump, False)

    def _watch(self, wait: Wait, pump: Pump | None) -> None:
        kind, sock = wait[:2]
        key = self._selector.get_map().get(sock)
        pumps = dict(key.data) if key else {}
        pumps.pop(kind, None)
        if pump is not None:
            pumps[kind] = pump
        if key:
            self._selector.unregister(sock)
        if pumps:
            self._selector.register(sock, sum(pumps), pumps)

    def ask_to_stop(self) -> None:
        self.call(lambda: setattr(self, "_stopping", True))


RUNTIMES: dict[str, type[Running]] = {
    "asyncio": OnAsyncio,
    "asyncio-run": OnPumpLoop,
    "blocking": OnBlocking,
    "uvloop": OnUvloop,
    "gevent": OnGevent,
    "curio": OnCurio,
    "trio": OnTrio,
    "anyio-asyncio": OnAnyio,
    "anyio-trio": OnAnyioTrio,
    "selectors": OnSelectors,
}
