"""Users as the store last told them, so that a refresh need not ask for its user again.

Theory of operation: a hop to a worker thread and back costs more than everything else
in an authenticated registration. So keys are remembered, under the store's *generation* of
users: a number that any change raises, by any process. The worker looks at it with
each batch, and at most a second may pass since it last did: a changed password counts
within that second. Where the store fails, what was known is all there is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from sansip.auth import Lookup

__all__ = ["KnownUsers"]

# Seconds for which a generation that was looked at counts as the present one.
FRESH = 1.0


class KnownUsers:
    """Keys by realm and user name; the oldest of more than ``size`` is forgotten."""

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._users: dict[tuple[str, str], Mapping[str, str]] = {}
        self._generation = -1
        self._looked = float("-inf")
        # Several worker threads learn; the stack's thread reads without it.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._users)

    def recall(self, lookup: Lookup) -> Mapping[str, str] | None:
        """Return the keys of a user, or None where the store has to be asked."""
        if self._clock() - self._looked > FRESH:
            return None
        return self._users.get((lookup.realm, lookup.username))

    def last(self, lookup: Lookup) -> Mapping[str, str] | None:
        """Return the keys of a user as they once were: the store cannot be asked."""
        return self._users.get((lookup.realm, lookup.username))

    @property
    def aging(self) -> bool:
        """Whether the generation should be looked at again, for somebody is known."""
        return bool(self._users) and self._clock() - self._looked > FRESH / 2

    def learn(
        self, generation: int, lookups: Sequence[Lookup], found: Sequence[Mapping[str, str] | None]
    ) -> None:
        """Take what the store said after it named this ``generation``."""
        now = self._clock()
        with self._lock:
            if generation < self._generation:
                # Read before a change that another thread has seen already; or another
                # database, whose count begins anew. Nothing that was known holds.
                self._users.clear()
                self._generation = -1
                return
            if generation != self._generation:
                self._users.clear()
                self._generation = generation
            self._looked = now
            for lookup, keys in zip(lookups, found, strict=True):
                if keys is not None:
                    self._users[lookup.realm, lookup.username] = keys
            while len(self._users) > self._size:
                del self._users[next(iter(self._users))]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._users.clear()
            self._generation = -1
            self._looked = float("-inf")
