"""Draining: the stack refuses new work, and a caller waits until nothing runs any more.

Theory of operation: looks now and again whether it has finished; the looks are timers of the hub.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip_sockets.host import Host

__all__ = ["Drain"]

# Seconds between two looks whether a draining stack has finished.
POLL = 0.05


class Drain:
    """One request to be told when nothing runs any more; ``done(finished)`` is called once."""

    def __init__(self, hub: Host, timeout: float, done: Callable[[bool], None]) -> None:
        self._hub = hub
        self._end = hub.clock() + timeout
        self._done: Callable[[bool], None] | None = done

    def look(self, now: float) -> None:
        """Report the end, or look again later."""
        if self._hub.idle:
            self.finish(True)
        elif now >= self._end:
            self.finish(False)
        else:
            self._hub.driver.timers.start(now, POLL, self, None)
            self._hub.settle(now)

    def timer_fired(self, name: None, now: float) -> None:
        self.look(now)

    def finish(self, finished: bool) -> None:
        """Report; False also if the hub is closed before its time."""
        done, self._done = self._done, None
        if done is not None:
            done(finished)
