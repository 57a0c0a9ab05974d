"""Bans: the sources that this node ignores, and until when. All keepers use one list.

Theory of operation: a keeper (authentication; later whatever else protects the server) puts a source on the
list, for one user or for all, until a time. It asks the list before it listens, and looks at its own bans
only: each keeper decides what its bans mean. An operator sees all of them, and lifts one; its keeper is told,
so that it counts anew. The list is bounded: the oldest ban is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Ban", "Bans"]


@dataclass(slots=True)
class Ban:
    """One source that is not listened to.

    Attributes:
        keeper: the part that made this ban, ``"digest"``.
        source: an address, or a network as ``2001:db8:0:1::/64``.
        user: the one user that it is not listened to for; "" for all.
        until: when it ends, in the stack's clock.
        reason: why, for people.
    """

    keeper: str
    source: str
    user: str
    until: float
    reason: str


class Bans:
    """All bans of a stack, at most ``most``."""

    __slots__ = ("_bans", "_lifted", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        # (keeper, source, user) -> ban, the oldest first
        self._bans: dict[tuple[str, str, str], Ban] = {}
        # keeper -> its function that is called for a lifted ban
        self._lifted: dict[str, Callable[[Ban], None]] = {}

    def __len__(self) -> int:
        return len(self._bans)

    def keep(self, keeper: str, lifted: Callable[[Ban], None]) -> None:
        """Have ``lifted`` called with each ban of ``keeper`` that an operator lifts."""
        self._lifted[keeper] = lifted

    def add(self, ban: Ban, now: float) -> None:
        """Put ``ban`` on the list, in place of one of the same keeper for the same source and user."""
        bans = self._bans
        bans.pop((ban.keeper, ban.source, ban.user), None)
        while bans:
            key = next(iter(bans))
            if len(bans) < self.most and bans[key].until > now:
                break
            del bans[key]
        bans[ban.keeper, ban.source, ban.user] = ban

    def find(self, keeper: str, source: str, user: str, now: float) -> Ban | None:
        """Return the ban of ``keeper`` on ``source`` for just this ``user`` ("": for all), if any."""
        if not self._bans:
            return None
        ban = self._bans.get((keeper, source, user))
        if ban is not None and ban.until <= now:
            del self._bans[keeper, source, user]
            return None
        return ban

    def standing(self, now: float) -> list[Ban]:
        """Return every ban that holds at ``now``, the oldest first."""
        return [ban for ban in self._bans.values() if ban.until > now]

    def lift(self, source: str, user: str | None = None) -> list[Ban]:
        """Take ``source`` off the list, for ``user`` or altogether; return the bans that stood there."""
        lifted = [
            ban for ban in self._bans.values() if ban.source == source and (user is None or ban.user == user)
        ]
        for ban in lifted:
            del self._bans[ban.keeper, ban.source, ban.user]
            if ban.keeper in self._lifted:
                self._lifted[ban.keeper](ban)
        return lifted
