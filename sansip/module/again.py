"""Work that has to succeed some time: begun, and begun once more some seconds after it failed.

Theory of operation: what a module holds in memory is read from its rows at the start. A store that cannot be
read then may come back, so the same work is begun again until it ends well.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sansip.module.core import Core

__all__ = ["AGAIN", "Again"]

# Seconds until work that failed is begun once more.
AGAIN: Final = 5.0


class Again:
    """``work()`` of a module, which begins when ``begin`` is called, and again until it succeeds.

    Args:
        seconds: between a failure and the next try.
        where: what the log calls it; "": ``failed`` tells of it.
        wanted: whether it is still to be done; it ends where not.
        done, failed: hear of its success, and of each failure before it is logged.
    """

    __slots__ = ("_core", "_done", "_failed", "_seconds", "_wanted", "_where", "_work")

    def __init__(
        self,
        core: Core,
        work: Callable[[], Coroutine[Any, Any, Any]],
        seconds: float = AGAIN,
        where: str = "restore",
        *,
        wanted: Callable[[], bool] | None = None,
        done: Callable[[float], None] | None = None,
        failed: Callable[[BaseException, float], None] | None = None,
    ) -> None:
        self._core = core
        self._work = work
        self._seconds = seconds
        self._where = where
        self._wanted = wanted
        self._done = done
        self._failed = failed

    def begin(self, now: float) -> None:
        """Begin the work."""
        self._core.run(self._work(), now, self._ended)

    def _ended(self, result: Any, now: float) -> None:
        if not isinstance(result, BaseException):
            if self._done is not None:
                self._done(now)
            return
        if self._where:
            self._core.failed(self._where, result)
        if self._failed is not None:
            self._failed(result, now)
        self._core.timers.start(now, self._seconds, self, self._where)

    def timer_fired(self, _name: str, now: float) -> None:
        """Try once more."""
        if self._wanted is None or self._wanted():
            self.begin(now)
