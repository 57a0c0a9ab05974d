"""The non-INVITE client transaction (RFC 3261 17.1.2).

Theory of operation: the request is resent, at doubling intervals up to T2,
until a final response comes or 64*T1 have passed; repeated finals are absorbed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.transaction.base import ClientTransaction
from sansip.transaction.table import IGNORE, IMPOSSIBLE, TERMINATED, Machine, total

if TYPE_CHECKING:
    from sansip.wire import Response

__all__ = ["NON_INVITE_CLIENT", "NonInviteClientTransaction"]

TRYING: Final = "trying"
PROCEEDING: Final = "proceeding"
COMPLETED: Final = "completed"

# RFC 3261 figure 6.
NON_INVITE_CLIENT: Final[Machine] = total(
    "non-INVITE client",
    (TRYING, PROCEEDING, COMPLETED),
    ("1xx", "2xx", "failure", "timer E", "timer F", "timer K", "transport error"),
    {
        (TRYING, "1xx"): ("proceed", PROCEEDING),
        (TRYING, "2xx"): ("complete", COMPLETED),
        (TRYING, "failure"): ("complete", COMPLETED),
        (TRYING, "timer E"): ("resend", TRYING),
        (TRYING, "timer F"): ("time_out", TERMINATED),
        (TRYING, "timer K"): IMPOSSIBLE,
        (TRYING, "transport error"): ("fail", TERMINATED),
        # 17.1.2.2: in Proceeding the request is still resent, every T2.
        (PROCEEDING, "1xx"): ("pass_up", PROCEEDING),
        (PROCEEDING, "2xx"): ("complete", COMPLETED),
        (PROCEEDING, "failure"): ("complete", COMPLETED),
        (PROCEEDING, "timer E"): ("resend_slowly", PROCEEDING),
        (PROCEEDING, "timer F"): ("time_out", TERMINATED),
        (PROCEEDING, "timer K"): IMPOSSIBLE,
        (PROCEEDING, "transport error"): ("fail", TERMINATED),
        # 17.1.2.2: Completed exists to absorb repeated finals.
        (COMPLETED, "1xx"): IGNORE,
        (COMPLETED, "2xx"): IGNORE,
        (COMPLETED, "failure"): IGNORE,
        (COMPLETED, "timer E"): IMPOSSIBLE,
        (COMPLETED, "timer F"): IMPOSSIBLE,
        (COMPLETED, "timer K"): ("terminate", TERMINATED),
        (COMPLETED, "transport error"): IGNORE,
    },
)


class NonInviteClientTransaction(ClientTransaction):
    """One request, other than INVITE and ACK, sent to one next hop."""

    __slots__ = ()

    machine = NON_INVITE_CLIENT
    first_state = TRYING

    def start(self, now: float) -> None:
        """Send the request and start Timers E (UDP only) and F."""
        values = self.layer.values
        timers = self.layer.timers
        self.interval = values.t1
        self.layer.send_request(self, self.data, now)
        if self.state is not TRYING:
            return
        if not self.flow.reliable:
            self.resend_timer = timers.start(now, values.t1, self, "timer E")
        self.end_timer = timers.start(now, values.t1x64, self, "timer F")

    def resend(self, _response: Response | None, now: float) -> None:
        # RFC 3261 17.1.2.2: Timer E becomes MIN(2*E, T2).
        self.interval = min(2 * self.interval, self.layer.values.t2)
        self._send_again(now)

    def resend_slowly(self, _response: Response | None, now: float) -> None:
        # RFC 3261 17.1.2.2: in Proceeding Timer E is reset with T2.
        self.interval = self.layer.values.t2
        self._send_again(now)

    def _send_again(self, now: float) -> None:
        self.layer.send_request(self, self.data, now)
        self.resend_timer = self.layer.timers.start(now, self.interval, self, "timer E")

    # Any: as in ``invite_client``.
    def proceed(self, response: Any, now: float) -> None:
        self.user.response_received(self, response, now)

    def complete(self, response: Any, now: float) -> None:
        user = self.user
        self.cancel_timers()
        self.let_go()
        # RFC 3261 17.1.2.2: Timer K is T4, or 0 where nothing can be repeated.
        if self.flow.reliable:
            self.terminate(response, now)
        else:
            self.end_timer = self.layer.timers.start(now, self.layer.values.t4, self, "timer K")
        user.response_received(self, response, now)
