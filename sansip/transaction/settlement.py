"""Failed sends: who sent what could not be sent, and what becomes of it (RFC 3261 18.4).

Theory of operation: the way down reports octets and a reason, for only at the end of
an input is it safe to tell a transaction that it failed. The octets are the
message, so they name the transaction. A response may have another way (RFC 3263
5); everything else is a transport error of its transaction (17.1.4, 17.2.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.transaction.base import ServerTransaction, Transaction
from sansip.transaction.layer import sent_by
from sansip.wire import Message, Request, Response, parse_message

if TYPE_CHECKING:
    from sansip.limits import Limits
    from sansip.transaction.layer import TransactionLayer
    from sansip.transport import Connections
    from sansip.transport.dns import Backups

__all__ = ["Settlement"]


class Settlement:
    """Settles what ``connections.failed`` has collected."""

    __slots__ = ("_backups", "_connections", "_limits", "_transactions")

    def __init__(
        self, connections: Connections, transactions: TransactionLayer, backups: Backups, limits: Limits
    ) -> None:
        self._connections = connections
        self._transactions = transactions
        self._backups = backups
        self._limits = limits

    def settle(self, now: float) -> None:
        """Tell the transactions whose octets could not be sent; what fails meanwhile is settled, too."""
        failed = self._connections.failed
        while failed:
            data, reason = failed.pop()
            transaction, message, whole = self._sender_of(data)
            if transaction is None:
                continue
            if isinstance(transaction, ServerTransaction) and isinstance(message, Response):
                # RFC 3263 5: a response may have another way.
                if self._backups.retry(transaction, message, whole, reason, now):
                    continue
            transaction.feed("transport error", reason, now)

    def _sender_of(self, data: bytes) -> tuple[Transaction | None, Message | None, bytes]:
        """Return the transaction that sent ``data``, and the message.

        ``data`` may be only the beginning; it is returned where it is the whole.
        """
        try:
            message: Message | None = parse_message(data, self._limits)
        except RemoteProtocolError as error:
            # ICMP quotes the first half kilobyte of a datagram.
            message = error.message
            data = b""
        try:
            if isinstance(message, Response):
                via = message.via
                key = f"{via.branch} {sent_by(via)}"
                return self._transactions.find_server(key, message.cseq.method), message, data
            if isinstance(message, Request):
                method = "INVITE" if message.method == "ACK" else message.method
                return self._transactions.clients.get(f"{message.via.branch} {method}"), message, data
        except RemoteProtocolError:
            pass  # not even Via and CSeq: the transaction's own timer ends it
        return None, None, b""
