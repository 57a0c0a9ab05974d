"""The way down: octets and a flow become actions.

Theory of operation: a datagram is one action. A stream goes through the connection table, and a client
transaction is remembered at its connection until an answer comes, so that a lost connection fails it at once
instead of after 64*T1 (RFC 3261 17.1.4, 18.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sansip.actions import Action, SendDatagram

if TYPE_CHECKING:
    from sansip.transport.connection import Pending
    from sansip.transport.connections import Connections
    from sansip.transport.flow import Flow

__all__ = ["ActionSender", "Sender"]


class Sender(Protocol):
    """The way down, as those see it who send; tests have their own."""

    @property
    def connections(self) -> Connections: ...

    def send(self, flow: Flow, data: bytes, now: float, owner: int = 0) -> None:
        """Send ``data``; if that fails, transaction number ``owner`` is told (0: none)."""

    def send_request(self, flow: Flow, data: bytes, transaction: Pending, now: float) -> None:
        """Send ``data`` of ``transaction``, which is told when its connection is lost."""

    def hand_over(self, transaction: Pending, flow: Flow) -> None:
        """``transaction`` waits at ``flow`` from here on: its peer is there as well."""

    def withdraw(self, transaction: Pending) -> bool:
        """Take back what ``transaction`` sent, and return True, if its connection is not established."""

    def forget(self, transaction: Pending) -> None:
        """``transaction`` has ended: it waits for nothing."""


class ActionSender:
    """Turns sends into actions appended to ``out``."""

    __slots__ = ("connections", "out")

    def __init__(self, out: list[Action], connections: Connections) -> None:
        self.out = out
        self.connections = connections

    def send(self, flow: Flow, data: bytes, now: float, owner: int = 0) -> None:
        if flow.reliable:
            self.connections.send(flow, data, now, owner)
        else:
            self.out.append(SendDatagram(flow.listener, data, flow.address, owner))

    def send_request(self, flow: Flow, data: bytes, transaction: Pending, now: float) -> None:
        if flow.reliable:
            connection = self.connections.send(flow, data, now, transaction.number)
            if connection is not None:
                connection.waiting[transaction] = None
        else:
            self.out.append(SendDatagram(flow.listener, data, flow.address, transaction.number))

    def hand_over(self, transaction: Pending, flow: Flow) -> None:
        self.forget(transaction)
        transaction.flow = flow
        connection = self.connections.get(flow.conn) if flow.conn else None
        if connection is not None:
            connection.waiting[transaction] = None

    def withdraw(self, transaction: Pending) -> bool:
        connection = self.connections.get(transaction.flow.conn) if transaction.flow.conn else None
        if connection is None or connection.is_open:
            return False
        connection.waiting.pop(transaction, None)
        connection.queue = [one for one in connection.queue if one[1] != transaction.number]
        connection.queued = sum(len(data) for data, _ in connection.queue)
        return True

    def forget(self, transaction: Pending) -> None:
        if transaction.flow.conn:
            connection = self.connections.get(transaction.flow.conn)
            if connection is not None:
                connection.waiting.pop(transaction, None)
