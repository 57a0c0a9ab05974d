"""Counts that have a limit in sum over the workers of one server, each told in steps.

Theory of operation: a worker tells the others of a count when it has moved by a part of the limit since it
was told last, and when it is none again. So nearly all requests cost no message, and the sum is that exact.
What the others tell stands in the same tables as the worker's own, so the code that looks at a limit knows
nothing of workers. The parent takes back what a worker had told that dies (``sansip_server.workers.boards``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sansip.proxy.pending import Pending

if TYPE_CHECKING:
    from sansip.limits import Limits
    from sansip.transaction import TransactionLayer
    from sansip.ua import UserAgent

__all__ = ["PREFIX", "SharedPending", "Sums"]

# Begins the keys of these counts among those of modules.
PREFIX: Final = "\0"
_SOURCE, _CALLEE = f"{PREFIX}source ", f"{PREFIX}callee "
_TRANSACTIONS, _CALLS = f"{PREFIX}transactions", f"{PREFIX}calls"
# A count is told in steps of this part of its limit.
_PART: Final = 16
# Requests between two looks at how many transactions and calls there are.
_REQUESTS: Final = 16

Tell = Callable[[str, int], None]


class _Steps:
    """Tells counts in steps of a part of ``limit``."""

    __slots__ = ("_counts", "_part", "_tell")

    def __init__(self, tell: Tell, limit: int) -> None:
        self._tell = tell
        self._part = max(1, limit // _PART)
        # Key -> how many there are here, and how many were told.
        self._counts: dict[str, list[int]] = {}

    def move(self, key: str, by: int) -> None:
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0, 0]
        counts[0] += by
        here, told = counts
        if abs(here - told) >= self._part or (told and not here):
            counts[1] = here
            self._tell(key, here - told)
        if not here:
            del self._counts[key]

    @property
    def total(self) -> int:
        """How many there are here."""
        return sum(here for here, _ in self._counts.values())

    def here(self, key: str) -> int:
        """Return how many of ``key`` there are here."""
        return self._counts[key][0] if key in self._counts else 0


class SharedPending(Pending):
    """How many wait at all workers; ``tell(key, change)`` tells the others, who call ``hear``."""

    __slots__ = ("_callees", "_sources")

    def __init__(self, limits: Limits, tell: Tell) -> None:
        super().__init__()
        self._sources = _Steps(tell, limits.pending_per_source)
        self._callees = _Steps(tell, limits.pending_per_callee)

    def add(self, source: str, callee: str) -> None:
        super().add(source, callee)
        self._sources.move(_SOURCE + source, 1)
        if callee:
            self._callees.move(_CALLEE + callee, 1)

    def remove(self, source: str, callee: str) -> None:
        super().remove(source, callee)
        self._sources.move(_SOURCE + source, -1)
        if callee:
            self._callees.move(_CALLEE + callee, -1)

    @property
    def total(self) -> int:
        return self._sources.total

    def hear(self, key: str, change: int) -> bool:
        """Take what another worker tells; return whether it was for here."""
        both = (_SOURCE, self.sources, self._sources), (_CALLEE, self.callees, self._callees)
        for begin, table, steps in both:
            if key.startswith(begin):
                name = key.removeprefix(begin)
                # What waits here is counted here, whatever another one takes back.
                left = max(table.get(name, 0) + change, steps.here(key))
                if left > 0:
                    table[name] = left
                else:
                    table.pop(name, None)
                return True
        return False


class Sums:
    """How many transactions, and calls of this server's own, all workers have."""

    __slots__ = ("_elsewhere", "_requests", "_tell", "_told", "_transactions", "_ua")

    def __init__(self, transactions: TransactionLayer, ua: UserAgent, tell: Tell) -> None:
        self._transactions = transactions
        self._ua = ua
        self._tell = tell
        self._requests = 0
        self._told = {_TRANSACTIONS: 0, _CALLS: 0}
        self._elsewhere = {_TRANSACTIONS: 0, _CALLS: 0}

    def request(self) -> bool:
        """Another request came; return whether the others heard of a count that is to be looked at again."""
        self._requests += 1
        return self._requests % _REQUESTS == 0 and self.look()

    def look(self) -> bool:
        """Tell what has moved; return whether the others think that there are any here."""
        transactions, ua = self._transactions, self._ua
        here = (
            (_TRANSACTIONS, len(transactions.clients) + len(transactions.servers), transactions.limit),
            (_CALLS, len(ua.calls) + len(ua.outgoing), ua.limits.calls),
        )
        for key, count, limit in here:
            told = self._told[key]
            if abs(count - told) >= max(1, limit // _PART) or (told and not count):
                self._told[key] = count
                self._tell(key, count - told)
        return any(self._told.values())

    def hear(self, key: str, change: int) -> None:
        """Take what another worker tells."""
        if key in self._elsewhere:
            self._elsewhere[key] = max(0, self._elsewhere[key] + change)
            self._transactions.leave_room(self._elsewhere[_TRANSACTIONS])
            self._ua.elsewhere = self._elsewhere[_CALLS]
