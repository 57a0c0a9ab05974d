"""Reliable provisional responses (RFC 3262), both sides.

Theory of operation: the side that answers sends one, repeats it after T1, 2*T1, 4*T1, … until
its PRACK, and holds back the next one until then (3262 3 demands that of the first, and
recommends it of all). The side that asked takes them in the order of RSeq and drops the others:
they come again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import Request, Response

__all__ = ["Provisional", "ReliableReceiver", "ReliableSender"]


@dataclass(slots=True)
class Provisional:
    """A provisional response, reliable; ``session`` says whether it carries a session description."""

    response: Response
    session: bool
    rseq: int = 0


class ReliableSender:
    """The provisional responses that we send reliably to one INVITE.

    Attributes:
        current: the response that waits for its PRACK, or None.
        resend_at, give_up_at: instants, None without ``current``.
    """

    __slots__ = ("_cseq", "_interval", "_rseq", "_waiting", "current", "give_up_at", "resend_at")

    def __init__(self, invite: Request, first_rseq: int) -> None:
        # RFC 3262 3: the first is between 1 and 2**31 - 1.
        self._rseq = first_rseq - 1
        self._cseq = invite.cseq.number
        self._waiting: deque[Provisional] = deque()
        self._interval = 0.0
        self.current: Provisional | None = None
        self.resend_at: float | None = None
        self.give_up_at: float | None = None

    def holds_session(self) -> bool:
        """Whether a 2xx has to wait for a PRACK (RFC 3262 3: a description is not yet acknowledged)."""
        return (self.current is not None and self.current.session) or any(
            one.session for one in self._waiting
        )

    def add(self, provisional: Provisional, now: float, t1: float, most: int) -> Response | None:
        """Return the response to send now, or None: it waits for the PRACK of the one before.

        Raises LocalProtocolError where ``most`` wait already.
        """
        if self.current is not None:
            if len(self._waiting) >= most:
                raise LocalProtocolError("too many reliable provisional responses wait for a PRACK")
            self._waiting.append(provisional)
            return None
        return self._send(provisional, now, t1)

    def _send(self, provisional: Provisional, now: float, t1: float) -> Response:
        # RFC 3262 3: greater by exactly one.
        self._rseq += 1
        provisional.rseq = self._rseq
        provisional.response.set("RSeq", self._rseq)
        self.current = provisional
        self._interval = t1
        self.resend_at = now + t1
        self.give_up_at = now + 64 * t1
        return provisional.response

    def resend(self, now: float) -> Response:
        """Return the current one again; the interval doubles, without the cap of T2 (RFC 3262 3)."""
        assert self.current is not None
        self._interval *= 2
        self.resend_at = now + self._interval
        return self.current.response

    def matches(self, prack: Request) -> bool:
        """Return whether ``prack`` acknowledges the current one (RFC 3262 3: RSeq, CSeq, method)."""
        try:
            rack = prack.typed("rack")
        except RemoteProtocolError:
            return False
        return (
            rack is not None
            and self.current is not None
            and (rack.rseq, rack.cseq, rack.method) == (self.current.rseq, self._cseq, "INVITE")
        )

    def acknowledged(self, now: float, t1: float) -> Response | None:
        """The current one is acknowledged: return the next one to send, or None."""
        self.stop_resending()
        self.current = None
        return self._send(self._waiting.popleft(), now, t1) if self._waiting else None

    def stop_resending(self) -> None:
        """A final response was sent: a PRACK is still taken, nothing is repeated (RFC 3262 3)."""
        self.resend_at = self.give_up_at = None

    def finish(self) -> None:
        """A final response was sent: the responses that waited are never sent."""
        self.stop_resending()
        self._waiting.clear()


class ReliableReceiver:
    """The reliable provisional responses to one INVITE of ours, in one dialog."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: int | None = None

    def take(self, response: Response) -> int | None:
        """Return the RSeq to acknowledge, None for one that is repeated or out of order (RFC 3262 4)."""
        try:
            rseq: int = response.typed("rseq")
        except RemoteProtocolError:
            return None
        if self._last is not None and rseq != self._last + 1:
            return None
        self._last = rseq
        return rseq
