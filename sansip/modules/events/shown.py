"""A subscription as operators see it: what `events.list` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.modules.events.subscription import Subscription

__all__ = ["Shown", "shown"]


@dataclass(slots=True)
class Shown:
    """One subscription. ``expires``: seconds that are left; ``began``: in seconds since 1970."""

    id: str
    event: str
    resource: str
    watcher: str
    state: str
    verdict: str
    expires: int
    began: float
    target: str


def shown(one: Subscription, now: float) -> Shown:
    """Return what is shown of ``one``."""
    usage = one.usage
    left = 0 if usage.expires_at is None else max(0, int(usage.expires_at - now))
    return Shown(
        one.id,
        one.package.event,
        one.resource,
        one.watcher,
        usage.state,
        one.verdict.value,
        left,
        one.began,
        str(usage.dialog.remote_target),
    )
