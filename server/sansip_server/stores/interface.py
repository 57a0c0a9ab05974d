"""What a store can do: the whole of it.

Theory of operation: two kinds of rows. Users are looked up by the stack and
changed by the operator's commands; bindings are changed by the stack and read
back once, at the start. Times in a store are Unix times, for the stack's clock is this
machine's alone; by which reading of the clock is stored, too (``clocks``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sansip.auth import Lookup
from sansip.location import Binding, LocationUpdate
from sansip_server.stores.clocks import Reading

__all__ = ["DataRefused", "Lock", "Replaced", "Store", "User"]


@dataclass(slots=True)
class User:
    """One user of one realm: HA1 by hash name, never a password."""

    username: str
    realm: str
    keys: Mapping[str, str]


class DataRefused(Exception):
    """The database works, and cannot hold what was given (a key beyond its limit of size)."""


class Replaced(Exception):
    """Another database is in the place of the one that was open: it lacks what this one had."""


class Lock(Protocol):
    """What keeps other servers from the registrations that this one writes."""

    def check(self) -> None:
        """Raise ``OSError``, or the library's own exception, where it is held no more."""

    def close(self) -> None: ...


class Store(Protocol):
    """Used by several threads at once.

    Raises ``OSError`` or the library's own exception when it cannot do what it is asked.
    """

    # How the operator calls it, without a password.
    name: str

    def lookup(self, lookups: Sequence[Lookup]) -> list[Mapping[str, str] | None]:
        """Return what is stored of each user, None for one that is not."""

    def generation(self) -> int:
        """Return a number that is another one after users were changed, by any process."""

    def readings(self) -> list[Reading]:
        """Return every reading of the clock that rows were written by."""

    def note_reading(self, boot: str, zero: float) -> Reading:
        """Keep a new reading of the clock (``clocks``), so that ``save`` can name it."""

    def save(self, updates: Sequence[LocationUpdate], offset: float, clock: int | None = None) -> None:
        """Make all updates durable, or none; ``offset`` is Unix time minus the stack's clock.

        ``clock`` is the number of the reading that ``offset`` is of; None where it is of none.

        Raises ``DataRefused`` when one of them cannot be stored however often it is
        tried, and ``Replaced`` once where everything has to be written again.
        """

    def bindings(self, unix: float, offset: float, boot: str = "") -> Iterable[Binding]:
        """Return what is bound at ``unix``, with times in the stack's clock of boot ``boot``."""

    def count(self) -> int:
        """Return how many bindings are stored, expired ones included."""

    def forget(self, unix: float, offset: float = 0.0, boot: str = "") -> int:
        """Delete the bindings that had expired by ``unix``; return how many there were."""

    def put_user(self, user: User) -> bool:
        """Add or replace a user; return whether it is new."""

    def remove_user(self, username: str, realm: str) -> bool:
        """Remove a user; return whether there was one."""

    def users(self, realm: str | None = None) -> Iterable[User]:
        """Return all users, of one realm or of all, in order."""

    def close(self) -> None: ...
