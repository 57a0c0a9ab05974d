"""Events of the module ``events``, for the log and for modules that name these classes in ``events``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.modules.events.subscription import Subscription

__all__ = ["SubscriptionLimitReached", "WatcherChanged"]


@dataclass(slots=True)
class WatcherChanged:
    """A subscription began, changed its state, or ended.

    ``event``: the word of RFC 3858 4.2: subscribe, approved, deactivated, probation, rejected, timeout,
    giveup, noresource. Only modules hear of it.
    """

    subscription: Subscription
    event: str


@dataclass(slots=True)
class SubscriptionLimitReached:
    """A limit, a key of the table [events], acts; told once a second for each.

    It refused a SUBSCRIBE, or (``held``) a NOTIFY to a Contact that is new waits.
    """

    limit: str
    watcher: str
    source: str
    held: bool = False

    def __str__(self) -> str:
        who = f"{self.watcher:.80} at {self.source}"
        if self.held:
            return f"events.{self.limit} is reached: a NOTIFY to the new Contact of {who} waits"
        return f"events.{self.limit} is reached: a SUBSCRIBE of {who} was refused"
