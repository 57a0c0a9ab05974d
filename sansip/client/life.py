"""The life of one attempt: a total table (RFC 3261 8.1.3, 9.1; RFC 3263 4.3).

Theory of operation: an attempt looks for its places, and sends to one after the other until one of them
answers. The table is about the place being tried. Effects take two steps themselves. An attempt that goes on
with another place, or repeats its request with credentials, begins in CALLING again (in PREPARING where the
copy waits). A final response that needs no further step ends it in OVER. OVER has no way out: after it only a
2xx can come, from a fork behind the next hop, or from a place that was given up ("late").

The inputs:

- ``found``: the answer of the name servers.
- ``allowed``, ``refused``: the decision about a copy that waited (a proxy's modules see it before it leaves).
- ``1xx``, ``2xx``, ``failure``, ``timeout`` (Timer B or F), ``transport error``: of the place being tried.
- ``late 2xx``: of a place that was given up.
- ``silence``: nothing was heard for ``failover_time``, and there is somewhere else to try.
- ``cancel``: the user cancels the request. ``give up``: the user does not wait for the answer any more.
- ``no answer``: the time for any response at all is over. ``overdue``: that for the final one is (Timer C).
- ``cancel overdue``: 64*T1 have passed since the CANCEL.
- ``lost``: the place is known to be gone.
"""

from __future__ import annotations

from typing import Final

from sansip.transaction.table import IGNORE, IMPOSSIBLE, Machine, total

__all__ = [
    "ANSWERED",
    "CALLING",
    "CANCELLED",
    "CANCELLING",
    "LIFE",
    "LOCATING",
    "OVER",
    "PREPARING",
    "PROCEEDING",
]

# The request was not sent yet: the name of the next hop is being looked up.
LOCATING: Final = "locating"
# The copy for a place was made, and waits; nothing was sent there.
PREPARING: Final = "preparing"
# The request was sent to a place, which has said nothing.
CALLING: Final = "calling"
# A provisional response came.
PROCEEDING: Final = "proceeding"
# A CANCEL is wanted, and waits for a provisional response (RFC 3261 9.1). Other methods than INVITE
# have no CANCEL: the attempt merely goes on nowhere else.
CANCELLING: Final = "cancelling"
# The CANCEL was sent.
CANCELLED: Final = "cancelled"
# The final response is here, and is being looked at (a proxy's modules may take their time).
ANSWERED: Final = "answered"
# There is a final response, or one was made.
OVER: Final = "over"

