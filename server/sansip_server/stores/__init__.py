"""Stores: users and bindings that outlive the process, as plain blocking code.

A store runs in worker threads of the adapter, never in the stack's; the stack
asks it through ``Ask`` and the questions that wait go over as one batch.
"""

from sansip_server.stores.interface import DataRefused, Lock, Replaced, Store, User
from sansip_server.stores.lock import StoreLock, holder
from sansip_server.stores.opening import lock_store, open_store
from sansip_server.stores.schema import VERSION
from sansip_server.stores.sqlite import SqliteStore

__all__ = [
    "VERSION",
    "DataRefused",
    "Lock",
    "Replaced",
    "SqliteStore",
    "Store",
    "StoreLock",
    "User",
    "holder",
    "lock_store",
    "open_store",
]
