"""The rows of subscriptions, as they are written.

Theory of operation: the row of a new or refreshed subscription is waited for (``put``). Rows that are out of
date, and those of subscriptions that ended, are collected, and one coroutine writes them until none is left.
Where rows end with the process (no ``store``, no ``rows``), nobody would read them, and none is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.modules.events.row import SUBSCRIPTIONS, row_of
from sansip.rows import Write

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.module import Core
    from sansip.modules.events.row import SubscriptionRow
    from sansip.modules.events.subscription import Subscription

__all__ = ["Keeping"]

# Subscriptions that have ended, whose rows cannot be deleted.
_ENDED: Final = 10_000


class Keeping:
    """Writes the rows of subscriptions; ``rows`` reads them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        # Whether rows are written.
        self.keeps = core.keeps_rows
        self.rows = core.rows(SUBSCRIPTIONS)
        # Keys of rows to delete, and subscriptions whose row is out of date.
        self._gone: list[tuple[str, str]] = []
        self._stale: dict[str, Subscription] = {}
        self._sweeping = False
        # Ids of subscriptions that have ended, while their rows are there: nobody takes one over by its row.
        self._ended: dict[str, None] = {}

    def is_over(self, id: str) -> bool:
        """Whether the subscription ``id`` has ended, and its row may be there still."""
        return id in self._ended

    async def put(self, one: Subscription, seconds: int, now: float, cseq: int | None = None) -> None:
        """Write the row of ``one``, which ends in ``seconds``; it is durable on return."""
        if self.keeps:
            await self.rows.put(
                row_of(one, self._core.node, self._core.unix(now) + seconds, remote_cseq=cseq)
            )

    def put_later(
        self,
        one: Subscription,
        seconds: int,
        now: float,
        cseq: int,
        done: Callable[[Any, float], None],
    ) -> None:
        """As ``put``, where no coroutine waits; ``done`` hears the result or exception."""
        row = row_of(one, self._core.node, self._core.unix(now) + seconds, remote_cseq=cseq)
        self._core.put(Write((self.rows.change(row),)), done, now)

    def rewrite(self, one: Subscription, now: float) -> None:
        """Write the row of ``one`` anew, where it has one."""
        if one.kept and one.counted:
            self.note(one)
            self.sweep(now)

    def end(self, one: Subscription, now: float) -> None:
        """Delete the row of ``one``, which has ended."""
        self._stale.pop(one.id, None)
        if one.kept:
            self._gone.append((one.package.event, one.id))
            self._ended[one.id] = None
            self.sweep(now)

    def release(self, one: Subscription) -> None:
        """Write nothing more of ``one``: another node has it."""
        self._stale.pop(one.id, None)
        one.kept = False

    def note(self, one: Subscription) -> None:
        """The next ``sweep`` writes the row of ``one``."""
        self._stale[one.id] = one

    def discard(self, row: SubscriptionRow) -> None:
        """The next ``sweep`` deletes ``row``."""
        if self.keeps:
            self._gone.append((row.package, row.id))

    def sweep(self, now: float) -> None:
        """Write, and delete, what was noted."""
        if not self._sweeping:
            self._sweeping = True
            self._core.run(self._write_rows(), now, self._swept)

    def _swept(self, result: Any, now: float) -> None:
        self._sweeping = False
        if isinstance(result, BaseException):
            # A row that stays ends by its time.
            self._core.failed("rows", result)

    async def _write_rows(self) -> None:
        while self._gone or self._stale:
            gone, self._gone = self._gone, []
            stale, self._stale = self._stale, {}
            now = self._core.ua.now
            unix = self._core.unix(now)
            rows = [
                row_of(one, self._core.node, unix + max(0.0, one.usage.expires_at - now))
                for one in stale.values()
                if one.usage.expires_at is not None
            ]
            await self.rows.put(*rows, delete=gone)
            for _, ended in gone:
                self._ended.pop(ended, None)
            if len(self._ended) > _ENDED:
                # Their rows could not be deleted.
                del self._ended[next(iter(self._ended))]
