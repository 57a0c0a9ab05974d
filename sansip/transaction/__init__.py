"""Transactions (RFC 3261 17, RFC 4320, RFC 6026): four machines as total tables."""

from sansip.transaction.ack import build_cancel
from sansip.transaction.base import ClientTransaction, ClientUser, ServerTransaction, ServerUser
from sansip.transaction.layer import MAGIC_COOKIE, TransactionLayer, server_key
from sansip.transaction.timers import TimerValues

__all__ = [
    "MAGIC_COOKIE",
    "ClientTransaction",
    "ClientUser",
    "ServerTransaction",
    "ServerUser",
    "TimerValues",
    "TransactionLayer",
    "build_cancel",
    "server_key",
]
