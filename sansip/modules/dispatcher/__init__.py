"""Load balancing: groups of servers, which of them gets a request, and which are alive."""

from sansip.modules.dispatcher.module import Dispatcher
from sansip.modules.dispatcher.settings import Destination, DispatcherSettings

__all__ = ["Destination", "Dispatcher", "DispatcherSettings"]
