"""The complete interface of a store.

Theory of operation: two kinds of rows. Users are looked up by the stack and changed by the operator's
commands; bindings are changed by the stack and read back once, at the start. Times in a store are Unix times,
because the stack's clock holds on this machine only; the store also keeps the reading of the clock by which
each was written (``clocks``).
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
    """The database works, and cannot hold the given data (a key beyond its limit of size)."""


class Replaced(Exception):
    """Another database is in the place of the one that was open: it lacks the data of that one."""


class Lock(Protocol):
    """Keeps other servers from the registrations that this one writes."""

    def check(self) -> None:
        """Raise ``OSError``, or the library's own exception, if it is held no more."""

    def close(self) -> None: ...


class Store(Protocol):
    """A store; several threads use it at once.

    Raises ``OSError`` or the library's own exception when it cannot do what it is asked.
    """

    # Its name for the operator, without a password.
    name: str

    def lookup(self, lookups: Sequence[Lookup]) -> list[Mapping[str, str] | None]:
        """Return the stored keys of each user, None for an unknown one."""

    def generation(self) -> int:
        """Return a number that changes whenever any process changes users."""

    def readings(self) -> list[Reading]:
        """Return every reading of the clock that rows were written by."""

    def note_reading(self, boot: str, zero: float) -> Reading:
        """Keep a new reading of the clock (``clocks``), so that ``save`` can name it."""

    def save(self, updates: Sequence[LocationUpdate], offset: float, clock: int | None = None) -> None:
        """Make all updates durable, or none; ``offset`` is Unix time minus the stack's clock.

        ``clock`` is the number of the reading of ``offset``; None if there is none.

        Raises ``DataRefused`` when one of them cannot be stored however often it is
        tried, and ``Replaced`` once where everything has to be written again.
        """

    def bindings(self, unix: float, offset: float, boot: str = "") -> Iterable[Binding]:
        """Return the bindings that live at ``unix``, with times in the stack's clock of boot ``boot``."""

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
