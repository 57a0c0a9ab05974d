"""Stores: users and bindings that outlive the process, as plain blocking code.

A store runs in worker threads of the adapter, never in the stack's; the stack
asks it through ``Ask`` and the questions that wait go over as one batch.
"""

from sansip_server.stores.interface import Store, User
from sansip_server.stores.sqlite import SqliteStore, open_store

__all__ = ["SqliteStore", "Store", "User", "open_store"]
