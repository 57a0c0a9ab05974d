"""Subscriptions of this server at other servers (RFC 6665 4.1), for its users and its modules."""

from sansip.modules.watches.module import Watches
from sansip.modules.watches.settings import WatchesSettings
from sansip.modules.watches.watch import Watch

__all__ = ["Watch", "Watches", "WatchesSettings"]
