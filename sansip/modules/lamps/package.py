"""The package ``dialog`` (RFC 4235)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.modules.events import Content, Package, Subscription, Verdict
from sansip.modules.lamps.lamp import TYPE, Lamp, write

if TYPE_CHECKING:
    from sansip.modules.lamps.nodes import OtherNodes
    from sansip.modules.lamps.settings import LampsSettings

__all__ = ["DialogPackage"]


class DialogPackage(Package):
    """Dialog events. ``lamps`` returns those of a user, ``is_user`` whether an address is one of ours.

    Attributes:
        ready: whether the calls of the process before are known; before that nobody is told anything.
    """

    event = "dialog"
    types = (TYPE,)
    # A call that was answered and ended while a NOTIFY was unanswered was answered, and ended.
    each = True

    def __init__(
        self,
        settings: LampsSettings,
        lamps: Callable[[str], list[Lamp]],
        is_user: Callable[[str], bool],
        nodes: OtherNodes | None = None,
    ) -> None:
        self._nodes = nodes
        self._lamps = lamps
        self._is_user = is_user
        self.ready = True
        self.take(settings)

    def take(self, settings: LampsSettings) -> None:
        """Go by ``settings`` from now on."""
        self._settings = settings
        self.interval, self.burst = settings.interval, settings.burst

    async def prepare(self, resource: str) -> None:
        if self._nodes is not None:
            await self._nodes.read(resource)

    def is_prepared(self) -> bool:
        return self._nodes is None

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        who = self._settings.watchers
        if who == "everyone" or subscription.watcher == subscription.resource:
            return Verdict.ALLOW
        may = who == "users" and self._is_user(subscription.watcher)
        return Verdict.ALLOW if may else Verdict.BLOCK

    def content(self, subscription: Subscription, now: float) -> Content | None:
        if not self.ready:
            # A document without a call that goes on would put its lamp out.
            return None
        resource = subscription.resource
        full = subscription.full
        if full:
            found = self._lamps(resource)
        else:
            found = [lamp for _, lamp in subscription.take_changes()]
            if not self._settings.partial:
                full = True
                told = {lamp.id for lamp in found}
                found += [lamp for lamp in self._lamps(resource) if lamp.id not in told]
        body = write(resource, found, subscription.next_version(), full=full, now=now)
        return Content(TYPE, body)
