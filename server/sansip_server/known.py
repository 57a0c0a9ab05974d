"""Users as the store last told them, so that a refresh need not ask for its user again.

Theory of operation: a hop to a worker thread and back costs more than everything else
in an authenticated registration. So the server remembers keys, under the store's *generation* of
users: a number that any change by any process raises. The worker looks at it with each batch, and
a remembered key counts for at most a second after the last look: so a changed password counts
within that second. If the store fails, the server uses the keys that it remembers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from sansip.auth import Lookup

__all__ = ["KnownUsers"]

# Seconds for which a generation that was read counts as the present one.
FRESH = 1.0


class KnownUsers:
    """Keys by realm and user name; the oldest of more than ``size`` is forgotten."""

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._users: dict[tuple[str, str], Mapping[str, str]] = {}
        self._generation = -1
        self._looked = float("-inf")
        # Several worker threads write; the stack's thread reads without the lock.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._users)

    def recall(self, lookup: Lookup) -> Mapping[str, str] | None:
        """Return the keys of a user, or None if the server has to ask the store."""
        if self._clock() - self._looked > FRESH:
            return None
        return self._users.get((lookup.realm, lookup.username))

    def last(self, lookup: Lookup) -> Mapping[str, str] | None:
        """Return the keys of a user as they were last: the store does not answer."""
        return self._users.get((lookup.realm, lookup.username))

    @property
    def aging(self) -> bool:
        """Whether the generation should be read again, because some user is known."""
        return bool(self._users) and self._clock() - self._looked > FRESH / 2

    def learn(
        self, generation: int, lookups: Sequence[Lookup], found: Sequence[Mapping[str, str] | None]
    ) -> None:
        """Take the answers that the store gave after it named this ``generation``."""
        now = self._clock()
        with self._lock:
            if generation < self._generation:
                # This was read before a change that another thread has seen already, or from another
                # database, whose count begins anew. The remembered keys do not hold.
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
