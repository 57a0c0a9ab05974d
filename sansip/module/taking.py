"""One module's hook ``usage_received``, as ``routing.usages`` calls it.

Theory of operation: an exception is the module's own (``assembly``). A request that has been taken gets a 500
then; another one goes the way of all requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Taker"]


class Taker:
    """Takes requests that are read in brief for ``module``; ``failed`` hears of exceptions."""

    __slots__ = ("_failed", "_hook", "_module")

    def __init__(
        self,
        module: Any,
        hook: Callable[[Any, float], Any],
        failed: Callable[[Any, str, BaseException], None],
    ) -> None:
        self._module = module
        self._hook = hook
        self._failed = failed

    def take(self, arrived: Any, now: float) -> Any:
        """Return what ``act`` does with ``arrived``; None where the module does not take it."""
        try:
            return self._hook(arrived, now)
        except Exception as error:
            self._failed(self._module, "usage_received", error)
            return None

    def act(self, taken: Callable[[Any, float], None], arrived: Any, now: float) -> None:
        """Have ``taken`` begin its work."""
        try:
            taken(arrived, now)
        except Exception as error:
            self._failed(self._module, "usage_received", error)
            arrived.fail(now)
