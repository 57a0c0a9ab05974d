"""Events: one engine for all event packages (RFC 6665): subscriptions, NOTIFYs in order, pace, rows."""

from sansip.modules.events.admission import admits
from sansip.modules.events.content import BadFilter, Content, Verdict
from sansip.modules.events.module import Events
from sansip.modules.events.notices import SubscriptionLimitReached, WatcherChanged
from sansip.modules.events.package import Package
from sansip.modules.events.settings import EventsSettings
from sansip.modules.events.subscription import Subscription

__all__ = [
    "BadFilter",
    "Content",
    "Events",
    "EventsSettings",
    "Package",
    "Subscription",
    "SubscriptionLimitReached",
    "Verdict",
    "WatcherChanged",
    "admits",
]
