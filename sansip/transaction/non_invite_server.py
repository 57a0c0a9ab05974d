"""The non-INVITE server transaction (RFC 3261 17.2.2).

Theory of operation: a repeated request gets the last response again, or nothing
while there is none; after the final response the machine stays for 64*T1 to
absorb repetitions, which is all that it is kept for.
"""

from __future__ import annotations

from typing import Final

from sansip.transaction.base import ServerTransaction
from sansip.transaction.table import IGNORE, IMPOSSIBLE, TERMINATED, Machine, total

__all__ = ["NON_INVITE_SERVER", "NonInviteServerTransaction"]

TRYING: Final = "trying"
PROCEEDING: Final = "proceeding"
COMPLETED: Final = "completed"

# RFC 3261 figure 8.
NON_INVITE_SERVER: Final[Machine] = total(
    "non-INVITE server",
    (TRYING, PROCEEDING, COMPLETED),
    ("request", "ACK", "send 1xx", "send 2xx", "send failure", "timer J", "transport error"),
    {
        # 17.2.2: in Trying there is nothing to repeat yet.
        (TRYING, "request"): IGNORE,
        (TRYING, "ACK"): IMPOSSIBLE,
        (TRYING, "send 1xx"): ("send", PROCEEDING),
        (TRYING, "send 2xx"): ("complete", COMPLETED),
        (TRYING, "send failure"): ("complete", COMPLETED),
        (TRYING, "timer J"): IMPOSSIBLE,
        (TRYING, "transport error"): IMPOSSIBLE,
        (PROCEEDING, "request"): ("resend", PROCEEDING),
        (PROCEEDING, "ACK"): IMPOSSIBLE,
        (PROCEEDING, "send 1xx"): ("send", PROCEEDING),
        (PROCEEDING, "send 2xx"): ("complete", COMPLETED),
        (PROCEEDING, "send failure"): ("complete", COMPLETED),
        (PROCEEDING, "timer J"): IMPOSSIBLE,
        (PROCEEDING, "transport error"): ("fail", TERMINATED),
        # 17.2.2: any other final response of the user is discarded.
        (COMPLETED, "request"): ("resend", COMPLETED),
        (COMPLETED, "ACK"): IMPOSSIBLE,
        (COMPLETED, "send 1xx"): IGNORE,
        (COMPLETED, "send 2xx"): IGNORE,
        (COMPLETED, "send failure"): IGNORE,
        (COMPLETED, "timer J"): ("terminate", TERMINATED),
        (COMPLETED, "transport error"): ("fail", TERMINATED),
    },
)


class NonInviteServerTransaction(ServerTransaction):
    """One request, other than INVITE and ACK, received."""

    __slots__ = ()

    machine = NON_INVITE_SERVER
    first_state = TRYING

    def complete(self, data: bytes, now: float) -> None:
        self.send(data, now)
        # RFC 3261 17.2.2: Timer J is 64*T1, or 0 where nothing can be repeated.
        if self.state is TERMINATED:
            return
        if self.flow.reliable:
            self.terminate(b"", now)
        else:
            self.end_timer = self.layer.timers.start(now, self.layer.values.t1x64, self, "timer J")
            # A retransmission needs the octets of the response only.
            self.user = None

    def fail(self, _reason: str, now: float) -> None:
        user = self.user
        self.terminate(b"", now)
        if user is not None:
            user.server_failed(self, "the response could not be sent", now)
