"""The store at work: the stack's questions answered, and its health told.

Theory of operation: each kind of question has a handler that runs in a worker
thread and takes all that wait as one batch. A store that fails is said once in
the log, with the reason and what it means for phones, and once more when it
works again; the stack turns each failure into a 503.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sansip.auth import Lookup
from sansip.location import LocationUpdate
from sansip.stack import Stack
from sansip_server.stores import Store
from sansip_sockets import handler

__all__ = ["Storage"]

logger = logging.getLogger("sansip.store")


class Storage:
    """Answers ``Lookup`` and ``LocationUpdate`` from ``store``, named ``name`` in the log."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        # Unix time minus the stack's clock; as good as constant.
        self._offset = time.time() - time.monotonic()
        # When the store began to fail, or None while it works.
        self.failing_since: float | None = None

    def restore(self, stack: Stack) -> None:
        """Give ``stack`` the bindings that live."""
        begun = time.monotonic()
        restored = stack.restore(self._store.bindings(time.time(), self._offset), begun)
        logger.info("%d registrations from %s in %.1f s", restored, self._name, time.monotonic() - begun)

    @property
    def handlers(self) -> dict[type, Callable[..., Any]]:
        """What the adapter calls for each kind of question."""
        return {Lookup: self._lookup, LocationUpdate: self._save}

    def close(self) -> None:
        self._store.close()

    # --- in worker threads

    @handler(batched=True)
    def _lookup(self, lookups: Sequence[Lookup]) -> Sequence[Mapping[str, str] | Exception | None]:
        try:
            found = self._store.lookup(lookups)
        except Exception as error:
            return [self._failed(error)] * len(lookups)
        self._works()
        return found

    @handler(batched=True)
    def _save(self, updates: Sequence[LocationUpdate]) -> Sequence[Exception | None]:
        try:
            self._store.save(updates, self._offset)
        except Exception as error:
            return [self._failed(error)] * len(updates)
        self._works()
        return [None] * len(updates)

    def _failed(self, error: Exception) -> Exception:
        if self.failing_since is None:
            self.failing_since = time.time()
            logger.error("store %s fails: %s; registrations get 503 until it works again", self._name, error)
        return error

    def _works(self) -> None:
        if self.failing_since is not None:
            logger.warning("store %s works again after %.0f s", self._name, time.time() - self.failing_since)
            self.failing_since = None
