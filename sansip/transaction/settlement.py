"""Failed sends: whose they are, and what becomes of it (RFC 3261 18.4).

Theory of operation: the way down reports owners and a reason, for only at the end of
an input is it safe to tell a transaction that it failed. A response may have another way (RFC 3263
5); everything else is a transport error of its transaction (17.1.4, 17.2.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.transaction.base import ServerTransaction
from sansip.transaction.layer import sent_by_in

if TYPE_CHECKING:
    from sansip.transaction.layer import TransactionLayer
    from sansip.transport import Connections
    from sansip.transport.dns import Backups

__all__ = ["Settlement"]


class Settlement:
    """Settles what ``connections.failed`` has collected."""

    __slots__ = ("_backups", "_connections", "_transactions")

    def __init__(self, connections: Connections, transactions: TransactionLayer, backups: Backups) -> None:
        self._connections = connections
        self._transactions = transactions
        self._backups = backups

    def settle(self, now: float) -> None:
        """Tell the transactions whose octets could not be sent; settle failures that come meanwhile, too."""
        failed = self._connections.failed
        while failed:
            owner, data, reason = failed.pop()
            transaction = self._transactions.owner(owner)
            if transaction is None:
                continue
            if isinstance(transaction, ServerTransaction):
                # RFC 3263 5: a response may have another way.
                if self._backups.retry(transaction, sent_by_in(transaction.key), data, reason, now):
                    continue
            transaction.feed("transport error", reason, now)
