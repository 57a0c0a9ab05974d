"""Asks the servers of a module whether they live, and looks up their addresses, now and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from sansip.modules.failover.probing import RESOLVE, Probe, jittered, probe, resolve, waiting
from sansip.modules.failover.server import Server

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.module import Core
    from sansip.modules.failover.health import Thresholds

__all__ = ["Plan", "Prober"]

AnyServer = TypeVar("AnyServer", bound=Server)


@dataclass(slots=True)
class Plan:
    """How servers are asked: each ``interval`` seconds, 0 for never; ``thresholds`` judge the answers."""

    interval: float
    probe: Probe
    thresholds: Thresholds


class Prober(Generic[AnyServer]):
    """Probes ``servers``.

    ``plan`` returns the present plan, ``wants`` whether a server is probed; ``tell`` hears "up", "down" or
    "resting" of a server, where that is news; ``asked`` is called after each probe. ``now`` is the time
    of the last look.
    """

    def __init__(
        self,
        core: Core,
        servers: Iterable[AnyServer],
        plan: Callable[[], Plan],
        wants: Callable[[AnyServer], bool],
        tell: Callable[[AnyServer, str, float], None],
        asked: Callable[[AnyServer], None],
    ) -> None:
        self._core = core
        self._servers = servers
        self._plan = plan
        self._wants = wants
        self._tell = tell
        self._asked = asked
        self._next: Timer | None = None
        self.now = 0.0

    def start(self, now: float) -> None:
        """Begin to probe, and look up the addresses at once."""
        self._wait(now)
        self._core.timers.start(now, 0.0, self, "resolve")

    def replan(self, now: float) -> None:
        """Go by another interval from now on."""
        if self._next is not None:
            self._next.cancel()
        self._wait(now)

    def resolve(self, now: float) -> None:
        """Look up the addresses of servers now."""
        self._core.run(resolve(self._core, self._servers), now)

    def ask(self, one: AnyServer, now: float) -> None:
        """Ask ``one`` at once, if its answer is not waited for already."""
        if one.asked_at is None:
            one.asked_at = now
            self._core.run(self._ask(one), now)

    def _wait(self, now: float) -> None:
        interval = self._plan().interval
        self._next = None
        if interval:
            self._next = self._core.timers.start(now, jittered(self._core, interval), self, "probe")

    def timer_fired(self, name: object, now: float) -> None:
        self.now = now
        if name == "resolve":
            self.resolve(now)
            self._core.timers.start(now, RESOLVE, self, "resolve")
            return
        self._wait(now)
        if self._plan().interval:
            for one in self._servers:
                if self._wants(one) and self._core.chosen(f"probe {one.uri}") and waiting(one, now):
                    self.ask(one, now)

    async def _ask(self, one: AnyServer) -> None:
        plan = self._plan()
        again = plan.interval > 0 and self._wants(one)
        if news := await probe(self._core, one, plan.probe, again, plan.thresholds):
            self._tell(one, news, self._core.ua.now)
        self._asked(one)
