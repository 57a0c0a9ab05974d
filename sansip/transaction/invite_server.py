"""The INVITE server transaction (RFC 3261 17.2.1, as corrected by RFC 6026).

Theory of operation: repeated INVITEs are answered with whatever was sent last.
A failure is resent until its ACK comes; a 2xx is resent by the far end, not
here, so in Accepted the machine only absorbs repeated INVITEs and lets each
2xx of its user through.
"""

from __future__ import annotations

from typing import Any, Final

from sansip.transaction.base import ServerTransaction
from sansip.transaction.table import IGNORE, IMPOSSIBLE, TERMINATED, Machine, total

__all__ = ["INVITE_SERVER", "InviteServerTransaction"]

PROCEEDING: Final = "proceeding"
COMPLETED: Final = "completed"
CONFIRMED: Final = "confirmed"
ACCEPTED: Final = "accepted"

# RFC 3261 figure 7 with the changes of RFC 6026 8.5 (state Accepted, Timer L).
INVITE_SERVER: Final[Machine] = total(
    "INVITE server",
    (PROCEEDING, COMPLETED, CONFIRMED, ACCEPTED),
    (
        "request",
        "ACK",
        "send 1xx",
        "send 2xx",
        "send failure",
        "timer G",
        "timer H",
        "timer I",
        "timer L",
        "transport error",
    ),
    {
        # 17.2.1: a repeated INVITE gets the latest provisional response again.
        (PROCEEDING, "request"): ("resend", PROCEEDING),
        (PROCEEDING, "ACK"): IGNORE,
        (PROCEEDING, "send 1xx"): ("send", PROCEEDING),
        (PROCEEDING, "send 2xx"): ("accept", ACCEPTED),
        (PROCEEDING, "send failure"): ("complete", COMPLETED),
        (PROCEEDING, "timer G"): IMPOSSIBLE,
        (PROCEEDING, "timer H"): IMPOSSIBLE,
        (PROCEEDING, "timer I"): IMPOSSIBLE,
        (PROCEEDING, "timer L"): IMPOSSIBLE,
        # RFC 6026 8.5: an error while sending no longer ends the transaction.
        (PROCEEDING, "transport error"): ("inform", PROCEEDING),
        (COMPLETED, "request"): ("resend", COMPLETED),
        (COMPLETED, "ACK"): ("confirm", CONFIRMED),
        (COMPLETED, "send 1xx"): IGNORE,
        (COMPLETED, "send 2xx"): IGNORE,
        (COMPLETED, "send failure"): IGNORE,
        (COMPLETED, "timer G"): ("resend_final", COMPLETED),
        (COMPLETED, "timer H"): ("time_out", TERMINATED),
        (COMPLETED, "timer I"): IMPOSSIBLE,
        (COMPLETED, "timer L"): IMPOSSIBLE,
        (COMPLETED, "transport error"): ("inform", COMPLETED),
        # 17.2.1: Confirmed absorbs further ACKs.
        (CONFIRMED, "request"): IGNORE,
        (CONFIRMED, "ACK"): IGNORE,
        (CONFIRMED, "send 1xx"): IGNORE,
        (CONFIRMED, "send 2xx"): IGNORE,
        (CONFIRMED, "send failure"): IGNORE,
        (CONFIRMED, "timer G"): IMPOSSIBLE,
        (CONFIRMED, "timer H"): IMPOSSIBLE,
        (CONFIRMED, "timer I"): ("terminate", TERMINATED),
        (CONFIRMED, "timer L"): IMPOSSIBLE,
        (CONFIRMED, "transport error"): IGNORE,
        # RFC 6026 7.1: repeated INVITEs are absorbed; every 2xx goes out; an
        # ACK with the same branch belongs to the user.
        (ACCEPTED, "request"): IGNORE,
        (ACCEPTED, "ACK"): ("pass_ack", ACCEPTED),
        (ACCEPTED, "send 1xx"): IGNORE,
        (ACCEPTED, "send 2xx"): ("pass_on", ACCEPTED),
        (ACCEPTED, "send failure"): IGNORE,
        (ACCEPTED, "timer G"): IMPOSSIBLE,
        (ACCEPTED, "timer H"): IMPOSSIBLE,
        (ACCEPTED, "timer I"): IMPOSSIBLE,
        (ACCEPTED, "timer L"): ("terminate", TERMINATED),
        (ACCEPTED, "transport error"): ("inform", ACCEPTED),
    },
)


class InviteServerTransaction(ServerTransaction):
    """One INVITE received. See ``ServerTransaction`` for its users."""

    __slots__ = ()

    machine = INVITE_SERVER
    first_state = PROCEEDING

    def accept(self, data: bytes, now: float) -> None:
        # Repeated INVITEs are absorbed from here on, so there is nothing to repeat.
        self.last = b""
        self.pass_on(data, now)
        # RFC 6026 8.5: Timer L is 64*T1 on every transport.
        self.end_timer = self.layer.timers.start(now, self.layer.values.t1x64, self, "timer L")

    def pass_on(self, data: bytes, now: float) -> None:
        # RFC 6026 7.1: every 2xx of the far end, who repeats it as long as it takes.
        self.layer.send_response(self, data, now)

    def complete(self, data: bytes, now: float) -> None:
        values = self.layer.values
        self.send(data, now)
        # RFC 3261 17.2.1: Timer G only where the response may be lost.
        if not self.flow.reliable:
            self.interval = values.t1
            self.resend_timer = self.layer.timers.start(now, values.t1, self, "timer G")
        self.end_timer = self.layer.timers.start(now, values.t1x64, self, "timer H")

    def resend_final(self, _argument: Any, now: float) -> None:
        # RFC 3261 17.2.1: Timer G becomes MIN(2*G, T2).
        self.interval = min(2 * self.interval, self.layer.values.t2)
        self.layer.send_response(self, self.last, now)
        self.resend_timer = self.layer.timers.start(now, self.interval, self, "timer G")

    def confirm(self, _ack: Any, now: float) -> None:
        self.cancel_timers()
        # RFC 3261 17.2.1: Timer I is T4, or 0 where no ACK can be repeated.
        if self.flow.reliable:
            self.terminate(b"", now)
        else:
            self.end_timer = self.layer.timers.start(now, self.layer.values.t4, self, "timer I")

    def time_out(self, _argument: Any, now: float) -> None:
        # RFC 3261 17.2.1: no ACK came; the user is told that the call failed.
        user = self.user
        self.terminate(b"", now)
        if user is not None:
            user.server_failed(self, "no ACK within 64*T1", now)

    def pass_ack(self, ack: Any, now: float) -> None:
        if self.user is not None:
            self.user.ack_received(self, ack, now)