LIFE: Final[Machine] = total(
    "attempt of a request",
    (LOCATING, PREPARING, CALLING, PROCEEDING, CANCELLING, CANCELLED, ANSWERED, OVER),
    (
        "found",
        "allowed",
        "refused",
        "1xx",
        "2xx",
        "failure",
        "late 2xx",
        "timeout",
        "transport error",
        "silence",
        "cancel",
        "give up",
        "no answer",
        "overdue",
        "cancel overdue",
        "lost",
    ),
    {
        (LOCATING, "found"): ("take_places", CALLING),
        (LOCATING, "allowed"): IMPOSSIBLE,
        (LOCATING, "refused"): IMPOSSIBLE,
        (LOCATING, "1xx"): IMPOSSIBLE,
        (LOCATING, "2xx"): IMPOSSIBLE,
        (LOCATING, "failure"): IMPOSSIBLE,
        (LOCATING, "late 2xx"): IMPOSSIBLE,
        (LOCATING, "timeout"): IMPOSSIBLE,
        (LOCATING, "transport error"): IMPOSSIBLE,
        (LOCATING, "silence"): IMPOSSIBLE,
        (LOCATING, "cancel"): ("end_cancelled", OVER),
        (LOCATING, "give up"): ("end_late", OVER),
        (LOCATING, "no answer"): ("end_late", OVER),
        (LOCATING, "overdue"): ("end_late", OVER),
        (LOCATING, "cancel overdue"): IMPOSSIBLE,
        (LOCATING, "lost"): IGNORE,
        (PREPARING, "found"): IMPOSSIBLE,
        (PREPARING, "allowed"): ("leave", CALLING),
        (PREPARING, "refused"): ("refuse", OVER),
        (PREPARING, "1xx"): IMPOSSIBLE,
        (PREPARING, "2xx"): IMPOSSIBLE,
        (PREPARING, "failure"): IMPOSSIBLE,
        (PREPARING, "late 2xx"): ("accept_late", ANSWERED),
        (PREPARING, "timeout"): IMPOSSIBLE,
        (PREPARING, "transport error"): IMPOSSIBLE,
        (PREPARING, "silence"): IMPOSSIBLE,
        (PREPARING, "cancel"): ("end_cancelled", OVER),
        (PREPARING, "give up"): ("end_late", OVER),
        (PREPARING, "no answer"): ("end_late", OVER),
        (PREPARING, "overdue"): IMPOSSIBLE,
        (PREPARING, "cancel overdue"): IMPOSSIBLE,
        (PREPARING, "lost"): IGNORE,
        (CALLING, "found"): IMPOSSIBLE,
        (CALLING, "allowed"): IMPOSSIBLE,
        (CALLING, "refused"): IMPOSSIBLE,
        (CALLING, "1xx"): ("proceed", PROCEEDING),
        (CALLING, "2xx"): ("accept", ANSWERED),
        # A challenge that we can answer, or a 503 with other places left, begins again in CALLING.
        (CALLING, "failure"): ("judge", ANSWERED),
        (CALLING, "late 2xx"): ("accept_late", ANSWERED),
        # RFC 3263 4.3: a place that was not heard of at all has failed, so the next place.
        (CALLING, "timeout"): ("go_on", OVER),
        (CALLING, "transport error"): ("go_on", OVER),
        (CALLING, "silence"): ("hurry", CALLING),
        # RFC 3261 9.1: a CANCEL waits for a provisional response.
        (CALLING, "cancel"): ("hold_cancel", CANCELLING),
        (CALLING, "give up"): ("relinquish", OVER),
        (CALLING, "no answer"): ("relinquish", OVER),
        (CALLING, "overdue"): ("expire", OVER),
        (CALLING, "cancel overdue"): IMPOSSIBLE,
        (CALLING, "lost"): ("lose", OVER),
        (PROCEEDING, "found"): IMPOSSIBLE,
        (PROCEEDING, "allowed"): IMPOSSIBLE,
        (PROCEEDING, "refused"): IMPOSSIBLE,
        (PROCEEDING, "1xx"): ("proceed", PROCEEDING),
        (PROCEEDING, "2xx"): ("accept", ANSWERED),
        (PROCEEDING, "failure"): ("judge", ANSWERED),
        (PROCEEDING, "late 2xx"): ("accept_late", ANSWERED),
        # RFC 3263 4.3: it was heard of, so it has not failed. Timer F; an INVITE has none here.
        (PROCEEDING, "timeout"): ("fail_here", OVER),
        (PROCEEDING, "transport error"): ("go_on", OVER),
        (PROCEEDING, "silence"): IMPOSSIBLE,
        (PROCEEDING, "cancel"): ("send_cancel", CANCELLED),
        (PROCEEDING, "give up"): ("relinquish", OVER),
        (PROCEEDING, "no answer"): IGNORE,
        # RFC 3261 16.8: a branch that rings for ever is cancelled.
        (PROCEEDING, "overdue"): ("send_cancel", CANCELLED),
        (PROCEEDING, "cancel overdue"): IMPOSSIBLE,
        (PROCEEDING, "lost"): ("lose", OVER),
        (CANCELLING, "found"): IMPOSSIBLE,
        (CANCELLING, "allowed"): IMPOSSIBLE,
        (CANCELLING, "refused"): IMPOSSIBLE,
        (CANCELLING, "1xx"): ("cancel_at_last", CANCELLED),
        (CANCELLING, "2xx"): ("accept", ANSWERED),
        (CANCELLING, "failure"): ("conclude", ANSWERED),
        (CANCELLING, "late 2xx"): ("accept_late", ANSWERED),
        (CANCELLING, "timeout"): ("fail_here", OVER),
        (CANCELLING, "transport error"): ("fail_here", OVER),
        (CANCELLING, "silence"): IGNORE,
        (CANCELLING, "cancel"): IGNORE,
        (CANCELLING, "give up"): ("relinquish", OVER),
        (CANCELLING, "no answer"): IGNORE,
        (CANCELLING, "overdue"): ("expire", OVER),
        (CANCELLING, "cancel overdue"): IMPOSSIBLE,
        (CANCELLING, "lost"): ("lose", OVER),
        (CANCELLED, "found"): IMPOSSIBLE,
        (CANCELLED, "allowed"): IMPOSSIBLE,
        (CANCELLED, "refused"): IMPOSSIBLE,
        (CANCELLED, "1xx"): ("proceed", CANCELLED),
        # RFC 3261 9.1: it crossed the CANCEL, and counts.
        (CANCELLED, "2xx"): ("accept", ANSWERED),
        (CANCELLED, "failure"): ("conclude", ANSWERED),
        (CANCELLED, "late 2xx"): ("accept_late", ANSWERED),
        (CANCELLED, "timeout"): ("fail_here", OVER),
        (CANCELLED, "transport error"): ("fail_here", OVER),
        (CANCELLED, "silence"): IMPOSSIBLE,
        (CANCELLED, "cancel"): IGNORE,
        (CANCELLED, "give up"): ("relinquish", OVER),
        (CANCELLED, "no answer"): IGNORE,
        (CANCELLED, "overdue"): IMPOSSIBLE,
        # RFC 3261 9.1: without a final response within 64*T1 it counts as cancelled.
        (CANCELLED, "cancel overdue"): ("expire", OVER),
        (CANCELLED, "lost"): ("lose", OVER),
        (ANSWERED, "found"): IMPOSSIBLE,
        (ANSWERED, "allowed"): IGNORE,
        (ANSWERED, "refused"): IGNORE,
        (ANSWERED, "1xx"): IGNORE,
        (ANSWERED, "2xx"): ("accept_again", ANSWERED),
        (ANSWERED, "failure"): IGNORE,
        (ANSWERED, "late 2xx"): ("accept_late", ANSWERED),
        (ANSWERED, "timeout"): IGNORE,
        (ANSWERED, "transport error"): IGNORE,
        (ANSWERED, "silence"): IMPOSSIBLE,
        # The answer is here, and decides, unless its asker waits no longer.
        (ANSWERED, "cancel"): IGNORE,
        (ANSWERED, "give up"): ("end_late", OVER),
        (ANSWERED, "no answer"): IGNORE,
        (ANSWERED, "overdue"): IMPOSSIBLE,
        (ANSWERED, "cancel overdue"): IMPOSSIBLE,
        (ANSWERED, "lost"): IGNORE,
        (OVER, "found"): IGNORE,
        (OVER, "allowed"): IGNORE,
        (OVER, "refused"): IGNORE,
        (OVER, "1xx"): IGNORE,
        (OVER, "2xx"): ("accept_again", OVER),
        (OVER, "failure"): IGNORE,
        (OVER, "late 2xx"): ("accept_late", OVER),
        (OVER, "timeout"): IGNORE,
        (OVER, "transport error"): IGNORE,
        (OVER, "silence"): IGNORE,
        (OVER, "cancel"): IGNORE,
        (OVER, "give up"): IGNORE,
        (OVER, "no answer"): IGNORE,
        (OVER, "overdue"): IGNORE,
        (OVER, "cancel overdue"): IGNORE,
        (OVER, "lost"): IGNORE,
    },
)
