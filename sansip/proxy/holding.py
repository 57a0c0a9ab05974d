"""The answer to a BYE that waits for the record of its call.

Theory of operation: a record that is acknowledged must not be lost, so the answer is sent once the record is
durable, or when that takes too long: the caller repeats its BYE for 32 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.clock import Timer
    from sansip.later import Later
    from sansip.proxy.proxy import Proxy

__all__ = ["hold"]


class _Held:
    """A response that waits."""

    __slots__ = ("_sends", "timer")

    def __init__(self, sends: Callable[[float], None]) -> None:
        self._sends: Callable[[float], None] | None = sends
        self.timer: Timer | None = None

    def over(self, _value: Any, now: float) -> None:
        """Send it: what it waits for is done, or takes too long."""
        sends, self._sends = self._sends, None
        if sends is not None:
            if self.timer is not None:
                self.timer.cancel()
            sends(now)

    def timer_fired(self, name: Any, now: float) -> None:
        self.over(None, now)


def hold(proxy: Proxy, waits: Later[None] | None, sends: Callable[[float], None], now: float) -> None:
    """Have ``sends(time)`` send the answer to a BYE: once the record of its call is durable, or too late.

    ``waits``: as of ``Record.hung_up``.
    """
    if waits is None or waits.done:
        sends(now)
        return
    held = _Held(sends)
    # A ``Later`` may be overdue, and the caller repeats its BYE for 32 s.
    held.timer = proxy.timers.start(now, proxy.hooks.hook_time, held, "held")
    waits.then(held.over, now)
