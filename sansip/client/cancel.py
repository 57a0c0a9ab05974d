"""The CANCEL of an INVITE that was sent (RFC 3261 9.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.transaction.ack import build_cancel

if TYPE_CHECKING:
    from sansip.transaction import ClientTransaction, TransactionLayer
    from sansip.wire import Response

__all__ = ["cancel_forgotten", "forget", "send_cancel"]


def send_cancel(
    transactions: TransactionLayer, invite: ClientTransaction, reason: str | None, now: float
) -> None:
    """Cancel ``invite``, to which a provisional response came. ``reason`` as in RFC 3326."""
    cancel = build_cancel(invite.request, reason)
    # RFC 3261 9.1: it goes where the INVITE went, with the same branch.
    branch = invite.request.via.branch or ""
    transactions.open_client(branch, cancel, cancel.to_bytes(), invite.flow, _USER).start(now)


def cancel_forgotten(
    transactions: TransactionLayer, invite: ClientTransaction, reason: str | None, now: float
) -> None:
    """Cancel ``invite``, which no user waits for; RFC 3261 9.1: after 64*T1 it is over."""
    send_cancel(transactions, invite, reason, now)
    forget(transactions, invite, now)


def forget(transactions: TransactionLayer, invite: ClientTransaction, now: float) -> None:
    """End ``invite``, which was cancelled and has no waiting user, once 64*T1 have passed (RFC 3261 9.1)."""
    transactions.timers.start(now, transactions.values.t1x64, _Forgotten(invite), "forgotten")


class _Forgotten:
    """An INVITE that was cancelled. Nothing else would end it: it has no Timer B once it has rung."""

    __slots__ = ("_invite",)

    def __init__(self, invite: ClientTransaction) -> None:
        self._invite = invite

    def timer_fired(self, _name: str, now: float) -> None:
        if self._invite.state == "proceeding":
            self._invite.terminate(None, now)


class _CancelUser:
    """RFC 3261 9.1: whatever a CANCEL is answered with, the INVITE's answer decides."""

    def response_received(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        pass

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        pass


_USER = _CancelUser()
