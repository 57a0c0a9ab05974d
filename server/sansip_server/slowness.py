"""Slow hooks: the log names a module that holds all calls, before the watchdog sees it.

Theory of operation: the core has no clock, so the server wraps the hooks of its modules and looks at its own.
A hook that took ``SLOW`` is logged with its module and its time, each at most once in ``AGAIN`` seconds. The
time of an ``await`` is not counted: it holds no call. ``next_due`` is not timed: the hub asks for it after
each datagram, and it returns a number that the module knows: looking at the clock twice would cost more.
"""

from __future__ import annotations

import logging
import time
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sansip.module import Module, Modules

__all__ = ["AGAIN", "SLOW", "Slowness"]

# Seconds that a hook may take: a phone repeats its request after ten times as many.
SLOW = 0.05
# Seconds after which the same hook is logged again.
AGAIN = 10.0

logger = logging.getLogger("sansip.modules")


@dataclass(slots=True)
class _Told:
    at: float
    times: int = 0


class Slowness:
    """Watches the hooks of ``modules``. ``clock`` gives seconds."""

    def __init__(self, modules: Modules, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str], _Told] = {}
        modules.wrap_hooks(self._timed)

    def _timed(self, module: Module, hook: str, method: Callable[..., Any]) -> Callable[..., Any]:
        if hook == "next_due":
            return method
        clock = self._clock

        def timed(*given: Any) -> Any:
            begun = clock()
            try:
                returned = method(*given)
            finally:
                took = clock() - begun
                if took >= SLOW:
                    self._tell(module.name, hook, took)
            return (
                self._awaited(returned, module, hook)
                if isinstance(returned, types.CoroutineType)
                else returned
            )

        return timed

    async def _awaited(self, work: Coroutine[Any, Any, Any], module: Module, hook: str) -> Any:
        return await self._stepped(work, module, hook)

    @types.coroutine
    def _stepped(self, work: Coroutine[Any, Any, Any], module: Module, hook: str) -> Generator[Any, Any, Any]:
        """Step ``work`` as ``await`` does, and look at the clock before and after each step."""
        step: Callable[[], Any] = partial(work.send, None)
        while True:
            begun = self._clock()
            try:
                awaited = step()
            except StopIteration as end:
                return end.value
            finally:
                took = self._clock() - begun
                if took >= SLOW:
                    self._tell(module.name, hook, took)
            try:
                step = partial(work.send, (yield awaited))
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:
                step = partial(work.throw, error)

    def _tell(self, module: str, hook: str, took: float) -> None:
        now = self._clock()
        told = self._told.get((module, hook))
        if told is not None and now - told.at < AGAIN:
            told.times += 1
            return
        self._told[module, hook] = _Told(now)
        again = (
            f" ({told.times} times more since it was told last)" if told is not None and told.times else ""
        )
        logger.warning(
            "the module %s took %.0f ms in %s%s; all calls wait meanwhile: have what takes time awaited",
            *(module, 1000 * took, hook, again),
        )
