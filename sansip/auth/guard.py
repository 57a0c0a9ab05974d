"""Guessing costs the guesser: failed attempts are counted where they come from.

Theory of operation: failures fill a bucket of the (source, user) pair and one of the source alone; they leak
with time. While a bucket has no room for one more, its source is banned (``sansip.bans``): its passwords are
not looked at. An attacker cannot lock out a user from another source, because no bucket belongs to a user
alone. A user who has proved the password from a source is judged there by that user's own bucket only, so a
guesser in the same office (behind the same NAT) does not lock out colleagues. The same wrong answer sent
again is no further guess and counts once. For an IPv6 address the network counts (its first 64 bits), because
one customer has a whole network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sansip.bans import Ban, Bans

__all__ = ["Guard"]

KEEPER = "digest"


@dataclass(slots=True)
class _Bucket:
    """Failures outstanding at ``time``, and the answers that failed lately."""

    level: float
    time: float
    seen: tuple[int, ...] = ()


class Guard:
    """Counts failures; ask for ``barred`` before a password is looked at, and report the result.

    ``per_user`` and ``per_source``: failures that a pair and a source may have
    outstanding; ``recovery``: seconds after which one failure is forgotten;
    ``most``: buckets, and proven users, remembered.
    """

    __slots__ = ("_bans", "_buckets", "_most", "_per_source", "_per_user", "_proven", "_recovery", "tell")

    def __init__(self, bans: Bans, per_user: int, per_source: int, recovery: float, most: int) -> None:
        self._bans = bans
        self.bound(per_user, per_source, recovery, most)
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        # (source, user) that knew the password lately, in the order of use.
        self._proven: dict[tuple[str, str], None] = {}
        # Called with each failure that counts: other workers count it as well.
        self.tell: Callable[[str, str, int], None] | None = None
        bans.keep(KEEPER, self._lifted)

    def bound(self, per_user: int, per_source: int, recovery: float, most: int) -> None:
        """Count by these numbers from now on."""
        self._per_user = per_user
        self._per_source = per_source
        self._recovery = recovery
        self._most = most

    def __len__(self) -> int:
        return len(self._buckets)

    def barred(self, source: str, user: str, now: float) -> Ban | None:
        """Return the ban for which an attempt of ``source`` for ``user`` is not looked at, if any."""
        bans = self._bans
        if not len(bans):
            return None
        ban = bans.find(KEEPER, source, user, now)
        if ban is None and (source, user) not in self._proven:
            ban = bans.find(KEEPER, source, "", now)
        return ban

    def failed(self, source: str, user: str, answer: int, now: float, *, told: bool = True) -> Ban | None:
        """Count a wrong password; return the ban that comes of it, if one does.

        ``answer`` is the same for the same answer to the same nonce: it counts once. ``told``: other
        workers hear of it.
        """
        pair = self._bucket((source, user), now)
        if answer in pair.seen:
            return None
        pair.seen = (*pair.seen[1 - self._per_user :], answer) if self._per_user > 1 else (answer,)
        if told and self.tell is not None:
            self.tell(source, user, answer)
        every = self._bucket((source, ""), now)
        ban = self._filled(pair, self._per_user, source, user, now)
        return self._filled(every, self._per_source, source, "", now) or ban

    def succeeded(self, source: str, user: str) -> None:
        """Forget the pair's failures: its user knows the password."""
        pair = (source, user)
        if self._buckets:
            self._buckets.pop(pair, None)
        self._proven.pop(pair, None)
        if len(self._proven) >= self._most:
            del self._proven[next(iter(self._proven))]
        self._proven[pair] = None

    def _bucket(self, key: tuple[str, str], now: float) -> _Bucket:
        """Return the bucket of ``key``, as it is at ``now``."""
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            if len(self._buckets) >= self._most:
                del self._buckets[next(iter(self._buckets))]
            bucket = _Bucket(0.0, now)
        bucket.level = max(0.0, bucket.level - (now - bucket.time) / self._recovery)
        bucket.time = now
        # Put last: the table is ordered by use.
        self._buckets[key] = bucket
        return bucket

    def _filled(self, bucket: _Bucket, room: int, source: str, user: str, now: float) -> Ban | None:
        bucket.level += 1.0
        over = bucket.level - (room - 1)
        if over <= 0:
            return None
        target = "this user" if user else "several users"
        ban = Ban(KEEPER, source, user, now + over * self._recovery, f"wrong passwords for {target}")
        self._bans.add(ban, now)
        return ban

    def _lifted(self, ban: Ban) -> None:
        self._buckets.pop((ban.source, ban.user), None)
