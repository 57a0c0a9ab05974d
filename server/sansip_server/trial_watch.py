"""Waits for the end of a trial while the server goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip_server.trial import Trial
    from sansip_sockets import Hub

__all__ = ["TrialWatch"]

# Seconds between two looks whether the trial of a route has ended.
_LOOK: Final = 0.05


class TrialWatch:
    """Looks now and again whether ``trial`` has ended; gives its faults to ``done``; a timer of the hub."""

    def __init__(self, hub: Hub, trial: Trial, done: Callable[[list[str]], None]) -> None:
        self._hub = hub
        self._trial = trial
        self._done = done
        self._wait(hub.clock())

    def _wait(self, now: float) -> None:
        self._hub.driver.timers.start(now, _LOOK, self, None)
        self._hub.settle(now)

    def timer_fired(self, name: None, now: float) -> None:
        faults = self._trial.faults()
        if faults is None:
            self._wait(now)
        else:
            # In a turn of its own: a reload must not run inside a timer.
            self._hub.inbox.post(self._done, faults)
