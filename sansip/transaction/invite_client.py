"""The INVITE client transaction (RFC 3261 17.1.1, as corrected by RFC 6026).

Theory of operation: the machine resends the INVITE until anything is heard,
acknowledges every failure by itself, and hands each 2xx to its user, who sees
them all until Timer M because each may come from another branch of a fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.transaction.ack import build_ack
from sansip.transaction.base import ClientTransaction
from sansip.transaction.table import IGNORE, IMPOSSIBLE, TERMINATED, Machine, total

if TYPE_CHECKING:
    from sansip.wire import Response

__all__ = ["INVITE_CLIENT", "InviteClientTransaction"]

CALLING: Final = "calling"
PROCEEDING: Final = "proceeding"
COMPLETED: Final = "completed"
ACCEPTED: Final = "accepted"

# RFC 3261 figure 5 with the changes of RFC 6026 8.4 (state Accepted, Timer M).
INVITE_CLIENT: Final[Machine] = total(
    "INVITE client",
    (CALLING, PROCEEDING, COMPLETED, ACCEPTED),
    ("1xx", "2xx", "failure", "timer A", "timer B", "timer D", "timer M", "transport error"),
    {
        # 17.1.1.2: the first answer of any kind stops the retransmissions.
        (CALLING, "1xx"): ("proceed", PROCEEDING),
        (CALLING, "2xx"): ("accept", ACCEPTED),
        (CALLING, "failure"): ("complete", COMPLETED),
        (CALLING, "timer A"): ("resend", CALLING),
        (CALLING, "timer B"): ("time_out", TERMINATED),
        (CALLING, "timer D"): IMPOSSIBLE,
        (CALLING, "timer M"): IMPOSSIBLE,
        (CALLING, "transport error"): ("fail", TERMINATED),
        # 17.1.1.2: further provisional responses go up, and the request is not resent.
        (PROCEEDING, "1xx"): ("pass_up", PROCEEDING),
        (PROCEEDING, "2xx"): ("accept", ACCEPTED),
        (PROCEEDING, "failure"): ("complete", COMPLETED),
        (PROCEEDING, "timer A"): IMPOSSIBLE,
        (PROCEEDING, "timer B"): IMPOSSIBLE,
        (PROCEEDING, "timer D"): IMPOSSIBLE,
        (PROCEEDING, "timer M"): IMPOSSIBLE,
        # No data is being sent, and the response may come on a new connection (18.2.2): a lost connection
        # does not end the call.
        (PROCEEDING, "transport error"): IGNORE,
        # 17.1.1.2: each repeated failure is acknowledged, and not passed up.
        (COMPLETED, "1xx"): IGNORE,
        (COMPLETED, "2xx"): IGNORE,
        (COMPLETED, "failure"): ("acknowledge_again", COMPLETED),
        (COMPLETED, "timer A"): IMPOSSIBLE,
        (COMPLETED, "timer B"): IMPOSSIBLE,
        (COMPLETED, "timer D"): ("terminate", TERMINATED),
        (COMPLETED, "timer M"): IMPOSSIBLE,
        # 17.1.1.2: the ACK could not be sent.
        (COMPLETED, "transport error"): ("terminate", TERMINATED),
        # RFC 6026 7.2: every 2xx goes up; whatever else is absorbed.
        (ACCEPTED, "1xx"): IGNORE,
        (ACCEPTED, "2xx"): ("pass_up", ACCEPTED),
        (ACCEPTED, "failure"): IGNORE,
        (ACCEPTED, "timer A"): IMPOSSIBLE,
        (ACCEPTED, "timer B"): IMPOSSIBLE,
        (ACCEPTED, "timer D"): IMPOSSIBLE,
        (ACCEPTED, "timer M"): ("terminate", TERMINATED),
        (ACCEPTED, "transport error"): IGNORE,
    },
)


class InviteClientTransaction(ClientTransaction):
    """One INVITE sent to one next hop. See ``ClientTransaction`` for its users."""

    __slots__ = ("_ack",)

    machine = INVITE_CLIENT
    first_state = CALLING

    def start(self, now: float) -> None:
        """Send the request and start Timers A (UDP only) and B."""
        values = self.layer.values
        timers = self.layer.timers
        self.interval = values.t1
        self.layer.send_request(self, self.data, now)
        if self.state is not CALLING:
            return
        # RFC 3261 17.1.1.2: Timer A only where the transport may lose messages.
        if not self.flow.reliable:
            self.resend_timer = timers.start(now, values.t1, self, "timer A")
        self.end_timer = timers.start(now, values.t1x64, self, "timer B")

    def resend(self, _response: Response | None, now: float) -> None:
        # RFC 3261 17.1.1.2: Timer A doubles without an upper bound.
        self.interval *= 2
        self.layer.send_request(self, self.data, now)
        self.resend_timer = self.layer.timers.start(now, self.interval, self, "timer A")

    # Any: a ``Response``, or for a ``Usual`` what was read of one (``sansip.wire.echo``); a compiled build
    # holds the type.
    def proceed(self, response: Any, now: float) -> None:
        self.cancel_timers()
        self.user.response_received(self, response, now)

    def accept(self, response: Any, now: float) -> None:
        self.cancel_timers()
        self.let_go()
        # RFC 6026 8.4: Timer M is 64*T1 on every transport.
        self.end_timer = self.layer.timers.start(now, self.layer.values.t1x64, self, "timer M")
        self.user.response_received(self, response, now)

    def complete(self, response: Response, now: float) -> None:
        user = self.user
        self.cancel_timers()
        # RFC 3261 17.1.1.2: the ACK goes where the INVITE went.
        self._ack = build_ack(self.request, response).to_bytes()
        self.layer.send_request(self, self._ack, now)
        self.let_go()
        # RFC 3261 17.1.1.2: Timer D is 0 where nothing can be repeated.
        if self.flow.reliable:
            self.terminate(response, now)
        elif self.state is COMPLETED:
            self.end_timer = self.layer.timers.start(now, self.layer.values.d, self, "timer D")
        user.response_received(self, response, now)

    def acknowledge_again(self, _response: Response, now: float) -> None:
        self.layer.send_request(self, self._ack, now)
